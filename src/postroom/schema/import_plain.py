"""HAP, App Builder and Hyperion: files that describe one account and little else. Pure.

* HAP: the seven keys as a JSON object, ``//`` comments allowed.
* App Builder: the URI table of its page as text (``Property | Value``, in English or German), or the same
  keys as JSON or INI.
* Hyperion: ``.env``, or the simple form of YAML that its ``.env.yaml`` has: ``KEY: value``, one a line.
"""

import io
import json
import re
from collections.abc import Iterator
from typing import Any

from dotenv import dotenv_values

from postroom.schema.import_result import Imported, Left, account_of, checked, text_of, wrong
from postroom.schema.transport_import import read_import

_HAP_REASONS = {
    "componenttype": "chooses between two mail components of HAP; Postroom has one",
    "id": "the number of the service in HAP",
    "webhookheaders": "belongs to WebhookUrl",
}


def import_hap_account(data: bytes, name: str) -> Imported:
    """Read the SMTP form of HAP. Raises ConfigError."""
    (found, *more) = read_import(data, name=f"{name}.json")
    if more:
        raise wrong("import-file", name, f"{len(more) + 1} services", "Give one a file; each is a transport.")
    given = dict(found)
    webhook = next((key for key in given if key.lower() == "webhookurl"), None)
    if webhook is not None and not any(key.lower() == "server" for key in given):
        fix = f"Run `postroom serve --hap-config {name}`: it reads this file as it is."
        raise wrong("webhook-not-smtp", webhook, "a webhook, which is not an SMTP account", fix)
    reasons = dict(_HAP_REASONS)
    if webhook is not None:
        reasons["webhookurl"] = "another way out: `postroom serve --hap-config` reads it"
    return account_of(given, form="HAP", name="hap", reasons=reasons)


# --------------------------------------------------------------------------- App Builder

_PROPERTIES = {
    "uri": "URI",
    "url": "URI",
    "username": "UserName",
    "benutzername": "UserName",
    "password": "Password",
    "passwort": "Password",
    "defaultfromaddress": "DefaultFromAddress",
    "fromaddress": "DefaultFromAddress",
    "defaultfrom": "DefaultFromAddress",
    "standardmäßigeabsenderadresse": "DefaultFromAddress",
    "standardabsenderadresse": "DefaultFromAddress",
    "absenderadresse": "DefaultFromAddress",
    "vonadresse": "DefaultFromAddress",
}
"""A property, its letters alone and in lower case, to the key it is."""
_HEADINGS = frozenset({"property", "eigentum", "eigenschaft"})
_APP_BUILDER_REASONS = {
    "provider": "a security provider of App Builder: for OAuth write [transports.oauth], see sign-in.md",
    "name": "the name of the endpoint in App Builder",
    "type": "the kind of the endpoint",
}
_PART = re.compile(r"[|=\t]")


def import_app_builder(data: bytes, name: str) -> Imported:
    """Read the endpoint record of App Builder. Raises ConfigError."""
    text = text_of(data, name)
    if text.lstrip().startswith(("{", "[", "//")) and not re.match(r"\s*\[\w+\]\s*$", text.splitlines()[0]):
        (pairs, *more) = read_import(data, name=f"{name}.json")
        if more:
            raise wrong("import-file", name, f"{len(more) + 1} endpoints", "Give one a file.")
        rows = [(key, value) for key, value in pairs.items()]
    else:
        rows = list(_rows(text, name))
    given: dict[str, Any] = {}
    for key, value in rows:
        known = _PROPERTIES.get("".join(filter(str.isalpha, key.lower())), key)
        if known in given:
            raise wrong("given-twice", key, "given a second time", "Give it once.")
        given[known] = value
    return account_of(given, form="App Builder", name="app-builder", reasons=_APP_BUILDER_REASONS)


def _rows(text: str, name: str) -> Iterator[tuple[str, str]]:
    is_table = re.search(r"^\s*\|?\s*-{3,}", text, re.MULTILINE) is not None
    for number, line in enumerate(text.splitlines(), 1):
        row = line.strip()
        if is_table:
            row = row.removeprefix("|").removesuffix("|").strip()
        is_ruled = not row.strip("-|: ") or row.startswith(("#", ";")) or re.fullmatch(r"\[.*\]", row)
        if is_ruled:
            continue
        parts = _PART.split(row, maxsplit=1)
        if len(parts) != 2 or ":" in parts[0].strip().removesuffix(":"):  # `Password: a=b` would show an a
            cause = f"line {number} is neither `Property | Value` nor `key = value`"
            raise wrong("import-file", name, cause, "Give the table of the endpoint.")
        if parts[0].strip().lower() not in _HEADINGS:
            yield parts[0].strip(), parts[1].strip()


# --------------------------------------------------------------------------- Hyperion

_HYPERION = {
    "SMTP_SERVER": "host",
    "SMTP_PORT": "port",
    "SMTP_USERNAME": "username",
    "SMTP_PASSWORD": "password",
    "SMTP_EMAIL": "from",
}
_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
_YAML_LINE = re.compile(r"([A-Za-z_][\w.\-]*)[ \t]*:(?:[ \t]+(.*))?\Z")
_COMMENT = re.compile(r"\s+#.*\Z")


def import_hyperion(data: bytes, name: str) -> Imported:
    """Read the settings of Hyperion. Raises ConfigError."""
    text = text_of(data, name)
    is_yaml = name.lower().endswith((".yaml", ".yml")) or not re.search(
        r"^\s*(?:export\s+)?\w+\s*=", text, re.MULTILINE
    )
    values = _yaml(text, name) if is_yaml else _dotenv(text)
    found = Imported(left=[Left(key, "not about mail") for key in values if not key.startswith("SMTP_")])
    active = str(values.get("SMTP_ACTIVE") or "false").lower()
    if active not in _WORDS:
        raise wrong("setting-value", "SMTP_ACTIVE", "neither true nor false", "Write true or false.")
    transport: dict[str, Any] = {"name": "hyperion"}
    for key, value in values.items():
        if key in _HYPERION and value:
            transport[_HYPERION[key]] = value
        elif key.startswith("SMTP_") and key not in {*_HYPERION, "SMTP_ACTIVE"}:
            found.left.append(Left(key, "no setting of Hyperion that is known"))
    if not _WORDS[active]:
        found.sections["capture"] = True
        found.notes.append("SMTP_ACTIVE is off: every mail is captured until `capture` is taken out")
    if "host" in transport:
        _complete(transport, found)
    elif _WORDS[active]:
        raise wrong("transport-host-missing", "SMTP_SERVER", "missing while SMTP_ACTIVE is true", "Set it.")
    return found


def _complete(transport: dict[str, Any], found: Imported) -> None:
    port = str(transport.get("port", 587))
    if not port.isdecimal() or len(port) > 5:
        raise wrong("setting-value", "SMTP_PORT", "not a number from 1 to 65535", "Use 587 or 465.")
    transport["port"] = int(port)
    transport["encryption"] = "tls" if port == "465" else "starttls"
    if port == "465":
        found.notes.append(
            "SMTP_PORT 465 speaks TLS from the first byte; Hyperion's own STARTTLS hangs there"
        )
    found.notes += checked(transport, {ours: key for key, ours in _HYPERION.items()})
    found.transport = transport


def _dotenv(text: str) -> dict[str, str]:
    found = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {key: value or "" for key, value in found.items()}


def _yaml(text: str, name: str) -> dict[str, str]:
    """Read ``KEY: value`` lines; what is nested below another key is that key's affair."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#") or line[0] in " \t-" or line.strip() == "---":
            continue
        match = _YAML_LINE.match(line.rstrip())
        if match is None:
            cause = f"line {number} is not `KEY: value`"
            raise wrong("import-file", name, cause, "Give the .env or .env.yaml of Hyperion.")
        key = match[1]
        if key in found:
            raise wrong("given-twice", key, "given a second time", "Give it once.")
        found[key] = _scalar(match[2] or "", key) if key.startswith("SMTP_") else ""
    return found


def _scalar(written: str, key: str) -> str:
    """Read one value as YAML does; forms beyond text, numbers and quotes are refused. Raises ConfigError."""
    written = written.strip()
    if written.startswith('"'):
        match = re.match(r'"(?:[^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"', written)
        if match is not None and not _COMMENT.sub("", written[match.end() :]).strip():
            return str(json.loads(match[0]))
    elif written.startswith("'"):
        match = re.match(r"'((?:[^']|'')*)'", written)
        if match is not None and not _COMMENT.sub("", written[match.end() :]).strip():
            return match[1].replace("''", "'")
    elif not written.startswith(tuple("|>&*!{[%@`#")):
        plain = _COMMENT.sub("", written)
        return "" if plain in {"~", "null"} else plain
    elif written.startswith("#"):
        return ""
    fix = "Put the value in quotes, on one line."
    raise wrong("setting-value", key, "written in a form of YAML that is not read here", fix)

"""``appextensions.json`` of Mingdao HAP's e-mail service, read as it is: a webhook as the default transport.

| key | what becomes of it |
|---|---|
| ``WebhookUrl`` | where mail is posted; needed |
| ``WebhookHeaders`` | header fields, any; numbers and booleans as text |
| ``CertificateValidation`` | ``true`` means that the certificate is *not* checked, there and here; loud |
| ``ComponentType`` | which of HAP's own components sends; without a meaning here |
| ``AppSettings`` | the shape of HAP's session service; named |

The file may have a byte order mark, ``//`` comments and commas too many, as pages about it show; keys compare
without case. Its values may be secrets, so no problem and no warning shows one.

Sources: "How to enable email service", section Self Integration, and the product's support pages.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postroom.errors import ConfigError, Problem
from postroom.model.secret import Secret

MAX_FILE = 256 * 1024
"""Bytes (security limit): a wrong path may name anything."""
_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*+")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_COMMA = re.compile(r'("(?:[^"\\]|\\.)*+")|,(?=\s*[}\]])')
_SMTP_KEYS = frozenset({"server", "account", "fromaddress", "enablessl"})
_YES = frozenset({"true", "1", "yes"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HapConfig:
    """What the file says."""

    url: Secret
    headers: Mapping[str, Secret] = field(default_factory=dict)
    verify: bool = True
    warnings: tuple[str, ...] = ()


def read_hap_config(path: Path) -> HapConfig:
    """Read the file. Raises ConfigError with every problem found."""
    name = path.name
    given = {key.lower(): (key, value) for key, value in _object(path).items()}
    problems: list[Problem] = []
    warnings: list[str] = []
    url = given.pop("webhookurl", ("", None))[1]
    if not isinstance(url, str) or not url.strip():
        problems.append(_missing(name, given))
    headers = _headers(given.pop("webhookheaders", ("", None))[1], name, problems)
    is_ignored = str(given.pop("certificatevalidation", ("", ""))[1]).strip().lower() in _YES
    if is_ignored:
        warnings.append(
            f"{name} CertificateValidation: true means that errors of the server's certificate are IGNORED"
        )
    if "componenttype" in given:
        del given["componenttype"]
        warnings.append(f"{name} ComponentType chooses a component of HAP itself; it has no meaning here")
    if "appsettings" in given:
        del given["appsettings"]
        warnings.append(f"{name} AppSettings belongs to HAP's session service and is not used")
    warnings += [f"{name} {key} is not used" for key, _ in given.values()]
    if problems:
        raise ConfigError(problems)
    return HapConfig(
        url=Secret(str(url).strip()), headers=headers, verify=not is_ignored, warnings=tuple(warnings)
    )


def _object(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE).decode("utf-8-sig")
    except OSError as error:
        cause = f"cannot be read: {(error.strerror or 'unknown reason').lower()}"
        raise _wrong(cause, f"Check that {path} exists and may be read.") from None
    except UnicodeDecodeError:
        raise _wrong("not UTF-8 text", f"Save {path} as UTF-8.") from None
    plain = _COMMA.sub(lambda match: match[1] or "", _COMMENT.sub(lambda match: match[1] or " ", text))
    try:
        found = json.loads(plain, strict=False)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 0)
        where = f" at line {line}" if line else ""
        raise _wrong(
            f"not JSON{where}", f"Correct {path}; comments and commas at ends are allowed."
        ) from None
    if not isinstance(found, dict):
        raise _wrong("not a JSON object", f'Write {{"WebhookUrl": "..."}} into {path}.')
    return found


def _missing(name: str, given: Mapping[str, tuple[str, Any]]) -> Problem:
    field = f"{name} WebhookUrl"
    fix = "Write the URL that mail is posted to."
    if given.keys() & _SMTP_KEYS:
        fix = "This is an SMTP account: put its keys into a [[transports]] table instead."
    elif "appsettings" in given:
        fix = "It stands at the top, not below AppSettings, which is the shape of HAP's session service."
    return Problem(code="hap-webhook-url", field=field, cause="missing or empty", fix=fix)


def _headers(value: Any, name: str, problems: list[Problem]) -> Mapping[str, Secret]:
    if value is None:
        return {}
    field = f"{name} WebhookHeaders"
    if not isinstance(value, dict):
        cause, fix = "not an object", 'Write {"Name": "value"}, or leave it out.'
        problems.append(Problem(code="hap-webhook-headers", field=field, cause=cause, fix=fix))
        return {}
    headers = {}
    for key, one in value.items():
        if isinstance(one, dict | list):
            cause, fix = f"{key[:50]} is no text", "Write the value in quotes."
            problems.append(Problem(code="hap-webhook-headers", field=field, cause=cause, fix=fix))
        elif one is not None:
            text = one if isinstance(one, str) else json.dumps(one)
            headers[str(key).strip()] = Secret(text.strip())
    return headers


def _wrong(cause: str, fix: str) -> ConfigError:
    return ConfigError([Problem(code="hap-config", field="--hap-config", cause=cause, fix=fix)])

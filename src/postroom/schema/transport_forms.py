"""Accounts as other programs write them, turned into our own names.

* TapData: ten keys, as its store names them (``smtp.server.host``; in TOML also as nested tables) or as its
  test call does (``SMTP_Server_Host``).
* HAP: ``signature, fromAddress, server, account, password, port, enableSsl``, beside them
  ``CertificateValidation`` of its ``appextensions.json``, where ``true`` means that errors are *ignored*.
* App Builder: ``URI, UserName, Password, DefaultFromAddress`` (or ``FromAddress``).

Keys compare without case. One description keeps to one form; ``name`` and settings that no other program has
(paces, pins, timeouts) may stand beside each. Pure; what the values come to is for ``transport_spec``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from postroom.errors import Problem
from postroom.providers.catalogue import by_host
from postroom.providers.provider import UsernameRule
from postroom.schema.mailbox_lists import mailbox_text
from postroom.schema.quantities import did_you_mean
from postroom.schema.transport_fields import TransportFields

_OURS = frozenset(info.alias or name for name, info in TransportFields.model_fields.items())
_SAID_BY_ALL = frozenset(
    [
        "url",
        "url_file",
        "host",
        "port",
        "encryption",
        "username",
        "password",
        "password_file",
        "access_key_id",
        "secret_access_key",
        "from",
        "subject_prefix",
        "receivers",
        "proxy",
        "oauth",
        "verify",
    ]
)
"""Ours that another form says in its own words, or that contradict it."""

_TAPDATA = {
    "smtp_server_user": "username",
    "smtp_server_password": "password",
    "email_server_tls": "encryption",
    "email_communication_protocol": "encryption",
    "smtp_server_host": "host",
    "smtp_server_port": "port",
    "email_send_address": "from",
    "email_receivers": "receivers",
    "email_title_prefix": "subject_prefix",
    "send_email_title_prefix": "subject_prefix",
    "smtp_proxy_host": "proxy",
    "smtp_proxy_port": "proxy_port",
    "emailhref": "",
}
_HAP = {
    "signature": "signature",
    "fromaddress": "from",
    "server": "host",
    "account": "username",
    "password": "password",
    "port": "port",
    "enablessl": "encryption",
    "certificatevalidation": "verify",
    "componenttype": "",
    "webhookurl": "webhook",
    "webhookheaders": "",
    "id": "",
}
_APP_BUILDER = {
    "uri": "url",
    "username": "username",
    "password": "password",
    "defaultfromaddress": "from",
    "fromaddress": "from",
}
_PROTOCOLS = {"SSL": "tls", "TLS": "starttls", "NO_PROTOCOL": "none", "NONE": "none", "": "none"}
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}


@dataclass(slots=True, kw_only=True)
class PlainForm:
    """A description in our names."""

    document: dict[str, Any]
    names: dict[str, str] = field(default_factory=dict)
    """Our field to the key it was written under, or would have been."""
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def plain_form(document: Mapping[str, Any], *, prefix: str = "") -> PlainForm:
    """Return the description in our names; ours comes back as it is.

    ``prefix`` is where it stands (``transports.0``), for problems.
    """
    flat = _flattened(document)
    folded = {key: fold(key) for key in flat if key not in _OURS}
    foreign = {key for key in folded.values() if any(key in form.keys for form in FORMS)}
    if not foreign:
        return PlainForm(document=dict(document))
    return _Reading(flat, prefix).read(foreign)


@dataclass(frozen=True, slots=True)
class Form:
    """How one program writes an account."""

    name: str
    keys: Mapping[str, str]
    """Key, in lower case with ``_`` for dots, to our name or one the reader knows; empty: not used."""
    read: Callable[["_Reading"], None]


class _Reading:
    """One description of another program being turned."""

    def __init__(self, flat: Mapping[str, Any], prefix: str) -> None:
        self._flat = flat
        self._prefix = prefix
        self.values: dict[str, Any] = {}
        """By the name the form's table gives."""
        self.written: dict[str, str] = {}
        """The key each of them was written under."""
        self.plain = PlainForm(document={})

    def read(self, foreign: set[str]) -> PlainForm:
        forms = [form for form in FORMS if foreign <= form.keys.keys()]
        if not forms:
            spoken = [form.name for form in FORMS if foreign & form.keys.keys()]
            self.report("transport-forms-mixed", "", f"keys of {' and of '.join(spoken)} in one", _UNMIXED)
            return self.plain
        form = max(forms, key=lambda one: len(one.keys.keys() & {fold(key) for key in self._flat}))
        self._sort(form)
        if not self.plain.problems:
            form.read(self)
        names = {ours: key for key, ours in form.keys.items() if ours} | self.written
        self.plain.names |= {ours: self.named(key) for ours, key in names.items()}
        return self.plain

    def _sort(self, form: Form) -> None:
        for key, value in self._flat.items():
            ours = form.keys.get(fold(key))
            if ours is None and key in _SAID_BY_ALL:
                cause = f"our own {key} beside keys of {form.name}"
                self.report("transport-forms-mixed", key, cause, _UNMIXED)
            elif ours is None and key in _OURS:
                self.plain.document[key] = value
            elif ours is None:
                fix = did_you_mean(fold(key), form.keys)
                self.report("unknown-setting", key, f"no such setting of {form.name}", fix)
            elif ours in self.written:
                cause = f"given a second time, beside {self.written[ours]}"
                self.report("given-twice", key, cause, "Give it once.")
            elif ours:
                self.written[ours] = key
                self.values[ours] = value.strip() if isinstance(value, str) and ours in _TRIMMED else value

    def take(self, *keys: str) -> None:
        """Take what is not blank under our names."""
        for key in keys:
            if self.values.get(key) not in (None, ""):
                self.plain.document[key] = self.values[key]

    def named(self, key: str) -> str:
        return f"{self._prefix}.{key}" if self._prefix else key

    def report(self, code: str, key: str, cause: str, fix: str) -> None:
        where = self.named(key) if key else self._prefix or "body"
        self.plain.problems.append(Problem(code=code, field=where, cause=cause, fix=fix))

    def warn(self, key: str, sentence: str) -> None:
        self.plain.warnings.append(f"{self.named(key)}: {sentence}")

    def take_port(self) -> None:
        """Take the port as a number where it is text, as TapData sends it."""
        port = self.values.get("port")
        self.values["port"] = (
            int(port) if isinstance(port, str) and port.isdecimal() and len(port) <= 5 else port
        )
        self.take("port")

    def need(self, ours: str, key: str) -> None:
        """Report that the server is missing, under the name it has there."""
        if not self.plain.document.get(ours):
            fix = "Write the mail server there."
            self.report("transport-url-missing", self.written.get(ours, key), "no server", fix)

    def boolean(self, key: str) -> bool:
        value = self.values.get(key)
        found = _BOOLEANS.get(str("" if value is None else value).strip().lower())
        if found is None:
            self.report("setting-value", self.written[key], "neither true nor false", "Write true or false.")
        return bool(found)


def _read_tapdata(reading: _Reading) -> None:
    values = reading.values
    reading.take("username", "password", "host", "from", "receivers", "subject_prefix")
    reading.take_port()
    reading.need("host", "smtp.server.host")
    protocol = values.get("encryption")
    mode = "tls" if protocol is None else _PROTOCOLS.get(str(protocol).upper())
    if mode is None:
        fix = f"Write one of {', '.join(filter(None, _PROTOCOLS))}."
        reading.report("setting-value", reading.written["encryption"], "no such protocol", fix)
    else:
        reading.plain.document["encryption"] = mode
    host, port = values.get("proxy") or "", values.get("proxy_port") or ""
    if host and port:
        host = f"[{host}]" if ":" in str(host) else host
        reading.plain.document["proxy"] = f"socks5://{host}:{port}"
    elif host or port:
        given = reading.written["proxy" if host else "proxy_port"]
        cause = "host and port of the proxy are not set together"
        reading.report("proxy-incomplete", given, cause, "Set both or neither.")


def _read_hap(reading: _Reading) -> None:
    values, document = reading.values, reading.plain.document
    if "webhook" in values:
        cause = "a webhook, which is not an SMTP account"
        fix = "Give server, account and password; only these are taken over."
        reading.report("webhook-not-smtp", reading.written["webhook"], cause, fix)
    reading.take("host", "username", "password")
    reading.take_port()
    reading.need("host", "server")
    document["encryption"] = "tls" if reading.boolean("encryption") else "starttls-if-offered"
    sender = values.get("from")
    if sender:
        document["from"] = mailbox_text(str(sender), str(values.get("signature") or "").strip())
    else:
        key = reading.written.get("from", "fromAddress")
        reading.report("from-missing", key, "no sender", "Set fromAddress to the address of the mailbox.")
    if reading.boolean("verify"):
        document["verify"] = False
        reading.warn(
            reading.written["verify"], "true means that errors of the server's certificate are IGNORED"
        )
    login, provider = document.get("username"), by_host(str(document.get("host", "")))
    is_local = provider is not None and provider.username is UsernameRule.LOCAL_PART
    if is_local and isinstance(login, str) and "@" in login:
        document["username"] = login.rpartition("@")[0]
        reading.warn(reading.written["username"], "the part before the @ is the login there")


def _read_app_builder(reading: _Reading) -> None:
    reading.take("url", "username", "password", "from")
    reading.need("url", "URI")


FORMS = (
    Form("App Builder", _APP_BUILDER, _read_app_builder),
    Form("HAP", _HAP, _read_hap),
    Form("TapData", _TAPDATA, _read_tapdata),
)
_UNMIXED = "Keep to the names of one program, or to our own."
_TRIMMED = frozenset({"url", "host", "port", "username", "encryption", "from", "proxy", "proxy_port"})


def fold(key: str) -> str:
    """Return a key in the form that is compared."""
    return key.strip().lower().replace(".", "_").replace(" ", "_")


def _flattened(document: Mapping[str, Any]) -> dict[str, Any]:
    """Undo what TOML makes of ``smtp.server.host = ...``."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if fold(key) in {"smtp", "email"} and isinstance(value, Mapping):
            flat |= _joined(key, value)
        else:
            flat[key] = value
    return flat


def _joined(path: str, table: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _joined(f"{path}.{key}", value) if isinstance(value, Mapping) else {f"{path}.{key}": value}
    return flat

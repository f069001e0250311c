"""A change of a transport: laid over what is stored, or written as the lines that make it elsewhere.

A change is a JSON merge patch (RFC 7396): what it names is replaced, ``null`` takes the default again, what
it does not name stays. The URL of a transport is taken apart first when its server or its login is changed.
Pure; no line contains a secret.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from postroom.model.transport import SmtpAccount, StoredTransport, TransportOrigin, TransportSpec
from postroom.schema.credentials import HIDDEN
from postroom.schema.transport_body import read_body
from postroom.schema.transport_fields import OAuthSection, TimeoutsSection, TransportFields
from postroom.schema.transport_secrets import HEADERS, shown_transport, split_secrets
from postroom.schema.transport_spec import Setting
from postroom.schema.transport_url import build_transport_url, without_proxy

_SERVER = ("host", "port", "encryption")
_LOGIN = ("username", "password", "oauth")
_ACCESS_KEY = ("access_key_id", "secret_access_key")
_TABLES: Mapping[str, type[BaseModel]] = {"oauth": OAuthSection, "timeouts": TimeoutsSection}
_SECRETS = {"password", "secret_access_key", "secret", "client_secret", "signing_secret"}
_VARIABLE = "POSTROOM_TRANSPORT"
_KEY = re.compile(r"[a-z][a-z_]{0,39}\Z")


def merged(record: StoredTransport, account: SmtpAccount | None, change: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields after a change; ``account`` is what the stored ones come to."""
    fields: dict[str, Any] = {**record.fields, "name": record.name}
    change = _parted(change)
    if _has_any(change, *_ACCESS_KEY):
        change = {**dict.fromkeys(("username", "password"), None), **change}
    if "url" in fields and "url" not in change:
        if account is not None and _has_any(change, *_SERVER, "provider", *_LOGIN, *_ACCESS_KEY):
            fields = _taken_apart(fields, account)
        elif account is None and _is_capture(fields["url"]) and _has_any(change, *_SERVER, "provider"):
            del fields["url"]
    elif change.get("url") is not None:
        for key in (*_SERVER, "provider"):
            fields.pop(key, None)
        if "@" in str(change["url"]):
            fields.pop("username", None)
            fields.pop("password", None)
    return _laid_over(fields, change, TransportFields)


def _has_any(change: Mapping[str, Any], *keys: str) -> bool:
    return any(key in change for key in keys)


def _is_capture(url: object) -> bool:
    return isinstance(url, str) and url.strip().lower().startswith("capture:")


def _parted(change: Mapping[str, Any]) -> Mapping[str, Any]:
    """Let the proxy in a URL take the place of a stored one, as it is stored itself."""
    url = change.get("url")
    if not isinstance(url, str) or "proxy" in change:
        return change
    bare, proxy = without_proxy(url)
    return change if proxy is None else {**change, "url": bare, "proxy": proxy}


def _taken_apart(fields: Mapping[str, Any], account: SmtpAccount) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "host": account.host,
        "port": account.port,
        "encryption": account.tls.value,
        "provider": account.provider,
        "username": account.username,
        "password": HIDDEN if account.password is not None else None,
    }
    rest = {key: value for key, value in fields.items() if key != "url"}
    return {**{key: value for key, value in parts.items() if value is not None}, **rest}


def _laid_over(
    fields: Mapping[str, Any], change: Mapping[str, Any], model: type[BaseModel] | None
) -> dict[str, Any]:
    """Return the merge; a ``null`` for a name that ``model`` does not know stays, to be reported."""
    known = {info.alias or name for name, info in model.model_fields.items()} if model is not None else None
    result = dict(fields)
    for key, value in change.items():
        if value is None and (known is None or key in known or key in result):
            result.pop(key, None)
        elif isinstance(value, Mapping):
            before = result.get(key)
            inner = before if isinstance(before, Mapping) else {}
            result[key] = _laid_over(inner, value, _TABLES.get(key))
        else:
            result[key] = value
    return result


# ---------------------------------------------------------------------- elsewhere


def patch_of(spec: TransportSpec, change: Mapping[str, Any] | None) -> str:
    """Return the lines that make a change of a configured transport; ``None`` removes it."""
    if spec.origin is TransportOrigin.ENVIRONMENT:
        return _variable(spec, change)
    if change is None:
        return f'# remove this table from the settings file\n[[transports]]\nname = "{spec.name}"\n'
    lines = ["# in the settings file, in the table of this name", "[[transports]]", f'name = "{spec.name}"']
    tables = []
    for key, value in change.items():
        if key == "name" or not _KEY.match(key):
            continue
        if key == HEADERS and isinstance(value, Mapping):
            tables += ["[transports.headers]", *[f'{json.dumps(str(name))} = "{HIDDEN}"' for name in value]]
        elif key == "mapping" and isinstance(value, Mapping):
            lines.append("# mapping: write it into a file, and name that as mapping_file")
        elif key in _TABLES and isinstance(value, Mapping):
            inside = [_line(name, one) for name, one in value.items() if _KEY.match(name)]
            tables += [f"[transports.{key}]", *inside]
        else:
            lines.append(_line(key, value))
    return "\n".join((*lines, *tables)) + "\n"


def _variable(spec: TransportSpec, change: Mapping[str, Any] | None) -> str:
    if change is None:
        return f"# in the environment\nunset {_VARIABLE}\n"
    masked = {key: _masked(key, one) for key, one in change.items()}
    wished = _read(_laid_over(shown_transport(spec), masked, None))
    if wished is None:
        return f"# in the environment: write the whole transport anew\n{_VARIABLE}=\n"
    url = build_transport_url(wished)
    for hidden in ("%252A", "%2A"):
        url = url.replace(hidden * len(HIDDEN), HIDDEN)
    return f"# in the environment, with the secret in the place of {HIDDEN}\n{_VARIABLE}='{url}'\n"


def _read(document: Mapping[str, Any]) -> SmtpAccount | None:
    """Return the account of a description whose secrets are hidden."""
    read = read_body(document, setting=Setting(is_locked=True))
    return read.spec.account if read.spec is not None else None


def _masked(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return (
            dict.fromkeys(value, HIDDEN)
            if key == HEADERS
            else {n: _masked(n, one) for n, one in value.items()}
        )
    if not isinstance(value, str):
        return value
    if key in _SECRETS:
        return HIDDEN
    return split_secrets({key: value})[0][key] if key in {"url", "proxy"} else value


def _line(key: str, value: Any) -> str:
    if value is None:
        return f"# without {key}"
    note = f"  # the secret itself, or {key}_file" if key in _SECRETS else ""
    return f"{key} = {json.dumps(_masked(key, value), ensure_ascii=False)}{note}"

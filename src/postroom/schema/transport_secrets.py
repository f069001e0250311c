"""The secrets of a transport apart from the rest, and together again.

A description is JSON values in our names. Parted, ``*****`` stands in the place of each secret: so it is
stored and so it is shown. A ``*****`` that comes back in a change keeps what is stored; the password of a
login keeps its value also when the form changes from ``url`` to ``password`` or back. Pure.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import quote, unquote

from postroom.model.address import Mailbox
from postroom.model.secret import Secret
from postroom.model.transport import HookTarget, SmtpAccount, TransportKind, TransportSpec
from postroom.schema.credentials import HIDDEN
from postroom.schema.mailbox_lists import mailbox_text
from postroom.schema.transport_url import build_proxy_url, without_proxy

LOGIN = "password"
URL_LOGIN = "url.password"
PROXY = "proxy.password"
_PLAIN = (LOGIN, "oauth.secret", "oauth.client_secret", "signing_secret")
"""Fields that are secrets as a whole, by path."""
HEADERS = "headers"
"""Of a webhook; every value in it may be a secret."""


def split_secrets(
    document: Mapping[str, Any], account: SmtpAccount | None = None
) -> tuple[dict[str, Any], dict[str, Secret]]:
    """Return the description with ``*****`` for its secrets, and the secrets by path.

    ``account`` is what it came to: its password is kept instead of what was typed (the derived one instead of
    an access key, without what came along when it was pasted).
    """
    fields = _copied(document)
    secrets: dict[str, Secret] = {}
    if account is not None and "secret_access_key" in fields:
        del fields["secret_access_key"], fields["access_key_id"]
        fields |= {"username": account.username, LOGIN: HIDDEN}
        secrets[LOGIN] = account.password or Secret("")
    for path in _paths(fields):
        table, key = _place(fields, path)
        if table is not None and isinstance(table.get(key), str) and table[key] != HIDDEN:
            secrets[path] = Secret(table[key])
            table[key] = HIDDEN
    if isinstance(fields.get("url"), str):
        _split_url(fields, secrets)
    if isinstance(fields.get("proxy"), str):
        fields["proxy"] = _hide(fields["proxy"], PROXY, secrets)
    if account is not None and account.password is not None:
        path = LOGIN if LOGIN in fields else URL_LOGIN
        if path in secrets:
            secrets[path] = account.password
    return fields, secrets


def join_secrets(fields: Mapping[str, Any], secrets: Mapping[str, Secret]) -> dict[str, Any]:
    """Return the description with each ``*****`` replaced by the secret of its place, where there is one."""
    document = _copied(fields)
    known = {**secrets}
    if (login := secrets.get(LOGIN) or secrets.get(URL_LOGIN)) is not None:
        known |= {LOGIN: secrets.get(LOGIN, login), URL_LOGIN: secrets.get(URL_LOGIN, login)}
    for path in _paths(document):
        table, key = _place(document, path)
        if table is not None and table.get(key) == HIDDEN and path in known:
            table[key] = known[path].reveal()
    for key, path in (("url", URL_LOGIN), ("proxy", PROXY)):
        if isinstance(document.get(key), str) and path in known:
            document[key] = _filled(document[key], known[path])
    return document


def shown_transport(spec: TransportSpec) -> dict[str, Any]:
    """Return a transport in the form of ``POST /v1/transports``, with ``*****`` for its secrets."""
    account = spec.account
    shown: dict[str, Any] = {"name": spec.name}
    if spec.hook is not None:
        shown |= _shown_hook(spec.hook)
    elif spec.kind is TransportKind.CAPTURE or account is None:
        shown["url"] = "capture:"
    else:
        shown |= _shown_account(account)
    shown |= {
        "from": None if spec.default_from is None else _text(spec.default_from),
        "from_policy": spec.from_policy.value,
        "subject_prefix": spec.subject_prefix or None,
        "receivers": [_text(mailbox) for mailbox in spec.receivers] or None,
        "ehlo_name": spec.ehlo_name,
        "rate": ", ".join(f"{rate.allowed}/{_UNITS[rate.window_s]}" for rate in spec.rates) or None,
        "max_connections": spec.max_connections,
        "max_recipients": spec.max_recipients,
        "max_messages": spec.max_messages,
        "max_idle": spec.max_idle_s,
        "max_age": spec.max_age_s,
        "pipelining": spec.pipelining,
        "timeouts": None if spec.timeouts is None else asdict(spec.timeouts),
    }
    return {key: value for key, value in shown.items() if value is not None}


_UNITS = {1: "s", 60: "min", 3600: "h", 86400: "d"}


def _text(mailbox: Mailbox) -> str:
    return mailbox_text(mailbox.address.spec, mailbox.name)


def _shown_hook(hook: HookTarget) -> dict[str, Any]:
    return {
        "kind": TransportKind.WEBHOOK.value,
        "url": hook.url,
        "form": hook.form.value,
        "mapping": dict(hook.mapping) or None,
        HEADERS: dict.fromkeys(hook.headers, HIDDEN) or None,
        "signing_secret": HIDDEN if hook.signing_secret is not None else None,
        "timeout": hook.timeout_s,
        "ca_file": hook.ca_file,
        "verify": hook.verify,
    }


def _shown_account(account: SmtpAccount) -> dict[str, Any]:
    grant, proxy = account.oauth, account.proxy
    shown: dict[str, Any] = {
        "provider": account.provider,
        "host": account.host,
        "port": account.port,
        "encryption": account.tls.value,
        "username": account.username,
        "password": HIDDEN if account.password is not None else None,
        "auth": account.auth,
        "proxy": None if proxy is None else _hide(build_proxy_url(proxy), PROXY, {}),
        "source_address": account.source_address,
        "server_name": account.server_name,
        "ca_file": account.ca_file,
        "pin": account.pin,
        "verify": account.verify,
        "allow_plaintext_login": account.allow_plaintext_login,
    }
    if grant is not None:
        shown["oauth"] = {
            "kind": grant.kind.value,
            "token_url": grant.token_url,
            "client_id": grant.client_id,
            "scope": grant.scope,
        }
        for key in ("client_secret", "secret"):
            if getattr(grant, key) is not None:
                shown["oauth"][key] = HIDDEN
    return shown


def _copied(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: dict(value) if isinstance(value, Mapping) else value for key, value in document.items()}


def _paths(document: Mapping[str, Any]) -> tuple[str, ...]:
    headers = document.get(HEADERS)
    names = headers if isinstance(headers, Mapping) else ()
    return (*_PLAIN, *[f"{HEADERS}.{name}" for name in names])


def _place(document: dict[str, Any], path: str) -> tuple[dict[str, Any] | None, str]:
    table: Any = document
    if path.startswith(f"{HEADERS}."):
        parents, key = [HEADERS], path.removeprefix(f"{HEADERS}.")
    else:
        *parents, key = path.split(".")
    for parent in parents:
        table = table.get(parent)
    return (table if isinstance(table, dict) else None), key


def _split_url(fields: dict[str, Any], secrets: dict[str, Secret]) -> None:
    url, proxy = without_proxy(fields["url"])
    fields["url"] = _hide(url, URL_LOGIN, secrets)
    if proxy is not None:
        fields["proxy"] = proxy


def _hide(url: str, path: str, secrets: dict[str, Secret]) -> str:
    """Return the URL with ``*****`` for its secret, which goes to ``secrets``."""
    before, secret, after = _cut(url)
    if not secret or secret == HIDDEN:
        return url
    secrets[path] = Secret(unquote(secret))
    return f"{before}{HIDDEN}{after}"


def _filled(url: str, secret: Secret) -> str:
    before, hidden, after = _cut(url)
    return f"{before}{quote(secret.reveal(), safe='')}{after}" if hidden == HIDDEN else url


def _cut(url: str) -> tuple[str, str, str]:
    """Return what stands before the secret, the secret as written, and the rest from the ``@`` on."""
    scheme, found, rest = url.strip().partition("://")
    size = next((at for at, char in enumerate(rest) if char in "/?#"), len(rest))
    userinfo, at, host = rest[:size].rpartition("@")
    user, colon, secret = userinfo.partition(":")
    if not (found and at and colon):
        return url, "", ""
    return f"{scheme}://{user}:", secret, f"@{host}{rest[size:]}"

"""What a guest is in any store: its JSON, and its password sealed."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from postroom.model.guest import Guest, StoredGuest
from postroom.model.ids import TenantId
from postroom.model.secret import Secret
from postroom.model.transport import Proxy, ProxyKind, SmtpAccount, TlsMode
from postroom.spool.codec import instant, micros
from postroom.spool.sealing import WRONG
from postroom.spool.vault import Vault

TABLE = "guest"
_PASSWORD = "password"  # noqa: S105 - the field's name
_PROXY = "proxy"


def guest_row(
    record: StoredGuest, vault: Vault, is_anything_sealed: Callable[[], bool]
) -> tuple[str, str, str, str, int]:
    """Return the row of a guest. Raises SecretKeyError, and StoreError when the key cannot be made."""
    account = record.guest.account
    fields: dict[str, Any] = {
        "host": account.host,
        "port": account.port,
        "tls": account.tls.value,
        "username": account.username,
        "allow_plaintext_login": account.allow_plaintext_login,
        "ehlo_name": record.guest.ehlo_name,
    }
    secrets = {} if account.password is None else {_PASSWORD: account.password}
    if (proxy := account.proxy) is not None:
        fields[_PROXY] = [proxy.kind.value, proxy.host, proxy.port, proxy.username]
        secrets |= {} if proxy.password is None else {_PROXY: proxy.password}
    sealed = vault.seal(secrets, table=TABLE, row=record.name, is_anything_sealed=is_anything_sealed)
    return (record.name, record.guest.tenant, json.dumps(fields), sealed, micros(record.created_at))


def stored_guest(row: tuple[Any, ...], vault: Vault) -> StoredGuest:
    """Return the guest of a row; what cannot be read is its problem."""
    name, tenant, text, sealed, created_at = row
    opened = vault.open(sealed, table=TABLE, row=name, is_remembered=False)
    problem = opened.problem
    try:
        fields = json.loads(text)
        account = SmtpAccount(
            host=str(fields["host"]),
            port=int(fields["port"]),
            tls=TlsMode(fields["tls"]),
            username=fields["username"],
            password=opened.secrets.get(_PASSWORD),
            allow_plaintext_login=bool(fields["allow_plaintext_login"]),
            proxy=_proxy_of(fields.get(_PROXY), opened.secrets),
        )
        ehlo_name = fields["ehlo_name"]
    except (ValueError, KeyError, TypeError):
        problem = problem or WRONG
        account, ehlo_name = SmtpAccount(host="unreadable.invalid", port=25, tls=TlsMode.STARTTLS), None
    return StoredGuest(
        name=name,
        guest=Guest(tenant=TenantId(tenant), account=account, ehlo_name=ehlo_name),
        created_at=instant(created_at),
        problem=problem,
    )


def _proxy_of(stored: Any, secrets: Mapping[str, Secret]) -> Proxy | None:
    if stored is None:
        return None
    kind, host, port, username = stored
    return Proxy(kind=ProxyKind(kind), host=host, port=port, username=username, password=secrets.get(_PROXY))

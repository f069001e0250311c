"""The log and the bounds of a run: what may never be written, and how many connections there is room for."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace

from postroom.config.settings import Settings
from postroom.model.transport import TransportSpec
from postroom.telemetry import configure_logging
from postroom.telemetry.redaction import conceal, disclose
from postroom.web.household import ServerLimits

RESERVE = 64
"""Descriptors that connections never take: files of uploads, look-ups, libraries (reliability rule F5)."""


def begin_log(settings: Settings, *, level: int = logging.INFO) -> None:
    """Send the log to standard error, and keep the secrets of the settings out of it."""
    configure_logging(json=settings.log_json, level=level)
    conceal_accounts(settings.transports)
    if settings.bootstrap_key is not None:
        conceal(settings.bootstrap_key.reveal())
    if settings.secret_key is not None:
        conceal(*settings.secret_key.reveal().split())


def conceal_accounts(specs: Iterable[TransportSpec]) -> None:
    """Keep the secrets of transports out of the log of this process, for as long as it lives."""
    conceal(*_secrets_of(specs))


def forget_accounts(specs: Iterable[TransportSpec]) -> None:
    """Undo one ``conceal_accounts``: they are gone, their secrets need no mask."""
    disclose(*_secrets_of(specs))


def _secrets_of(specs: Iterable[TransportSpec]) -> Iterator[str]:
    for spec in specs:
        if spec.hook is not None:
            signing = spec.hook.signing_secret
            values = [*spec.hook.headers.values(), *((signing,) if signing is not None else ())]
            yield from (part for value in values for part in value.reveal().split())
    for account in [spec.account for spec in specs if spec.account is not None]:
        secrets = [account.password]
        if account.proxy is not None:
            secrets.append(account.proxy.password)
        if account.oauth is not None:
            secrets += [account.oauth.client_secret, account.oauth.secret]
        yield from (secret.reveal() for secret in secrets if secret is not None)


def server_limits(settings: Settings, *, max_descriptors: int, open_now: int) -> tuple[ServerLimits, int]:
    """Return the bounds of the doors and the descriptors kept in reserve.

    With few descriptors there are fewer connections than the settings allow: a connection that could not
    store its upload, or take the place of one that sends, is better not accepted. Half of what is left is
    theirs, because each may have a file open.
    """
    wanted = ServerLimits(
        max_connections=settings.door_limits.max_connections,
        max_per_address=settings.door_limits.max_connections_per_address,
    )
    reserve = min(RESERVE, max_descriptors // 4)
    outgoing = sum(spec.max_connections for spec in settings.transports)
    room = max((max_descriptors - open_now - outgoing - reserve) // 2, 1)
    if settings.smtp.listeners:  # SMTP sessions get their share of what is left
        most = wanted.max_connections
        room = max(room * most // (most + settings.smtp.max_connections), 1)
    return replace(wanted, max_connections=min(wanted.max_connections, room)), reserve

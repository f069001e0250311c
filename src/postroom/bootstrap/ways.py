"""The ways out of a run: every configured and stored transport, in this process or in the sender process."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace

from postroom.bootstrap.hooks_out import webhook_way
from postroom.bootstrap.seeing import conceal_accounts
from postroom.bootstrap.sender import COMMAND, SenderSettings, packed_settings
from postroom.clock import Clock
from postroom.config.settings import Settings
from postroom.egress.capture import CaptureTransport
from postroom.egress.locked import GoneTransport, LockedTransport
from postroom.egress.remote import RemoteTransport, SenderProcess
from postroom.egress.smtp import SmtpTransport
from postroom.egress.tokens import Tokens
from postroom.engine.accounts import Ground
from postroom.engine.ways import Way, Ways
from postroom.errors import ConfigError
from postroom.model.address import parse_mailbox
from postroom.model.guest import GONE, StoredGuest
from postroom.model.transport import (
    StoredTransport,
    TransportKind,
    TransportOrigin,
    TransportSpec,
    login_address,
    redacted_url,
)
from postroom.model.view import FOREVER, PauseKind, TransportPause
from postroom.net.guard import Guard
from postroom.ports import Transport
from postroom.ports.transport import TokenSource
from postroom.providers.catalogue import by_host
from postroom.schema.transport_body import read_stored
from postroom.spool.sqlite.opening import SqliteStore
from postroom.telemetry import logger

CAPTURE = "capture"
"""Name of the inbox that takes everything; no stored transport may have it."""
CAPTURE_SENDER = "postroom@capture.invalid"
GUEST_CONNECTIONS = 4
"""Of one account that a caller brought: providers allow a mailbox three to ten at once."""
UNUSABLE = "transport-unusable"

log = logger("bootstrap")


def sender_process(settings: Settings, tokens: TokenSource, *, clock: Clock) -> SenderProcess | None:
    """Return the sender process, not started, where the settings or the machine ask for one."""
    wanted = settings.sender_process
    if not ((os.cpu_count() or 1) >= 2 if wanted is None else wanted):
        return None
    first = SenderSettings(
        data=settings.data, log_json=settings.log_json, allowed_networks=settings.allowed_networks
    )
    return SenderProcess(COMMAND, packed_settings(first), clock=clock, tokens=tokens)


def ground_of(settings: Settings) -> Ground:
    """Return what calls may not change: a run that captures on demand uses no stored transport."""
    routes = [rule.route for rule in settings.routes]
    if settings.default_route is not None:
        routes.append(settings.default_route)
    asked = settings.capture or (bool(settings.transports) and settings.is_capturing)
    return Ground(
        configured={spec.name: spec for spec in settings.transports},
        routed=frozenset(leg for route in routes for leg in route.legs),
        is_capturing=asked,
        default_from=settings.default_from,
        placeholder=None if asked or settings.transports else _inbox(settings),
    )


def _inbox(settings: Settings) -> TransportSpec:
    sender = settings.default_from or parse_mailbox(CAPTURE_SENDER)
    return TransportSpec(name=CAPTURE, kind=TransportKind.CAPTURE, default_from=sender)


def guest_spec(record: StoredGuest) -> TransportSpec:
    """Return the transport of an account that a caller brought."""
    account = record.guest.account
    known = by_host(account.host)
    return TransportSpec(
        name=record.name,
        kind=TransportKind.SMTP,
        account=replace(account, provider=known.id if known is not None else None),
        is_guest=True,
        origin=TransportOrigin.STORED,
        ehlo_name=record.guest.ehlo_name,
        max_connections=GUEST_CONNECTIONS,
    )


class WayBuilder:
    """Makes ways of specs."""

    def __init__(
        self,
        settings: Settings,
        store: SqliteStore,
        *,
        sender: SenderProcess | None,
        tokens: Tokens,
        clock: Clock,
    ) -> None:
        """Take where they work; without ``sender`` it is this process."""
        self._tokens = tokens
        self._settings = settings
        self._store = store
        self._sender = sender
        self._clock = clock
        self._guard = Guard(settings.allowed_networks)

    async def working(self, spec: TransportSpec) -> Way:
        """Make a way while others work, and see that its process runs. Raises ConfigError, OSError."""
        if self._sender is not None and spec.account is not None:
            await self._sender.start_once()
        if spec.hook is not None:
            return await asyncio.to_thread(self.way, spec)
        return self.way(spec)

    def way(self, spec: TransportSpec) -> Way:
        """Make a way; its secrets are kept out of the log from now on. Raises ConfigError."""
        store, clock = self._store, self._clock
        conceal_accounts([spec])
        if spec.hook is not None:
            return webhook_way(spec, self._settings, store, clock=clock)
        account = spec.account
        if account is not None:
            self._tokens.keep(spec.name, account)
        if account is None:
            transport: Transport = CaptureTransport(
                spec, blobs=store.blobs, captures=store.captures, clock=clock
            )
        elif self._sender is None:
            transport = SmtpTransport(
                spec, blobs=store.blobs, clock=clock, tokens=self._tokens, guard=self._guard
            )
        else:
            transport = RemoteTransport(spec, sender=self._sender, clock=clock)
        return Way(
            transport=transport,
            target=CAPTURE if account is None else redacted_url(account),
            default_from=spec.default_from,
            account=None if account is None else login_address(account.username),
            from_policy=spec.from_policy,
            is_guest=spec.is_guest,
            provider=None if account is None else account.provider,
            rates=() if account is None else spec.rates,
        )

    async def guest(self, record: StoredGuest) -> Way:
        """Make the way of an account that a caller brought. Raises ConfigError, OSError."""
        spec = guest_spec(record)
        if record.problem == GONE:
            transport = GoneTransport(record.name, clock=self._clock)
            return Way(transport=transport, target=redacted_url(record.guest.account), is_guest=True)
        if record.problem:
            text = "its stored password cannot be read"
            way = self._locked(record, spec, cause=record.problem, text=text)
            way.is_guest = True
            return way
        return await self.working(spec)

    def tokens_of(self, spec: TransportSpec) -> TokenSource | None:
        """Return where a transport that is in use gets its tokens, ``None`` for any other account."""
        known = spec.account is not None and self._tokens.serves(spec.name, spec.account)
        return self._tokens if known else None

    def all(self, ground: Ground, records: Sequence[StoredTransport]) -> Ways:
        """Make the ways of a start: the configured ones, then the stored ones, else the capture inbox."""
        if ground.is_capturing:
            if records:
                names = [record.name for record in records]
                log.warning("stored transports are not used: everything is captured", names=names)
            return Ways([self.way(_inbox(self._settings))])
        ways = [self.way(spec) for spec in ground.configured.values()]
        for record in records:
            if record.name in ground.configured:
                log.warning(
                    "a stored transport is not used: the settings have one of its name", name=record.name
                )
            else:
                ways.append(self._stored(record))
        return Ways(ways or [self.way(_inbox(self._settings))])

    def _stored(self, record: StoredTransport) -> Way:
        read = read_stored(record, default_from=self._settings.default_from)
        if record.problem:
            text = "its stored secrets cannot be read"
            return self._locked(record, read.spec, cause=record.problem, text=text)
        if read.spec is None:
            text = "; ".join(f"{problem.field}: {problem.cause}" for problem in read.problems)
            return self._locked(record, None, cause=UNUSABLE, text=text)
        try:
            return self.way(read.spec)
        except ConfigError as error:
            return self._locked(record, read.spec, cause=UNUSABLE, text=str(error))

    def _locked(
        self, record: StoredTransport | StoredGuest, spec: TransportSpec | None, *, cause: str, text: str
    ) -> Way:
        """Make a way that waits for a person: what it needs cannot be read."""
        log.error("a stored transport waits for a person", transport=record.name, cause=cause, text=text)
        account = None if spec is None else spec.account
        pause = TransportPause(
            transport=record.name,
            kind=PauseKind.SECRETS,
            since=self._clock.now(),
            until=FOREVER,
            cause=cause,
            step="",
            text=text,
            host="" if account is None else account.host,
            failures=0,
        )
        return Way(
            transport=LockedTransport(record.name),
            target="unreadable" if account is None else redacted_url(account),
            default_from=None if spec is None else spec.default_from,
            account=None if account is None else login_address(account.username),
            pauses={pause.kind: pause},
        )

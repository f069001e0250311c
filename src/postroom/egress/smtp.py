"""The SMTP transport: one attempt becomes one transaction on a pooled connection.

Facts only: what a peer does becomes evidence per recipient, what it means is decided elsewhere. A message
whose files are not intact is not begun.
"""

import asyncio
from functools import partial

from postroom.clock import Clock
from postroom.egress.dialer import GREETING_PROBE_S, Dialer
from postroom.egress.pool import Pool
from postroom.egress.reports import same_for_all
from postroom.errors import ConfigError, InvariantError, Problem
from postroom.grammar import CONTROL
from postroom.mime.rendered import variant_of
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.step import Step
from postroom.model.transport import SmtpAccount, TransportSpec
from postroom.net.dialing import dial
from postroom.net.guard import Guard
from postroom.ports import BlobSource, Report, TokenSource, Work

_UNSAFE_LOGIN = Problem(
    code="login-control-character",
    field="account",
    cause="the user name or the password contains a control character",
    fix="Type both again; a NUL or a line end often comes from copying.",
)


def checked_account(spec: TransportSpec) -> SmtpAccount:
    """Return the account of a transport.

    Raises InvariantError without an account, ConfigError for credentials that would break out of a login.
    """
    account = spec.account
    if account is None:
        raise InvariantError(f"transport {spec.name} has no SMTP account")
    password = account.password.reveal() if account.password else ""
    if CONTROL.search((account.username or "") + password):
        raise ConfigError([_UNSAFE_LOGIN])
    return account


class SmtpTransport:
    """A way out over SMTP (the ``Transport`` port)."""

    is_capture = False

    def __init__(
        self,
        spec: TransportSpec,
        *,
        clock: Clock,
        blobs: BlobSource,
        greeting_probe_s: float = GREETING_PROBE_S,
        tokens: TokenSource | None = None,
        guard: Guard | None = None,
    ) -> None:
        """Take a spec with an account. Opens nothing. Raises as ``checked_account``.

        What a caller brought goes through the ``guard``: each connection leads to an address that it allowed.
        """
        account = checked_account(spec)
        if spec.is_guest and guard is None:
            raise InvariantError(f"{spec.name} is a caller's and nothing guards where it leads")
        self.name = spec.name
        self.capacity = spec.max_connections * 2
        self.max_recipients = spec.max_recipients
        self.variant = variant_of(spec)
        self._clock = clock
        self._blobs = blobs
        dialer = Dialer(
            spec,
            account,
            clock=clock,
            greeting_probe_s=greeting_probe_s,
            dial=dial
            if not spec.is_guest or guard is None
            else partial(dial, look_up=guard.addresses_elsewhere),
            tokens=tokens,
        )
        self._pool = Pool(spec, dialer, clock=clock, blobs=blobs)

    async def attempt(self, work: Work) -> Report:
        """Make one attempt. Never raises for what a peer does; passes on what ``work.commit`` raises."""
        if not work.rendered.is_whole and not await asyncio.to_thread(self._is_intact, work):
            return self._damaged(work)
        return await self._pool.deliver(work)

    def allow(self, connections: int) -> None:
        """Use at most so many connections from now on."""
        self._pool.allow(connections)

    async def stop(self, *, grace_s: float) -> None:
        """Take no new attempt; abort before the dot, wait up to ``grace_s`` seconds after it."""
        await self._pool.stop(grace_s=grace_s)

    def _is_intact(self, work: Work) -> bool:
        return all(
            self._blobs.is_intact(work.tenant, segment.ref)
            for segment in work.rendered.segments
            if not isinstance(segment, bytes)
        )

    def _damaged(self, work: Work) -> Report:
        text = "an attached file is missing or not as it was stored"
        fault = Fault(kind=FaultKind.LOCAL, text=text, cause="content-damaged")
        return same_for_all(work, Evidence(step=Step.MAIL, fault=fault), self._clock.now())

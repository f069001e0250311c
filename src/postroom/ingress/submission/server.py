"""Listens for SMTP: sockets, certificate, seats and the end of all sessions.

Plain listeners offer STARTTLS, the others speak TLS from the first byte (RFC 8314 section 3.3); both show
the same certificate, which is loaded again when its files change.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from postroom.clock import Clock
from postroom.engine.service import Service
from postroom.ingress.submission import answers
from postroom.ingress.submission.admission import Admission, WrongKeys
from postroom.ingress.submission.session import Session, SessionLimits
from postroom.model.address import Address
from postroom.policy.submitting import objection_to
from postroom.smtp.server_events import NO_WISHES, MailGiven, Offers
from postroom.smtp.server_replies import ServerReply
from postroom.telemetry import catalogue
from postroom.web.acceptor import Acceptor
from postroom.web.household import Household, Meters, Seat
from postroom.web.keyless import Network, is_loopback
from postroom.web.listening import CERTIFICATE_CHECK_S, Certificate, TlsPair, certificate, listen

MAX_HOLD = timedelta(days=365)
"""How far ahead a client may say when a mail is to be sent (RFC 4865)."""
MIN_DELIVER_BY_S = 60
"""The shortest time limit of RFC 2852; what cannot be sent at once waits as long."""
_METERS = Meters(
    open=catalogue.SMTP_SESSIONS,
    most=catalogue.MAX_SMTP_SESSIONS,
    refused=catalogue.SMTP_SESSIONS_REFUSED,
    stressed=catalogue.SMTP_STRESSED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpBinding:
    """One address to listen on."""

    host: str
    port: int
    """0 lets the system choose."""
    is_implicit: bool = False
    """TLS from the first byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionSetup:
    """What the door does and for whom."""

    host: str
    """Our name, in greetings and Received fields."""
    tls: TlsPair
    keyless: bool = False
    networks: tuple[Network, ...] = ()
    """Peers that need no key, and are not limited by address."""
    postmaster: Address | None = None
    """Whom ``<postmaster>`` without a domain means."""
    limits: SessionLimits = field(default_factory=SessionLimits)
    descriptor_reserve: int = 0
    """Nothing is accepted while fewer descriptors are left."""
    is_overloaded: Callable[[], bool] = lambda: False
    """While it is so new mail is told to come back (reliability rule F3)."""
    renew: Callable[[], None] = lambda: None
    """Called with each look at the certificate's files; may make them again. Blocking."""


@dataclass(slots=True, kw_only=True, eq=False)
class SubmissionDoor:
    """What every session of the door needs."""

    service: Service
    clock: Clock
    setup: SubmissionSetup
    household: Household
    admission: Admission
    certificate: Certificate
    wrong_keys: WrongKeys = field(default_factory=WrongKeys)
    urls: tuple[str, ...] = ()
    """Where it listens."""
    _offers: dict[tuple[bool, bool, bool], Offers] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """Our name."""
        return self.setup.host

    def offers(self, peer: str, *, needs_login: bool) -> Offers:
        """Return what a session with this peer announces."""
        is_stressed = self.household.is_stressed
        kind = (needs_login, is_loopback(peer), is_stressed)
        found = self._offers.get(kind)
        if found is None:
            limits = self.service.limits
            found = self._offers[kind] = Offers(
                host=self.host,
                max_size=limits.max_wire,
                max_recipients=limits.max_recipients,
                starttls=True,
                needs_login=needs_login,
                plain_login=is_loopback(peer),
                max_hold=MAX_HOLD,
                min_deliver_by_s=MIN_DELIVER_BY_S,
                postmaster=self.setup.postmaster,
                max_errors=0 if is_stressed else 20,
            )
        return found

    def objection(self, mail: MailGiven) -> ServerReply | None:
        """Return why no mail may begin now, ``None`` when it may."""
        if self.service.is_stopping:
            return answers.SHUTTING_DOWN
        if self.setup.is_overloaded():
            return answers.BUSY
        if mail.wishes is NO_WISHES:
            return None
        return objection_to(mail.wishes, now=self.clock.now(), max_hold=MAX_HOLD)


@asynccontextmanager
async def serve_submission(
    bindings: Sequence[SmtpBinding],
    service: Service,
    setup: SubmissionSetup,
    *,
    clock: Clock,
    hurry: asyncio.Event | None = None,
) -> AsyncIterator[SubmissionDoor]:
    """Listen until the block ends; then close the listeners, answer what is being committed, close the rest.

    Raises ConfigError: an address cannot be listened on, the certificate cannot be used.
    """
    household = Household(setup.limits, setup.networks, meters=_METERS)
    door = SubmissionDoor(
        service=service,
        clock=clock,
        setup=setup,
        household=household,
        admission=Admission(service.key_for, keyless=setup.keyless, networks=setup.networks),
        certificate=certificate(setup.tls, field="smtp.tls_cert"),
    )
    acceptors: list[Acceptor] = []
    ticker = asyncio.create_task(_tick(door, acceptors), name="smtp-ticker")
    try:
        for binding in bindings:
            opened = [
                _acceptor(door, binding, listener)
                for listener in await listen(binding.host, binding.port, flag="--smtp")
            ]
            acceptors += opened
            door.urls += (_url(*opened[0].address, is_implicit=binding.is_implicit),)
        yield door
    finally:
        for acceptor in acceptors:
            acceptor.close()
        await household.finish(hurry)
        ticker.cancel()
        with suppress(asyncio.CancelledError):
            await ticker


def _acceptor(door: SubmissionDoor, binding: SmtpBinding, listener: socket.socket) -> Acceptor:
    def session(seat: Seat) -> Session:
        return Session(door, seat)

    return Acceptor(
        listener,
        door.household,
        session,
        door="smtps" if binding.is_implicit else "smtp",
        refusal=lambda: answers.TOO_MANY_SESSIONS.wire,
        tls=door.certificate.context if binding.is_implicit else None,
    )


def _url(host: str, port: int, *, is_implicit: bool) -> str:
    bare = f"[{host}]" if ":" in host else host
    return f"{'smtps' if is_implicit else 'smtp'}://{bare}:{port}"


async def _tick(door: SubmissionDoor, acceptors: Sequence[Acceptor]) -> None:
    """Once a second: the deadlines of every session, the descriptors, now and then the certificate."""
    beat = 0
    while True:
        door.household.check_deadlines()
        for acceptor in acceptors:
            acceptor.look(door.setup.descriptor_reserve)
        beat += 1
        if beat % CERTIFICATE_CHECK_S == 0:
            await asyncio.to_thread(door.setup.renew)
            door.certificate.look()
        await asyncio.sleep(1)

"""The SMTP door of a run: its certificate, its bounds, and where it listens."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from postroom.bootstrap.naming import own_name
from postroom.clock import Clock, Dice
from postroom.config.settings import Settings
from postroom.engine.service import Service
from postroom.errors import ConfigError
from postroom.ingress.submission.server import SmtpBinding, SubmissionSetup, serve_submission
from postroom.ingress.submission.session import SessionLimits
from postroom.telemetry import logger
from postroom.telemetry.exposition import Scrape
from postroom.web.household import ServerLimits
from postroom.web.keyless import parse_networks
from postroom.web.listening import TlsPair

if TYPE_CHECKING:
    from postroom.net.authority import OwnCertificate

_log = logger("bootstrap")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpStarted:
    """What a person is told of the SMTP door."""

    urls: tuple[str, ...] = ()
    authority: str | None = None
    """File of the local authority that programs must trust; ``None`` when a certificate was given."""
    is_new: bool = False
    """The authority was made now."""
    names: tuple[str, ...] = ()
    """What its certificate is for."""
    keyless: tuple[str, ...] = ()
    """Who needs no key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpRoom:
    """What the SMTP door of a run stands on."""

    settings: Settings
    service: Service
    http: ServerLimits
    """What there is room for; sessions are cut in the same proportion."""
    scrape: Scrape
    descriptor_reserve: int
    is_overloaded: Callable[[], bool]
    clock: Clock
    dice: Dice
    hurry: asyncio.Event


@asynccontextmanager
async def open_submission(room: SmtpRoom) -> AsyncIterator[SmtpStarted | None]:
    """Listen for SMTP until the block ends; give nothing when the settings name no address.

    Raises ConfigError.
    """
    smtp = room.settings.smtp
    if not smtp.listeners:
        yield None
        return
    pair, renew, told = await _certificate(room)
    setup = SubmissionSetup(
        host=own_name(smtp.names),
        tls=pair,
        keyless=smtp.keyless,
        networks=parse_networks(smtp.networks),
        postmaster=smtp.postmaster,
        limits=_limits(room),
        descriptor_reserve=room.descriptor_reserve,
        is_overloaded=room.is_overloaded,
        renew=renew,
    )
    bindings = [
        SmtpBinding(host=one.host, port=one.port, is_implicit=one.is_implicit) for one in smtp.listeners
    ]
    opened = serve_submission(bindings, room.service, setup, clock=room.clock, hurry=room.hurry)
    async with opened as door:
        room.scrape.add(door.household.show)
        room.service.smtp_urls = door.urls
        yield replace(told, urls=door.urls)


async def _certificate(room: SmtpRoom) -> tuple[TlsPair, Callable[[], None], SmtpStarted]:
    """Return the files, what makes them again in time, and what to tell. Raises ConfigError."""
    smtp, data = room.settings.smtp, room.settings.data
    told = SmtpStarted(keyless=(*(("this machine",) if smtp.keyless else ()), *smtp.networks))
    if smtp.tls is not None:
        return TlsPair(cert=smtp.tls.cert, key=smtp.tls.key), lambda: None, told
    # Late, because few need it and it costs 30 ms of a start.
    from postroom.net.authority import names_for, own_certificate  # noqa: PLC0415

    names = names_for([*(one.host for one in smtp.listeners), *smtp.names])

    def make() -> "OwnCertificate":
        return own_certificate(data, names, now=room.clock.now(), dice=room.dice)

    def renew() -> None:
        try:
            make()
        except ConfigError as error:
            _log.error("the certificate was not made again, the earlier one stays", error=str(error))

    own = await asyncio.to_thread(make)
    told = replace(told, authority=str(own.authority), is_new=own.is_new, names=own.names)
    return TlsPair(cert=own.cert, key=own.key), renew, told


def _limits(room: SmtpRoom) -> SessionLimits:
    smtp = room.settings.smtp
    share = room.http.max_connections / room.settings.door_limits.max_connections
    return SessionLimits(
        max_connections=max(int(smtp.max_connections * share), 1),
        max_per_address=smtp.max_connections_per_address,
    )

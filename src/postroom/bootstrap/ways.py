"""The ways out of a run: every configured transport, in this process or in the sender process."""

import os

from postroom.bootstrap.sender import COMMAND, SenderSettings, packed_settings
from postroom.clock import Clock
from postroom.config.settings import Settings
from postroom.egress.capture import CaptureTransport
from postroom.egress.remote import RemoteTransport, SenderProcess
from postroom.egress.smtp import SmtpTransport
from postroom.engine.ways import Way, Ways
from postroom.model.address import parse_mailbox
from postroom.model.transport import TransportKind, TransportSpec, login_address, redacted_url
from postroom.ports import Transport
from postroom.spool.sqlite.opening import SqliteStore

CAPTURE_SENDER = "postroom@capture.invalid"


def sender_process(settings: Settings, *, clock: Clock) -> SenderProcess | None:
    """Return the sender process, not started, for a machine and settings that can use one."""
    specs = _remote(settings)
    if not specs or (os.cpu_count() or 1) < 2:
        return None
    first = SenderSettings(data=settings.data, log_json=settings.log_json)
    return SenderProcess(COMMAND, packed_settings(first), clock=clock)


def build_ways(settings: Settings, store: SqliteStore, *, sender: SenderProcess | None, clock: Clock) -> Ways:
    """Build every configured transport; none, or ``capture``, is the capture inbox."""
    if settings.is_capturing or settings.capture:
        default_from = settings.default_from or parse_mailbox(CAPTURE_SENDER)
        spec = TransportSpec(name="capture", kind=TransportKind.CAPTURE)
        return Ways(
            [Way(transport=_capture(spec, store, clock), target="capture", default_from=default_from)]
        )
    ways = []
    for spec in settings.transports:
        if spec.account is None:
            transport: Transport = _capture(spec, store, clock)
            ways.append(
                Way(
                    transport=transport,
                    target="capture",
                    default_from=spec.default_from,
                    from_policy=spec.from_policy,
                )
            )
            continue
        if sender is None:
            transport = SmtpTransport(spec, blobs=store.blobs, clock=clock)
        else:
            transport = RemoteTransport(spec, sender=sender, clock=clock)
        ways.append(
            Way(
                transport=transport,
                target=redacted_url(spec.account),
                default_from=spec.default_from,
                account=login_address(spec.account.username),
                from_policy=spec.from_policy,
                rates=spec.rates,
            )
        )
    return Ways(ways)


def _remote(settings: Settings) -> tuple[TransportSpec, ...]:
    """Return the transports of the sender process, in the order by which frames name them."""
    if settings.is_capturing or settings.capture:
        return ()
    return tuple(spec for spec in settings.transports if spec.account is not None)


def _capture(spec: TransportSpec, store: SqliteStore, clock: Clock) -> CaptureTransport:
    return CaptureTransport(spec, blobs=store.blobs, captures=store.captures, clock=clock)

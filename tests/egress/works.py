"""Transports and attempts for tests, and what came of them."""

import atexit
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from postroom.clock import SystemClock
from postroom.egress.smtp import SmtpTransport
from postroom.mime.rendered import RenderedMessage
from postroom.model.address import Address
from postroom.model.ids import DEFAULT_TENANT, MessageId
from postroom.model.transport import SmtpAccount, TlsMode, TransportKind, TransportSpec
from postroom.ports import Blobs, Report, TokenSource, Work
from postroom.spool.blobs import FileBlobs
from postroom.spool.disk import DiskWatch
from postroom.spool.settings import SpoolSettings

CONTENT = b"From: a@example.com\r\nSubject: hello\r\n\r\n.dot\r\nbody\r\n"


def file_blobs(directory: Path) -> FileBlobs:
    return FileBlobs(
        directory, DiskWatch(directory, SpoolSettings(ballast=0), SystemClock()), grace=timedelta(hours=24)
    )


@cache
def no_files() -> FileBlobs:
    """Return an empty store of files: one for all, because making one is synced to the disk."""
    directory = TemporaryDirectory()
    atexit.register(directory.cleanup)
    return file_blobs(Path(directory.name))


@asynccontextmanager
async def running(
    port: int,
    *,
    blobs: Blobs | None = None,
    greeting_probe_s: float = 5.0,
    tokens: TokenSource | None = None,
    **changes: Any,
) -> AsyncIterator[SmtpTransport]:
    """Run a transport to ``port``; ``changes`` go to the account or, by name, to the spec."""
    account = SmtpAccount(host="127.0.0.1", port=port, tls=TlsMode.OPPORTUNISTIC)
    fields = set(SmtpAccount.__dataclass_fields__) & set(changes)
    account = replace(account, **{name: changes.pop(name) for name in fields})
    spec = TransportSpec(name="relay", kind=TransportKind.SMTP, account=account, max_connections=1)
    transport = SmtpTransport(
        replace(spec, **changes),
        clock=SystemClock(),
        blobs=blobs or no_files(),
        greeting_probe_s=greeting_probe_s,
        tokens=tokens,
    )
    try:
        yield transport
    finally:
        await transport.stop(grace_s=1.0)


async def granted() -> bool:
    return True


def rendered(content: bytes = CONTENT) -> RenderedMessage:
    return RenderedMessage(
        segments=(content,), size=len(content), digest=sha256(content).hexdigest(), needs_smtputf8=False
    )


def work(
    *recipients: str,
    content: bytes = CONTENT,
    commit: Callable[[], Awaitable[bool]] = granted,
    message: RenderedMessage | None = None,
) -> Work:
    addresses = [Address(*text.split("@")) for text in recipients or ("to@example.net",)]
    return Work(
        message_id=MessageId("20261121120000.22aaaaaaaaaaaaaaaaaaaa"),
        tenant=DEFAULT_TENANT,
        reverse_path=Address("from", "example.com"),
        recipients=tuple(enumerate(addresses)),
        rendered=message or rendered(content),
        subject="hello",
        sender="a@example.com",
        commit=commit,
    )


def told(report: Report) -> Sequence[tuple[str, int | str]]:
    """Return for each line its step and the reply's code, or the fault's kind."""
    return [
        (
            line.evidence.step.value,
            line.evidence.reply.code
            if line.evidence.reply
            else str(line.evidence.fault and line.evidence.fault.kind),
        )
        for line in report.lines
    ]

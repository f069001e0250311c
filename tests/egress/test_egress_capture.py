"""The capture inbox over real files."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from egress.works import CONTENT, told, work
from peers.manual import ManualClock
from postroom.egress.capture import CaptureTransport
from postroom.errors import DiskFullError, StoreError
from postroom.mime.rendered import BlobSegment, RenderedMessage
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.message import BlobRef
from postroom.model.outcome import OutcomeKind
from postroom.model.transport import TransportKind, TransportSpec
from postroom.model.view import CapturedMail
from postroom.policy.classify import classify
from postroom.ports import Transport
from postroom.spool.blobs import FileBlobs
from postroom.spool.disk import DiskWatch
from postroom.spool.settings import SpoolSettings

SPEC = TransportSpec(name="inbox", kind=TransportKind.CAPTURE, subject_prefix="[test] ")


class Inbox:
    """The captures in memory, refusing when told to."""

    def __init__(self) -> None:
        self.mails: list[CapturedMail] = []
        self.failure: Exception | None = None

    async def add(self, mail: CapturedMail) -> None:
        if self.failure is not None:
            raise self.failure
        self.mails.append(mail)

    async def page(self, *, before: int | None, limit: int) -> Sequence[CapturedMail]:
        return self.mails[:before][:limit]

    async def one(self, number: int) -> CapturedMail | None:
        return self.mails[number]


class Setting:
    """A capture transport over real files, with its commits counted."""

    def __init__(self, data: Path) -> None:
        self.clock = ManualClock()
        self.disk = DiskWatch(data, SpoolSettings(ballast=0), self.clock)
        self.blobs = FileBlobs(data, self.disk, grace=timedelta(days=1))
        self.inbox = Inbox()
        self.transport = CaptureTransport(SPEC, blobs=self.blobs, captures=self.inbox, clock=self.clock)
        self.commits = 0
        self.may_commit = True

    async def commit(self) -> bool:
        self.commits += 1
        return self.may_commit

    def source(self, number: int = 0) -> bytes:
        with self.blobs.open(DEFAULT_TENANT, self.inbox.mails[number].source) as file:
            return file.read()


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


def test_a_mail_is_captured_with_its_bytes(setting: Setting) -> None:
    """The inbox has the wire bytes, the envelope and one commit; policy calls every recipient captured."""
    report = asyncio.run(
        setting.transport.attempt(work("to@example.net", "cc@example.net", commit=setting.commit))
    )
    assert [("body_end", "None")] * 2 == told(report)
    for line in report.lines:
        assert OutcomeKind.CAPTURED is classify(line.evidence, is_capture=True).outcome
    mail = setting.inbox.mails[0]
    assert ("from@example.com", ("to@example.net", "cc@example.net")) == (mail.reverse_path, mail.recipients)
    assert ("hello", "a@example.com") == (mail.subject, mail.sender)
    assert CONTENT == setting.source()
    assert setting.commits == 1


def test_files_are_written_as_they_would_go(setting: Setting) -> None:
    """A blob stands in base64 in the captured source."""
    staged = setting.blobs.stage(DEFAULT_TENANT)
    staged.write(b"file")
    ref = staged.commit()
    message = RenderedMessage(segments=(CONTENT, BlobSegment(ref)), size=0, digest="d", needs_smtputf8=False)
    asyncio.run(setting.transport.attempt(work(message=message)))
    assert CONTENT + b"ZmlsZQ==\r\n" == setting.source()


def test_a_lost_lease_captures_nothing(setting: Setting) -> None:
    """When commit says no, nothing is reported and nothing is in the inbox."""
    setting.may_commit = False
    report = asyncio.run(setting.transport.attempt(work(commit=setting.commit)))
    assert ([], []) == (told(report), setting.inbox.mails)


def test_a_missing_file_is_a_local_fault_before_the_commit(setting: Setting) -> None:
    """What cannot be written is deferred, nothing is committed and no temporary file stays."""
    missing = BlobSegment(BlobRef(sha256="0" * 64, size=4))
    message = RenderedMessage(segments=(CONTENT, missing), size=0, digest="d", needs_smtputf8=False)
    report = asyncio.run(setting.transport.attempt(work(message=message, commit=setting.commit)))
    assert [("body", "local")] == told(report)
    assert OutcomeKind.DEFERRED is classify(report.lines[0].evidence, is_capture=True).outcome
    assert setting.commits == 0
    assert [] == list((setting.blobs._incoming).iterdir())


def test_a_full_disk_is_a_local_fault(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the watermark the mail waits."""

    def full(_size: int) -> None:
        raise DiskFullError("no room")

    monkeypatch.setattr(setting.disk, "admit", full)
    report = asyncio.run(setting.transport.attempt(work()))
    assert [("body", "local")] == told(report)


def test_a_failing_store_is_passed_on(setting: Setting) -> None:
    """What the inbox raises after the commit is not swallowed."""
    setting.inbox.failure = StoreError("gone")
    with pytest.raises(StoreError):
        asyncio.run(setting.transport.attempt(work()))


def test_stopping_waits_for_what_is_under_way_and_takes_no_more(setting: Setting) -> None:
    """A mail in its commit is finished; a later one is not begun; a second stop does nothing."""

    async def main() -> None:
        committing, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> bool:
            committing.set()
            await go_on.wait()
            return True

        running = asyncio.create_task(setting.transport.attempt(work(commit=slow)))
        await committing.wait()
        await setting.transport.stop(grace_s=0)
        assert [] == told(await setting.transport.attempt(work()))
        stopping = asyncio.create_task(setting.transport.stop(grace_s=60))
        go_on.set()
        await stopping
        assert [("body_end", "None")] == told(await running)
        await setting.transport.stop(grace_s=0)

    asyncio.run(main())


def test_it_is_a_transport(setting: Setting) -> None:
    """The port's properties say what the dispatcher and the renderer need."""
    transport: Transport = setting.transport
    assert ("inbox", True, "[test] ") == (
        transport.name,
        transport.is_capture,
        transport.variant.subject_prefix,
    )
    assert transport.capacity > 0
    assert transport.max_recipients == 1000

"""The SMTP transport in a sender process: the same claims, and those about two processes."""

import asyncio
import inspect
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress import test_egress_smtp
from egress.smtp_peer import SmtpPeer, listening
from egress.works import file_blobs, granted, told, work
from postroom.bootstrap.sender import COMMAND, SenderSettings, packed_settings
from postroom.clock import SystemClock
from postroom.egress.frames import Unpacker, packed, packed_report, packed_work, report_of, work_of
from postroom.egress.remote import RemoteTransport, SenderProcess
from postroom.mime.rendered import BlobSegment, RawSegment, RenderedMessage
from postroom.model.ids import MessageId
from postroom.model.message import BlobRef
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.reply import Reply
from postroom.model.step import Step
from postroom.model.transport import SmtpAccount, TlsMode, TransportKind, TransportSpec
from postroom.ports import Report, ReportLine, TokenSource
from postroom.spool.blobs import FileBlobs

pytestmark = pytest.mark.slow


@asynccontextmanager
async def running(
    port: int,
    *,
    blobs: FileBlobs | None = None,
    greeting_probe_s: float = 5.0,
    tokens: TokenSource | None = None,
    **changes: Any,
) -> AsyncIterator[RemoteTransport]:
    """Run a transport to ``port`` in a process of its own, as ``egress.works.running`` does without one."""
    assert 5.0 == greeting_probe_s
    account = SmtpAccount(host="127.0.0.1", port=port, tls=TlsMode.OPPORTUNISTIC)
    fields = set(SmtpAccount.__dataclass_fields__) & set(changes)
    account = replace(account, **{name: changes.pop(name) for name in fields})
    spec = TransportSpec(name="relay", kind=TransportKind.SMTP, account=account, max_connections=1)
    spec = replace(spec, **changes)
    with TemporaryDirectory() as directory:
        data = Path(directory) if blobs is None else blobs.path(work().tenant, "0" * 64).parents[3]
        settings = SenderSettings(data=data, log_json=False)
        sender = SenderProcess(COMMAND, packed_settings(settings), clock=SystemClock(), tokens=tokens)
        transport = RemoteTransport(spec, sender=sender, clock=SystemClock())
        await sender.start()
        try:
            yield transport
        finally:
            await transport.stop(grace_s=1.0)
            await sender.close()


def process_of(transport: RemoteTransport) -> int:
    process = transport._sender._process
    assert process is not None
    return process.pid


INSIDE = {"test_news_of_trouble_from_another_connection"}
"""Claims that reach into the pool."""
SAME = [
    function
    for name, function in vars(test_egress_smtp).items()
    if name.startswith("test_") and name not in INSIDE and not inspect.signature(function).parameters
]


@pytest.mark.parametrize("claim", SAME, ids=lambda claim: claim.__name__)
def test_same_claims(claim: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds for a transport in this process holds for one in another."""
    monkeypatch.setattr(test_egress_smtp, "running", running)
    claim()


def test_files_are_read_by_the_sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attachments go from the store's files to the wire without passing through the engine's process."""
    monkeypatch.setattr(test_egress_smtp, "running", running)
    test_egress_smtp.test_files_are_sent_from_the_store(tmp_path)


def _shown_by_the_kernel(pid: int) -> list[bytes]:
    return [Path(f"/proc/{pid}/{file}").read_bytes() for file in ("environ", "cmdline")]


def test_settings_are_not_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither arguments nor environment of the process, which tools show, have anything of the settings."""
    for name in ("POSTROOM_TRANSPORT", "POSTROOM_API_KEY", "SMTP_PASSWORD"):
        monkeypatch.setenv(name, "correct-horse-battery")

    async def main() -> None:
        async with listening(SmtpPeer()) as port, running(port) as transport:
            assert [("body_end", 250)] == told(await transport.attempt(work()))
            for shown in _shown_by_the_kernel(process_of(transport)):
                assert shown
                assert b"correct-horse" not in shown

    asyncio.run(main())


def test_files_of_the_working_directory_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies where the server was started, named like a module, is neither run nor in the way."""
    (tmp_path / "secrets.py").write_text("raise SystemExit(1)\n")
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        async with listening(SmtpPeer()) as port, running(port) as transport:
            assert [("body_end", 250)] == told(await transport.attempt(work()))

    asyncio.run(main())


def test_death_before_the_dot() -> None:
    """A sender that dies before the leave: the attempt did not begin, and the next finds a new process."""

    async def main() -> None:
        peer = SmtpPeer(silent_at="DATA")
        async with listening(peer) as port, running(port) as transport:
            attempt = asyncio.create_task(transport.attempt(work("a@example.net", "b@example.net")))
            await peer.until(lambda: any("DATA" in dialogue.lines for dialogue in peer.dialogues))
            os.kill(process_of(transport), signal.SIGKILL)
            assert [] == told(await attempt)
            peer.silent_at = "never"
            assert [("body_end", 250)] == told(await transport.attempt(work()))
        assert 1 == len(peer.mails)

    asyncio.run(main())


def test_the_third_death_names_the_message() -> None:
    """What was in the sender at three deaths is to be held; what was beside it at the first is sent."""

    async def main() -> None:
        guilty = replace(work("guilty@example.net"), message_id=MessageId("guilty"))
        peer = SmtpPeer()
        async with listening(peer) as port, running(port, max_connections=2, pipelining=False) as transport:
            for death in range(3):
                peer.silent_at = "DATA"
                attempts = [asyncio.create_task(transport.attempt(guilty))]
                if not death:
                    attempts.append(asyncio.create_task(transport.attempt(work())))
                await peer.until(lambda: any("DATA" in dialogue.lines for dialogue in peer.dialogues))
                peer.dialogues.clear()
                os.kill(process_of(transport), signal.SIGKILL)
                told_of = [told(await attempt) for attempt in attempts]
                peer.silent_at = "never"
                if not death:
                    assert [[], []] == told_of
                    assert [("body_end", 250)] == told(await transport.attempt(work()))
            assert [[("mail", "local")]] == told_of
            (line,) = (await transport.attempt(guilty)).lines
            assert Step.BODY_END is line.evidence.step

    asyncio.run(main())


def test_death_after_the_dot() -> None:
    """A sender that dies after the leave: the dot may have been sent, so the outcome is uncertain."""

    async def main() -> None:
        peer = SmtpPeer(silent_at=".")
        async with listening(peer) as port, running(port) as transport:
            attempt = asyncio.create_task(transport.attempt(work()))
            await peer.until(lambda: any("." in dialogue.lines for dialogue in peer.dialogues))
            os.kill(process_of(transport), signal.SIGKILL)
            assert [("body_end", "closed")] == told(await attempt)

    asyncio.run(main())


def test_death_while_the_store_records() -> None:
    """A sender that dies while leave is being recorded gets no leave: nothing is uncertain."""

    async def main() -> None:
        asked, recorded = asyncio.Event(), asyncio.Event()

        async def commit() -> bool:
            asked.set()
            await recorded.wait()
            return True

        peer = SmtpPeer()
        async with listening(peer) as port, running(port) as transport:
            attempt = asyncio.create_task(transport.attempt(work(commit=commit)))
            await asked.wait()
            first = process_of(transport)
            os.kill(first, signal.SIGKILL)
            async with asyncio.timeout(10):
                while process_of(transport) == first:  # noqa: ASYNC110 - the restart has no event to wait for
                    await asyncio.sleep(0)
            recorded.set()
            report = await attempt
        assert [("mail", "local")] == told(report)
        assert [] == peer.mails

    asyncio.run(main())


def test_a_caller_that_gives_up() -> None:
    """An attempt whose caller gave up before its dot is not made, and the connection serves the next."""

    async def main() -> None:
        peer = SmtpPeer(silent_at="DATA")
        async with listening(peer) as port, running(port) as transport:
            attempt = asyncio.create_task(transport.attempt(work()))
            await peer.until(lambda: any("DATA" in dialogue.lines for dialogue in peer.dialogues))
            attempt.cancel()
            await asyncio.gather(attempt, return_exceptions=True)
            assert {} == transport._sender._answers
        assert [] == peer.mails

    asyncio.run(main())


def test_many_at_once() -> None:
    """Two hundred attempts at once each get their own report."""

    async def main() -> None:
        peer = SmtpPeer()
        async with listening(peer) as port, running(port, max_connections=5) as transport:
            attempts = [transport.attempt(work(f"r{number}@example.net")) for number in range(200)]
            reports = await asyncio.gather(*attempts)
        assert [[("body_end", 250)]] * 200 == [told(report) for report in reports]
        assert sorted(f"r{number}@example.net" for number in range(200)) == sorted(
            mail.recipients[0] for mail in peer.mails
        )

    asyncio.run(main())


def test_the_sender_dies_with_its_server(tmp_path: Path) -> None:
    """A server that is killed leaves no sender behind that could still send."""
    script = textwrap.dedent("""
        import asyncio, sys, os
        from egress.test_egress_remote import process_of, running
        async def main():
            async with running(9) as transport:
                print(process_of(transport), flush=True)
                await asyncio.Event().wait()
        asyncio.run(main())
    """)
    tests = str(Path(__file__).parents[1])
    server = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": tests},
    )
    assert server.stdout is not None
    pid = int(server.stdout.readline())
    watched = os.pidfd_open(pid)
    server.kill()
    server.wait()
    server.stdout.close()
    import select  # noqa: PLC0415 - only this claim waits for a foreign process

    assert [watched] == select.select([watched], [], [], 10)[0]
    os.close(watched)


texts = st.text(max_size=30)
replies = st.builds(
    Reply,
    code=st.integers(200, 599),
    lines=st.lists(texts, min_size=1, max_size=3).map(tuple),
    raw=st.binary(max_size=40),
)
faults = st.builds(Fault, kind=st.sampled_from(FaultKind), text=texts, cause=st.none() | texts)


@given(
    evidence=st.builds(
        Evidence, step=st.sampled_from(Step), reply=replies, host=texts, port=st.integers(0, 65535)
    )
    | st.builds(Evidence, step=st.sampled_from(Step), fault=faults, host=texts, port=st.integers(0, 65535)),
    cuts=st.integers(1, 50),
)
def test_reports_come_through(evidence: Evidence, cuts: int) -> None:
    """A report is the same on the other side, however the stream is cut."""
    now = SystemClock().now()
    report = Report(lines=(ReportLine(recipient=3, evidence=evidence, at=now, duration_ms=7),))
    stream = packed(0, 1) + packed_report(9, report)
    unpacker = Unpacker()
    frames = [
        frame
        for start in range(0, len(stream), cuts)
        for frame in unpacker.frames(stream[start : start + cuts])
    ]
    assert [(0, 1)] == frames[:1]
    assert report == report_of(frames[1])


def test_work_comes_through(tmp_path: Path) -> None:
    """An attempt is the same on the other side but for what only the engine needs."""

    async def commit() -> bool:
        return True

    file_blobs(tmp_path)
    message = RenderedMessage(
        segments=(b"a\r\n", BlobSegment(BlobRef("f" * 64, 12)), b"\r\n"),
        size=40,
        digest="",
        needs_smtputf8=True,
    )
    before = replace(work("ä@example.net", "b@example.net", message=message, commit=commit), priority=1)
    (frame,) = Unpacker().frames(packed_work(5, 2, before))
    assert (5, 2) == frame[1:3]
    assert replace(before, subject="", sender="") == work_of(frame, commit)


def test_what_a_raw_mail_needs_goes_to_the_sender() -> None:
    """A body in a file stays raw on the way to the sender process, and so does its need of eight bits."""
    segments = (b"a\r\n", RawSegment(BlobRef("f" * 64, 12)), BlobSegment(BlobRef("e" * 64, 3)))
    message = RenderedMessage(segments=segments, size=15, digest="", needs_smtputf8=True, needs_8bit=True)
    (frame,) = Unpacker().frames(packed_work(1, 2, work(message=message)))
    found = work_of(frame, granted).rendered
    assert (segments, True, True, 15) == (
        found.segments,
        found.needs_8bit,
        found.needs_smtputf8,
        found.size,
    )

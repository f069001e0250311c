"""Mail that names files by URL, in an engine whose files come as a script says."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pytest

from peers.engine_room import BAD_LOGIN, OK, EngineRoom, engine_room
from postroom.engine import fetching
from postroom.engine.rendering import RenderedMessages
from postroom.errors import DiskFullError, InvariantError, Problem
from postroom.mime.rendered import DEFAULT_VARIANT
from postroom.model.address import parse_mailbox
from postroom.model.attempt import Lease
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.message import MailClass, RemoteFile, Submission
from postroom.model.outcome import Fault, FaultKind
from postroom.model.view import MessageView
from postroom.ports import Download, StagedBlob

TO = (parse_mailbox("kim@example.net"),)
DOWN = Fault(kind=FaultKind.REFUSED, text="connection refused", cause="fetch-failed")
_TOO_MUCH = Problem(code="message-too-large", field="attachments", cause="too much", fix="Send less.")
GONE = Fault(kind=FaultKind.PROTOCOL, text="404 not found", cause="fetch-gone")


@dataclass
class Files:
    """A fetcher that serves what a test puts there: content, a fault, an error, or the wait for an event."""

    found: dict[str, bytes | Fault | Exception | asyncio.Event] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    met: asyncio.Condition = field(default_factory=asyncio.Condition)
    most: int = 0
    under_way: int = 0

    async def fetch(self, url: str, *, into: StagedBlob, max_bytes: int) -> Download:
        async with self.met:
            self.asked.append(url)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            self.met.notify_all()
        try:
            what = self.found[url]
            if isinstance(what, asyncio.Event):
                await what.wait()
                what = b"at last"
            if isinstance(what, Exception):
                raise what
            if isinstance(what, Fault):
                return Download(fault=what, host="files.example.com", port=443)
            assert len(what) <= max_bytes
            into.write(what)
            return Download(content_type="text/plain", host="files.example.com", port=443)
        finally:
            self.under_way -= 1

    async def wait_until_asked(self, times: int) -> None:
        async with self.met:
            await self.met.wait_for(lambda: len(self.asked) >= times)


def mail(*urls: str, mail_class: MailClass = MailClass.TRANSACTIONAL) -> Submission:
    files = tuple(RemoteFile(filename=f"{number}.txt", url=url) for number, url in enumerate(urls))
    return Submission(to=TO, subject="s", text="t", remote_files=files, mail_class=mail_class)


Story = Callable[[EngineRoom, Files], Awaitable[None]]


def play(tmp_path: Path, story: Story) -> None:
    async def main() -> None:
        files = Files()
        async with engine_room(tmp_path / "data", lambda _work, _number: OK, fetcher=files) as room:
            async with asyncio.timeout(20):
                await story(room, files)
            assert room.failures == []

    asyncio.run(main())


async def sent(room: EngineRoom, submission: Submission) -> MessageView:
    receipt = await room.service.submit(submission)
    return await room.service.first_attempt(receipt.message_id, tenant=DEFAULT_TENANT, wait_s=10)


def test_files_are_fetched_and_the_mail_is_sent(tmp_path: Path) -> None:
    """One attempt, by the transport, with every file under its name; fetching leaves none on record."""

    async def story(room: EngineRoom, files: Files) -> None:
        files.found = {"https://x/1": b"one", "https://x/2": b"two"}
        view = await sent(room, mail("https://x/1", "https://x/2"))
        assert ["body_end"] == [attempt.step for attempt in view.recipients[0].attempts]
        (work,) = room.transport.works
        assert work.content is not None
        assert ["0.txt", "1.txt"] == [one.filename for one in work.content.attachments]
        assert ("accepted", ()) == (view.recipients[0].state, work.content.remote_files)

    play(tmp_path, story)


def test_trouble_that_passes_is_tried_again_on_the_schedule(tmp_path: Path) -> None:
    """Deferred as an attempt at step fetch by the class's delays, each longer, until it works."""

    async def story(room: EngineRoom, files: Files) -> None:
        files.found = {"https://x/1": DOWN}
        view = await sent(room, mail("https://x/1"))
        (recipient,) = view.recipients
        assert ("deferred", "fetch-failed") == (recipient.state, recipient.cause)
        (attempt,) = recipient.attempts
        assert ("fetch", None, "files.example.com") == (attempt.step, attempt.code, attempt.host)
        assert "0.txt from files.example.com: connection refused" == attempt.text
        assert view.next_attempt_at is not None
        first = view.next_attempt_at - room.clock.now()
        assert 30 <= first.total_seconds() <= 60
        await room.later(61)
        await files.wait_until_asked(2)
        await room.becomes(view.id, "deferred")
        view = await room.service.view(view.id, tenant=DEFAULT_TENANT)
        assert view.next_attempt_at is not None
        assert (view.next_attempt_at - room.clock.now()).total_seconds() >= 60
        files.found["https://x/1"] = b"one"
        await room.later(121)
        await room.becomes(view.id, "accepted")

    play(tmp_path, story)


def test_what_a_person_must_mend_is_held_and_expires_with_its_cause(tmp_path: Path) -> None:
    """A held mail is not tried by itself; at the end of its time it expires and says why."""

    async def story(room: EngineRoom, files: Files) -> None:
        files.found = {"https://x/1": GONE}
        view = await sent(room, mail("https://x/1", mail_class=MailClass.CODE))
        assert ("held", "fetch-gone") == (view.recipients[0].state, view.recipients[0].cause)
        assert view.next_attempt_at is None
        await room.later(16 * 60)
        assert [view.id] == list(await room.spool.expire(now=room.clock.now(), limit=10))
        (recipient,) = (await room.service.view(view.id, tenant=DEFAULT_TENANT)).recipients
        assert ("expired", "fetch-gone") == (recipient.state, recipient.cause)
        assert [] == room.transport.works

    play(tmp_path, story)


def test_fetching_takes_nothing_from_the_transport(tmp_path: Path) -> None:
    """More mails than the line may have under way wait for files, and another mail goes at once."""

    async def story(room: EngineRoom, files: Files) -> None:
        gate = asyncio.Event()
        files.found = {"https://x/1": gate}
        ids = [(await room.service.submit(mail("https://x/1"))).message_id for _ in range(12)]
        await files.wait_until_asked(12)
        assert ("accepted",) == tuple(one.state for one in (await sent(room, mail())).recipients)
        gate.set()
        for one in ids:
            await room.becomes(one, "accepted")

    play(tmp_path, story)


def test_failures_of_a_file_server_pause_and_slow_nothing(tmp_path: Path) -> None:
    """The transport stays unpaused at its level, and its pace counts none of them."""

    async def story(room: EngineRoom, files: Files) -> None:
        files.found = {"https://x/1": replace(DOWN, kind=FaultKind.TIMEOUT, cause="fetch-timeout")}
        level = room.transport.allowed
        for _ in range(5):
            view = await sent(room, mail("https://x/1"))
            assert "deferred" == view.recipients[0].state
        assert [] == list(await room.spool.pauses())
        assert level == room.transport.allowed
        assert [] == list(await room.spool.sent("main", since=room.clock.now()))

    play(tmp_path, story)


def test_only_so_many_are_fetched_from_one_host(tmp_path: Path) -> None:
    """The others come back a little later, each after the one before; another host has places of its own."""

    async def story(room: EngineRoom, files: Files) -> None:
        gate = asyncio.Event()
        files.found = {"https://slow/1": gate, "https://fast/1": b"fast"}
        slow = [
            (await room.service.submit(mail("https://slow/1"))).message_id
            for _ in range(fetching.MAX_PER_HOST + 3)
        ]
        await files.wait_until_asked(fetching.MAX_PER_HOST)
        assert "accepted" == (await sent(room, mail("https://fast/1"))).recipients[0].state
        views = [await room.service.view(one, tenant=DEFAULT_TENANT) for one in slow]
        waiting = sorted(view.next_attempt_at for view in views if view.next_attempt_at is not None)
        assert [1000, 1020, 1040] == [round((at - room.clock.now()).total_seconds() * 1000) for at in waiting]
        gate.set()
        for one in slow[: fetching.MAX_PER_HOST]:
            await room.becomes(one, "accepted")
        await room.later(2)
        for one in slow:
            await room.becomes(one, "accepted")
        assert fetching.MAX_PER_HOST + 1 >= files.most

    play(tmp_path, story)


def test_a_full_disk_puts_the_mail_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost and nothing is an attempt of the mail."""

    async def story(room: EngineRoom, files: Files) -> None:
        given_back, release = asyncio.Event(), room.spool.release

        async def watched(leases: Sequence[Lease], *, due_at: datetime | None = None) -> None:
            await release(leases, due_at=due_at)
            given_back.set()

        monkeypatch.setattr(room.spool, "release", watched)
        files.found = {"https://x/1": DiskFullError("the disk is full")}
        one = (await room.service.submit(mail("https://x/1"))).message_id
        await files.wait_until_asked(1)
        files.found["https://x/1"] = b"room again"
        await given_back.wait()
        view = await room.service.view(one, tenant=DEFAULT_TENANT)
        assert () == view.recipients[0].attempts
        assert 5 == (view.next_attempt_at or room.clock.now()).timestamp() - room.clock.now().timestamp()
        await room.later(6)
        await room.becomes(one, "accepted")

    play(tmp_path, story)


def test_a_bug_leaves_the_lease_and_other_mail_goes_on(tmp_path: Path) -> None:
    """An error nobody foresaw concerns its mail alone; the end of its lease frees it."""

    async def story(room: EngineRoom, files: Files) -> None:
        files.found = {"https://x/1": ZeroDivisionError(), "https://x/2": b"two"}
        one = (await room.service.submit(mail("https://x/1"))).message_id
        await files.wait_until_asked(1)
        assert "accepted" == (await sent(room, mail("https://x/2"))).recipients[0].state
        files.found["https://x/1"] = b"mended"
        await room.later(3601)
        await room.becomes(one, "accepted")

    play(tmp_path, story)


def test_a_stop_gives_the_mail_back(tmp_path: Path) -> None:
    """What is under way is broken off, without an attempt, due at once for the next start."""

    async def main() -> None:
        files = Files()
        files.found = {"https://x/1": asyncio.Event()}
        async with engine_room(tmp_path / "data", lambda _work, _number: OK, fetcher=files) as room:
            one = (await room.service.submit(mail("https://x/1"))).message_id
            await files.wait_until_asked(1)
            await room.dispatcher.stop(grace_s=1)
            (recipient,) = (await room.service.view(one, tenant=DEFAULT_TENANT)).recipients
            assert ("queued", ()) == (recipient.state, recipient.attempts)
            assert room.clock.now() == recipient.due_at

    asyncio.run(main())


def test_the_wire_is_measured_before_the_mail_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mail that grows too large once encoded is held as too large, not sent and not lost."""

    async def story(room: EngineRoom, files: Files) -> None:
        files.found = {"https://x/1": b"small"}
        monkeypatch.setattr("postroom.engine.fetching.size_problem", lambda _rendered, _limits: _TOO_MUCH)
        view = await sent(room, mail("https://x/1"))
        assert ("held", "fetch-too-large") == (view.recipients[0].state, view.recipients[0].cause)

    play(tmp_path, story)


def test_no_mail_is_rendered_without_its_files(tmp_path: Path) -> None:
    """An engine that cannot fetch defers such a mail instead of sending what is there."""

    async def main() -> None:
        async with engine_room(tmp_path / "data", lambda _work, _number: BAD_LOGIN) as room:
            view = await sent(room, mail("https://x/1"))
            assert "deferred" == view.recipients[0].state
            assert [] == room.transport.works
            message = await room.spool.message(view.id, tenant=DEFAULT_TENANT)
            assert message is not None
            with pytest.raises(InvariantError, match="not fetched"):
                await RenderedMessages().take(message, DEFAULT_VARIANT)

    asyncio.run(main())

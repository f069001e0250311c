import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from peers.engine_room import OK, EngineRoom, engine_room
from peers.manual import ManualClock
from postroom.engine.janitor import CHUNK, EXPIRE_EVERY_S, Janitor
from postroom.engine.signals import Signals
from postroom.errors import DiskFullError, InvariantError, OverloadError, StoreError
from postroom.model.address import parse_mailbox
from postroom.model.alert import AlertPlace, AlertTurn, NewAlertEvent
from postroom.model.ids import MessageId
from postroom.model.message import Submission
from postroom.ports import Retention
from postroom.spool.memory.opening import open_memory


@pytest.mark.parametrize(
    "error", [DiskFullError("full"), OverloadError("busy", retry_after_s=1), InvariantError("a bug")]
)
def test_a_line_comes_back_after_a_claim_that_failed(tmp_path: Path, error: Exception) -> None:
    """No room, no time or a bug in one claim: the message is sent a little later all the same."""

    async def story(room: EngineRoom) -> None:
        claim = room.spool.claim
        failed = asyncio.Event()

        async def fails_once(**_: Any) -> Any:
            room.spool.claim = claim  # type: ignore[method-assign]  # only the first time
            failed.set()
            raise error

        room.spool.claim = fails_once  # type: ignore[method-assign]  # stands in for the store
        mail = Submission(to=(parse_mailbox("r@example.net"),), text="x")
        receipt = await room.service.submit(mail)
        await failed.wait()
        await asyncio.sleep(0)
        room.clock.advance(60)
        await room.becomes(receipt.message_id, "accepted")

    async def play() -> None:
        async with engine_room(tmp_path / "data", lambda _work, _number: OK) as room:
            async with asyncio.timeout(20):
                await story(room)
            assert room.failures == []

    asyncio.run(play())


class _Failing:
    """A spool whose duties fail."""

    def __init__(self, error: Exception, calls: list[str]) -> None:
        self._error = error
        self._calls = calls

    async def expire(self, **_: Any) -> Sequence[MessageId]:
        self._calls.append("expire")
        raise self._error

    async def purge(self, **_: Any) -> int:
        return 0


@pytest.mark.parametrize(
    ("error", "is_fatal"), [(InvariantError("a bug"), False), (StoreError("the disk is gone"), True)]
)
def test_a_duty_goes_on_after_a_bug_and_ends_the_process_with_the_store(
    error: Exception, *, is_fatal: bool
) -> None:
    """A bug costs one turn of a duty; a failed store is told at once."""

    async def play() -> tuple[list[str], list[BaseException]]:
        clock, calls, failures = ManualClock(), list[str](), list[BaseException]()
        kept = Retention(content=timedelta(1), events=timedelta(1), captures=timedelta(1))
        janitor = Janitor(
            spool=_Failing(error, calls),  # type: ignore[arg-type]  # the two verbs a janitor needs
            retention=kept,
            signals=Signals(),
            clock=clock,
            fatal=failures.append,
        )
        await janitor.start()
        for _ in range(3):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            clock.advance(EXPIRE_EVERY_S)
        await janitor.stop()
        return calls, failures

    calls, failures = asyncio.run(play())
    assert (len(calls) > 1) is not is_fatal
    assert failures == ([error] if is_fatal else [])


def test_what_alerts_stored_goes_with_the_events() -> None:
    """Reports that were looked at are kept as long as events, a chunk at a time."""

    async def play() -> list[bool]:
        clock, store = ManualClock(), open_memory()
        await store.alerts.add([NewAlertEvent(key="k")] * (CHUNK + 1), at=clock.now())
        await store.alerts.settle(AlertTurn(place=AlertPlace(other=CHUNK + 1)))
        janitor = Janitor(
            spool=store.spool,
            retention=Retention(content=timedelta(1), events=timedelta(1), captures=timedelta(1)),
            signals=Signals(),
            clock=clock,
            fatal=lambda _: None,
            alerts=store.alerts,
        )
        assert not await janitor.purge_alerts()
        assert CHUNK + 1 == await store.alerts.backlog(AlertPlace())
        clock.advance(2 * 86_400)
        found = [await janitor.purge_alerts(), await janitor.purge_alerts()]
        assert 0 == await store.alerts.backlog(AlertPlace())
        return found

    assert [True, False] == asyncio.run(play())

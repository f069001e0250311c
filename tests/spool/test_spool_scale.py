"""A long queue costs a claim nothing: the work is by what is taken, not by what waits."""

import time
from pathlib import Path

import apsw
import pytest

from postroom.model.message import MailClass
from postroom.spool.sqlite.lanes import Lanes
from spool.spool_room import NOW, Room, a_message
from spool.sqlite_room import SMALL, filled, on, open_

BULK = 100_000


def queue_bulk(data: Path, count: int) -> None:
    """Let ``count`` groups of one message wait, as if each were a message of its own."""
    filled(data, a_message(mail_class=MailClass.BULK))
    db = apsw.Connection(str(data / "postroom.sqlite"))
    with db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(queue)")]
        kept = ", ".join("seq + n" if name == "seq" else name for name in columns)
        db.execute(
            f"WITH RECURSIVE more(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < {count})"  # noqa: S608 - numbers and column names
            f" INSERT INTO queue ({', '.join(columns)}) SELECT {kept} FROM queue, more"
        )
        db.execute(f"UPDATE tally SET value = value + {count} WHERE name = 'last_seq'")  # noqa: S608 - a number
    db.close()


@pytest.mark.slow
def test_a_code_is_claimed_at_once_before_a_hundred_thousand(tmp_path: Path) -> None:
    """Neither a claim nor finding the lanes grows with the queue, and a claim takes milliseconds."""
    queue_bulk(tmp_path, BULK)

    async def scenario(room: Room) -> None:
        took = []
        db = room.store.spool._writer._ledger.db  # type: ignore[attr-defined]  # white box
        for _ in range(20):
            code = a_message(mail_class=MailClass.CODE)
            await room.accept(code)
            begun = time.perf_counter()
            (claimed,) = await room.claim(NOW, limit=1, reserved=1)
            took.append(time.perf_counter() - begun)
            assert code.id == claimed.message.id
        assert sorted(took)[10] < 0.02
        steps = 0

        def step() -> bool:
            nonlocal steps
            steps += 1
            return False

        await room.accept(a_message(mail_class=MailClass.CODE))
        db.set_progress_handler(step, 10)
        await room.claim(NOW, limit=1, reserved=1)
        assert [("", "default", 1, 0), ("", "default", 4, 0)] == sorted(Lanes(db).of("main"))
        assert steps < 200

    on(open_(tmp_path, SMALL), scenario)

"""A process that is killed while it stores."""

import subprocess
import sys
from pathlib import Path

import pytest

from postroom.model.ids import DEFAULT_TENANT
from postroom.model.lifecycle import RecipientState
from spool.spool_room import (
    MINUTE,
    NOW,
    Room,
)
from spool.sqlite_room import database, on, open_

# --------------------------------------------------------------------------- kills

_STORE_FOREVER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from spool.spool_room import *
from spool.sqlite_room import open_

async def forever(life):
    room = Room(store=open_(Path(sys.argv[1])))
    number = 0
    while True:
        number += 1
        messages = [a_numbered_message(1_000_000 * life + 10 * number + i) for i in range(number % 3 + 1)]
        await asyncio.gather(*(room.accept(message) for message in messages))
        print(*(f"stored {message.id}" for message in messages), sep="\\n", flush=True)
        for claimed in await room.claim(limit=2):
            if await room.commit(claimed.lease):
                print(f"committing {claimed.message.id}", flush=True)
            if number % 2:
                await room.settle(claimed.lease, accepted())
                print(f"settled {claimed.message.id}", flush=True)

asyncio.run(forever(int(sys.argv[3])))
"""


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """After SIGKILL at any moment every acknowledged message, mark and result is there again."""
    seen: dict[str, str] = {}
    for round_ in range(5):
        lines = 40 + 61 * round_ % 97
        with subprocess.Popen(
            [
                sys.executable,
                "-c",
                _STORE_FOREVER,
                str(tmp_path),
                str(Path(__file__).parent.parent),
                str(round_),
            ],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            heard = [process.stdout.readline() for _ in range(lines)]
            process.kill()
            heard += process.stdout.readlines()
        for line in heard:
            if line.endswith("\n"):
                assert line.count(" ") == 1, line
                word, message_id = line.split()
                seen[message_id] = word

        async def afterwards(room: Room) -> None:
            await room.spool.recover(now=NOW, wait=15 * MINUTE)
            for message_id, word in seen.items():
                view = await room.spool.view(message_id, tenant=DEFAULT_TENANT)  # type: ignore[arg-type]  # read from a pipe
                assert view is not None
                state = view.recipients[0].state
                assert state in _AFTER_KILL[word], (message_id, word, state)

        on(open_(tmp_path), afterwards)
        with database(tmp_path) as db:
            assert "ok" == db.pragma("integrity_check")


_AFTER_KILL = {
    "stored": {RecipientState.QUEUED, RecipientState.UNCERTAIN, RecipientState.ACCEPTED},
    "committing": {RecipientState.UNCERTAIN, RecipientState.ACCEPTED},
    "settled": {RecipientState.ACCEPTED},
}

"""A new store of a test is a copy of one that has every step of the schema.

Making them takes longer than most tests of a store do. Stores of other processes are made step by step, and
so is the one of the test that compares both.
"""

from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from postroom.spool.sqlite import opening
from postroom.spool.sqlite.connection import open_for_writing
from postroom.spool.sqlite.migrations import migrate, migrations

step_by_step = opening._database


def copied(data: Path) -> Path:
    """Return the database's path; a new one is a copy."""
    is_new = not (data / opening.DATABASE).exists()
    path = step_by_step(data)
    if is_new:
        path.write_bytes(_made())
    return path


@cache
def _made() -> bytes:
    with (
        TemporaryDirectory() as directory,
        closing(open_for_writing(Path(directory) / opening.DATABASE)) as db,
    ):
        migrate(db, migrations(), now=0)
        return db.serialize("main")

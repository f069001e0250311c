"""Bringing a database to the newest schema this program knows.

Migrations are the files ``schema/NNNN_name.sql``, applied in order, each in one transaction with
``PRAGMA user_version`` and its row in ``migration``. A file that has landed never changes: its SHA-256
is stored and compared. A newer schema than this program knows is refused.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

import apsw

from postroom.errors import StoreError

_NAME = re.compile(r"([0-9]{4})_\w+\.sql\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step of the schema."""

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Return the hash of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations() -> tuple[Migration, ...]:
    """Return the migrations of this program, in order."""
    found = [
        Migration(number=int(match[1]), name=source.name, text=source.read_text("utf-8"))
        for source in files(__package__).joinpath("schema").iterdir()
        if (match := _NAME.match(source.name)) is not None
    ]
    return tuple(sorted(found, key=lambda migration: migration.number))


def migrate(db: apsw.Connection, known: tuple[Migration, ...], *, now: int) -> None:
    """Apply what is missing. Raises StoreError for a newer or altered schema.

    Args:
        db: The writer's connection.
        known: The migrations of this program.
        now: Microseconds since 1970, stored with each migration.
    """
    version = int(str(db.pragma("user_version")))
    newest = known[-1].number
    if version > newest:
        raise StoreError(
            f"the store has schema {version} and this program knows up to {newest}: use the newer program"
        )
    db.execute(
        "CREATE TABLE IF NOT EXISTS migration"
        " (number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at INTEGER NOT NULL)"
        " STRICT"
    )
    applied = dict(db.execute("SELECT number, sha256 FROM migration"))
    for migration in known:
        if migration.number <= version:
            if applied.get(migration.number) != migration.sha256:
                raise StoreError(
                    f"schema step {migration.name} of the store is not the one this program knows"
                )
            continue
        with db:
            db.execute(migration.text)
            db.execute(
                "INSERT INTO migration (number, name, sha256, applied_at) VALUES (?, ?, ?, ?)",
                (migration.number, migration.name, migration.sha256, now),
            )
            db.pragma("user_version", migration.number)

"""Stored templates on SQLite: versions that are never changed, and which one is in use."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import apsw

from postroom.errors import TooLargeError
from postroom.model.ids import TenantId
from postroom.model.template import TemplateVersion
from postroom.spool.codec import micros, micros_or_none
from postroom.spool.sqlite.ledger import Ledger
from postroom.spool.sqlite.reader import Reader
from postroom.spool.sqlite.statement import statement
from postroom.spool.sqlite.writer import Rank, Verb, Writer
from postroom.spool.templates import MAX_TEMPLATES, MAX_VERSIONS, head_of, texts_of, too_many, version_of


@dataclass(frozen=True, slots=True, kw_only=True)
class _New:
    version: TemplateVersion
    head: str
    texts: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Publication:
    tenant: TenantId
    name: str
    number: int
    at: int


class SqliteTemplates:
    """The port ``TemplateRecords``."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        """Take the store's writer and reader."""
        self._writer = writer
        self._reader = reader

    async def add(self, version: TemplateVersion) -> int:
        """Store a version and return its number. Raises TooLargeError."""
        texts = await asyncio.to_thread(texts_of, version)
        number: int = await self._writer.submit(
            _ADD, _New(version=version, head=head_of(version), texts=texts)
        )
        return number

    async def names(self, tenant: TenantId) -> Sequence[TemplateVersion]:
        """Return, by name, the version in use of every template, else its newest draft."""
        return await self._reader.read(lambda db: _versions(db, "templates", tenant))

    async def one(self, tenant: TenantId, name: str, number: int | None = None) -> TemplateVersion | None:
        """Return a version; without a number the one in use."""

        def work(db: apsw.Connection) -> TemplateVersion | None:
            row: Any = db.execute(statement("version"), (tenant, name, number)).fetchone()
            return None if row is None else version_of(tenant, row)

        return await self._reader.read(work)

    async def versions(self, tenant: TenantId, name: str) -> Sequence[TemplateVersion]:
        """Return every version of a template, newest first."""
        return await self._reader.read(lambda db: _versions(db, "versions", tenant, name))

    async def publish(self, tenant: TenantId, name: str, number: int, *, at: datetime) -> bool:
        """Make a version the one in use; ``False`` when there is none."""
        found: bool = await self._writer.submit(
            _PUBLISH, _Publication(tenant=tenant, name=name, number=number, at=micros(at))
        )
        return found

    async def remove(self, tenant: TenantId, name: str) -> bool:
        """Remove a template with all versions; ``False`` when there is none."""
        found: bool = await self._writer.submit(_REMOVE, (tenant, name))
        return found


def _versions(db: apsw.Connection, name: str, *bindings: str) -> Sequence[TemplateVersion]:
    rows: Any = db.execute(statement(name), bindings)
    return [version_of(TenantId(bindings[0]), row) for row in rows]


def _add(ledger: Ledger, wishes: Sequence[_New]) -> Sequence[int | TooLargeError]:
    return [_add_one(ledger, wish) for wish in wishes]


def _add_one(ledger: Ledger, wish: _New) -> int | TooLargeError:
    version = wish.version
    key = (version.tenant, version.name)
    found: Any = ledger.run(statement("template"), key).fetchone()
    if found is None or found[2]:
        count: Any = ledger.run(statement("count_templates"), (version.tenant,)).fetchone()
        if count[0] >= MAX_TEMPLATES:
            return too_many()
    last, current, _ = found or (0, None, 0)
    number: int = last + 1
    if version.published_at is not None:
        current = number
    ledger.run(
        statement("insert_version"),
        (
            *key,
            number,
            micros(version.created_at),
            version.author,
            version.note,
            micros_or_none(version.published_at),
            wish.head,
            wish.texts,
        ),
    )
    ledger.run(statement("put_template"), (*key, number, current))
    ledger.run(statement("prune_versions"), (*key, current, MAX_VERSIONS))
    return number


def _publish(ledger: Ledger, wishes: Sequence[_Publication]) -> Sequence[bool]:
    return [_publish_one(ledger, wish) for wish in wishes]


def _publish_one(ledger: Ledger, wish: _Publication) -> bool:
    key = (wish.tenant, wish.name)
    ledger.run(statement("publish_version"), (wish.at, *key, wish.number))
    if not ledger.db.changes():
        return False
    found: Any = ledger.run(statement("template"), key).fetchone()
    ledger.run(statement("put_template"), (*key, found[0], wish.number))
    return True


def _remove(ledger: Ledger, keys: Sequence[tuple[TenantId, str]]) -> Sequence[bool]:
    removed = []
    for key in keys:
        ledger.run(statement("delete_versions"), key)
        ledger.run(statement("remove_template"), key)
        removed.append(ledger.db.changes() == 1)
    return removed


_ADD = Verb(name="add template", rank=Rank.DUTY, apply=_add)
_PUBLISH = Verb(name="publish template", rank=Rank.DUTY, apply=_publish)
_REMOVE = Verb(name="remove template", rank=Rank.DUTY, apply=_remove)

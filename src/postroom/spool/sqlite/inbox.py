"""The capture inbox and the API keys on SQLite: two small tables behind two ports."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import apsw

from postroom.model.ids import MessageId, TenantId
from postroom.model.message import BlobRef
from postroom.model.view import ApiKey, CapturedMail
from postroom.spool.codec import instant, instant_or_none, micros, micros_or_none
from postroom.spool.sqlite.ledger import Ledger
from postroom.spool.sqlite.reader import Reader
from postroom.spool.sqlite.statement import statement
from postroom.spool.sqlite.writer import Rank, Verb, Writer

_NEWEST = 2**63 - 1


def _add_captured(ledger: Ledger, mails: Sequence[CapturedMail]) -> Sequence[None]:
    ledger.run_many(
        statement("insert_captured"),
        [
            (
                mail.message_id,
                micros(mail.captured_at),
                mail.reverse_path,
                json.dumps(mail.recipients),
                mail.subject,
                mail.sender,
                mail.source.sha256,
                mail.source.size,
            )
            for mail in mails
        ],
    )
    return [None] * len(mails)


# A captured mail is the result of an attempt, and stands before the attempt's settlement.
_ADD_CAPTURED = Verb(name="add captured", rank=Rank.COMMITTING, apply=_add_captured)


class SqliteCaptures:
    """The port ``Captures``."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        """Take the store's writer and reader."""
        self._writer = writer
        self._reader = reader

    async def add(self, mail: CapturedMail) -> None:
        """Store one captured mail."""
        await self._writer.submit(_ADD_CAPTURED, mail)

    async def page(self, *, before: int | None, limit: int) -> Sequence[CapturedMail]:
        """Return captured mails, newest first, with numbers below ``before``."""
        bindings = (_NEWEST if before is None else before, limit)

        def work(db: apsw.Connection) -> Sequence[CapturedMail]:
            return [_captured(row) for row in db.execute(statement("captured_page"), bindings)]

        return await self._reader.read(work)

    async def one(self, number: int) -> CapturedMail | None:
        """Return one captured mail."""

        def work(db: apsw.Connection) -> CapturedMail | None:
            row = db.execute(statement("captured_one"), (number,)).fetchone()
            return None if row is None else _captured(row)

        return await self._reader.read(work)


def _captured(row: tuple[Any, ...]) -> CapturedMail:
    number, message_id, captured_at, reverse_path, recipients, subject, sender, sha256, size = row
    return CapturedMail(
        number=number,
        message_id=MessageId(message_id),
        captured_at=instant(captured_at),
        reverse_path=reverse_path,
        recipients=tuple(json.loads(recipients)),
        subject=subject,
        sender=sender,
        source=BlobRef(sha256, size),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Revocation:
    key_id: str
    at: int


def _add_keys(ledger: Ledger, keys: Sequence[ApiKey]) -> Sequence[None]:
    ledger.run_many(
        statement("insert_key"),
        [
            (
                key.id,
                key.name,
                key.sha256,
                json.dumps(sorted(key.scopes)),
                key.tenant,
                json.dumps(key.senders),
                json.dumps(key.networks),
                micros(key.created_at),
                micros_or_none(key.revoked_at),
            )
            for key in keys
        ],
    )
    return [None] * len(keys)


def _revoke(ledger: Ledger, wishes: Sequence[_Revocation]) -> Sequence[bool]:
    answers = []
    for wish in wishes:
        ledger.run(statement("revoke_key"), (wish.at, wish.key_id))
        answers.append(ledger.db.changes() > 0)
    return answers


_ADD_KEY = Verb(name="add key", rank=Rank.DUTY, apply=_add_keys)
_REVOKE = Verb(name="revoke key", rank=Rank.DUTY, apply=_revoke)


class SqliteKeys:
    """The port ``Keys``."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        """Take the store's writer and reader."""
        self._writer = writer
        self._reader = reader

    async def add(self, key: ApiKey) -> None:
        """Store a key. Raises InvariantError when the id is taken."""
        await self._writer.submit(_ADD_KEY, key)

    async def all(self) -> Sequence[ApiKey]:
        """Return every key, oldest first."""
        return await self._reader.read(lambda db: [_key(row) for row in db.execute(statement("keys"))])

    async def revoke(self, key_id: str, *, at: datetime) -> bool:
        """Revoke a key by id or name."""
        found: bool = await self._writer.submit(_REVOKE, _Revocation(key_id=key_id, at=micros(at)))
        return found


def _key(row: tuple[Any, ...]) -> ApiKey:
    id_, name, sha256, scopes, tenant, senders, networks, created_at, revoked_at = row
    return ApiKey(
        id=id_,
        name=name,
        sha256=sha256,
        scopes=frozenset(json.loads(scopes)),
        tenant=TenantId(tenant),
        senders=tuple(json.loads(senders)),
        networks=tuple(json.loads(networks)),
        created_at=instant(created_at),
        revoked_at=instant_or_none(revoked_at),
    )

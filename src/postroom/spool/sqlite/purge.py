"""Deleting what is past its retention, in the writer thread, in chunks.

Content goes first (with its blob references), the message with its attempts later, captured mails by an
age of their own. Blob files go when no row names them and they are older than the grace.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from postroom.spool.blobs import FileBlobs
from postroom.spool.codec import instant
from postroom.spool.sqlite.hooks import purge_deliveries
from postroom.spool.sqlite.ledger import MINUTE, Ledger
from postroom.spool.sqlite.operations_verbs import purge_orders
from postroom.spool.sqlite.queries import unnamed_blobs
from postroom.spool.sqlite.statement import statement

VACUUM_PAGES = 2048
"""Free pages given back in one go: 8 MiB, some ten milliseconds."""

SENT_KEPT = 2 * 24 * 60 * MINUTE
"""What began is counted for two days: the longest window of a quota is one."""

ROWS_A_SECOND = 20_000
"""More messages than a second brings: ids of one second stand in no order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """Ages as instants in microseconds: what last changed before them goes."""

    now: int
    content_before: int
    events_before: int
    captures_before: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Blob files a reader of the directory found to be old, by tenant and hash."""

    blobs: FileBlobs
    candidates: Sequence[tuple[str, str]]
    limit_s: float


def purge(ledger: Ledger, wishes: Sequence[Purge]) -> Sequence[int]:
    """Delete; answer with how many contents, messages, events, captured mails and idempotency keys went."""
    return [_purge(ledger, wish) for wish in wishes]


def _purge(ledger: Ledger, wish: Purge) -> int:
    run = ledger.run
    contents = _old(ledger, "old_contents", wish.content_before, wish.limit)
    for name in ("delete_content", "delete_references"):
        ledger.run_many(statement(name), contents)
    messages = _old(ledger, "old_messages", wish.events_before, wish.limit)
    for (seq,) in messages:
        for _, state in run(statement("recipient_states"), (seq,)):
            ledger.count(str(state), -1)
    for name in (
        "delete_content",
        "delete_references",
        "delete_outcomes",
        "delete_events",
        "delete_attempts",
        "delete_recipients",
        "delete_message",
    ):
        ledger.run_many(statement(name), messages)
    run(statement("delete_events_past"), (wish.events_before, wish.limit))
    events = ledger.db.changes()
    events += purge_deliveries(ledger, limit=wish.limit)
    orders = purge_orders(ledger, now=wish.now, before=wish.events_before, limit=wish.limit)
    run(statement("delete_sent_past"), ((wish.now - SENT_KEPT) // MINUTE,))
    run(statement("delete_captures"), (wish.captures_before, wish.limit))
    captures = ledger.db.changes()
    run(statement("delete_keys_past"), (wish.now, wish.limit))
    return len(contents) + len(messages) + events + orders + captures + ledger.db.changes()


def _old(ledger: Ledger, name: str, before: int, limit: int) -> list[tuple[int]]:
    # Without the bound a purge with nothing to do would walk over everything that is younger.
    bound = ledger.run(statement("newest_before"), (f"{instant(before):%Y%m%d%H%M%S}",)).fetchone()
    if bound is None:
        return []
    rows: Any = ledger.run(statement(name), (before, limit, int(str(bound[0])) + ROWS_A_SECOND))
    return [(seq,) for (seq,) in rows]


def sweep(ledger: Ledger, wishes: Sequence[Sweep]) -> Sequence[int]:
    """Delete old blob files that no row names; answer with how many went.

    A file deleted here and a rollback afterwards is no loss: nothing named the file.
    """
    return [
        sum(
            wish.blobs.sweep(tenant, sha256, limit_s=wish.limit_s)
            for tenant, sha256 in unnamed_blobs(ledger.db, blobs=wish.candidates)
        )
        for wish in wishes
    ]


def vacuum(ledger: Ledger, wishes: Sequence[None]) -> Sequence[None]:
    """Give free pages back to the file system."""
    ledger.run(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
    return [None] * len(wishes)

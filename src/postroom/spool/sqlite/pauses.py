"""Pauses, learnt limits and the pace of transports: small tables, written by duties."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import apsw

from postroom.model.view import LearntLimit, PauseKind, TransportPause
from postroom.spool.codec import instant, micros
from postroom.spool.sqlite.ledger import MINUTE, Ledger
from postroom.spool.sqlite.statement import statement

WORKED_AMONG = 100_000
"""Messages among which the last one that a server took is looked for: some hundred milliseconds at worst."""


def pause(ledger: Ledger, pauses: Sequence[TransportPause]) -> Sequence[None]:
    """Store pauses."""
    ledger.run_many(
        statement("store_pause"),
        [
            (
                one.transport,
                one.kind,
                one.is_open,
                one.author,
                micros(one.since),
                micros(one.until),
                one.cause,
                one.step,
                one.text,
                one.host,
                one.failures,
            )
            for one in pauses
        ],
    )
    return [None] * len(pauses)


def resume(ledger: Ledger, wishes: Sequence[tuple[str, PauseKind | None]]) -> Sequence[None]:
    """Forget pauses: of one kind, or of every kind but a person's."""
    for transport, kind in wishes:
        if kind is None:
            ledger.run(statement("delete_pauses"), (transport,))
        else:
            ledger.run(statement("delete_pause"), (transport, kind))
    return [None] * len(wishes)


def pauses(db: apsw.Connection) -> Sequence[TransportPause]:
    """Return every stored pause."""
    found: Any = db.execute(statement("pauses"))
    return [
        TransportPause(
            transport=transport,
            kind=PauseKind(kind),
            is_open=bool(is_open),
            author=author,
            since=instant(since),
            until=instant(until),
            cause=cause,
            step=step,
            text=text,
            host=host,
            failures=failures,
        )
        for transport, kind, is_open, author, since, until, cause, step, text, host, failures in found
    ]


def store_limits(ledger: Ledger, limits: Sequence[LearntLimit]) -> Sequence[None]:
    """Store learnt limits."""
    ledger.run_many(
        statement("store_limit"),
        [
            (one.transport, one.window_s, one.allowed, one.seen, micros(one.learnt_at), one.text)
            for one in limits
        ],
    )
    return [None] * len(limits)


def forget_limits(ledger: Ledger, wishes: Sequence[tuple[str, int]]) -> Sequence[None]:
    """Remove learnt limits."""
    ledger.run_many(statement("delete_limit"), wishes)
    return [None] * len(wishes)


def limits(db: apsw.Connection) -> Sequence[LearntLimit]:
    """Return every learnt limit."""
    found: Any = db.execute(statement("limits"))
    return [
        LearntLimit(
            transport=transport,
            window_s=window_s,
            allowed=allowed,
            seen=seen,
            learnt_at=instant(learnt_at),
            text=text,
        )
        for transport, window_s, allowed, seen, learnt_at, text in found
    ]


def worked_until(db: apsw.Connection, transport: str) -> datetime | None:
    """Return when a server last took mail by a transport."""
    row: Any = db.execute(statement("worked_until"), (WORKED_AMONG, transport)).fetchone()
    return None if row is None else instant(row[0])


def sent(db: apsw.Connection, transport: str, since: datetime) -> Sequence[tuple[datetime, int]]:
    """Return how many attempts began in each minute."""
    found: Any = db.execute(statement("sent_since"), (transport, micros(since) // MINUTE))
    return [(instant(minute * MINUTE), count) for minute, count in found]

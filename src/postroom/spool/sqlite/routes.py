"""Giving what waits to another transport, for whoever has the connection, and the routes of what waits."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from postroom.model.event import EventKind
from postroom.spool.groups import FAILOVER, members_of
from postroom.spool.sqlite.lanes import Lane
from postroom.spool.sqlite.ledger import Ledger
from postroom.spool.sqlite.statement import statement

CHUNK = 500
"""Groups that change their transport in one operation: some ten milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reroute:
    """Give the groups of unknown transports to a known one."""

    known: tuple[str, ...]
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailOver:
    """Give what waits for one leg of a route to another."""

    transport: str
    route: str
    to: str
    now: int
    even_uncertain: str
    """Priorities of the classes whose uncertain mail moves too, as JSON."""


def reroute(ledger: Ledger, wishes: Sequence[Reroute]) -> Sequence[int]:
    """Move unleased groups of unknown transports; uncertain ones wait for a person there."""
    answers = []
    for wish in wishes:
        strangers: list[Any] = ledger.run(statement("strangers"), (json.dumps(wish.known),)).fetchall()
        _give(ledger, wish.to, [(due_at, seq, grp) for seq, grp, due_at, *_ in strangers])
        for lane in {Lane._make(row[3:]) for row in strangers if row[2] is not None}:
            ledger.lanes.add(wish.to, lane)
        answers.append(len(strangers))
    return answers


def fail_over(ledger: Ledger, wishes: Sequence[FailOver]) -> Sequence[tuple[int, int]]:
    """Move one chunk; answer with the groups and the recipients that moved."""
    return [_fail_over(ledger, wish) for wish in wishes]


def _fail_over(ledger: Ledger, wish: FailOver) -> tuple[int, int]:
    recipients, data = 0, {"to": wish.to}
    bindings = (wish.transport, wish.route, wish.even_uncertain, CHUNK)
    found: list[Any] = ledger.run(statement("reroutable"), bindings).fetchall()
    moved: list[tuple[int, int, int]] = []
    for seq, grp, members, tenant, priority, standing, send_at in found:
        moved.append((max(wish.now, send_at or 0), seq, grp))
        ledger.lanes.add(wish.to, Lane(wish.route, tenant, priority, standing))
        ledger.note(
            EventKind.RECIPIENT_QUEUED,
            at=wish.now,
            tenant=tenant,
            seq=seq,
            members=members,
            transport=wish.transport,
            cause=FAILOVER,
            data=data,
        )
        recipients += len(members_of(members))
    _give(ledger, wish.to, moved)
    return len(found), recipients


def _give(ledger: Ledger, to: str, moved: Sequence[tuple[int | None, int, int]]) -> None:
    """Let groups wait for another transport: due time, row and number of each."""
    ledger.run_many(statement("give_group"), [(to, *group) for group in moved])
    ledger.run_many(statement("reroute_message"), [(to, seq) for _, seq, _ in moved])


def hurry(ledger: Ledger, wishes: Sequence[tuple[str, int]]) -> Sequence[None]:
    """Let queued groups of a transport be due, or due at their message's own time."""
    for transport, now in wishes:
        ledger.run(statement("hurry"), (transport, now))
    return [None] * len(wishes)


def waiting(db: apsw.Connection, transport: str) -> int:
    """Count the groups of a transport."""
    ((count,),) = db.execute(statement("groups_of_transport"), (transport,))
    return int(str(count))


def waiting_routes(db: apsw.Connection, transport: str) -> list[str]:
    """Return the routes of what waits for a transport, each once."""
    found: list[str] = []
    while row := db.execute(statement("next_route"), (transport, found[-1] if found else "")).fetchone():
        found.append(str(row[0]))
    return found

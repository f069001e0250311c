"""Giving what waits to another transport, for whoever has the connection, and the routes of what waits."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from postroom.model.event import EventKind
from postroom.spool.groups import FAILOVER, members_of
from postroom.spool.sqlite import rows
from postroom.spool.sqlite.ledger import Group, Ledger
from postroom.spool.sqlite.statement import statement

CHUNK = 1000
"""Groups that change their transport in one operation: some tens of milliseconds."""


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
    """Move unleased groups of unknown transports, whatever state they are in; answer with how many."""
    answers = []
    for wish in wishes:
        strangers = list(ledger.groups("strangers", (json.dumps(wish.known),)))
        for row in strangers:
            _give(ledger, row, wish.to, due_at=row.due_at)
        answers.append(len(strangers))
    return answers


def fail_over(ledger: Ledger, wishes: Sequence[FailOver]) -> Sequence[tuple[int, int]]:
    """Move one chunk; answer with the groups and the recipients that moved."""
    return [_fail_over(ledger, wish) for wish in wishes]


def _fail_over(ledger: Ledger, wish: FailOver) -> tuple[int, int]:
    recipients = 0
    found = list(ledger.groups("reroutable", (wish.transport, wish.route, wish.even_uncertain, CHUNK)))
    for row in found:
        _give(ledger, row, wish.to, due_at=max(wish.now, _send_at(ledger, row.seq)))
        ledger.note(
            EventKind.RECIPIENT_QUEUED,
            at=wish.now,
            tenant=row.tenant,
            seq=row.seq,
            members=row.members,
            transport=row.transport,
            cause=FAILOVER,
            data={"to": wish.to},
        )
        recipients += len(members_of(row.members))
    return len(found), recipients


def _give(ledger: Ledger, row: Group, to: str, *, due_at: int | None) -> None:
    rows.replace(ledger, row._replace(transport=to, due_at=due_at))
    ledger.run(statement("reroute_message"), (to, row.seq))


def _send_at(ledger: Ledger, seq: int) -> int:
    row = ledger.run(statement("send_at"), (seq,)).fetchone()
    return 0 if row is None or row[0] is None else int(str(row[0]))


def waiting_routes(db: apsw.Connection, transport: str) -> list[str]:
    """Return the routes of what waits for a transport, each once."""
    found: list[str] = []
    while row := db.execute(statement("next_route"), (transport, found[-1] if found else "")).fetchone():
        found.append(str(row[0]))
    return found

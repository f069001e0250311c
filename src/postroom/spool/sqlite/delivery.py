"""Committing and settling, for whoever has the connection.

A lease is row ``token`` of the queue while it carries the attempt's number: attempt numbers are never
given twice, so a write under a lease that is over finds no row. A result that comes after the end of its
lease still counts as long as nobody else has taken the group: throwing it away would send a second copy.
The final dot is stricter: it needs a lease that still runs. Members of string enumerations are bound as
the strings they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from postroom.errors import InvariantError
from postroom.model.attempt import Lease, Settlement, Stage
from postroom.model.lifecycle import RecipientState
from postroom.model.outcome import RecipientResult
from postroom.spool import groups
from postroom.spool.codec import micros
from postroom.spool.groups import EVENT_OF, members_of, members_text, standing_of
from postroom.spool.sqlite import rows
from postroom.spool.sqlite.ending import attempt_stage, leased
from postroom.spool.sqlite.ledger import Group, Ledger
from postroom.spool.sqlite.statement import statement

_MARK_COMMITTING = statement("mark_committing")
_SETTLE_ATTEMPT = statement("settle_attempt")
_INSERT_OUTCOME = statement("insert_outcome")
_MOVE_RECIPIENT = statement("move_recipient")
_DELETE_GROUP = statement("delete_group")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """The final dot of a lease is next."""

    lease: Lease
    digest: str
    now: int


def mark_committing(ledger: Ledger, commits: Sequence[Commit]) -> Sequence[bool]:
    """Record that final dots are about to be sent."""
    db, run = ledger.db, ledger.run
    marked = []
    for commit in commits:
        lease = commit.lease
        run(
            _MARK_COMMITTING,
            (commit.digest, commit.now, lease.token, lease.attempt, lease.group, commit.now),
        )
        marked.append(db.changes() == 1)
    return marked


def settle(ledger: Ledger, settlements: Sequence[Settlement]) -> Sequence[bool | InvariantError]:
    """Record results and move recipients; an impossible settlement fails alone."""
    answers: list[bool | InvariantError] = []
    done = _Done()
    taken: set[int] = set()
    for settlement in settlements:
        lease = settlement.lease
        row = leased(ledger, lease)
        if row is None or lease.attempt in taken:
            answers.append(False)
            continue
        try:
            done.add(ledger, row, settlement)
        except InvariantError as error:
            answers.append(error)
            continue
        taken.add(lease.attempt)
        answers.append(True)
    done.write(ledger)
    return answers


class _Done:
    """Rows of a batch of settlements, by statement."""

    __slots__ = ("attempts", "gone", "moved", "outcomes")

    def __init__(self) -> None:
        self.attempts: list[tuple[int, bool, int, int]] = []
        self.outcomes: list[tuple[int | str | bytes | None, ...]] = []
        self.moved: list[tuple[str, str, int, int]] = []
        self.gone: list[tuple[int, int]] = []

    def add(self, ledger: Ledger, row: Group, settlement: Settlement) -> None:
        seq, number, at = row.seq, settlement.lease.attempt, micros(settlement.settled_at)
        members = members_of(row.members)
        fate = groups.settled(members, RecipientState(row.state), settlement.moves, settled_at=at)
        if not {result.recipient for result in settlement.results}.issubset(members):
            raise InvariantError("a result names a recipient that is not of the lease")
        self.attempts.append((at, settlement.counts, seq, number))
        for result in settlement.results:
            self.outcomes.append(_outcome_row(seq, number, result))
        for recipient, state, cause in fate.changes:
            self.moved.append((state, cause, seq, recipient))
            ledger.recount(RecipientState.SENDING, state, 1)
        _note(ledger, row, fate, at=at)
        if not settlement.is_begun:
            ledger.note_sent(row.transport, attempt_stage(ledger, seq, number)[1], -1)
        if unmoved := len(members) - len(fate.changes):
            ledger.recount(RecipientState.SENDING, row.state, unmoved)
        if fate.waiting:
            _regroup(ledger, row, fate, settlement)
        else:
            self.gone.append((seq, row.grp))

    def write(self, ledger: Ledger) -> None:
        ledger.run_many(_SETTLE_ATTEMPT, self.attempts)
        ledger.run_many(_INSERT_OUTCOME, self.outcomes)
        ledger.run_many(_MOVE_RECIPIENT, self.moved)
        if self.gone:
            ledger.run_many(_DELETE_GROUP, self.gone)


def _note(ledger: Ledger, row: Group, fate: groups.Settled, *, at: int) -> None:
    """Append one event for each (state, cause); who was queued and is queued has no story."""
    if len(fate.changes) == 1:
        told = {fate.changes[0][1:]: [fate.changes[0][0]]}
    else:
        told = {}
        for recipient, state, cause in fate.changes:
            told.setdefault((state, cause), []).append(recipient)
    for (state, cause), members in told.items():
        if state != row.state or state is not RecipientState.QUEUED:
            ledger.note(
                EVENT_OF[state],
                at=at,
                tenant=row.tenant,
                seq=row.seq,
                members=members_text(sorted(members)),
                transport=row.transport,
                cause=cause,
            )


def _regroup(ledger: Ledger, row: Group, fate: groups.Settled, settlement: Settlement) -> None:
    stage, _, _, digest = attempt_stage(ledger, row.seq, settlement.lease.attempt)
    if stage != Stage.COMMITTING:
        digest = row.digest
    ledger.run(_DELETE_GROUP, (row.seq, row.grp))
    if settlement.to:
        row = row._replace(transport=settlement.to)
        ledger.run(statement("reroute_message"), (settlement.to, row.seq))
    for waiting in fate.waiting:
        rows.insert(
            ledger,
            row._replace(
                state=waiting.state.value,
                due_at=waiting.due_at,
                lease=None,
                members=members_text(waiting.members),
                tries=row.tries + settlement.counts,
                crashes=0,
                standing=standing_of(waiting.state, crashes=0),
                digest=digest,
                maybe_duplicate=int(row.maybe_duplicate or waiting.state is RecipientState.UNCERTAIN),
            ),
        )


def _outcome_row(seq: int, number: int, result: RecipientResult) -> tuple[int | str | bytes | None, ...]:
    evidence, verdict = result.evidence, result.verdict
    reply, fault = evidence.reply, evidence.fault
    enhanced = reply.enhanced if reply is not None else None
    return (
        seq,
        number,
        result.recipient,
        micros(result.at),
        verdict.outcome,
        verdict.action,
        verdict.cause,
        evidence.step,
        reply.code if reply is not None else None,
        str(enhanced) if enhanced is not None else None,
        reply.text if reply is not None else fault.text if fault is not None else "",
        reply.raw if reply is not None else None,
        fault.kind if fault is not None else None,
        evidence.host,
        evidence.port,
        result.duration_ms,
    )

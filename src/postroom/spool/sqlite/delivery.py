"""Claiming, committing and settling, in the writer thread.

A lease is row ``token`` of the queue while it carries the attempt's number: attempt numbers are never
given twice, so a write under a lease that is over finds no row. A result that comes after the end of its
lease still counts as long as nobody else has taken the group: throwing it away would send a second copy.
The final dot is stricter: it needs a lease that still runs. Members of string enumerations are bound as
the strings they are.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from postroom.errors import InvariantError
from postroom.model.attempt import Claimed, Lease, Settlement, Stage
from postroom.model.ids import AttemptId, LeaseToken
from postroom.model.lifecycle import RecipientState
from postroom.model.message import Message, UncertainPolicy
from postroom.model.outcome import Action, OutcomeKind, RecipientResult
from postroom.model.step import Step
from postroom.model.transport import TransportKind
from postroom.spool import groups
from postroom.spool.codec import decode_message, micros
from postroom.spool.groups import members_of, members_text
from postroom.spool.sqlite.intake import INSERT_GROUP
from postroom.spool.sqlite.ledger import Group, Ledger
from postroom.spool.sqlite.statement import statement

_CLAIMABLE = statement("claimable")
_CONTENT = statement("content")
_LEASE_GROUP = statement("lease_group")
_INSERT_ATTEMPT = statement("insert_attempt")
_NEXT_GROUP = statement("next_group")
_MARK_COMMITTING = statement("mark_committing")
_LEASED_GROUP = statement("leased_group")
_ATTEMPT_STAGE = statement("attempt_stage")
_SETTLE_ATTEMPT = statement("settle_attempt")
_DELETE_ATTEMPT = statement("delete_attempt")
_INSERT_OUTCOME = statement("insert_outcome")
_MOVE_RECIPIENT = statement("move_recipient")
_DELETE_GROUP = statement("delete_group")
_UNCERTAIN_POLICY = statement("uncertain_policy")
_TOUCH_MESSAGE = statement("touch_message")

_PRIORITIES = tuple(sorted(groups.PRIORITIES.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A wish for work; instants in microseconds."""

    transport: str
    limit: int
    now: int
    lease_until: int
    max_recipients: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """The final dot of a lease is next."""

    lease: Lease
    digest: str
    now: int


# --------------------------------------------------------------------------- claim


def claim(ledger: Ledger, claims: Sequence[Claim]) -> Sequence[Sequence[Claimed]]:
    """Lease due groups, by priority, then due time."""
    return [_claim(ledger, want) for want in claims]


def _claim(ledger: Ledger, want: Claim) -> Sequence[Claimed]:
    rows = _due(ledger, want)
    while lapsed := [row for row in rows if row.lease is not None]:
        for row in lapsed:
            free(ledger, row, now=want.now, crashed=False)
        rows = _due(ledger, want)
    claimed: list[Claimed] = []
    leases: list[tuple[int, int, str, int, int]] = []
    attempts: list[tuple[int, int, str, str, int]] = []
    for row in rows:
        message = ledger.recent.take(row.seq) or _stored(ledger, row.seq)
        if message is None:
            hold(ledger, row, groups.CONTENT_DAMAGED, now=want.now)
            continue
        members = members_of(row.members)
        text = row.members
        if len(members) > want.max_recipients:
            _leave(ledger, row, members[want.max_recipients :])
            members = members[: want.max_recipients]
            text = members_text(members)
        number = ledger.next_attempt()
        leases.append((number, want.lease_until, text, row.seq, row.grp))
        attempts.append((row.seq, number, row.transport, text, want.now))
        ledger.lease_counts(row.state, len(members))
        claimed.append(
            Claimed(
                lease=Lease(
                    message_id=message.id,
                    group=row.grp,
                    attempt=AttemptId(number),
                    token=LeaseToken(row.seq),
                ),
                message=message,
                recipients=members,
                tries=row.tries,
                digest=row.digest,
                maybe_duplicate=bool(row.maybe_duplicate),
            )
        )
    if claimed:
        ledger.run_many(_LEASE_GROUP, leases)
        ledger.run_many(_INSERT_ATTEMPT, attempts)
        if want.transport != TransportKind.CAPTURE and not ledger.has_sent_real_mail:
            ledger.note_real_mail()
    return claimed


def _due(ledger: Ledger, want: Claim) -> list[Group]:
    rows: list[Group] = []
    for priority in _PRIORITIES:
        if (left := want.limit - len(rows)) <= 0:
            break
        found = ledger.run(_CLAIMABLE, (want.transport, priority, want.now, want.now, left))
        rows.extend(map(Group._make, found))
    return rows


def _stored(ledger: Ledger, seq: int) -> Message | None:
    """Read a message back; ``None`` when it is not what was stored."""
    row = ledger.run(_CONTENT, (seq,)).fetchone()
    if row is None:
        return None
    body, sha256 = row
    if not isinstance(body, bytes) or hashlib.sha256(body).digest() != sha256:
        return None
    return decode_message(body)


def _leave(ledger: Ledger, row: Group, members: Sequence[int]) -> None:
    """Put the part of a group that is not claimed back as a group of its own."""
    insert(ledger, row._replace(members=members_text(members)))


def insert(ledger: Ledger, row: Group) -> None:
    """Insert an unleased group under the next free number of its message."""
    found = ledger.run(_NEXT_GROUP, (row.seq,)).fetchone()
    _insert_as_numbered(ledger, row._replace(grp=0 if found is None else int(str(found[0]))))


def replace(ledger: Ledger, row: Group) -> Group:
    """Write a group anew, unleased, under its own number."""
    ledger.run(_DELETE_GROUP, (row.seq, row.grp))
    _insert_as_numbered(ledger, row)
    return row


def _insert_as_numbered(ledger: Ledger, row: Group) -> None:
    ledger.run(
        INSERT_GROUP,
        (
            row.seq,
            row.grp,
            row.transport,
            row.priority,
            row.state,
            row.due_at,
            row.members,
            row.tries,
            row.crashes,
            row.digest,
            row.maybe_duplicate,
            row.expires_at,
        ),
    )


# --------------------------------------------------------------------------- committing


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


# --------------------------------------------------------------------------- settle


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


def leased(ledger: Ledger, lease: Lease) -> Group | None:
    """Return the group a lease holds, ``None`` when the lease is over."""
    row = ledger.run(_LEASED_GROUP, (lease.token, lease.group, lease.attempt)).fetchone()
    return None if row is None else Group._make(row)


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


def _regroup(ledger: Ledger, row: Group, fate: groups.Settled, settlement: Settlement) -> None:
    stage, _, _, digest = _stage(ledger, row.seq, settlement.lease.attempt)
    if stage != Stage.COMMITTING:
        digest = row.digest
    ledger.run(_DELETE_GROUP, (row.seq, row.grp))
    for waiting in fate.waiting:
        insert(
            ledger,
            row._replace(
                state=waiting.state.value,
                due_at=waiting.due_at,
                lease=None,
                members=members_text(waiting.members),
                tries=row.tries + settlement.counts,
                digest=digest,
                maybe_duplicate=int(row.maybe_duplicate or waiting.state is RecipientState.UNCERTAIN),
            ),
        )


def _stage(ledger: Ledger, seq: int, number: int) -> tuple[str, int, int | None, str | None]:
    row = ledger.run(_ATTEMPT_STAGE, (seq, number)).fetchone()
    if row is None:
        raise InvariantError(f"attempt {number} of a lease is not stored")
    stage, opened_at, committing_at, digest = row
    return str(stage), int(str(opened_at)), committing_at, digest


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


# --------------------------------------------------------------------------- without a result


def release(ledger: Ledger, releases: Sequence[Sequence[Lease]]) -> Sequence[None]:
    """Give groups back whose attempt never began.

    An attempt that was marked as committing did begin: its recipients become uncertain.
    """
    for leases in releases:
        for lease in leases:
            row = leased(ledger, lease)
            if row is None:
                continue
            stage, opened_at, committing_at, _ = _stage(ledger, row.seq, lease.attempt)
            if stage == Stage.OPEN:
                ledger.run(_DELETE_ATTEMPT, (row.seq, lease.attempt))
                _give_back(ledger, row, due_at=opened_at)
            else:
                free(ledger, row, now=committing_at or opened_at, crashed=False)
    return [None] * len(releases)


def free(
    ledger: Ledger, row: Group, *, now: int, crashed: bool, wait: timedelta | None = None
) -> tuple[int, int]:
    """End a lease nobody will settle; return the attempts freed and the recipients now uncertain.

    An open attempt is settled as nothing and its group due at once; a committing one makes its recipients
    uncertain, by the policy of the message. A group that was in work at several deaths of the process
    waits for a person.
    """
    if row.lease is None:
        return 0, 0
    stage, _, committing_at, digest = _stage(ledger, row.seq, row.lease)
    crashes = row.crashes + crashed
    limit = ledger.settings.max_crashes
    poisonous = limit is not None and crashes >= limit
    ledger.run(_TOUCH_MESSAGE, (now, row.seq))
    row = row._replace(crashes=crashes)
    if stage == Stage.OPEN:
        ledger.run(_SETTLE_ATTEMPT, (now, False, row.seq, row.lease))
        row = _give_back(ledger, row, due_at=now)
        if poisonous:
            hold(ledger, row, groups.CRASH_LOOP, now=now)
        return 1, 0
    dot_at = now if committing_at is None else committing_at
    due_at = _uncertain_due(ledger, row.seq, now, dot_at + (wait or ledger.settings.uncertain_wait) // _MICRO)
    _become_uncertain(
        ledger,
        row._replace(due_at=None if poisonous else due_at, digest=digest),
        now=now,
        text=groups.PROCESS_ENDED if crashed else groups.LEASE_ENDED,
    )
    return 0, len(members_of(row.members))


_MICRO = timedelta(microseconds=1)


def _uncertain_due(ledger: Ledger, seq: int, now: int, after_wait: int) -> int | None:
    row = ledger.run(_UNCERTAIN_POLICY, (seq,)).fetchone()
    match UncertainPolicy(str(row[0]) if row is not None else UncertainPolicy.ASK):
        case UncertainPolicy.RETRY:
            return now
        case UncertainPolicy.WAIT:
            return after_wait
        case UncertainPolicy.ASK:
            return None


def _become_uncertain(ledger: Ledger, row: Group, *, now: int, text: str) -> None:
    cause, state = groups.CONNECTION_LOST_AFTER_BODY, RecipientState.UNCERTAIN.value
    members = members_of(row.members)
    kind, action, step = OutcomeKind.UNCERTAIN.value, Action.UNCERTAIN.value, Step.BODY_END.value
    ledger.run(_SETTLE_ATTEMPT, (now, True, row.seq, row.lease))
    ledger.run_many(
        _INSERT_OUTCOME,
        [
            (
                row.seq,
                row.lease,
                member,
                now,
                kind,
                action,
                cause,
                step,
                None,
                None,
                text,
                None,
                "local",
                "",
                0,
                0,
            )
            for member in members
        ],
    )
    ledger.run_many(_MOVE_RECIPIENT, [(state, cause, row.seq, member) for member in members])
    ledger.recount(RecipientState.SENDING, state, len(members))
    replace(ledger, row._replace(state=state, lease=None, tries=row.tries + 1, maybe_duplicate=1))


def _give_back(ledger: Ledger, row: Group, *, due_at: int) -> Group:
    ledger.recount(RecipientState.SENDING, row.state, len(members_of(row.members)))
    return replace(ledger, row._replace(lease=None, due_at=due_at))


def hold(ledger: Ledger, row: Group, cause: str, *, now: int) -> None:
    """Let an unleased group wait for a person; uncertain recipients stay uncertain."""
    members = members_of(row.members)
    state = RecipientState.HELD.value
    if row.state == RecipientState.UNCERTAIN:
        state = row.state
    ledger.run_many(_MOVE_RECIPIENT, [(state, cause, row.seq, member) for member in members])
    ledger.recount(row.state, state, len(members))
    ledger.run(_TOUCH_MESSAGE, (now, row.seq))
    replace(ledger, row._replace(state=state, due_at=None, lease=None))

"""Rows of the queue: written, held and finished, each with its counts and its event.

What every verb that changes a group shares; the caller is in a transaction, and the group was read in it.
"""

from postroom.model.lifecycle import RecipientState
from postroom.spool.groups import EVENT_OF, members_of
from postroom.spool.sqlite.intake import INSERT_GROUP
from postroom.spool.sqlite.lanes import Lane
from postroom.spool.sqlite.ledger import Group, Ledger
from postroom.spool.sqlite.statement import statement

_NEXT_GROUP = statement("next_group")
_DELETE_GROUP = statement("delete_group")
_MOVE_RECIPIENT = statement("move_recipient")
_MOVE_ONLY = statement("move_only")
_TOUCH_MESSAGE = statement("touch_message")


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
    if row.due_at is not None:
        ledger.lanes.add(row.transport, Lane(row.route, row.tenant, row.priority, row.standing))
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
            row.tenant,
            row.route,
            row.standing,
            row.hold,
        ),
    )


def hold(ledger: Ledger, row: Group, cause: str, *, now: int) -> None:
    """Let an unleased group wait for a person; uncertain recipients stay uncertain."""
    members = members_of(row.members)
    state = RecipientState(row.state)
    if state is not RecipientState.UNCERTAIN:
        state = RecipientState.HELD
    ledger.run_many(_MOVE_RECIPIENT, [(state, cause, row.seq, member) for member in members])
    ledger.recount(row.state, state, len(members))
    ledger.run(_TOUCH_MESSAGE, (now, row.seq))
    replace(ledger, row._replace(state=state.value, due_at=None, lease=None))
    note(ledger, row, state, now=now, cause=cause)


def finish(ledger: Ledger, row: Group, state: RecipientState, *, now: int) -> None:
    """End the wait of an unleased group; the cause of its last trouble stays."""
    members = members_of(row.members)
    ledger.run_many(_MOVE_ONLY, [(state.value, row.seq, member) for member in members])
    ledger.recount(row.state, state.value, len(members))
    ledger.run(_DELETE_GROUP, (row.seq, row.grp))
    ledger.run(_TOUCH_MESSAGE, (now, row.seq))
    note(ledger, row, state, now=now)


def note(ledger: Ledger, row: Group, state: RecipientState, *, now: int, cause: str = "") -> None:
    """Append the event of a group that came into a state."""
    ledger.note(
        EVENT_OF[state],
        at=now,
        tenant=row.tenant,
        seq=row.seq,
        members=row.members,
        transport=row.transport,
        cause=cause,
    )

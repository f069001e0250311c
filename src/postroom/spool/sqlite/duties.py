"""What keeps the queue true beside delivery, in the writer thread: recovery, cancelling, expiry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from postroom.model.ids import MessageId, TenantId
from postroom.model.lifecycle import RecipientState
from postroom.ports import Recovery
from postroom.spool.groups import CANCELLABLE, members_of
from postroom.spool.sqlite import rows
from postroom.spool.sqlite.ending import free
from postroom.spool.sqlite.ledger import Group, Ledger
from postroom.spool.sqlite.statement import statement

_SEQ_OF_MESSAGE = statement("seq_of_message")
_RECIPIENT_STATES = statement("recipient_states")
_ID_OF_MESSAGE = statement("id_of_message")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The life before is over; every lease with it."""

    now: int
    wait: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """Cancel what waits of one message."""

    message_id: MessageId
    tenant: TenantId
    now: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """Expire what is past its end: groups found by a reader, looked at again here."""

    now: int
    groups: Sequence[tuple[int, int]]


def recover(ledger: Ledger, starts: Sequence[Start]) -> Sequence[Recovery]:
    """Void every lease."""
    answers = []
    for start in starts:
        freed = uncertain = 0
        for row in list(ledger.groups("leased_groups", ())):
            one_freed, some_uncertain = free(ledger, row, now=start.now, crashed=True, wait=start.wait)
            freed += one_freed
            uncertain += some_uncertain
        ledger.turns.clear()
        answers.append(Recovery(freed=freed, uncertain=uncertain))
    return answers


def cancel(ledger: Ledger, wishes: Sequence[Cancellation]) -> Sequence[Mapping[int, RecipientState]]:
    """Cancel queued, deferred and held recipients; answer with every recipient's state."""
    return [_cancel(ledger, wish) for wish in wishes]


def _cancel(ledger: Ledger, wish: Cancellation) -> Mapping[int, RecipientState]:
    found = ledger.run(_SEQ_OF_MESSAGE, (wish.message_id, wish.tenant)).fetchone()
    if found is None:
        return {}
    seq = int(str(found[0]))
    sending: set[int] = set()
    for row in list(ledger.groups("groups_of_message", (seq,))):
        if row.lease is not None:
            sending.update(members_of(row.members))
        elif row.state in CANCELLABLE:
            rows.finish(ledger, row, RecipientState.CANCELLED, now=wish.now)
    return {
        int(str(number)): RecipientState.SENDING if number in sending else RecipientState(str(state))
        for number, state in ledger.run(_RECIPIENT_STATES, (seq,))
    }


def expire(ledger: Ledger, expiries: Sequence[Expiry]) -> Sequence[Sequence[MessageId]]:
    """Expire groups that are still unleased and past their end."""
    return [_expire(ledger, expiry) for expiry in expiries]


def _expire(ledger: Ledger, expiry: Expiry) -> Sequence[MessageId]:
    touched: dict[int, None] = {}
    for key in expiry.groups:
        row = _group(ledger, key)
        if row is None or row.expires_at > expiry.now:
            continue
        if row.lease is not None:
            if row.due_at is None or row.due_at > expiry.now:
                continue
            free(ledger, row, now=expiry.now, crashed=False)
            row = _group(ledger, key)
        if row is not None and row.state in CANCELLABLE:
            rows.finish(ledger, row, RecipientState.EXPIRED, now=expiry.now)
            touched[row.seq] = None
        elif row is not None:
            # Never expired by itself, and not sent after its end: a person decides.
            rows.replace(ledger, row._replace(due_at=None))
    return [_id(ledger, seq) for seq in touched]


def _group(ledger: Ledger, key: tuple[int, int]) -> Group | None:
    return next(iter(ledger.groups("group", key)), None)


def _id(ledger: Ledger, seq: int) -> MessageId:
    row = ledger.run(_ID_OF_MESSAGE, (seq,)).fetchone()
    return MessageId("" if row is None else str(row[0]))

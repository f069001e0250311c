"""The standing orders as the writer asks them: at acceptance, and suppressions once more at a claim.

Whom the settings block counts as suppressed.

Holds are few and kept in memory; they are read again after any transaction that touched them. What is kept is
what is committed, because acceptance stands before the duties in every batch; a duty reads the table itself.

Suppressions may be a million. Asking the table costs some six microseconds an address on pages of the table
that would drive those of the queue out of the cache; keeping them all in memory costs a few hundred MiB. So
a table of bits (4 MiB, no more whatever their number) knows which addresses surely have none, and SQL is
asked for the others. A bit too much, of a removed address or a rolled back transaction, costs one question.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import apsw

from postroom.model.address import Address
from postroom.model.hold import Hold, HoldEnd, HoldFilter, Suppression, SuppressionReason
from postroom.model.ids import MessageId, TenantId
from postroom.model.message import MailClass, Message
from postroom.policy.blocking import CAUSE as BLOCKED
from postroom.policy.blocking import NOBODY, BlockList
from postroom.policy.matching import domain_pattern, folded, suppression_cause
from postroom.spool.codec import instant, instant_or_none, micros
from postroom.spool.groups import Ordered
from postroom.spool.ordering import ordered, suppressed
from postroom.spool.sqlite.statement import statement

_SUPPRESSIONS_OF = statement("suppressions_of")

_BITS = 25
"""Of the table: a million addresses set three bits in a hundred."""
_MASK = (1 << _BITS) - 1


class StandingOrders:
    """Holds and suppressions, on the writer's connection."""

    def __init__(self, db: apsw.Connection, blocked: BlockList = NOBODY) -> None:
        """Read what stands; ``blocked`` are those of the settings."""
        self._db = db
        self._blocked = blocked
        self._holds: tuple[Hold, ...] | None = None
        self._bits = bytearray()
        self.note_addresses(str(row[0]) for row in db.execute(statement("suppression_addresses")))

    @property
    def holds(self) -> tuple[Hold, ...]:
        """Every hold that stands, oldest first; not for duties."""
        if self._holds is None:
            self._holds = open_holds(self._db)
        return self._holds

    @property
    def has_suppressions(self) -> bool:
        """Whether there may be any."""
        return bool(self._bits or self._blocked)

    def forget_holds(self) -> None:
        """Read the holds again before they are asked next."""
        self._holds = None

    def note_addresses(self, addresses: Iterable[str]) -> None:
        """Remember that suppressions may name addresses or ``@domain``, in folded form."""
        bits = self._bits
        for address in addresses:
            if not bits:
                bits = self._bits = bytearray(1 << (_BITS - 3))
            place = hash(address) & _MASK
            bits[place >> 3] |= 1 << (place & 7)

    def _may_name(self, address: Address) -> bool:
        """Say whether a suppression may name an address; no other work is done for most of them."""
        bits, domain = self._bits, "@" + address.domain
        if not bits:
            return False
        place = hash(folded(address.local + domain)) & _MASK
        if bits[place >> 3] & (1 << (place & 7)):
            return True
        place = hash(domain) & _MASK
        return bool(bits[place >> 3] & (1 << (place & 7)))

    def of(self, message: Message, *, transport: str) -> Sequence[Ordered]:
        """Return what is held and suppressed of a message; suppression goes first."""
        holds = self.holds
        if not holds and not self.has_suppressions:
            return ()
        stopped = self.stopped(message, range(len(message.envelope.recipients)), now=message.created_at)
        if not holds:
            return stopped
        return ordered(message, holds, stopped, transport=transport)

    def stopped(self, message: Message, members: Sequence[int], *, now: datetime) -> list[Ordered]:
        """Return which of these recipients are suppressed, by cause."""
        if not self.has_suppressions:
            return []
        found: dict[str, list[int]] = {}
        recipients = message.envelope.recipients
        for number in members:
            if self._blocked and self._blocked.blocks(recipients[number].spec):
                found.setdefault(BLOCKED, []).append(number)
                continue
            if not self._may_name(recipients[number]):
                continue
            spec = recipients[number].spec
            stop = suppression_of(self._db, message.tenant, message.mail_class, spec, now=micros(now))
            if stop is not None:
                found.setdefault(suppression_cause(stop.reason), []).append(number)
        return suppressed(found) if found else []


def suppression_of(
    db: apsw.Connection, tenant: TenantId, mail_class: MailClass, address: str, *, now: int
) -> Suppression | None:
    """Return why mail of a class is not sent to an address: its own row before its domain's."""
    rows = db.execute(
        _SUPPRESSIONS_OF, (tenant, folded(address), domain_pattern(address), mail_class, now)
    ).fetchall()
    found = [suppression_from(row) for row in rows]
    return min(found, key=lambda one: (one.address.startswith("@"), one.mail_class or ""), default=None)


# --------------------------------------------------------------------------- rows


def open_holds(db: apsw.Connection) -> tuple[Hold, ...]:
    """Return every hold that stands, oldest first."""
    return tuple(map(hold_of, db.execute(statement("open_holds"))))


def hold_of(row: Any) -> Hold:
    """Read a row of ``hold``."""
    (
        id_,
        tenant,
        mail_class,
        tag,
        sender,
        recipient,
        transport,
        reason,
        author,
        created_at,
        until,
        fate,
        ended_at,
        ended_by,
    ) = row
    return Hold(
        id=id_,
        tenant=TenantId(tenant),
        filter=HoldFilter(
            mail_class=MailClass(mail_class) if mail_class else None,
            tag=tag,
            sender=sender,
            recipient=recipient,
            transport=transport,
        ),
        reason=reason,
        author=author,
        created_at=instant(created_at),
        until=instant_or_none(until),
        then=HoldEnd(fate),
        ended_at=instant_or_none(ended_at),
        ended_by=ended_by,
    )


def suppression_from(row: Any) -> Suppression:
    """Read a row of ``suppression``."""
    tenant, address, mail_class, reason, note, author, created_at, until, message_id = row
    return Suppression(
        tenant=TenantId(tenant),
        address=address,
        mail_class=MailClass(mail_class) if mail_class else None,
        reason=SuppressionReason(reason),
        note=note,
        author=author,
        created_at=instant(created_at),
        until=instant_or_none(until),
        message_id=None if message_id is None else MessageId(message_id),
    )

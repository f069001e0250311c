"""The standing orders in memory: holds and suppressions, asked at acceptance and at a claim."""

from collections.abc import Sequence
from datetime import datetime

from postroom.model.address import Address
from postroom.model.hold import Hold, Suppression
from postroom.model.ids import TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass, Message
from postroom.policy.matching import Traits, domain_pattern, first_hold, folded, suppression_cause
from postroom.spool import choosing
from postroom.spool.groups import Ordered

Key = tuple[TenantId, str, MailClass | None]
"""Tenant, address or ``@domain``, scope."""


class MemoryOrders:
    """Holds and suppressions."""

    def __init__(self) -> None:
        """Start empty."""
        self.holds: dict[str, Hold] = {}
        self.suppressions: dict[Key, Suppression] = {}

    def standing(self) -> list[Hold]:
        """Return the holds that stand, oldest first."""
        found = [hold for hold in self.holds.values() if hold.ended_at is None]
        return sorted(found, key=lambda hold: (hold.created_at, hold.id))

    def of(self, message: Message, *, transport: str) -> Sequence[Ordered]:
        """Return what is held and suppressed of a message; suppression goes first."""
        now = message.created_at
        stopped = self.stopped(message, range(len(message.envelope.recipients)), now=now)
        gone = {member for order in stopped for member in order.members}
        kept: dict[str, list[int]] = {}
        traits = traits_of(message, transport)
        for number, address in enumerate(message.envelope.recipients):
            hold = first_hold(self.standing(), traits, address.spec, now=now)
            if hold is not None and number not in gone:
                kept.setdefault(hold.id, []).append(number)
        return [*stopped, *(_kept(self.holds[id_], members) for id_, members in kept.items())]

    def stopped(self, message: Message, members: Sequence[int], *, now: datetime) -> list[Ordered]:
        """Return which of these recipients are suppressed, by cause."""
        found: dict[str, list[int]] = {}
        for number in members:
            address = message.envelope.recipients[number]
            stop = self.suppression(message.tenant, message.mail_class, address, now=now)
            if stop is not None:
                found.setdefault(suppression_cause(stop.reason), []).append(number)
        return [
            Ordered(state=RecipientState.SUPPRESSED, cause=cause, members=tuple(numbers))
            for cause, numbers in found.items()
        ]

    def purge(self, *, now: datetime, before: datetime, limit: int) -> int:
        """Forget suppressions past their end and holds that ended before an instant; return how many."""
        past = [key for key, one in self.suppressions.items() if one.until is not None and one.until < now][
            :limit
        ]
        for key in past:
            del self.suppressions[key]
        ended = [
            hold.id for hold in self.holds.values() if hold.ended_at is not None and hold.ended_at < before
        ]
        for hold_id in ended:
            del self.holds[hold_id]
        return len(past) + len(ended)

    def suppression(
        self, tenant: TenantId, mail_class: MailClass, address: Address, *, now: datetime | None
    ) -> Suppression | None:
        """Return why an address is not sent to: its own suppression before its domain's, all before one."""
        for name in (folded(address.spec), domain_pattern(address.spec)):
            for scope in (None, mail_class):
                found = self.suppressions.get((tenant, name, scope))
                if found is not None and (found.until is None or now is None or found.until > now):
                    return found
        return None


def traits_of(message: Message, transport: str) -> Traits:
    """Return what filters look at."""
    return Traits(
        tenant=message.tenant,
        mail_class=message.mail_class,
        sender=message.content.from_.address.spec,
        tags=message.tags,
        transport=transport,
        created_at=message.created_at,
    )


def _kept(hold: Hold, members: Sequence[int]) -> Ordered:
    fate = choosing.held(hold)
    return Ordered(
        state=RecipientState.HELD, cause=hold.reason, members=tuple(members), data=fate.data, hold=hold.id
    )

"""The standing orders in memory: holds and suppressions, asked at acceptance and at a claim."""

from collections.abc import Sequence
from datetime import datetime

from postroom.model.address import Address
from postroom.model.hold import Hold, Suppression
from postroom.model.ids import TenantId
from postroom.model.message import MailClass, Message
from postroom.policy.blocking import CAUSE as BLOCKED
from postroom.policy.blocking import NOBODY
from postroom.policy.matching import domain_pattern, folded, suppression_cause
from postroom.spool.groups import Ordered
from postroom.spool.ordering import ordered, suppressed

Key = tuple[TenantId, str, MailClass | None]
"""Tenant, address or ``@domain``, scope."""


class MemoryOrders:
    """Holds and suppressions."""

    def __init__(self) -> None:
        """Start empty."""
        self.blocked = NOBODY
        """Whom the settings block."""
        self.holds: dict[str, Hold] = {}
        self.suppressions: dict[Key, Suppression] = {}

    def standing(self) -> list[Hold]:
        """Return the holds that stand, oldest first."""
        found = [hold for hold in self.holds.values() if hold.ended_at is None]
        return sorted(found, key=lambda hold: (hold.created_at, hold.id))

    def of(self, message: Message, *, transport: str) -> Sequence[Ordered]:
        """Return what is held and suppressed of a message; suppression goes first."""
        members = range(len(message.envelope.recipients))
        stopped = self.stopped(message, members, now=message.created_at)
        return ordered(message, self.standing(), stopped, transport=transport)

    def stopped(self, message: Message, members: Sequence[int], *, now: datetime) -> list[Ordered]:
        """Return which of these recipients are suppressed, by cause."""
        found: dict[str, list[int]] = {}
        for number in members:
            address = message.envelope.recipients[number]
            if self.blocked.blocks(address.spec):
                found.setdefault(BLOCKED, []).append(number)
                continue
            stop = self.suppression(message.tenant, message.mail_class, address, now=now)
            if stop is not None:
                found.setdefault(suppression_cause(stop.reason), []).append(number)
        return suppressed(found)

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

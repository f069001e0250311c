"""What standing orders come to for one message, in any store: who is suppressed, who is held."""

from collections.abc import Mapping, Sequence

from postroom.model.hold import Hold
from postroom.model.lifecycle import RecipientState
from postroom.model.message import Message
from postroom.policy.matching import Traits, first_hold
from postroom.spool import choosing
from postroom.spool.groups import Ordered


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


def suppressed(by_cause: Mapping[str, Sequence[int]]) -> list[Ordered]:
    """Return the orders that suppress recipients."""
    return [
        Ordered(state=RecipientState.SUPPRESSED, cause=cause, members=tuple(members))
        for cause, members in by_cause.items()
    ]


def ordered(
    message: Message, holds: Sequence[Hold], stopped: Sequence[Ordered], *, transport: str
) -> Sequence[Ordered]:
    """Return every order at the acceptance of a message; who is suppressed is not held.

    Args:
        message: What is accepted.
        holds: Those that stand, oldest first.
        stopped: Who is suppressed.
        transport: Where it is to wait.
    """
    gone = {member for order in stopped for member in order.members}
    kept: dict[str, tuple[Hold, list[int]]] = {}
    traits = traits_of(message, transport)
    for number, address in enumerate(message.envelope.recipients):
        if number in gone:
            continue
        hold = first_hold(holds, traits, address.spec, now=message.created_at)
        if hold is not None:
            kept.setdefault(hold.id, (hold, []))[1].append(number)
    return [*stopped, *(_held(hold, members) for hold, members in kept.values())]


def _held(hold: Hold, members: Sequence[int]) -> Ordered:
    fate = choosing.held(hold)
    return Ordered(
        state=RecipientState.HELD, cause=hold.reason, members=tuple(members), data=fate.data, hold=hold.id
    )

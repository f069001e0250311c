"""Whom a filter means: the conditions of holds, selections and suppressions against one message.

Pure. Addresses are compared without the case of ASCII letters, as SQL's ``lower`` does it, so that every
store agrees; ``@example.org`` means every address of exactly that domain. A member of a filter that is not
given means any.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from string import ascii_lowercase, ascii_uppercase

from postroom.model.hold import Hold, HoldFilter, SuppressionReason
from postroom.model.ids import TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass
from postroom.model.selection import Selection

_ASCII_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What filters look at, of one message."""

    tenant: TenantId
    mail_class: MailClass
    sender: str
    """From's address."""
    tags: tuple[str, ...]
    transport: str
    created_at: datetime


def folded(address: str) -> str:
    """Return the form in which addresses and ``@domain`` patterns are compared."""
    return address.lower() if address.isascii() else address.translate(_ASCII_LOWER)


def domain_pattern(address: str) -> str:
    """Return ``@domain`` of an address, folded."""
    return folded(address[address.rfind("@") :])


def is_meant(wanted: str | None, address: str) -> bool:
    """Say whether an address or ``@domain`` means this address; ``None`` means any."""
    if wanted is None:
        return True
    if wanted.startswith("@"):
        return folded(wanted) == domain_pattern(address)
    return folded(wanted) == folded(address)


def hold_concerns(wanted: HoldFilter, traits: Traits) -> bool:
    """Say whether a hold concerns a message; which of its recipients, ``is_meant`` says."""
    return (
        wanted.mail_class in (None, traits.mail_class)
        and (wanted.tag is None or wanted.tag in traits.tags)
        and wanted.transport in (None, traits.transport)
        and is_meant(wanted.sender, traits.sender)
    )


def first_hold(holds: Iterable[Hold], traits: Traits, address: str, *, now: datetime) -> Hold | None:
    """Return the first of these holds that keeps a recipient at ``now``, ``None`` when it may go."""
    for hold in holds:
        if (
            hold.tenant == traits.tenant
            and hold.ended_at is None
            and (hold.until is None or hold.until > now)
            and hold_concerns(hold.filter, traits)
            and is_meant(hold.filter.recipient, address)
        ):
            return hold
    return None


def selects_message(wanted: Selection, traits: Traits) -> bool:
    """Say whether a selection may mean recipients of a message, its id and recipients left aside."""
    return (
        wanted.tenant == traits.tenant
        and wanted.mail_class in (None, traits.mail_class)
        and (wanted.tag is None or wanted.tag in traits.tags)
        and wanted.transport in (None, traits.transport)
        and (wanted.since is None or traits.created_at >= wanted.since)
        and (wanted.until is None or traits.created_at < wanted.until)
        and is_meant(wanted.sender, traits.sender)
    )


def selects_recipient(wanted: Selection, number: int, address: str, state: RecipientState) -> bool:
    """Say whether a selection means a recipient of a message it means; ``state`` is the shown one."""
    return (
        (not wanted.recipients or number in wanted.recipients)
        and wanted.state in (None, state)
        and is_meant(wanted.recipient, address)
    )


def suppression_cause(reason: SuppressionReason) -> str:
    """Return the cause that stands on recipients which a suppression stopped."""
    return f"suppressed-{reason.value.replace('_', '-')}"

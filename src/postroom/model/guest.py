"""Accounts that callers bring for their own mail: guests.

A guest has a name of its own, ``guest:HOST:PORT:`` and letters that say nothing. No transport that a person
names can have such a name, so whatever lists, chooses or gives mail to transports tells guests by it.
"""

from dataclasses import dataclass
from datetime import datetime

from postroom.model.ids import TenantId, letters
from postroom.model.transport import SmtpAccount

GUEST = "guest:"
"""How the name of every guest begins; the colon is in no name of a transport."""
TAG_BYTES = 8
GONE = "guest-gone"
"""Cause id of mail whose account is forgotten."""
LABEL = "guest"
"""What all of them are called where each would be one too many (metrics)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """What a caller brought: an account for the mail of one tenant."""

    tenant: TenantId
    account: SmtpAccount
    ehlo_name: str | None = None
    """Name to greet with, when the caller gave one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredGuest:
    """A guest as the store keeps it while its mail waits; its secrets are sealed at rest."""

    name: str
    guest: Guest
    created_at: datetime
    problem: str = ""
    """Cause id why its secrets cannot be read; nothing is sent by it then."""


def is_guest_name(name: str) -> bool:
    """Say whether a transport's name is a guest's."""
    return name.startswith(GUEST)


def guest_name(account: SmtpAccount, entropy: bytes) -> str:
    """Return a new name: where the mail goes, and letters of ``TAG_BYTES`` random bytes.

    Not a digest of the account: that would let anybody who sees the name try passwords on it.
    """
    host = f"[{account.host}]" if ":" in account.host else account.host
    return f"{GUEST}{host}:{account.port}:{letters(entropy)}"


def label_of(transport: str) -> str:
    """Return what a transport is called in metrics: its name, or one word for all guests."""
    return LABEL if transport.startswith(GUEST) else transport

"""What an operator may do to stored mail, and the standing orders: holds and suppressions.

Every verb is one or more short transactions of the one writer and appends its events in the same
transaction. Recipients under a lease are left alone and counted as left.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from postroom.model.address import Address
from postroom.model.hold import Hold, Suppression
from postroom.model.ids import MessageId, TenantId
from postroom.model.message import MailClass
from postroom.model.selection import Changed, Resolution, Selection


class Operations(Protocol):
    """Verbs on selections of recipients. Bulk verbs work in chunks, so that intake goes on meanwhile."""

    async def count(
        self, wanted: Selection, *, verb: str, confirm_duplicate: bool = False, now: datetime | None = None
    ) -> Changed:
        """Say what a verb (``retry cancel resolve release``) would change now; change nothing.

        ``confirm_duplicate`` as the retry will have it; without ``now`` every suppression counts as standing.
        """
        ...

    async def retry(
        self, wanted: Selection, *, at: datetime, now: datetime, author: str, confirm_duplicate: bool = False
    ) -> Changed:
        """Queue refused, expired, suppressed, deferred and held recipients, due ``at``; accepted never.

        Uncertain ones only with ``confirm_duplicate``. An expired message gets the lifetime of its class
        again, from ``at``. Recipients whose content is purged are left.
        """
        ...

    async def cancel_all(self, wanted: Selection, *, now: datetime, author: str) -> Changed:
        """Cancel queued, deferred and held recipients."""
        ...

    async def resolve(
        self, wanted: Selection, *, resolution: Resolution, note: str, author: str, now: datetime
    ) -> Changed:
        """Do with uncertain recipients what a person says."""
        ...

    async def reschedule(
        self,
        message_id: MessageId,
        *,
        tenant: TenantId,
        send_at: datetime | None,
        expires_at: datetime | None,
        now: datetime,
        author: str,
    ) -> bool:
        """Give a message that no attempt has claimed yet new times; ``False`` when it is too late."""
        ...

    async def release(self, wanted: Selection, *, now: datetime, author: str) -> Changed:
        """Queue held recipients, due now (or at the message's ``send_at`` when that is later)."""
        ...

    async def add_hold(self, hold: Hold) -> Changed:
        """Store a standing hold, then hold what waits and matches, in chunks.

        What is under a lease meanwhile is left, and is not held when it waits again.
        """
        ...

    async def end_hold(self, hold_id: str, *, tenant: TenantId, now: datetime, author: str) -> Changed | None:
        """End a hold and release what it holds; ``None`` when there is no such open hold."""
        ...

    async def end_due_holds(self, *, now: datetime) -> int:
        """End holds past their end, by their ``then``; return how many ended."""
        ...

    async def holds(self, tenant: TenantId, *, is_open: bool = True) -> Sequence[Hold]:
        """Return the holds, newest first."""
        ...

    async def suppress(self, suppressions: Sequence[Suppression], *, now: datetime) -> int:
        """Store suppressions (one of the same address and scope is replaced) and apply them to what waits.

        Returns how many were stored. Those with a message that caused them (automatic ones) are applied to
        what waits by the next claim of it, all others at once.
        """
        ...

    async def unsuppress(
        self,
        address: str,
        *,
        tenant: TenantId,
        mail_class: MailClass | None,
        note: str,
        author: str,
        now: datetime,
    ) -> bool:
        """Remove a suppression, the note in its event; ``False`` when there is none."""
        ...

    async def suppressions(
        self, tenant: TenantId, *, after: str = "", limit: int = 100, address: str | None = None
    ) -> Sequence[Suppression]:
        """Return suppressions in order of address, expired ones included until they are purged."""
        ...

    async def suppressed(
        self, addresses: Sequence[Address], *, tenant: TenantId, mail_class: MailClass, now: datetime
    ) -> Mapping[Address, Suppression]:
        """Return which of these addresses mail of this class would not go to, and why."""
        ...

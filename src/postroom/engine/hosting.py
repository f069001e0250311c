"""Where accounts that callers bring stay while their mail is handed in, as the service sees it."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from postroom.errors import InvariantError
from postroom.model.guest import Guest, StoredGuest


class Hosting(Protocol):
    """Takes guests in."""

    def hosted(self, guest: Guest) -> AbstractAsyncContextManager[StoredGuest]:
        """Let an account work at least until the end of the context; what waits for it then keeps it.

        Raises OverloadError when there are too many.
        """
        ...


class NoGuests:
    """Takes nobody in."""

    def hosted(self, guest: Guest) -> AbstractAsyncContextManager[StoredGuest]:
        """Raise InvariantError: whoever lets callers bring accounts gives the service its guests."""
        raise InvariantError(f"nowhere to host an account of tenant {guest.tenant}")

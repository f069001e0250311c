"""Everybody whom the header of a raw mail names as its sender beside From.

For keys that may send as some addresses only: what a reader shows as the sender is bound like From.

Sources: RFC 5322 sections 3.6.2 and 3.6.6.
"""

from postroom.mime import raw
from postroom.mime.address_fields import read_mailboxes
from postroom.model.address import AddressError, Mailbox

_SENDERS = frozenset({b"sender", b"resent-from", b"resent-sender"})


def header_senders(head: bytes) -> tuple[Mailbox, ...] | None:
    """Return who stands in Sender, Resent-From and Resent-Sender; ``None`` when one cannot be read."""
    found: list[Mailbox] = []
    for name, value in raw.read_fields(head) or ():
        if name.lower() in _SENDERS:
            try:
                found += read_mailboxes(raw.value_of(value))
            except AddressError:
                return None
    return tuple(found)

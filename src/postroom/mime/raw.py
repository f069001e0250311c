"""A raw mail's header: its fields in their own bytes, what a door removes, what acceptance adds.

Rules: whatever is not named here goes on as it came, octet by octet, so that a client's own signature stays
valid. A header that two programs could read differently is refused, never repaired: no blank before a colon,
no line that belongs to nothing, no second From. ``Bcc`` and ``Return-Path`` go, because only the envelope may
know them; the ``X-Postroom`` fields were said to us.

Does not look into the body, and does not judge addresses (``address_fields``).

Sources: RFC 5322 sections 2.2, 3.6 and 3.6.7, RFC 5321 section 4.4, RFC 6409 section 8.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain

from postroom.mime import headers

MAX_FIELDS = 1000
"""Fields of a header (security limit); long ways leave some 60."""
MAX_RECEIVED = 50
"""``Received`` fields above which a mail goes round in a circle; others take 50 to 100 (RFC 5321 6.3)."""

OURS = b"x-postroom-"
"""How the names of fields begin that are said to us; taken out of the header."""
REMOVED = frozenset({b"bcc", b"resent-bcc", b"return-path"})
ONCE = frozenset(
    {
        b"from",
        b"sender",
        b"reply-to",
        b"to",
        b"cc",
        b"subject",
        b"date",
        b"message-id",
        b"in-reply-to",
        b"references",
        b"mime-version",
        b"content-type",
        b"content-transfer-encoding",
    }
)
"""At most one of each (RFC 5322 section 3.6): readers differ in which of two they show."""

_FIELD = re.compile(rb"^([!-9;-~]{1,77}+):((?:[^\r]++|\r\n[ \t])*+)\r\n", re.MULTILINE)
"""One field with its folded lines; looked for at the start of lines only, so that junk is read once."""

Field = tuple[bytes, bytes]
"""Name and value as they stand; with the colon between them and CR LF after them they are the field."""


def read_fields(head: bytes) -> list[Field] | None:
    """Return the fields of a header whose line ends are all CR LF; ``None`` when it is no header."""
    fields: list[Field] = _FIELD.findall(head)
    if len(b"".join(chain.from_iterable(fields))) + 3 * len(fields) != len(head):
        return None
    return fields


def written(fields: Iterable[Field]) -> bytes:
    """Return the bytes of fields."""
    return b"".join([b"%b:%b\r\n" % field for field in fields])


def value_of(value: bytes) -> str:
    """Return a value as text: unfolded, without blanks around it, octets that are no UTF-8 as U+FFFD."""
    return value.replace(b"\r\n", b"").strip(b" \t").decode("utf-8", "replace")


def doubled(names: Sequence[bytes]) -> list[bytes]:
    """Return the names, in lower case, that stand more often than they may."""
    if len(set(names)) == len(names):
        return []
    return sorted({name for name in ONCE if names.count(name) > 1})


def trace_field(trace: str, message_id: str, at: datetime) -> bytes:
    """Write a Received field: ``trace`` is all that stands before its id and date."""
    return f"Received: {trace}\r\n\tid {message_id};\r\n\t{headers.date(at)[6:]}".encode()


def trace_words(*, by: str, protocol: str, helo: str = "", peer: str = "", tls: str = "") -> str:
    """Say how a mail came in, as a Received field says it (RFC 5321 section 4.4)."""
    told = f"by {by} with {protocol}"
    if tls:
        told = f"by {by} (Postroom)\r\n\twith {protocol} ({tls})"
    if not peer:
        return told
    literal = f"[IPv6:{peer}]" if ":" in peer else f"[{peer}]"
    return f"from {helo or literal} ({literal})\r\n\t{told}"

"""Identifiers.

A message id is ``yyyymmddHHMMSS.`` (UTC) and 22 characters of the 57-character shortuuid alphabet, which
leaves out 0, 1, I, O and l. The first two of the 22 name the cell (always ``22`` today), the other twenty
carry at least 113 unguessable bits. The same id stands in the API, the Message-ID header, the log and the
console.
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import NewType

MessageId = NewType("MessageId", str)
TenantId = NewType("TenantId", str)
AttemptId = NewType("AttemptId", int)
LeaseToken = NewType("LeaseToken", int)

DEFAULT_TENANT = TenantId("default")

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
CELL = "22"
MESSAGE_ID_PATTERN = re.compile(rf"[0-9]{{14}}\.[{ALPHABET}]{{22}}\Z")
ENTROPY_BYTES = 20
_LETTERS = bytes(ALPHABET.encode()[byte % len(ALPHABET)] for byte in range(256))


def letters(entropy: bytes) -> str:
    """Return one character of the alphabet for each byte, at least 5.6 bits of it each."""
    return entropy.translate(_LETTERS).decode("ascii")


def new_message_id(at: datetime, entropy: bytes) -> MessageId:
    """Make an id from an aware instant and ``ENTROPY_BYTES`` unguessable bytes."""
    return MessageId(f"{_stamp(at.replace(microsecond=0, tzinfo=None))}.{CELL}{letters(entropy)}")


@lru_cache(maxsize=4)
def _stamp(second: datetime) -> str:
    return f"{second:%Y%m%d%H%M%S}"


def is_message_id(text: str) -> bool:
    """Say whether ``text`` has the form of a message id."""
    return MESSAGE_ID_PATTERN.match(text) is not None

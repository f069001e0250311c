"""Identifiers.

A message id is ``yyyymmddHHMMSS.`` (UTC) and 22 characters of the 57-character shortuuid alphabet, which
leaves out 0, 1, I, O and l. The first two of the 22 name the cell (always ``22`` today), the other twenty
carry 116 unguessable bits. The same id stands in the API, the Message-ID header, the log and the console.
"""

import re
from datetime import datetime
from typing import NewType

MessageId = NewType("MessageId", str)
TenantId = NewType("TenantId", str)
AttemptId = NewType("AttemptId", int)
LeaseToken = NewType("LeaseToken", int)

DEFAULT_TENANT = TenantId("default")

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
CELL = "22"
MESSAGE_ID_PATTERN = re.compile(rf"[0-9]{{14}}\.[{ALPHABET}]{{22}}\Z")
ENTROPY_BYTES = 16
_RANDOM_CHARS = 20


def new_message_id(at: datetime, entropy: bytes) -> MessageId:
    """Make an id from an aware instant and ``ENTROPY_BYTES`` unguessable bytes."""
    number = int.from_bytes(entropy, "big")
    chars = []
    for _ in range(_RANDOM_CHARS):
        number, digit = divmod(number, 57)
        chars.append(ALPHABET[digit])
    return MessageId(f"{at:%Y%m%d%H%M%S}.{CELL}{''.join(chars)}")


def is_message_id(text: str) -> bool:
    """Say whether ``text`` has the form of a message id."""
    return MESSAGE_ID_PATTERN.match(text) is not None

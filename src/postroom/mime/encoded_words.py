"""Encoded words (RFC 2047): UTF-8, B or Q, at most 75 characters each.

A word ends at the border of a character, and of what a reader sees as one character (marks, joined
emoji, flags) as far as a short pattern knows it. Never decodes.
"""

import re
from binascii import b2a_base64

MAX_ENCODED_WORD = 75
"""Characters, RFC 2047 section 2."""
_OVERHEAD = len("=?UTF-8?B??=")

_ENCODED = re.compile(r"=\?[^?]*\?[bBqQ]\?")
_EXTENDS = re.compile(
    r"[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0903\u093a-\u094f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
    r"\u1160-\u11ff\u1ab0-\u1aff\u1dc0-\u1dff\u200d\u20d0-\u20ff\u3099\u309a\ufe00-\ufe0f\ufe20-\ufe2f"
    r"\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]"
)
"""A character that may belong to the one before: marks of the commoner scripts, joiners, modifiers, flags."""
_JOINER = "\u200d".encode()
_MAX_CLUSTER = 32
"""Octets by which a word may end early to keep a cluster whole; longer ones (a family is 25) are cut."""
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
"""RFC 2047 section 5 (3): the set for phrases, which is safe everywhere."""
_Q = [chr(octet) if octet in _Q_SAFE else "_" if octet == 32 else f"={octet:02X}" for octet in range(256)]


def looks_encoded(text: str) -> bool:
    """Say whether a reader could take (part of) ``text`` for an encoded word."""
    return "=?" in text and _ENCODED.search(text) is not None


def encode_words(text: str, room: int) -> list[str]:
    """Encode ``text`` as words; the first has at most ``room`` characters, if that is room at all."""
    room = min(room, MAX_ENCODED_WORD) if room >= 24 else MAX_ENCODED_WORD
    data = text.encode()
    is_b = 3 * (len(data) - len(text.encode("ascii", "ignore"))) > len(data)
    words = []
    start = 0
    while start < len(data):
        end = _border(data, start, _reach(data, start, room - _OVERHEAD, is_b=is_b))
        words.append(_word(data[start:end], is_b=is_b))
        start, room = end, MAX_ENCODED_WORD
    return words


def _reach(data: bytes, start: int, room: int, *, is_b: bool) -> int:
    """Return where the octets end that fit into ``room`` characters."""
    if is_b:
        return min(start + room // 4 * 3, len(data))
    end = start
    while end < len(data) and (room := room - len(_Q[data[end]])) >= 0:
        end += 1
    return end


def _border(data: bytes, start: int, end: int) -> int:
    """Return the last place up to ``end`` where a word may end, at least one character after ``start``."""
    while end < len(data) and data[end] & 0xC0 == 0x80:
        end -= 1
    place = end
    while place < len(data) and end - place < _MAX_CLUSTER:
        if not _EXTENDS.match(data[place : place + 4].decode(errors="ignore")) and not data.endswith(
            _JOINER, start, place
        ):
            return place
        place -= 1
        while place > start and data[place] & 0xC0 == 0x80:
            place -= 1
        if place <= start:
            break
    return end


def _word(data: bytes, *, is_b: bool) -> str:
    if is_b:
        return f"=?UTF-8?B?{b2a_base64(data, newline=False).decode()}?="
    return f"=?UTF-8?Q?{''.join([_Q[octet] for octet in data])}?="

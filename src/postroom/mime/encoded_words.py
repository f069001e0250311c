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
_CLUSTER = re.compile(
    r"[\U0001f1e6-\U0001f1ff]{2}"
    r"|.(?:[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0903\u093a-\u094f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
    r"\u1160-\u11ff\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u3099\u309a\ufe00-\ufe0f\ufe20-\ufe2f"
    r"\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]|\u200d.?)*",
    re.DOTALL,
)
"""One character with the marks, joiners and modifiers of the commoner scripts; a flag."""
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
"""RFC 2047 section 5 (3): the set for phrases, which is safe everywhere."""
_Q = [chr(octet) if octet in _Q_SAFE else "_" if octet == 32 else f"={octet:02X}" for octet in range(256)]


def looks_encoded(text: str) -> bool:
    """Say whether a reader could take (part of) ``text`` for an encoded word."""
    return "=?" in text and _ENCODED.search(text) is not None


def encode_words(text: str, room: int) -> list[str]:
    """Encode ``text`` as words; the first has at most ``room`` characters, if that is room at all."""
    room = min(room, MAX_ENCODED_WORD) if room >= 24 else MAX_ENCODED_WORD
    octets = len(text.encode())
    is_b = 3 * (octets - len(text.encode("ascii", "ignore"))) > octets
    if is_b and (octets + 2) // 3 * 4 + _OVERHEAD <= room:
        return [_word(text, is_b=True)]
    words = []
    start = end = size = 0
    for match in _CLUSTER.finditer(text):
        for unit in _units(match[0], 36 if is_b else 12):
            cost = len(unit.encode()) if is_b else sum(len(_Q[octet]) for octet in unit.encode())
            limit = (room - _OVERHEAD) // 4 * 3 if is_b else room - _OVERHEAD
            if size + cost > limit and end > start:
                words.append(_word(text[start:end], is_b=is_b))
                start, size, room = end, 0, MAX_ENCODED_WORD
            end += len(unit)
            size += cost
    words.append(_word(text[start:end], is_b=is_b))
    return words


def _units(cluster: str, max_octets: int) -> tuple[str, ...]:
    """Return the cluster whole, or its characters when it is too large for any word."""
    return (cluster,) if len(cluster.encode()) <= max_octets else tuple(cluster)


def _word(text: str, *, is_b: bool) -> str:
    if is_b:
        return f"=?UTF-8?B?{b2a_base64(text.encode(), newline=False).decode()}?="
    return f"=?UTF-8?Q?{''.join([_Q[octet] for octet in text.encode()])}?="

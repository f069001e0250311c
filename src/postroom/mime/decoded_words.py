"""Encoded words read (RFC 2047), for people and rules: a raw mail keeps its own bytes whatever stands here.

Bounded: at most ``MAX_WORDS`` words of a text are decoded, the rest stays as it is written. A word of a
charset that is not listed, or that does not decode, stays literal too. What must not stand in one line or
would turn its direction becomes U+FFFD; nothing raises.

Does not encode (``encoded_words``), and is never used on an address.

Sources: RFC 2047 sections 2, 4 and 6.2, RFC 2231 section 5.
"""

import re
from binascii import Error, a2b_base64, a2b_qp

from postroom.grammar import BIDI_CONTROL, CONTROL, SURROGATE

MAX_WORDS = 200
"""Words of one text that are decoded: 200 of 75 characters are four times a line's 998 octets, and a
security limit."""

_WORD = re.compile(r"=\?([A-Za-z0-9._:+\-]{1,40})(?:\*[A-Za-z0-9\-]{1,20})?\?([bBqQ])\?([!->@-~]{0,2000})\?=")
"""One encoded word; real ones have at most 75 characters, and long ones are common."""
_CODECS = {
    "us-ascii": "ascii",
    "ascii": "ascii",
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "cp936": "gb18030",
    "big5": "big5",
    "big5-hkscs": "big5hkscs",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "cp949": "cp949",
    "iso-2022-jp": "iso2022_jp_2",
    "iso-2022-kr": "iso2022_kr",
    "shift_jis": "cp932",
    "windows-31j": "cp932",
    "euc-jp": "euc_jp",
    "koi8-r": "koi8_r",
    "koi8-u": "koi8_u",
    "tis-620": "cp874",
    "windows-874": "cp874",
    "macintosh": "mac_roman",
    **{f"iso-8859-{part}": f"iso8859_{part}" for part in (*range(1, 12), 13, 14, 15, 16)},
    **{f"windows-{page}": f"cp{page}" for page in range(1250, 1259)},
}
"""Charsets that are read, by the codec that reads them: the name comes from outside, and not every codec of
Python is a charset, or linear."""


def codec_of(charset: str) -> str | None:
    """Return the codec that reads a charset by its name in a mail, ``None`` for one that is not read."""
    return _CODECS.get(charset.strip().lower())


def decode_words(text: str) -> str:
    """Return a text as people read it, every encoded word decoded, in one line."""
    if "=?" in text:
        text = _decoded(text)
    return text if text.isprintable() else one_line(text)


def one_line(text: str) -> str:
    """Replace what must not stand in a line: control characters, bidi overrides, lone surrogates."""
    text = text.replace("\t", " ")
    for pattern in (CONTROL, BIDI_CONTROL, SURROGATE):
        text = pattern.sub("\ufffd", text)
    return text


def _decoded(text: str) -> str:
    """Decode the words; neighbours of one charset are joined as octets, blanks between words vanish."""
    pieces: list[str] = []
    octets, codec = b"", ""
    end = 0
    for number, match in enumerate(_WORD.finditer(text)):
        found = None if number >= MAX_WORDS else _word(match)
        if found is None:
            continue
        between = text[end : match.start()]
        is_neighbour = codec and (not between or between.isspace())
        if not is_neighbour or found[1] != codec:
            if codec:
                pieces.append(octets.decode(codec, "replace"))
            if not is_neighbour:
                pieces.append(between)
            octets, codec = b"", found[1]
        octets += found[0]
        end = match.end()
    if codec:
        pieces.append(octets.decode(codec, "replace"))
    pieces.append(text[end:])
    return "".join(pieces)


def _word(match: re.Match[str]) -> tuple[bytes, str] | None:
    """Return octets and codec of one word, ``None`` when it cannot be read."""
    codec = codec_of(match[1])
    if codec is None:
        return None
    if match[2] in "qQ":
        return a2b_qp(match[3].encode("ascii"), header=True), codec
    try:
        return a2b_base64(match[3] + "=" * (-len(match[3]) % 4)), codec
    except Error:
        return None

"""Bodies of text parts: line ends and transfer encoding (RFC 2045 section 6).

Every line end (CR LF, LF, bare CR) becomes CR LF. Pure ASCII in lines of at most 998 octets and without
control characters goes as 7bit; mostly ASCII as quoted-printable; the rest as base64. Lines are left as
they are: no wrapping, no format=flowed. Every result is empty or ends with CR LF.
"""

import re
from binascii import b2a_base64, b2a_qp
from struct import Struct

MAX_LINE = 998
"""Octets of a line without CR LF, RFC 5322 section 2.1.1."""
BASE64_LINE = 76
"""Characters of a base64 line, RFC 2045 section 6.8."""

_UNPACK = Struct(f"{BASE64_LINE}s" * 16)
"""Cuts sixteen lines at once, four times as fast as slices."""
_PLAIN = bytes([9, 10, *range(32, 127)])
"""What may stand in a 7bit body, CR apart."""
_FROM = re.compile(rb"^From ", re.MULTILINE)
_LONG_TAIL = re.compile(rb"^([^\r\n]{74,})(=20|=09)\r\n", re.MULTILINE)


def encode_text(text: str) -> tuple[str, bytes]:
    """Return the Content-Transfer-Encoding and the body, encoded from UTF-8."""
    data = text.encode()
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    # Quoted-printable spends two octets more on each special octet, base64 a third on all of them. A
    # character of n octets has n - 1 of them over its one character: enough of those need no counting.
    if 8 * (len(data) - len(text)) > len(data):
        return "base64", base64_lines(data.replace(b"\n", b"\r\n"))
    special = data.translate(None, _PLAIN)
    is_plain = not special and not _has_long_line(data)
    data = data.replace(b"\n", b"\r\n")
    if is_plain:
        return "7bit", data if not data or data.endswith(b"\n") else data + b"\r\n"
    if 6 * len(special) > len(data):
        return "base64", base64_lines(data)
    return "quoted-printable", _quoted_printable(data)


def _has_long_line(data: bytes) -> bool:
    """Say whether a line is over the limit: hops from line end to line end, as far as one line may reach."""
    start = 0
    while len(data) - start > MAX_LINE:
        start = data.rfind(b"\n", start, start + MAX_LINE + 1) + 1
        if start == 0:
            return True
    return False


def base64_lines(data: bytes) -> bytes:
    """Encode as lines of 76 characters, each with CR LF."""
    encoded = b2a_base64(data, newline=False)
    lines: list[bytes] = []
    start = 0
    while len(encoded) - start >= _UNPACK.size:
        lines += _UNPACK.unpack_from(encoded, start)
        start += _UNPACK.size
    lines += [encoded[start : start + BASE64_LINE] for start in range(start, len(encoded), BASE64_LINE)]
    if lines:
        lines.append(b"")
    return b"\r\n".join(lines)


def _quoted_printable(data: bytes) -> bytes:
    """Encode text with CR LF line ends; a ``From `` or blanks at the edge of a line survive any relay."""
    if not data.endswith(b"\r\n"):
        data += b"\r\n"
    encoded = b2a_qp(data, istext=True)
    if b"From " in encoded:
        encoded = _FROM.sub(rb"=46rom =\r\n", encoded)
    # The encoder counts a blank at the end of a line as one character and then writes three.
    if b"=20\r\n" in encoded or b"=09\r\n" in encoded:
        encoded = _LONG_TAIL.sub(rb"\1=\r\n\2\r\n", encoded)
    return encoded

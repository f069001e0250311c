"""Commands as bytes, from typed values only (RFC 5321 section 4.1.1).

No caller's text reaches a command line unchecked: a byte below 0x20 or 0x7F in any argument is a bug of ours
and raises before the first byte is sent; ESMTP parameters come from booleans and integers.
"""

import re
from base64 import b64encode

from postroom.errors import InvariantError
from postroom.model.address import Address

DATA = b"DATA\r\n"
RSET = b"RSET\r\n"
QUIT = b"QUIT\r\n"
STARTTLS = b"STARTTLS\r\n"
FINAL_DOT = b".\r\n"
"""Ends the content, which ends with CR LF."""

MAX_AUTH_LINE = 12288
"""Octets of an AUTH line with its initial response, RFC 4954 section 4."""

_UNSAFE_IN_PATH = re.compile(rb"[\x00-\x20<>\x7f]")
_UNSAFE = re.compile(rb"[\x00-\x1f\x7f]")


def ehlo(name: str) -> bytes:
    """Greet with ``name``: a host name or an address literal. Raises InvariantError."""
    return _line(b"EHLO " + _ascii(name))


def helo(name: str) -> bytes:
    """As ``ehlo``, for servers that do not know it. Raises InvariantError."""
    return _line(b"HELO " + _ascii(name))


def mail(path: Address, *, size: int | None, eight_bit: bool, smtputf8: bool) -> bytes:
    """Begin a transaction; ``size`` in bytes when SIZE is announced. Raises InvariantError."""
    command = b"MAIL FROM:<%b>" % (_path(path, smtputf8=smtputf8) if path.domain else b"")
    if size is not None:
        command += b" SIZE=%d" % size
    if eight_bit:
        command += b" BODY=8BITMIME"
    if smtputf8:
        command += b" SMTPUTF8"
    return command + b"\r\n"


def rcpt(path: Address, *, smtputf8: bool) -> bytes:
    """Name a recipient. Raises InvariantError."""
    return b"RCPT TO:<%b>\r\n" % _path(path, smtputf8=smtputf8)


def auth(mechanism: str, initial: bytes | None) -> bytes:
    """Begin a login, with the initial response when it fits into the line."""
    command = b"AUTH " + _ascii(mechanism)
    if initial is not None:
        with_initial = command + b" " + (b64encode(initial) or b"=")
        if len(with_initial) + 2 <= MAX_AUTH_LINE:
            command = with_initial
    return _line(command)


def auth_response(response: bytes) -> bytes:
    """Answer a challenge."""
    return b64encode(response) + b"\r\n"


def _path(path: Address, *, smtputf8: bool) -> bytes:
    if not smtputf8 and not path.local.isascii():
        raise InvariantError("a non-ascii address in a command without SMTPUTF8")
    spec = f"{path.local}@{path.domain}".encode()
    if _UNSAFE_IN_PATH.search(spec):
        raise InvariantError("a control character, a blank or an angle bracket in an address")
    return spec


def _ascii(text: str) -> bytes:
    if not text.isascii() or " " in text or not text:
        raise InvariantError(f"not an ascii word for a command: {text!r}")
    return text.encode("ascii")


def _line(command: bytes) -> bytes:
    if _UNSAFE.search(command):
        raise InvariantError("a control character in a command")
    return command + b"\r\n"

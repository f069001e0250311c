"""Commands as bytes, from typed values only (RFC 5321 section 4.1.1).

No caller's text reaches a command line unchecked: a byte below 0x20 or 0x7F in any argument is a bug of ours
and raises before the first byte is sent; ESMTP parameters come from booleans and integers, or are encoded so
that nothing but printable ASCII without a blank is left.
"""

import re
from base64 import b64encode

from postroom.errors import InvariantError
from postroom.model.address import Address
from postroom.model.message import Notify, ReportWish

DATA = b"DATA\r\n"
RSET = b"RSET\r\n"
QUIT = b"QUIT\r\n"
STARTTLS = b"STARTTLS\r\n"
FINAL_DOT = b".\r\n"
"""Ends the content, which ends with CR LF."""

MAX_AUTH_LINE = 12288
"""Octets of an AUTH line with its initial response, RFC 4954 section 4."""

MAX_ENVELOPE_ID = 100
MAX_ORIGINAL = 500
"""Characters of ENVID and of ORCPT's address as they are sent; longer ones are left out (RFC 3461
sections 4.2 and 4.4)."""

_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9\-]{1,20}\Z")
_UNSAFE_IN_PATH = re.compile(rb"[\x00-\x20<>\x7f]")
_UNSAFE = re.compile(rb"[\x00-\x1f\x7f]")


def ehlo(name: str) -> bytes:
    """Greet with ``name``: a host name or an address literal. Raises InvariantError."""
    return _line(b"EHLO " + _ascii(name))


def helo(name: str) -> bytes:
    """As ``ehlo``, for servers that do not know it. Raises InvariantError."""
    return _line(b"HELO " + _ascii(name))


def mail(
    path: Address, *, size: int | None, eight_bit: bool, smtputf8: bool, reports: ReportWish | None = None
) -> bytes:
    """Begin a transaction; ``size`` in bytes when SIZE is announced. Raises InvariantError.

    ``reports``: what the sender wishes, when DSN is announced.
    """
    command = b"MAIL FROM:<%b>" % (_path(path, smtputf8=smtputf8) if path.domain else b"")
    if size is not None:
        command += b" SIZE=%d" % size
    if eight_bit:
        command += b" BODY=8BITMIME"
    if smtputf8:
        command += b" SMTPUTF8"
    if reports is not None:
        command += _mail_wishes(reports)
    return command + b"\r\n"


def rcpt(path: Address, *, smtputf8: bool, reports: ReportWish | None = None) -> bytes:
    """Name a recipient; ``reports`` as with ``mail``. Raises InvariantError."""
    command = b"RCPT TO:<%b>" % _path(path, smtputf8=smtputf8)
    if reports is not None:
        command += _rcpt_wishes(reports, path)
    return command + b"\r\n"


def _mail_wishes(wish: ReportWish) -> bytes:
    """Return RET and ENVID as far as the sender gave them (RFC 3461 sections 4.3 and 4.4)."""
    words = b""
    if wish.full is not None:
        words = b" RET=FULL" if wish.full else b" RET=HDRS"
    if 0 < len(envelope_id := xtext(wish.envelope_id)) <= MAX_ENVELOPE_ID:
        words += b" ENVID=" + envelope_id
    return words


def _rcpt_wishes(wish: ReportWish, path: Address) -> bytes:
    """Return NOTIFY and ORCPT as far as the sender gave them (RFC 3461 sections 4.1 and 4.2)."""
    words = b""
    if wanted := wish.notify.get(path):
        names = [one.value.upper() for one in Notify if one in wanted]
        words = b" NOTIFY=" + (b"NEVER" if Notify.NEVER in wanted else ",".join(names).encode())
    kind, _, address = wish.original.get(path, "").partition(";")
    original = utf8_xtext(address) if kind.lower() == "utf-8" else xtext(address)
    if _ADDRESS_TYPE.match(kind) and 0 < len(original) <= MAX_ORIGINAL:
        words += b" ORCPT=%b;%b" % (kind.encode(), original)
    return words


def xtext(text: str) -> bytes:
    """Encode what a sender gave (RFC 3461 section 4); empty for what is not ASCII."""
    if not text.isascii():
        return b""
    return "".join(
        one if "!" <= one <= "~" and one not in "+=" else f"+{ord(one):02X}" for one in text
    ).encode()


def utf8_xtext(text: str) -> bytes:
    """Encode an international address in ASCII (RFC 6533 section 3)."""
    return "".join(
        one if "!" <= one <= "~" and one not in "+=\\" else f"\\x{{{ord(one):X}}}" for one in text
    ).encode()


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

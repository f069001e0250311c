r"""MAIL and RCPT read into typed values (RFC 5321 section 4.1.2, and the extensions that add parameters).

A command is taken whole or refused with the reply that says why; nothing is guessed or repaired. Two
liberties that most servers take: a blank after the colon, and blanks at the end of the line (RFC 5321
section 4.1.1).

Decided here:

* Paths are what ``model.address`` takes. A quoted local part is taken when it says the same without its
  quotes (RFC 5321 section 4.1.2 makes both one mailbox), else refused. Source routes are refused, never
  followed (RFC 5321 appendix C). Address literals are refused.
* A parameter that is not offered or not known is refused with 555, one given twice with 501.
* ``AUTH=`` is checked and dropped: nobody may speak for another here (RFC 4954 section 5).

Sources: RFC 1870, 2852, 3461, 4865, 4954, 6152, 6531, 6533, 6710.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from postroom.model.address import NULL_PATH, Address, AddressError, parse_address
from postroom.model.message import Notify
from postroom.smtp import server_replies as replies
from postroom.smtp.server_events import DeliverBy, MailGiven, Offers, RecipientGiven
from postroom.smtp.server_replies import ServerReply

_PATH = r'<([^<>"\\ ]*+(?:"(?:[^"\\]|\\.)*+"[^<>"\\ ]*+)*+)>'
"""What stands between angle brackets; brackets within quotes do not end it."""
_MAIL = re.compile(rf"MAIL FROM: *{_PATH}(?: +(.*))?\Z", re.IGNORECASE)
_RCPT = re.compile(rf"RCPT TO: *{_PATH}(?: +(.*))?\Z", re.IGNORECASE)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9\-]*)(?:=([^\x00-\x20=\x7f]+))?\Z")
"""RFC 5321 section 4.1.2 esmtp-param, with the characters that RFC 6531 section 3.3 adds."""
_QUOTED_DOT_STRING = re.compile(r'"([^"\\@<> ]+)"(@[^"@]+)\Z')
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*\Z")
"""RFC 3461 section 4."""
_XTEXT_ESCAPE = re.compile(r"\+([0-9A-F]{2})")
_UNICODE_ESCAPE = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
"""RFC 6533 section 3 EmbeddedUnicodeChar."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BY = re.compile(r"([+\-]?[0-9]{1,9});([NR])(T?)\Z", re.IGNORECASE)
_PRIORITY = re.compile(r"[+\-]?[0-9]\Z")
_ORCPT = re.compile(r"([A-Za-z0-9\-]{1,40});(.+)\Z")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+\-]\d\d:\d\d)\Z", re.ASCII)
"""RFC 3339 section 5.6 date-time."""
_MAX_ENVID = 100
"""Octets as given, RFC 3461 section 4.4."""
_MAX_ORCPT = 500
"""Octets as given, RFC 3461 section 4.2."""

_NOTIFY = {notify.value.upper(): notify for notify in Notify}


class Refused(Exception):  # noqa: N818 - an answer, not an error of ours
    """The command is not taken."""

    def __init__(self, reply: ServerReply) -> None:
        """Take what to say."""
        super().__init__(reply.text)
        self.reply = reply


def parse_mail(line: str, offers: Offers) -> MailGiven:
    """Read a MAIL command. Raises Refused."""
    match = _MAIL.match(line)
    if match is None:
        raise Refused(_shape("MAIL FROM", "5.1.7" if "<" in line else "5.5.4"))
    path, rest = match.groups()
    given = MailGiven(NULL_PATH)
    if rest:
        _read_parameters(rest, offers, _MAIL_PARAMETERS, given)
        wishes = given.wishes
        if wishes.hold_for is not None and wishes.hold_until is not None:
            raise Refused(_bad("Give HOLDFOR or HOLDUNTIL, not both"))
    if path:
        given.path = _address(path, _BAD_SENDER, smtputf8=given.smtputf8)
    return given


def parse_rcpt(line: str, offers: Offers, *, smtputf8: bool) -> RecipientGiven:
    """Read a RCPT command. Raises Refused."""
    match = _RCPT.match(line)
    if match is None:
        raise Refused(_shape("RCPT TO", "5.1.3" if "<" in line else "5.5.4"))
    path, rest = match.groups()
    if path.lower() == "postmaster":
        if offers.postmaster is None:
            raise Refused(replies.NO_POSTMASTER)
        given = RecipientGiven(offers.postmaster)
    else:
        given = RecipientGiven(_address(path, _BAD_RECIPIENT, smtputf8=smtputf8))
    if rest:
        _read_parameters(rest, offers, _RCPT_PARAMETERS, given)
    return given


def decode_xtext(text: str) -> str:
    """Decode xtext (RFC 3461 section 4) that holds UTF-8. Raises ValueError, also when it hides a control."""
    if not _XTEXT.match(text):
        raise ValueError("not xtext")
    octets = _XTEXT_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text).encode("latin-1")
    decoded = octets.decode("utf-8")
    if _CONTROL.search(decoded):
        raise ValueError("a control character in xtext")
    return decoded


# ----------------------------------------------------------------- paths

_BAD_SENDER = ((501, "5.1.7"), (501, "5.1.8"))
_BAD_RECIPIENT = ((553, "5.1.3"), (553, "5.1.3"))
"""Codes when the path is at fault, and when its domain is."""


@lru_cache(maxsize=512)
def _address(path: str, codes: tuple[tuple[int, str], tuple[int, str]], *, smtputf8: bool) -> Address:
    """Read a path that is not empty; programs write from few addresses and to few. Raises Refused."""
    if not smtputf8 and not path.isascii():
        raise Refused(replies.NEEDS_SMTPUTF8)
    try:
        return parse_address(_unquoted(path) if path[:1] == '"' else path)
    except AddressError as error:
        cause = "a source route, which is not followed" if path.startswith("@") else error.cause
        code, enhanced = codes[error.cause.startswith("the domain")]
        raise Refused(ServerReply(code, enhanced, f"{cause[:1].upper()}{cause[1:]}. {error.fix}")) from error


def _unquoted(path: str) -> str:
    """Return the path with quotes removed that change nothing."""
    match = _QUOTED_DOT_STRING.match(path)
    return match[1] + match[2] if match else path


# ----------------------------------------------------------------- parameters

_Read = Callable[[Any, str, Offers], None]


def _read_parameters(
    rest: str, offers: Offers, known: dict[str, _Read], given: MailGiven | RecipientGiven
) -> None:
    seen: list[str] = []
    for word in rest.split():
        keyword, equals, value = word.partition("=")
        keyword = keyword.upper()
        read = known.get(keyword)
        if read is None or keyword in seen or (equals and not value):
            raise Refused(_bad_parameter(word, is_known=read is not None))
        seen.append(keyword)
        try:
            read(given, value, offers)
        except ValueError as error:
            raise Refused(_bad(f"{keyword} has a value that cannot be read")) from error


def _bad_parameter(word: str, *, is_known: bool) -> ServerReply:
    match = _PARAMETER.match(word)
    if match is None:
        return _bad("A parameter is not of the form KEYWORD or KEYWORD=VALUE")
    keyword = match[1].upper()
    return _bad(f"{keyword} is given twice") if is_known else _not_known(keyword)


def _size(given: MailGiven, value: str, offers: Offers) -> None:
    size = _number(value, 20)
    if size > offers.max_size:
        raise Refused(replies.too_large(offers.max_size))
    given.size = size


def _body(given: MailGiven, value: str, _offers: Offers) -> None:
    kind = value.upper()
    if kind == "BINARYMIME":
        raise Refused(ServerReply(555, "5.6.3", "BINARYMIME is not taken; encode the content"))
    if kind not in {"7BIT", "8BITMIME"}:
        raise ValueError(value)
    given.eight_bit = kind == "8BITMIME"


def _smtputf8(given: MailGiven, value: str, _offers: Offers) -> None:
    if value:
        raise ValueError(value)
    given.smtputf8 = True


def _auth(_given: MailGiven, value: str, _offers: Offers) -> None:
    if not decode_xtext(value):
        raise ValueError(value)


def _ret(given: MailGiven, value: str, _offers: Offers) -> None:
    given.wishes = replace(given.wishes, full={"FULL": True, "HDRS": False}[_among(value, "FULL", "HDRS")])


def _envid(given: MailGiven, value: str, _offers: Offers) -> None:
    if not 0 < len(value) <= _MAX_ENVID:
        raise ValueError(value)
    given.wishes = replace(given.wishes, envelope_id=decode_xtext(value))


def _holdfor(given: MailGiven, value: str, offers: Offers) -> None:
    if offers.max_hold is None:
        raise Refused(_not_known("HOLDFOR"))
    given.wishes = replace(given.wishes, hold_for=timedelta(seconds=_number(value, 9)))


def _holduntil(given: MailGiven, value: str, offers: Offers) -> None:
    if offers.max_hold is None:
        raise Refused(_not_known("HOLDUNTIL"))
    if not _INSTANT.match(value):
        raise ValueError(value)
    try:
        instant = datetime.fromisoformat(value.upper()).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(value) from error
    given.wishes = replace(given.wishes, hold_until=instant)


def _by(given: MailGiven, value: str, offers: Offers) -> None:
    if offers.min_deliver_by_s is None:
        raise Refused(_not_known("BY"))
    match = _BY.match(value)
    if match is None:
        raise ValueError(value)
    by = DeliverBy(seconds=int(match[1]), returns=match[2].upper() == "R", traces=bool(match[3]))
    if by.returns and by.seconds <= 0:
        raise Refused(_bad("BY with mode R needs a time that is not over"))
    if by.returns and by.seconds < offers.min_deliver_by_s:
        raise Refused(
            ServerReply(555, "5.5.4", f"BY is too short; at least {offers.min_deliver_by_s} seconds")
        )
    given.wishes = replace(given.wishes, deliver_by=by)


def _mt_priority(given: MailGiven, value: str, offers: Offers) -> None:
    if not offers.priorities:
        raise Refused(_not_known("MT-PRIORITY"))
    if not _PRIORITY.match(value):
        raise ValueError(value)
    given.wishes = replace(given.wishes, priority=int(value))


def _notify(given: RecipientGiven, value: str, _offers: Offers) -> None:
    words = value.upper().split(",")
    if any(word not in _NOTIFY for word in words) or ("NEVER" in words and len(words) > 1):
        raise ValueError(value)
    given.notify = frozenset([_NOTIFY[word] for word in words])


def _orcpt(given: RecipientGiven, value: str, _offers: Offers) -> None:
    match = _ORCPT.match(value) if len(value) <= _MAX_ORCPT else None
    if match is None:
        raise ValueError(value)
    kind, address = match[1].lower(), match[2]
    if kind == "utf-8":
        address = _UNICODE_ESCAPE.sub(lambda one: chr(int(one[1], 16)), address)
        address.encode("utf-8")  # a lone surrogate is not taken
        if _CONTROL.search(address):
            raise ValueError(value)
    else:
        address = decode_xtext(address)
    given.original = f"{kind};{address}"


_MAIL_PARAMETERS: dict[str, _Read] = {
    "SIZE": _size,
    "BODY": _body,
    "SMTPUTF8": _smtputf8,
    "AUTH": _auth,
    "RET": _ret,
    "ENVID": _envid,
    "HOLDFOR": _holdfor,
    "HOLDUNTIL": _holduntil,
    "BY": _by,
    "MT-PRIORITY": _mt_priority,
}
_RCPT_PARAMETERS: dict[str, _Read] = {"NOTIFY": _notify, "ORCPT": _orcpt}


def _number(value: str, max_digits: int) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= max_digits):
        raise ValueError(value)
    return int(value)


def _among(value: str, *words: str) -> str:
    if value.upper() not in words:
        raise ValueError(value)
    return value.upper()


def _bad(text: str) -> ServerReply:
    return ServerReply(501, "5.5.4", text)


def _shape(command: str, enhanced: str) -> ServerReply:
    return ServerReply(501, enhanced, f"Write {command}:<name@example.com>, the address in angle brackets")


def _not_known(keyword: str) -> ServerReply:
    return ServerReply(555, "5.5.4", f"{keyword} is not taken here; EHLO tells what is")

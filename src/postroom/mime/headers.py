"""Header lines: from values to text with CR LF, and what a caller may put into one.

Every writer returns complete lines, folded at 76 to 78 columns only where white space already stands
(RFC 5322 section 2.2.3), and raises InvariantError for what the edge must have refused. Encoded words
(RFC 2047) stand only in unstructured text, in phrases and, for old readers, in the ``name`` parameter;
text that merely looks like one is encoded again, so that readers show it literally. Addresses, message
ids and URLs are never encoded and never broken.

Does not know what a message is: the writer decides which fields there are.

Sources: RFC 5322 sections 2.2 and 3.6, RFC 2047, RFC 2231, RFC 6532, RFC 8058 section 4.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache

from postroom.errors import InvariantError
from postroom.grammar import ATEXT, CONTROL, FIELD_NAME, MSG_ID, SURROGATE
from postroom.mime.encoded_words import encode_words, looks_encoded
from postroom.model.address import Mailbox

MAX_COLUMN = 76
"""Columns of a line with an encoded word (RFC 2047 section 2); we keep every line to it where we can fold."""
MAX_WORD = 900
"""Characters that may stand without a blank: what cannot be folded must stay below 998 with its name."""

RESERVED_HEADERS = frozenset(
    {
        "from",
        "sender",
        "to",
        "cc",
        "bcc",
        "reply-to",
        "subject",
        "date",
        "message-id",
        "in-reply-to",
        "references",
        "mime-version",
        "return-path",
        "received",
        "delivered-to",
        "dkim-signature",
        "domainkey-signature",
        "authentication-results",
        "received-spf",
    }
)
"""Lower-case names a caller may not set: the writer owns them or only a server on the way may add them."""
_RESERVED_PREFIXES = ("content-", "resent-", "arc-")

_ONE_LINE = frozenset({"list-unsubscribe", "list-unsubscribe-post"})
"""Never folded or encoded: folding broke signatures and one-click readers (RFC 8058 section 4)."""
_ATOMS = re.compile(rf"[{ATEXT}]+(?: [{ATEXT}]+)*\Z")
"""A phrase that needs no quotes."""
_QUOTED_SPECIAL = re.compile(r'([\\"])')
_WORDS = re.compile(r" *+[^ ]++")
"""A word with the blanks before it; linear only in text without blanks at its end."""
_CONTENT_ID = re.compile(r"[!-;=?-~]{1,200}\Z")
_MAX_IDS = 998
"""Characters of a list of message ids: some servers join folded lines before they measure them."""
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def header_problem(name: str, value: str) -> str | None:
    """Return why a caller may not set this header, as a lower-case phrase, or ``None`` when it may."""
    lower = name.lower()
    if not FIELD_NAME.match(name):
        return "the header name is not 1 to 77 printable ASCII characters without a colon"
    if lower in RESERVED_HEADERS or lower.startswith(_RESERVED_PREFIXES):
        return f"the header {name} is written by the gateway or by servers on the way"
    if CONTROL.search(value) or SURROGATE.search(value):
        return "the header value contains a line end or another control character"
    if lower in _ONE_LINE and not (value.isascii() and len(value) <= MAX_WORD):
        return f"the header {name} must be ASCII of at most {MAX_WORD} characters"
    if value.isascii() and any(len(word) > MAX_WORD for word in value.split(" ")):
        return f"the header value has more than {MAX_WORD} characters without a blank"
    if len(value) > 10 * MAX_WORD:
        return f"the header value is longer than {10 * MAX_WORD} characters"
    return None


def unstructured(name: str, text: str) -> str:
    """Write a field of free text (RFC 5322 section 2.2.1)."""
    if len(name) + len(text) < MAX_COLUMN - 1 and _is_plain(text) and text:
        return f"{name}: {text}\r\n"
    if not text:
        return f"{name}:\r\n"
    _refuse_controls(name, text)
    return _fold(name, _text_tokens(text, MAX_COLUMN - len(name) - 2))


def caller_header(name: str, value: str) -> str:
    """Write a caller's header, which ``header_problem`` has let through."""
    if name.lower() in _ONE_LINE:
        _refuse_controls(name, value)
        return f"{name}: {value}\r\n"
    return unstructured(name, value)


def mailboxes(name: str, boxes: Sequence[Mailbox]) -> str:
    """Write a list of mailboxes, folded between them; non-ASCII addresses as UTF-8 (RFC 6532)."""
    if len(boxes) == 1:
        line = f"{name}: {_mailbox(boxes[0])}\r\n"
        if len(line) <= MAX_COLUMN + 2:
            return line
    tokens: list[str] = []
    last = len(boxes) - 1
    for number, box in enumerate(boxes):
        text = _mailbox(box)
        if number < last:
            text += ","
        if len(text) < MAX_COLUMN:
            tokens.append(" " + text)
        else:
            phrase, _, address = text.rpartition(" ")
            tokens += [" " + part for part in phrase.split("\r\n ")] if phrase else []
            tokens.append(" " + address)
    return _fold(name, tokens)


def message_ids(name: str, ids: Sequence[str]) -> str:
    """Write message ids, never encoded; over 998 characters the middle goes, the first and last stay."""
    written = [f"<{_checked_id(name, one)}>" for one in ids]
    excess = len(name) + 1 + sum(map(len, written)) + len(written) - _MAX_IDS
    cut = 1
    while excess > 0 and cut < len(written) - 3:
        excess -= len(written[cut]) + 1
        cut += 1
    del written[1:cut]
    line = f"{name}: {' '.join(written)}\r\n"
    return line if len(line) <= MAX_COLUMN + 2 else _fold(name, [" " + one for one in written])


def date(at: datetime) -> str:
    """Write the Date field in the offset of ``at``, aware and in whole minutes (RFC 5322 section 3.3)."""
    offset = at.utcoffset()
    if offset is None:
        raise InvariantError("the date of a message has no offset")
    if offset.seconds % 60 or offset.microseconds:
        raise InvariantError("the offset of a message's date is not in whole minutes")
    zone = "+0000"
    if offset:
        minutes = int(offset.total_seconds()) // 60
        zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    return _date_line(at.replace(microsecond=0, tzinfo=None), zone)


@lru_cache(maxsize=16)
def _date_line(at: datetime, zone: str) -> str:
    """Write a wall time; many messages share a second. Naive, because equal instants are equal keys."""
    iso = at.isoformat()
    return (
        f"Date: {_DAYS[at.weekday()]}, {iso[8:10]} {_MONTHS[at.month - 1]} {iso[:4]} {iso[11:19]} {zone}\r\n"
    )


def content_id(value: str) -> str:
    """Write a Content-ID; ``value`` comes without angle brackets."""
    if not is_content_id(value):
        raise InvariantError("a content id with blanks, brackets or non-ASCII characters")
    return f"Content-ID: <{value}>\r\n"


def is_content_id(value: str) -> bool:
    """Say whether ``value`` can stand between the angle brackets of a Content-ID."""
    return _CONTENT_ID.match(value) is not None


def named_file(content_type: str, disposition: str, filename: str) -> str:
    """Write Content-Type and Content-Disposition of a file, its name in the forms every reader knows.

    A short ASCII name is quoted in both. Any other is an RFC 2047 word in ``name`` and RFC 2231 in
    ``filename*``: with one of the two alone QQ shows ``tcmime.bin`` or Outlook ``ATT00001``.
    """
    _refuse_controls("filename", filename)
    if len(filename) <= 60 and filename.isascii() and not looks_encoded(filename):
        quoted = quoted_string(filename)
        return (
            f"Content-Type: {content_type};\r\n name={quoted}\r\n"
            f"Content-Disposition: {disposition};\r\n filename={quoted}\r\n"
        )
    words = "\r\n ".join(encode_words(filename, MAX_COLUMN - len(' name=""')))
    extended = "".join(f";\r\n {part}" for part in _extended_parameter("filename", filename))
    return (
        f'Content-Type: {content_type};\r\n name="{words}"\r\n'
        f"Content-Disposition: {disposition}{extended}\r\n"
    )


def quoted_string(text: str) -> str:
    """Quote ASCII text (RFC 5322 section 3.2.4)."""
    if "\\" in text or '"' in text:
        text = _QUOTED_SPECIAL.sub(r"\\\1", text)
    return f'"{text}"'


def _is_plain(text: str) -> bool:
    """Say whether ``text`` can stand in a header as it is."""
    return (
        text.isascii()
        and text.isprintable()
        and not ("=?" in text and looks_encoded(text))
        and text[:1] != " "
        and text[-1:] != " "
    )


def _refuse_controls(name: str, text: str) -> None:
    if not text.isprintable() and (CONTROL.search(text) or SURROGATE.search(text)):
        raise InvariantError(f"a control character in {name}")


def _text_tokens(text: str, room: int) -> list[str]:
    """Split text into tokens that each begin with the blank (or blanks) before them.

    The span from the first word that is not plain to the last becomes encoded words; what is before and
    after stays plain. ``room`` is what is left of the first line.
    """
    if text != text.strip(" "):
        return [" " + word for word in encode_words(text, room)]
    tokens = _WORDS.findall(text)
    special = [
        number
        for number, word in enumerate(tokens)
        if not word.isascii() or len(word) > MAX_WORD or looks_encoded(word)
    ]
    if not special and not looks_encoded(text):
        return [" " + tokens[0], *tokens[1:]]
    if not special or "  " in text:
        return [" " + word for word in encode_words(text, room)]
    first, last = special[0], special[-1]
    before, after = tokens[:first], tokens[last + 1 :]
    if before:
        before[0] = " " + before[0]
        room = MAX_COLUMN - 1
    span = "".join(tokens[first : last + 1]).removeprefix(" ")
    return [*before, *(" " + word for word in encode_words(span, room)), *after]


def _mailbox(box: Mailbox) -> str:
    """Write one mailbox; encoded words in a long name are joined by CR LF SP."""
    if not box.name:
        return box.address.spec
    return f"{_phrase(box.name)} <{box.address.spec}>"


def _phrase(name: str) -> str:
    if name.isascii() and not looks_encoded(name):
        if _ATOMS.match(name):
            return name
        _refuse_controls("a display name", name)
        if len(name) <= MAX_WORD // 2:
            return quoted_string(name)
    _refuse_controls("a display name", name)
    return "\r\n ".join(encode_words(name, MAX_COLUMN - 10))


def _checked_id(name: str, value: str) -> str:
    if len(value) > MAX_WORD or "=?" in value or not MSG_ID.match(value):
        raise InvariantError(f"{name} holds what is not a message id")
    return value


def _extended_parameter(name: str, value: str) -> list[str]:
    """Write a parameter in RFC 2231 form, in continuations when it is long."""
    units = [_percent(char) for char in value]
    if sum(map(len, units)) <= MAX_COLUMN - len(name) - 12:
        return [f"{name}*=UTF-8''{''.join(units)}"]
    pieces = [""]
    for unit in units:
        if len(pieces[-1]) + len(unit) > 50:
            pieces.append("")
        pieces[-1] += unit
    pieces[0] = "UTF-8''" + pieces[0]
    return [f"{name}*{number}*={piece}" for number, piece in enumerate(pieces)]


def _percent(char: str) -> str:
    """Encode one character for RFC 2231 section 7 (attribute-char stands as it is)."""
    if char.isascii() and (char.isalnum() or char in "!#$&+-.^_`{|}~"):
        return char
    return "".join(f"%{octet:02X}" for octet in char.encode())


def _fold(name: str, tokens: Iterable[str]) -> str:
    """Join tokens, each with its leading blank, into lines; one that fits nowhere stands alone."""
    lines = []
    line = f"{name}:"
    empty = len(line)
    for token in tokens:
        if len(line) + len(token) > MAX_COLUMN and len(line) > empty:
            lines.append(line)
            line = ""
            empty = 0
        line += token
    lines.append(line)
    return "\r\n".join(lines) + "\r\n"

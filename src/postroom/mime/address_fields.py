"""Address fields of raw mail (From, To, Cc, Bcc), read to mailboxes.

Wider than what callers may write: comments, groups, several words before the angle address, encoded words in
names. Narrow where programs disagree: no route, no quoted local part, no blank or comment inside an address,
nothing after the angle bracket. What does not fit raises AddressError, so that nobody reads another address
there than we did. Linear in the length of the field, which the caller has bounded.

Sources: RFC 5322 sections 3.2.2, 3.4 and 4.4.
"""

import re

from postroom.mime.decoded_words import decode_words
from postroom.model.address import MAX_NAME, AddressError, Mailbox, parse_address

_OUTSIDE = re.compile(r'(?:[^"()\\]++|"(?:[^"\\]|\\.)*+"|\\.)*+', re.DOTALL)
_INSIDE = re.compile(r"(?:[^()\\]++|\\.)*+", re.DOTALL)
"""What may stand up to the next parenthesis; a quote is an ordinary character in a comment."""
_ITEM = re.compile(r'(?:[^",;:<>]++|"(?:[^"\\]|\\.)*+"|<[^<>"]*+>)*+', re.DOTALL)
"""One mailbox, or the name of a group, up to the mark after it."""
_PHRASE = re.compile(r'(?:[^"\\(),:;<>@]++|"(?:[^"\\]|\\.)*+")*+\Z', re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_MAX_COMMENT_DEPTH = 10


def read_mailboxes(value: str) -> tuple[Mailbox, ...]:
    """Return the mailboxes of an unfolded field in order, those of groups too; empty for none.

    Raises AddressError.
    """
    text, comment = _without_comments(value) if "(" in value else (value, "")
    found: list[Mailbox] = []
    is_in_group = False
    start = 0
    while True:
        match = _ITEM.match(text, start)
        end = match.end() if match else start
        item, mark = text[start:end].strip(" \t"), text[end : end + 1]
        if mark == ":":
            if is_in_group or not _PHRASE.match(item) or not item:
                raise AddressError("a colon where no group may begin")
            is_in_group = True
        elif mark in ("", ",", ";"):
            if mark == ";" and not is_in_group:
                raise AddressError("a semicolon outside a group", "Separate addresses with commas.")
            if item:
                found.append(_mailbox(item, comment))
            is_in_group = is_in_group and mark != ";"
        else:
            raise AddressError("a quote or an angle bracket that is opened and not closed")
        if end >= len(text):
            return tuple(found)
        start = end + 1


def _mailbox(item: str, comment: str) -> Mailbox:
    """Read ``a@b`` or ``words <a@b>``; a comment names an address without words, as old programs write it."""
    if "\ufffd" in item.rpartition("<")[2]:
        raise AddressError("the address has octets that are no UTF-8")
    if not item.endswith(">"):
        return Mailbox(parse_address(item), _shown(comment)[:MAX_NAME])
    head, _, spec = item[:-1].rpartition("<")
    if not _PHRASE.match(head):
        raise AddressError("the name before the address has a character that only quotes may hold")
    return Mailbox(parse_address(spec), _shown(_unquoted(head.strip(" \t")))[:MAX_NAME])


def _unquoted(phrase: str) -> str:
    if '"' not in phrase:
        return phrase
    return _QUOTED.sub(lambda match: _ESCAPE.sub(r"\1", match[1]), phrase)


def _shown(name: str) -> str:
    return decode_words(name).strip(" ") if name else ""


def _without_comments(text: str) -> tuple[str, str]:
    """Return the text with a blank for each comment, and the first comment's words."""
    kept: list[str] = []
    comment = ""
    depth = start = position = 0
    while True:
        match = (_INSIDE if depth else _OUTSIDE).match(text, position)
        position = match.end() if match else position
        mark = text[position : position + 1]
        if mark == "(" and depth < _MAX_COMMENT_DEPTH:
            if depth == 0:
                kept.append(text[start:position])
                start = position + 1
            depth += 1
        elif mark == ")" and depth:
            depth -= 1
            if depth == 0:
                comment = comment or text[start:position]
                kept.append(" ")
                start = position + 1
        elif mark or depth:
            raise AddressError("a comment or a quote that does not end where it should")
        else:
            kept.append(text[start:])
            return "".join(kept), _ESCAPE.sub(r"\1", comment)
        position += 1

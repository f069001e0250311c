"""Several addresses in one text, however people part them: commas, semicolons, line ends, blanks.

Pure. A mark inside a quoted name or inside angle brackets parts nothing; what is left empty by a doubled or
trailing mark is dropped. Blanks part addresses without a name (``a@example.com b@example.com``); otherwise
they belong to the name. What one mailbox may be is for ``model.address``.
"""

from postroom.model.address import Mailbox, parse_mailbox

_MARKS = frozenset(",;\uff0c\uff1b\r\n")
"""The two in the middle are the fullwidth comma and semicolon that Chinese keyboards write."""


def split_mailboxes(text: str) -> list[str]:
    """Return the texts of the mailboxes, trimmed, in order; none for a text without any."""
    found: list[str] = []
    for item in _items(text):
        words = item.split()
        if len(words) > 1 and all(map(_is_bare, words)):
            found += words
        elif words:
            found.append(item.strip())
    return found


def mailbox_texts(value: object) -> object:
    """Cut one text into the texts of mailboxes, and each text of a list; leave anything else as it is."""
    if isinstance(value, str):
        return split_mailboxes(value)
    if not isinstance(value, list | tuple):
        return value
    texts: list[object] = []
    for entry in value:
        texts += split_mailboxes(entry) if isinstance(entry, str) else [entry]
    return texts


def parse_mailboxes(text: str) -> tuple[Mailbox, ...]:
    """Read a text of mailboxes. Raises AddressError."""
    return tuple(map(parse_mailbox, split_mailboxes(text)))


def mailbox_text(address: str, name: str) -> str:
    """Write a mailbox so that it is read back, whatever its name holds."""
    if not name:
        return address
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{address}>'


def _items(text: str) -> list[str]:
    """Cut at the marks outside of quotes and angle brackets; one pass, so that no text takes long."""
    items, start, closing, is_escaped = [], 0, "", False
    for position, char in enumerate(text):
        if is_escaped:
            is_escaped = False
        elif closing:
            is_escaped = char == "\\" and closing == '"'
            closing = "" if char == closing else closing
        elif char in '"<':
            closing = '"' if char == '"' else ">"
        elif char in _MARKS:
            items.append(text[start:position])
            start = position + 1
    return [*items, text[start:]]


def _is_bare(word: str) -> bool:
    """Say whether a word is an address without a name."""
    return "@" in word and not any(mark in word for mark in '<>"')

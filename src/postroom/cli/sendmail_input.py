"""What programs write to sendmail's standard input, made the bytes of a mail.

Pure, and light: it runs for every mail of cron. Line ends become CR LF whatever they were, NULs go, a line
that is too long is folded at a blank in the header and broken in the text, as Postfix does. A text without a
header gets one. Names without a domain (``root``) get this machine's, in the fields that hold addresses.

Does not judge: what is wrong with the mail, the server says.

Sources: RFC 5322 sections 2.1.1 and 2.2, RFC 6409 section 8.2.
"""

import re
from collections.abc import Mapping

MAX_LINE = 998
"""Octets of a line without CR LF, RFC 5322 section 2.1.1."""

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_LONE_DOT = re.compile(rb"^\.\n", re.MULTILINE)
_BARE = re.compile(r'\s*([^\s"(),:;<>@\\]+)\s*(\(.*\))?\s*\Z', re.DOTALL)
"""A name alone, perhaps with a comment."""
_ANGLE = re.compile(r'<([^\s"(),:;<>@\\]+)>')
_ADDRESS_FIELDS = frozenset(
    {
        *(b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"),
        *(b"resent-from", b"resent-sender", b"resent-to", b"resent-cc", b"resent-bcc"),
    }
)


def mail_of(data: bytes, *, ends_at_dot: bool, domain: str, added: Mapping[str, str]) -> bytes:
    """Return a mail with CR LF line ends.

    ``added`` are header fields, put in front where the mail has none of that name. ``ends_at_dot``: a line
    with a dot alone ends the mail.
    """
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\0", b"")
    if data and not data.endswith(b"\n"):
        data += b"\n"
    if ends_at_dot and (dot := _LONE_DOT.search(data)) is not None:
        data = data[: dot.start()]
    fields, body = _split(data)
    names = {name for name, _ in fields}
    lines = [
        f"{name}: {value}".encode() for name, value in added.items() if name.lower().encode() not in names
    ]
    lines += [_qualified(field, domain) if name in _ADDRESS_FIELDS else field for name, field in fields]
    header = [part for line in b"\n".join(lines).split(b"\n") if line for part in _folded(line)]
    return b"\r\n".join([*header, b"", *_broken(body)])


def qualified(address: str, domain: str) -> str:
    """Return an address with a domain."""
    return address if "@" in address or not address else f"{address}@{domain}"


def _split(data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the fields by name in lower case, folded lines together, and the text after them."""
    fields: list[tuple[bytes, bytes]] = []
    start = data.find(b"\n") + 1 if data.startswith((b"From ", b">From ")) else 0
    while start < len(data):
        end = data.find(b"\n", start)
        line = data[start:end]
        if not line:
            return fields, data[end + 1 :]
        if line[:1] in b" \t" and fields:
            if line.strip():
                name, field = fields[-1]
                fields[-1] = (name, field + b"\n" + line)
        elif (match := _FIELD.match(line)) is not None:
            name = match[1].lower()
            fields.append((name, match[1] + b":" + line[match.end() :]))
        else:
            return fields, data[start:]
        start = end + 1
    return fields, b""


def _qualified(field: bytes, domain: str) -> bytes:
    """Give names without a domain one; what is not understood at a glance stays."""
    name, _, value = field.decode("utf-8", "surrogateescape").partition(":")
    parts = [value] if any(mark in value for mark in '"(:;') else value.split(",")
    for number, part in enumerate(parts):
        if match := _BARE.match(part):
            parts[number] = f" {match[1]}@{domain}{' ' + match[2] if match[2] else ''}"
        else:
            parts[number] = _ANGLE.sub(rf"<\1@{domain}>", part)
    return f"{name}:{','.join(parts)}".encode("utf-8", "surrogateescape")


def _folded(line: bytes) -> list[bytes]:
    """Fold a header line that is too long at its blanks; one without any stays as it is."""
    lines = []
    while len(line) > MAX_LINE:
        cut = line.rfind(b" ", 1, MAX_LINE)
        if cut <= 0 or not line[:cut].strip():
            break
        lines.append(line[:cut])
        line = line[cut:]
    return [*lines, line]


def _broken(body: bytes) -> list[bytes]:
    """Break lines that are too long, never inside a character of UTF-8; the rest begins with a blank."""
    lines = []
    for line in body.split(b"\n"):
        rest = line
        while len(rest) > MAX_LINE:
            cut = MAX_LINE
            while cut > MAX_LINE - 4 and rest[cut] & 0xC0 == 0x80:
                cut -= 1
            lines.append(rest[:cut])
            rest = b" " + rest[cut:]
        lines.append(rest)
    return lines

"""What a server announces in its reply to EHLO (RFC 5321 section 4.1.1.1), as real servers write it.

Keywords are compared without case; unknown ones are ignored, which also covers a last line "Ok" (Amazon).
``AUTH=LOGIN`` (the form before RFC 4954) and ``8 BITMIME`` (Yahoo) are read as what they mean. A parameter
that cannot be read makes its keyword count as announced without one; nothing here raises.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_SIZE = 2**63 - 1
"""A larger SIZE is taken as this."""
_SIZE = re.compile(r"[0-9]{1,20}\Z")
"""RFC 1870 section 4: at most 20 digits."""
_LIMIT = re.compile(r"(RCPTMAX|MAILMAX)=([1-9][0-9]{0,5})\Z")
"""RFC 9422 section 4."""
_ANY_LIMIT = re.compile(r"[A-Z0-9][A-Z0-9\-]*=[!-:<-~]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """What may be used with a server. The default is a server that knows only HELO."""

    pipelining: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    starttls: bool = False
    dsn: bool = False
    """Wishes for reports may be given (RFC 3461)."""
    has_size: bool = False
    """SIZE= may be given with MAIL."""
    max_size: int | None = None
    """Bytes of a message; ``None`` when no limit is known."""
    mechanisms: tuple[str, ...] = ()
    """SASL mechanisms in upper case, in the server's order."""
    max_recipients: int | None = None
    """Recipients of one transaction (RFC 9422 RCPTMAX)."""
    max_messages: int | None = None
    """Transactions of one connection (RFC 9422 MAILMAX)."""


NO_EXTENSIONS = Extensions()


def parse_extensions(lines: Sequence[str]) -> Extensions:
    """Read the lines of a positive reply to EHLO, the first of which is the server's name."""
    announced = dict(_words(lines[1:]))
    size = announced.get("SIZE", [""])[:1]
    limits = _limits(announced.get("LIMITS", []))
    return Extensions(
        pipelining="PIPELINING" in announced,
        eight_bit="8BITMIME" in announced,
        smtputf8="SMTPUTF8" in announced,
        starttls="STARTTLS" in announced,
        dsn="DSN" in announced,
        has_size="SIZE" in announced,
        max_size=_max_size(size[0]) if size else None,
        mechanisms=_mechanisms(lines[1:]),
        max_recipients=limits.get("RCPTMAX"),
        max_messages=limits.get("MAILMAX"),
    )


def _words(lines: Iterable[str]) -> Iterable[tuple[str, list[str]]]:
    for line in lines:
        words = line.upper().split()
        if words[:2] == ["8", "BITMIME"]:
            words = ["8BITMIME"]
        if words:
            yield words[0], words[1:]


def _mechanisms(lines: Iterable[str]) -> tuple[str, ...]:
    """Collect the mechanisms of all AUTH lines, each once."""
    found: dict[str, None] = {}
    for line in lines:
        words = line.upper().replace("AUTH=", "AUTH ", 1).split()
        if words[:1] == ["AUTH"]:
            found.update(dict.fromkeys(words[1:]))
    return tuple(found)


def _max_size(text: str) -> int | None:
    """Return the limit; zero means none is fixed (RFC 1870 section 4)."""
    return min(int(text), MAX_SIZE) or None if _SIZE.match(text) else None


def _limits(words: Sequence[str]) -> dict[str, int]:
    """Return RCPTMAX and MAILMAX; one malformed limit voids the keyword (RFC 9422 section 4)."""
    found = {}
    for word in words:
        if match := _LIMIT.match(word):
            found[match[1]] = int(match[2])
        elif not _ANY_LIMIT.match(word) or word.startswith(("RCPTMAX=", "MAILMAX=")):
            return {}
    return found

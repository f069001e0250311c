"""Mail addresses (RFC 5321 section 4.1.2, RFC 5322 section 3.4, RFC 6531, RFC 5891).

Parsing is ours and strict: no encoded words are decoded, no comments and no groups are read, no quoted
local parts. Length limits are checked before any parsing, and every pattern runs in linear time.
A domain is stored as its A-label in lower case; a local part is stored as given, its case kept.

Decided here:

* Single-label domains (``root@localhost``, intranet hosts) are allowed: relays inside a company use them.
* Address literals (``user@[192.0.2.1]``) and bare numbers (``user@192.0.2.1``) are refused: they name a
  machine instead of a mail domain, so they would go round every rule about where mail may be sent.
* Local parts may be non-ASCII, in normal form C and without invisible characters. They are not
  normalised: that would be another mailbox than the one the caller named.

``email-validator`` is not used: it decodes nothing we want decoded, takes encoded words, normalises
silently and costs 28 microseconds; tests hold this parser against it.
"""

import re
import unicodedata
from dataclasses import dataclass

import idna

from postroom.grammar import (
    ASCII_ADDRESS,
    ATEXT,
    BIDI_CONTROL,
    CONTROL,
    HOST_NAME,
    MAX_DOMAIN,
    MAX_LOCAL_PART,
    MAX_PATH,
    SURROGATE,
)

MAX_NAME = 512
"""Characters of a display name (security limit; real ones stay below 100)."""
_MAX_MAILBOX = MAX_PATH + 2 * MAX_NAME + 16
"""Characters of one mailbox as text: every character of a quoted name may be escaped."""

_LOCAL_PART = re.compile(rf"[{ATEXT}\x80-\U0010ffff]+(?:\.[{ATEXT}\x80-\U0010ffff]+)*\Z")
"""RFC 6531 section 3.3: dot-atom with UTF8-non-ascii in atext."""
_NUMBER = re.compile(r"(?:[0-9]+|0[xX][0-9A-Fa-f]*)\Z")
"""A last label that resolvers read as (part of) an IPv4 address."""
_QUOTED_NAME = re.compile(r'"((?:[^"\\]|\\.)*+)"\Z', re.DOTALL)
_NAME_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_NAME_SPECIAL = re.compile(r'[()<>:;@\\,"]')
"""RFC 5322 section 3.2.3 specials that would make an unquoted name ambiguous (dot and brackets do not)."""
_LIST_ITEM = re.compile(r'(?:[^",]++|"(?:[^"\\]|\\.)*+")*+', re.DOTALL)
_JOINERS = "\u200c\u200d"
_QUOTE_THE_NAME = 'Put the name in double quotes, as in "Name, Inc." <name@example.com>.'


class AddressError(ValueError):
    """A text is not an address we take; ``cause`` is a lower-case phrase, ``fix`` a sentence."""

    def __init__(self, cause: str, fix: str = "Write one address such as name@example.com.") -> None:
        """Take what is wrong and what to do."""
        super().__init__(cause)
        self.cause = cause
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Address:
    """One address, valid by construction through ``parse_address``."""

    local: str
    """The local part, possibly non-ASCII (then the way out needs SMTPUTF8)."""
    domain: str
    """A-label, lower case."""

    @property
    def spec(self) -> str:
        """Return ``local@domain``, empty for the null reverse path."""
        return f"{self.local}@{self.domain}" if self.domain else ""

    @property
    def is_ascii(self) -> bool:
        """Say whether the address can be sent without SMTPUTF8."""
        return self.local.isascii()

    def is_same(self, other: "Address") -> bool:
        """Say whether both name one mailbox, as providers compare a sender with an account: without case."""
        return self == other or (self.domain == other.domain and self.local.lower() == other.local.lower())

    def __str__(self) -> str:
        """Return ``local@domain``."""
        return f"{self.local}@{self.domain}"


NULL_PATH = Address("", "")
"""``<>`` as MAIL FROM: no report of a failure is wanted (RFC 5321 section 4.5.5)."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address with an optional display name."""

    address: Address
    name: str = ""
    """The display name as people read it, decoded; empty when there is none."""

    def __str__(self) -> str:
        """Return it for people, the name without quotes."""
        return f"{self.name} <{self.address}>" if self.name else str(self.address)


def parse_address(text: str) -> Address:
    """Parse ``local@domain``; blanks around it are not taken. Raises AddressError."""
    if len(text) <= MAX_PATH and (match := ASCII_ADDRESS.match(text)):
        local, domain = match.groups()
        domain = domain.lower()
        if (
            len(local) <= MAX_LOCAL_PART
            and "=?" not in local
            and "xn--" not in domain
            and not domain[domain.rfind(".") + 1].isdigit()
        ):
            return Address(local, domain)
    return _parse_carefully(text)


def parse_mailbox(text: str) -> Mailbox:
    """Parse ``a@b``, ``<a@b>``, ``Name <a@b>`` or ``"Quoted name" <a@b>``. Raises AddressError."""
    if len(text) > _MAX_MAILBOX:
        raise AddressError(f"the mailbox is {len(text)} characters long, at most {_MAX_MAILBOX}")
    text = text.strip(" \t")
    if not text.endswith(">"):
        return Mailbox(parse_address(text))
    head, bracket, spec = text[:-1].rpartition("<")
    if not bracket:
        raise AddressError("a closing angle bracket without an opening one")
    address = parse_address(spec.strip(" \t"))
    head = head.rstrip(" \t")
    return Mailbox(address, _parse_name(head)) if head else Mailbox(address)


def parse_mailbox_list(text: str) -> tuple[Mailbox, ...]:
    """Parse mailboxes separated by commas; blank items (a trailing comma) are skipped, quotes respected.

    Raises AddressError, also when there is no mailbox at all.
    """
    items = text.split(",") if '"' not in text else _split_quoted(text)
    found = tuple([parse_mailbox(item) for item in items if not item.isspace() and item])
    if not found:
        raise AddressError("no address in the list")
    return found


def make_mailbox(address: str, name: str = "") -> Mailbox:
    """Make a mailbox of an address and a display name that come apart. Raises AddressError."""
    return Mailbox(parse_address(address), _checked_name(name.strip(" \t")))


def _parse_carefully(text: str) -> Address:
    """Parse what the fast path did not take: non-ASCII, A-labels, and everything that is wrong."""
    if len(text) > MAX_PATH or len(text.encode("utf-8", "surrogatepass")) > MAX_PATH:
        raise AddressError(f"the address is longer than {MAX_PATH} octets")
    if CONTROL.search(text) or BIDI_CONTROL.search(text) or SURROGATE.search(text):
        raise AddressError("the address contains a control character")
    if "=?" in text:
        raise AddressError("the address contains an encoded word, which is never decoded here")
    local, at, domain = text.rpartition("@")
    if not at:
        raise AddressError("the address has no @ sign" if text else "the address is empty")
    if text.startswith('"'):
        raise AddressError("a quoted local part, which is not taken")
    if domain.endswith("]"):
        raise AddressError("an address literal, which is not taken", "Use the name of a mail domain.")
    _check_local(local)
    address = Address(local, _parse_domain(domain))
    if len(address.spec.encode()) > MAX_PATH:
        raise AddressError(f"the address is longer than {MAX_PATH} octets with its domain as A-label")
    return address


def _check_local(local: str) -> None:
    if len(local.encode()) > MAX_LOCAL_PART:
        raise AddressError(f"the part before the @ is longer than {MAX_LOCAL_PART} octets")
    if not _LOCAL_PART.match(local):
        raise AddressError("the part before the @ has a character, blank or dot where none may stand")
    if local.isascii():
        return
    if not unicodedata.is_normalized("NFC", local):
        raise AddressError("the part before the @ is not in Unicode normal form C")
    if _has_invisible(local) or unicodedata.category(local[0]).startswith("M"):
        raise AddressError("the part before the @ contains an invisible or combining character")


def _parse_domain(domain: str) -> str:
    """Return the A-label in lower case (IDNA 2008 with the mappings of UTS 46)."""
    if len(domain.encode()) > MAX_DOMAIN:
        raise AddressError(f"the domain is longer than {MAX_DOMAIN} octets")
    if _has_invisible(domain.translate(dict.fromkeys(map(ord, _JOINERS)))):
        raise AddressError("the domain contains a blank or an invisible character")
    label = domain.lower()
    if not domain.isascii() or "xn--" in label:
        try:
            label = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
            is_stable = idna.encode(idna.decode(label)).decode("ascii") == label
        except UnicodeError as error:  # idna.IDNAError is one
            raise AddressError("the domain is not a valid international name (IDNA 2008)") from error
        if not is_stable:
            raise AddressError("the domain does not survive the way to its A-label and back")
    if not HOST_NAME.match(label):
        raise AddressError("the domain has a character or dot where none may stand")
    if _NUMBER.match(label.rpartition(".")[2]):
        raise AddressError("the domain is a number, not a name", "Use the name of a mail domain.")
    return label


def _has_invisible(text: str) -> bool:
    return any(unicodedata.category(char)[0] in "CZ" for char in text)


def _parse_name(head: str) -> str:
    """Return the name in front of an angle address, its quotes removed."""
    if match := _QUOTED_NAME.match(head):
        return _checked_name(_NAME_ESCAPE.sub(r"\1", match[1]))
    if _NAME_SPECIAL.search(head):
        raise AddressError("the name has a character that only a quoted name may hold", _QUOTE_THE_NAME)
    return _checked_name(head)


def _checked_name(name: str) -> str:
    if len(name) > MAX_NAME:
        raise AddressError(f"the name is longer than {MAX_NAME} characters", "Shorten the name.")
    if not name.isprintable() and (
        CONTROL.search(name) or BIDI_CONTROL.search(name) or SURROGATE.search(name)
    ):
        raise AddressError("the name contains a control character", "Remove it from the name.")
    return name


def _split_quoted(text: str) -> list[str]:
    """Split at the commas outside quotes."""
    items = []
    start = 0
    while True:
        match = _LIST_ITEM.match(text, start)
        end = match.end() if match else start
        items.append(text[start:end])
        if end == len(text):
            return items
        if text[end] != ",":
            raise AddressError("a double quote is opened and not closed", "Close the quote.")
        start = end + 1

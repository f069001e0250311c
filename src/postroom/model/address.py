"""Mail addresses (RFC 5321 section 4.1.2, RFC 5322 section 3.4, RFC 6531, RFC 5891).

Parsing is ours and strict: no encoded words are decoded, no comments are read, no quoted local parts.
A domain is stored as its A-label in lower case; a local part is stored as given.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """One address, valid by construction through ``parse_address``."""

    local: str
    """The local part, possibly non-ASCII (then the way out needs SMTPUTF8)."""
    domain: str
    """A-label, lower case."""

    @property
    def spec(self) -> str:
        """Return ``local@domain``."""
        return f"{self.local}@{self.domain}"

    @property
    def is_ascii(self) -> bool:
        """Say whether the address can be sent without SMTPUTF8."""
        return self.local.isascii()

    def __str__(self) -> str:
        """Return ``local@domain``."""
        return f"{self.local}@{self.domain}"


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address with an optional display name."""

    address: Address
    name: str = ""
    """The display name as people read it, decoded; empty when there is none."""

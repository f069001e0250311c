"""Grammar of mail as regular expressions, each with the RFC production it is.

Pure patterns; what a match means is decided by those who use them.
"""

import re

ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
"""RFC 5322 section 3.2.3 atext, as the inside of a character class."""

DOT_ATOM = re.compile(rf"[{ATEXT}]+(?:\.[{ATEXT}]+)*\Z")
"""RFC 5322 section 3.2.3 dot-atom-text."""

LDH_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?"
"""RFC 1123 section 2.1 host label, 63 octets (RFC 1035 section 2.3.4)."""

HOST_NAME = re.compile(rf"{LDH_LABEL}(?:\.{LDH_LABEL})*\Z")
"""RFC 5321 section 4.1.2 Domain, ASCII form."""

ASCII_ADDRESS = re.compile(rf"([{ATEXT}]+(?:\.[{ATEXT}]+)*)@({LDH_LABEL}(?:\.{LDH_LABEL})*)\Z")
"""RFC 5321 section 4.1.2 Mailbox with a Dot-string and a Domain."""

MAX_LOCAL_PART = 64
"""Octets, RFC 5321 section 4.5.3.1.1 (security limit)."""
MAX_DOMAIN = 255
"""Octets, RFC 5321 section 4.5.3.1.2 (security limit)."""
MAX_PATH = 254
"""Octets of an address without angle brackets, RFC 5321 section 4.5.3.1.3 (security limit)."""

FIELD_NAME = re.compile(r"[!-9;-~]{1,77}\Z")
"""RFC 5322 section 2.2 field name: printable US-ASCII without colon; 77 keeps the line short."""

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
"""RFC 2045 section 5.1 token."""

MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&\-^_.+]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&\-^_.+]{0,126}\Z")
"""RFC 6838 section 4.2 type/subtype."""

MSG_ID = re.compile(rf"[{ATEXT}.]+@[{ATEXT}.\[\]:]+\Z")
"""RFC 5322 section 3.6.4 msg-id without brackets, the obsolete forms left out."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""C0, DEL, C1 and the Unicode line ends: never in anything bound for a header."""

BIDI_CONTROL = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
"""Bidi overrides and isolates: refused in names (LRM and RLM are not)."""

SURROGATE = re.compile(r"[\ud800-\udfff]")
"""Lone surrogates: not encodable, refused everywhere."""

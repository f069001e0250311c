"""Logins: which mechanisms to try, and what each says.

| mechanism | source | shows the secret to the server |
|---|---|---|
| OAUTHBEARER | RFC 7628 | a token that ends |
| XOAUTH2 | Google's and Microsoft's form before it | a token that ends |
| SCRAM-SHA-256, SCRAM-SHA-1, each with -PLUS | RFC 7677, RFC 5802, RFC 5929 (``scram``) | no |
| PLAIN | RFC 4616, with an empty authorization identity (Naver refuses a filled one) | yes |
| LOGIN | never standardised | yes |
| CRAM-MD5 | RFC 2195 | no, but the server must keep it readable |

The order is the table's; without TLS CRAM-MD5 goes before PLAIN, and under TLS it is the last resort. Raw
UTF-8 goes out, with SASLprep for SCRAM only. LOGIN waits for its two prompts, since not every server takes
the name in the AUTH line. NTLM is not spoken: servers that offer it offer one of these too.
"""

import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, assert_never

from postroom.model.secret import Secret
from postroom.smtp.parser import inert
from postroom.smtp.scram import BINDING, Broken, Derivation, Scram

MAX_CHALLENGES = 4
"""Challenges answered before the login is given up (security limit); nothing here needs more than three."""
MAX_STATUS = 200
"""Characters that are kept of why a token was refused."""
_STATUS_KEYS = ("status", "error", "scope", "schemes")
"""What of the JSON of RFC 7628 section 3.2.2 is for people."""


class Mechanism(StrEnum):
    """SASL mechanisms we speak."""

    OAUTHBEARER = "OAUTHBEARER"
    XOAUTH2 = "XOAUTH2"
    SCRAM_SHA_256_PLUS = "SCRAM-SHA-256-PLUS"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_1_PLUS = "SCRAM-SHA-1-PLUS"
    SCRAM_SHA_1 = "SCRAM-SHA-1"
    PLAIN = "PLAIN"
    LOGIN = "LOGIN"
    CRAM_MD5 = "CRAM-MD5"


BY_TOKEN = (Mechanism.OAUTHBEARER, Mechanism.XOAUTH2)
BOUND = (Mechanism.SCRAM_SHA_256_PLUS, Mechanism.SCRAM_SHA_1_PLUS)
SCRAM = (
    Mechanism.SCRAM_SHA_256_PLUS,
    Mechanism.SCRAM_SHA_256,
    Mechanism.SCRAM_SHA_1_PLUS,
    Mechanism.SCRAM_SHA_1,
)
_UNDER_TLS = (*SCRAM, Mechanism.PLAIN, Mechanism.LOGIN, Mechanism.CRAM_MD5)
_IN_PLAIN = (*SCRAM, Mechanism.CRAM_MD5, Mechanism.PLAIN, Mechanism.LOGIN)


def _unbound() -> bytes | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """What a login needs beside the account."""

    token: Secret | None = None
    """For OAUTHBEARER and XOAUTH2."""
    nonce: str = ""
    """For SCRAM: printable ASCII without a comma, new for each connection; empty leaves SCRAM out."""
    binding: Callable[[], bytes | None] = _unbound
    """The bytes of ``tls-server-end-point``, asked for when SCRAM is offered; ``None``: there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who logs in where."""

    username: str
    password: str | None = field(repr=False)
    token: str | None = field(repr=False)
    host: str
    port: int
    nonce: str = ""
    binding: bytes | None = None
    is_plus_offered: bool = False


def candidates(
    offered: Sequence[str], *, is_encrypted: bool, forced: str | None, who: Credentials
) -> Sequence[Mechanism]:
    """Return the mechanisms to try, in their order; empty when there is none in common.

    ``forced`` is used alone, and even when it is not offered: the server's refusal says more than ours would.
    """
    if forced is not None:
        return [Mechanism(forced.upper())] if forced.upper() in frozenset(Mechanism) else []
    order: tuple[Mechanism, ...] = BY_TOKEN if who.token else ()
    if who.password:
        order += _UNDER_TLS if is_encrypted else _IN_PLAIN
    left_out: set[Mechanism] = set()
    if not who.nonce:
        left_out.update(SCRAM)
    if who.binding is None:
        left_out.update(BOUND)
    return [mechanism for mechanism in order if mechanism in offered and mechanism not in left_out]


class Login(Protocol):
    """One login: the initial response and the answers to challenges."""

    @property
    def initial(self) -> bytes | None:
        """What may go in the AUTH line; unsaid, it answers the first challenge. ``None``: nothing."""
        ...

    @property
    def has_shown_secret(self) -> bool:
        """Whether the server got what it needs to judge the password or token."""
        ...

    @property
    def status(self) -> str:
        """Words for a refusal of a token, with what the server told before its reply; else empty."""
        ...

    def note_initial(self) -> None:
        """Note that ``initial`` goes in the AUTH line."""
        ...

    def answer(self, challenge: bytes | None) -> bytes | Derivation | Broken:
        """Answer a decoded challenge; ``None`` is one that is not base64."""
        ...

    def objection(self) -> Broken | None:
        """Return why a success of the server is not believed."""
        ...


def login(mechanism: Mechanism, who: Credentials) -> Login:
    """Return the login."""
    match mechanism:
        case Mechanism.OAUTHBEARER | Mechanism.XOAUTH2:
            return TokenLogin(mechanism, who)
        case Mechanism.PLAIN | Mechanism.LOGIN | Mechanism.CRAM_MD5:
            return PasswordLogin(mechanism, who)
        case (
            Mechanism.SCRAM_SHA_256_PLUS
            | Mechanism.SCRAM_SHA_256
            | Mechanism.SCRAM_SHA_1_PLUS
            | Mechanism.SCRAM_SHA_1
        ):
            return ScramLogin(mechanism, who)
        case _:
            assert_never(mechanism)


class PasswordLogin:
    """PLAIN, LOGIN or CRAM-MD5."""

    status = ""

    def __init__(self, mechanism: Mechanism, who: Credentials) -> None:
        """Take the credentials."""
        self._mechanism = mechanism
        self._username = who.username.encode()
        self._password = (who.password or "").encode()
        self._is_named = False
        self.has_shown_secret = False

    @property
    def initial(self) -> bytes | None:
        """What may go in the AUTH line."""
        return self._plain if self._mechanism is Mechanism.PLAIN else None

    @property
    def _plain(self) -> bytes:
        return b"\0" + self._username + b"\0" + self._password

    def note_initial(self) -> None:
        """Note that the password goes in the AUTH line."""
        self.has_shown_secret = True

    def answer(self, challenge: bytes | None) -> bytes | Broken:
        """Answer a challenge; LOGIN's prompts are sometimes not base64, and nobody reads them."""
        if self._mechanism is Mechanism.LOGIN and not self._is_named:
            self._is_named = True
            return self._username
        if self._mechanism is Mechanism.CRAM_MD5 and not challenge:
            return Broken(text="the CRAM-MD5 challenge cannot be read", may_try_another=True)
        self.has_shown_secret = True
        if self._mechanism is Mechanism.PLAIN:
            return self._plain
        if self._mechanism is Mechanism.LOGIN:
            return self._password
        return self._username + b" " + hmac.digest(self._password, challenge or b"", "md5").hex().encode()

    def objection(self) -> Broken | None:
        """Nothing: these mechanisms prove nothing to us."""
        return None


class TokenLogin:
    """OAUTHBEARER or XOAUTH2."""

    def __init__(self, mechanism: Mechanism, who: Credentials) -> None:
        """Take the credentials; a password stands in for a token when the mechanism was forced."""
        bearer = f"auth=Bearer {who.token or who.password or ''}\x01\x01"
        if mechanism is Mechanism.XOAUTH2:
            text, self._end = f"user={who.username}\x01{bearer}", b""
        else:
            name = who.username.replace("=", "=3D").replace(",", "=2C")
            text, self._end = f"n,a={name},\x01host={who.host}\x01port={who.port}\x01{bearer}", b"\x01"
        self.initial = text.encode()
        self.has_shown_secret = False
        self.status = "oauth refused"

    def note_initial(self) -> None:
        """Note that the token goes in the AUTH line."""
        self.has_shown_secret = True

    def answer(self, challenge: bytes | None) -> bytes | Broken:
        """Say the token when it was not said; else the challenge tells why it was refused."""
        if not self.has_shown_secret:
            self.has_shown_secret = True
            return self.initial
        self.status = _status(challenge or b"")
        return self._end

    def objection(self) -> Broken | None:
        """Nothing: a token proves nothing to us."""
        return None


class ScramLogin:
    """SCRAM with or without channel binding."""

    status = ""

    def __init__(self, mechanism: Mechanism, who: Credentials) -> None:
        """Take the credentials. The flag ``y`` tells a server that its -PLUS did not reach us."""
        is_bound = mechanism in BOUND
        could_bind = who.binding is not None and not who.is_plus_offered
        self._lacks_binding = is_bound and who.binding is None
        self._is_begun = False
        self._scram = Scram(
            "sha256" if "256" in mechanism else "sha1",
            who.username,
            who.password or "",
            nonce=who.nonce,
            gs2=f"p={BINDING}" if is_bound else "y" if could_bind else "n",
            binding=(who.binding or b"") if is_bound else b"",
        )

    @property
    def initial(self) -> bytes | None:
        """What may go in the AUTH line."""
        return self._scram.initial

    @property
    def has_shown_secret(self) -> bool:
        """Whether the proof was sent."""
        return self._scram.has_shown_proof

    def note_initial(self) -> None:
        """Note that the first message goes in the AUTH line."""
        self._is_begun = True

    def answer(self, challenge: bytes | None) -> bytes | Derivation | Broken:
        """Answer a message of the server."""
        if self._lacks_binding:
            return Broken(text="there is no TLS connection that the login could be bound to")
        if not self._is_begun:
            self._is_begun = True
            return self._scram.initial
        return self._scram.answer(challenge or b"")

    def objection(self) -> Broken | None:
        """A success without the server's proof is not believed."""
        if self._scram.is_proven:
            return None
        text = "the server accepted the login without its SCRAM signature"
        return Broken(text=text, cause="server-not-proven")


def _status(challenge: bytes) -> str:
    """Return what the server's JSON says for people; never the token, and nothing that is not plain text."""
    try:
        told = json.loads(challenge)
    except (ValueError, RecursionError):
        return "oauth refused"
    if not isinstance(told, dict):
        return "oauth refused"
    words = [f"{key} {told[key]}" for key in _STATUS_KEYS if isinstance(told.get(key), str | int)]
    return inert("oauth " + (", ".join(words) or "refused"))[:MAX_STATUS]

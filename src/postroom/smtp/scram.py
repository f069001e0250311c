"""SCRAM (RFC 5802), with SHA-1 and SHA-256 (RFC 7677), with and without channel binding (RFC 5929).

The password does not go over the wire, and the server must prove that it knows it too: a success without a
valid signature is not believed. The channel binding is ``tls-server-end-point``; its bytes are the caller's.

Rules: a server that asks for fewer than ``MIN_ITERATIONS`` would get a proof that is cheap to break, one that
asks for more than ``MAX_ITERATIONS`` would keep a processor busy for seconds; neither gets one. The hashing
is handed out as a ``Derivation``, so that whoever has an event loop can do it in a thread.

What it does not do: authorization identities, SCRAM-SHA-512, and keeping derived keys for later logins.
"""

import hashlib
import hmac
import re
import stringprep
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import dataclass
from unicodedata import ucd_3_2_0

MIN_ITERATIONS = 4096
"""RFC 5802 section 5.1 asks servers for at least this (security limit)."""
MAX_ITERATIONS = 1_000_000
"""0.8 s of one processor with SHA-256; servers of today use 4,096 to 600,000 (security limit)."""
BINDING = "tls-server-end-point"
_FIRST = re.compile(
    r"r=(?P<nonce>[!-+\--~]+),s=(?P<salt>[A-Za-z0-9+/=]+),i=(?P<count>[1-9][0-9]{0,9})(?:,.*)?\Z"
)
"""RFC 5802 section 7, server-first-message; an ``m=`` in front is an extension that we do not know."""
_MISMATCHES = frozenset({"channel-bindings-dont-match", "server-does-support-channel-binding"})
"""Errors that mean that the ends of the TLS connection are not ours and the server's."""


@dataclass(frozen=True, slots=True)
class Derivation:
    """An answer that takes a while to compute: call ``run``, in a thread if others wait, and send it."""

    run: Callable[[], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The exchange cannot go on."""

    text: str
    """A lower-case phrase without anything that the server said."""
    cause: str | None = None
    may_try_another: bool = False
    """The password was not judged, and another mechanism may work."""


class Scram:
    """One exchange: ``initial``, then an answer to each message of the server."""

    def __init__(
        self, digest: str, username: str, password: str, *, nonce: str, gs2: str, binding: bytes = b""
    ) -> None:
        """Take who we are and how the connection is bound.

        Args:
            digest: ``sha1`` or ``sha256``.
            username: As the account has it.
            password: As the account has it.
            nonce: Printable ASCII without a comma, never used before.
            gs2: Flag of RFC 5802 section 7: ``n``, ``y`` or ``p=tls-server-end-point``.
            binding: The channel binding's bytes, with ``p`` only.
        """
        self._digest = digest
        self._password = prepared(password).encode()
        self._nonce = nonce
        self._gs2 = f"{gs2},,".encode()
        self._binding = binding
        name = prepared(username).replace("=", "=3D").replace(",", "=2C")
        self._first_bare = f"n={name},r={nonce}"
        self._signature = b""
        self.has_shown_proof = False
        """The server got what it needs to judge the password."""
        self.is_proven = False
        """The server has shown that it knows the password."""

    @property
    def initial(self) -> bytes:
        """The client's first message."""
        return self._gs2 + self._first_bare.encode()

    def answer(self, message: bytes) -> bytes | Derivation | Broken:
        """Return the answer to a message of the server."""
        text = message.decode("utf-8", "replace")
        return self._on_final(text) if self.has_shown_proof else self._on_first(text)

    def _on_first(self, text: str) -> Derivation | Broken:
        if text.startswith("e="):
            return _error(text)
        found = _FIRST.match(text)
        if found is None:
            return Broken(text="the server's first SCRAM message cannot be read", may_try_another=True)
        nonce = found["nonce"]
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            return Broken(text="the server's SCRAM nonce does not continue ours", may_try_another=True)
        try:
            salt = b64decode(found["salt"], validate=True)
        except Base64Error:
            return Broken(text="the server's SCRAM salt cannot be read", may_try_another=True)
        count = int(found["count"])
        if not MIN_ITERATIONS <= count <= MAX_ITERATIONS:
            allowed = f"{MIN_ITERATIONS} to {MAX_ITERATIONS}"
            return Broken(
                text=f"the server asks for {count} SCRAM iterations, allowed are {allowed}",
                cause="scram-iterations",
            )
        bare = f"c={b64encode(self._gs2 + self._binding).decode()},r={nonce}"
        signed = f"{self._first_bare},{text},{bare}".encode()
        self.has_shown_proof = True
        return Derivation(lambda: self._final(bare, signed, salt, count))

    def _final(self, bare: str, signed: bytes, salt: bytes, count: int) -> bytes:
        """Return the client's final message (RFC 5802 section 3) and keep the signature to expect."""
        digest = self._digest
        salted = hashlib.pbkdf2_hmac(digest, self._password, salt, count)
        client_key = hmac.digest(salted, b"Client Key", digest)
        stored_key = hashlib.new(digest, client_key).digest()
        signature = hmac.digest(stored_key, signed, digest)
        proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        self._signature = hmac.digest(hmac.digest(salted, b"Server Key", digest), signed, digest)
        return f"{bare},p={b64encode(proof).decode()}".encode()

    def _on_final(self, text: str) -> bytes | Broken:
        if text.startswith("e="):
            found = _error(text)
            return found if found.cause else b""  # the reply that follows says it in its own words
        verifier = text[2:].partition(",")[0] if text.startswith("v=") else ""
        try:
            shown = b64decode(verifier, validate=True)
        except ValueError:
            shown = b""
        if not hmac.compare_digest(self._signature, shown):
            return Broken(
                text="the server's SCRAM signature is not that of the password", cause="server-not-proven"
            )
        self.is_proven = True
        return b""


def _error(text: str) -> Broken:
    """Return what an error of the server (RFC 5802 section 7) means."""
    name = text[2:].partition(",")[0]
    if name in _MISMATCHES:
        return Broken(
            text=f"the server says that the login is not bound to its connection ({name})",
            cause="channel-binding-refused",
        )
    return Broken(text="the server ended the SCRAM exchange", may_try_another=True)


def prepared(text: str) -> str:
    """Return ``text`` by SASLprep (RFC 4013), or as it is when that forbids it.

    Servers keep passwords that SASLprep forbids (characters newer than Unicode 3.2) as they are, too.
    """
    if text.isascii():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    normal = ucd_3_2_0.normalize("NFKC", mapped)
    return text if any(map(_is_forbidden, normal)) or _is_mixed(normal) else normal


def _is_forbidden(char: str) -> bool:
    return (
        stringprep.in_table_a1(char)
        or stringprep.in_table_c12(char)
        or stringprep.in_table_c21_c22(char)
        or stringprep.in_table_c3(char)
        or stringprep.in_table_c4(char)
        or stringprep.in_table_c5(char)
        or stringprep.in_table_c6(char)
        or stringprep.in_table_c7(char)
        or stringprep.in_table_c8(char)
        or stringprep.in_table_c9(char)
    )


def _is_mixed(text: str) -> bool:
    """Say whether ``text`` breaks the rule on directions (RFC 3454 section 6)."""
    if not any(map(stringprep.in_table_d1, text)):
        return False
    is_framed = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return not is_framed or any(map(stringprep.in_table_d2, text))

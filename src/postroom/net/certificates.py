"""What a server's certificate says: facts for people, pins, and the bytes that bind a login to it.

Rules: this module is imported by who needs it when it is needed, because ``cryptography`` costs 30 ms and
10 MB. Nothing here decides whether to trust a certificate: OpenSSL or a pin did that.
``Certificate.problems`` shows what is wrong with one that was refused, or taken unchecked.

Sources: RFC 5280, RFC 6125 section 6.4 (names), RFC 5929 section 4 (tls-server-end-point), RFC 7469
section 2.4 (the hash of a public key).
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_TOO_WEAK = frozenset({"md5", "sha1"})
"""Hashes that RFC 5929 section 4.1 replaces by SHA-256."""
_UNREADABLE = (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, x509.UnsupportedGeneralNameType)
"""What ``cryptography`` raises for what stands in a certificate; not all of them are a ValueError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A server's own certificate."""

    subject: str
    """RFC 4514 form, for example ``CN=mail.example.com,O=Example``."""
    issuer: str
    names: tuple[str, ...]
    """Host names and IP addresses that it is for."""
    not_before: datetime
    not_after: datetime
    digest: str
    """SHA-256 of the certificate, 64 hex digits; may be pinned until it is renewed."""
    key_digest: str
    """SHA-256 of its public key (SubjectPublicKeyInfo), 64 hex digits; may be pinned as long as the key is
    kept. Empty when the key cannot be read."""

    @property
    def is_self_signed(self) -> bool:
        """Whether it names itself as its issuer."""
        return self.subject == self.issuer

    def is_for(self, name: str) -> bool:
        """Say whether it is for this host name or address."""
        wanted = name.rstrip(".").lower()
        return any(_covers(own.lower(), wanted) for own in self.names)

    def problems(self, name: str, at: datetime) -> Sequence[str]:
        """Return cause ids of what can be seen from the certificate alone.

        An unknown authority cannot be seen from it; a certificate without a problem may still be refused.

        Args:
            name: The host name or address it should be for.
            at: Now.
        """
        found = {
            "tls-expired": at > self.not_after,
            "tls-not-yet-valid": at < self.not_before,
            "tls-hostname": not self.is_for(name),
            "tls-untrusted": self.is_self_signed,
        }
        return [cause for cause, is_so in found.items() if is_so]


def read_certificate(der: bytes) -> Certificate:
    """Return what a certificate says. Raises ValueError when it cannot be read."""
    try:
        read = x509.load_der_x509_certificate(der)
        return Certificate(
            subject=read.subject.rfc4514_string(),
            issuer=read.issuer.rfc4514_string(),
            names=_names(read),
            not_before=read.not_valid_before_utc,
            not_after=read.not_valid_after_utc,
            digest=digest(der),
            key_digest=key_digest(der),
        )
    except _UNREADABLE as error:
        raise ValueError(f"the certificate cannot be read: {error}") from None


def digest(der: bytes) -> str:
    """Return the SHA-256 of a certificate."""
    return hashlib.sha256(der).hexdigest()


def key_digest(der: bytes) -> str:
    """Return the SHA-256 of a certificate's public key, ``""`` when it cannot be read."""
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except _UNREADABLE:
        return ""
    return digest(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def end_point_binding(der: bytes) -> bytes | None:
    """Return the channel binding ``tls-server-end-point`` (RFC 5929 section 4.1).

    ``None`` when it is undefined: the signature has no hash of its own (Ed25519), or cannot be read.
    """
    try:
        algorithm = x509.load_der_x509_certificate(der).signature_hash_algorithm
    except _UNREADABLE:
        return None
    if algorithm is None:
        return None
    name = "sha256" if algorithm.name in _TOO_WEAK else algorithm.name
    return hashlib.new(name.replace("sha3-", "sha3_"), der).digest()


def _names(read: x509.Certificate) -> tuple[str, ...]:
    with suppress(*_UNREADABLE, x509.ExtensionNotFound, x509.DuplicateExtension):
        found = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return (
            *found.get_values_for_type(x509.DNSName),
            *(str(address) for address in found.get_values_for_type(x509.IPAddress)),
        )
    return ()


def _covers(own: str, wanted: str) -> bool:
    if own.startswith("*."):
        return own[1:] == "." + wanted.partition(".")[2] and "." in wanted
    with suppress(ValueError):
        return ip_address(own) == ip_address(wanted)
    return own == wanted

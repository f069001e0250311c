"""The local authority: a certificate for listeners of ours where nobody gave one.

Made at the first start that needs it and kept in the data directory, so that what a person told his programs
to trust stays true: the authority itself lives ten years, the certificate it signs about one, and that one is
made again before it ends or when the listeners get other names.

Rules: keys are readable by their owner only, from the moment the file exists; every file is written beside
and renamed, so a crash leaves the old one or the new one; the authority may sign servers' certificates and
nothing else, and no further authority (RFC 5280 section 4.2.1.9).

What it does not do: revoke, or sign for others. This module is imported by who needs it when it is needed,
because ``cryptography`` costs 30 ms and 10 MB.

Sources: RFC 5280; a server's certificate that a person's own authority signed may live 825 days on some
systems, so it lives less than half of that.
"""

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from postroom.clock import Dice
from postroom.errors import ConfigError, Problem
from postroom.grammar import HOST_NAME

AUTHORITY_FILE = "authority.pem"
"""What programs are told to trust."""
_AUTHORITY_KEY = "authority.key"
_CERTIFICATE = "listener.pem"
_KEY = "listener.key"

AUTHORITY_LIFE = timedelta(days=3650)
CERTIFICATE_LIFE = timedelta(days=397)
RENEWAL = timedelta(days=60)
"""Before its end a certificate is made again."""
_BACKDATED = timedelta(hours=1)
"""Clients whose clock is a little behind take it too."""
_ALWAYS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCertificate:
    """A certificate with its key, and the authority that signed it; PEM files."""

    cert: Path
    key: Path
    authority: Path
    names: tuple[str, ...]
    """Host names and addresses it is for."""
    is_new: bool = False
    """The authority was made now: nobody trusts it yet."""


def authority_file(data: Path) -> Path:
    """Return where the authority's certificate lies, whether it was made yet or not."""
    return data / AUTHORITY_FILE


def names_for(hosts: Sequence[str]) -> tuple[str, ...]:
    """Return what a certificate for listeners at ``hosts`` must name: those, this machine, and loopback."""
    found = [*hosts, socket.gethostname(), *_ALWAYS]
    return tuple(dict.fromkeys(name for host in found if (name := _name(host)) is not None))


def own_certificate(data: Path, names: Sequence[str], *, now: datetime, dice: Dice) -> OwnCertificate:
    """Return the certificate for these names, made or made again when it must be. Blocking.

    Raises ConfigError when a file cannot be read or written.
    """
    authority, cert, key = authority_file(data), data / _CERTIFICATE, data / _KEY
    try:
        signer = _read_pair(authority, data / _AUTHORITY_KEY)
        is_new = signer is None or _ends_soon(signer[0], now)
        if signer is None or is_new:
            signer = _make_authority(now, dice)
            _write_pair(authority, data / _AUTHORITY_KEY, signer)
        kept = None
        with suppress(ValueError):  # what cannot be read is made again: nobody trusts it by itself
            kept = _read_pair(cert, key)
        if kept is None or not _is_good(kept[0], signer[0], names, now):
            _write_pair(cert, key, _sign(signer, names, now, dice))
    except (OSError, ValueError, TypeError) as error:
        cause = f"the certificate of the local authority cannot be made in {data}: {error}"
        fix = f"Mend or remove {AUTHORITY_FILE} and {_AUTHORITY_KEY} there, or give a certificate."
        raise ConfigError([Problem(code="authority-unusable", field="data", cause=cause, fix=fix)]) from error
    return OwnCertificate(cert=cert, key=key, authority=authority, names=tuple(names), is_new=is_new)


def _name(host: str) -> str | None:
    with suppress(ValueError):
        address = ip_address(host.partition("%")[0])
        return None if address.is_unspecified else str(address)
    return host.lower() if HOST_NAME.match(host) else None


# ---------------------------------------------------------------------- files

_Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _read_pair(cert: Path, key: Path) -> _Pair | None:
    """Return what was made before; ``None`` when one of the files is missing. Raises OSError, ValueError."""
    try:
        found = x509.load_pem_x509_certificates(cert.read_bytes())[0]
        secret = load_pem_private_key(key.read_bytes(), password=None)
    except FileNotFoundError:
        return None
    if not isinstance(secret, ec.EllipticCurvePrivateKey) or secret.public_key() != found.public_key():
        msg = f"{key.name} is not the key of {cert.name}"
        raise ValueError(msg)
    return found, secret


def _write_pair(cert: Path, key: Path, pair: _Pair) -> None:
    """Put both files in place, the key first: a certificate is never there without its key."""
    secret = pair[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    cert.unlink(missing_ok=True)
    _write(key, secret, 0o600)
    _write(cert, pair[0].public_bytes(Encoding.PEM), 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


# ---------------------------------------------------------------------- certificates


def _ends_soon(found: x509.Certificate, now: datetime) -> bool:
    return not found.not_valid_before_utc <= now < found.not_valid_after_utc - RENEWAL


def _is_good(
    found: x509.Certificate, authority: x509.Certificate, names: Sequence[str], now: datetime
) -> bool:
    try:
        found.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    known = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return known == _alternatives(names) and not _ends_soon(found, now)


def _make_authority(now: datetime, dice: Dice) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject(f"Postroom on {socket.gethostname()[:40]}, {dice.token(3).hex()}")
    builder = _builder(name, name, key.public_key(), dice)
    builder = builder.not_valid_before(now - _BACKDATED).not_valid_after(now + AUTHORITY_LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(is_authority=True), critical=True)
    return _signed(builder, key), key


def _sign(signer: _Pair, names: Sequence[str], now: datetime, dice: Dice) -> _Pair:
    authority, authority_key = signer
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(authority.subject, _subject(names[0][:64]), key.public_key(), dice)
    until = min(now + CERTIFICATE_LIFE, authority.not_valid_after_utc)
    builder = builder.not_valid_before(now - _BACKDATED).not_valid_after(until)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(is_authority=False), critical=True)
    builder = builder.add_extension(_alternatives(names), critical=False)
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = builder.add_extension(by, critical=False)
    return _signed(builder, authority_key), key


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, dice: Dice
) -> x509.CertificateBuilder:
    serial = int.from_bytes(dice.token(16)) | 1  # positive, at most 20 octets (RFC 5280 section 4.1.2.2)
    builder = x509.CertificateBuilder().issuer_name(issuer).subject_name(subject)
    builder = builder.public_key(key).serial_number(serial)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return builder.add_extension(server, critical=False)


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    return builder.sign(key, hashes.SHA256())


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternatives(names: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general_name(name) for name in names])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)

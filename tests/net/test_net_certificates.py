"""Certificates: facts, pins, bindings, and a pin in place of authority and name."""

import hashlib
import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from net.wires import CLOCK, TIMEOUTS, Run, account, fault_of, greet, listening
from postroom.model.outcome import FaultKind
from postroom.model.step import Step
from postroom.model.transport import TlsMode
from postroom.net import tls
from postroom.net.certificates import digest, end_point_binding, key_digest, read_certificate
from postroom.net.dialing import dial

Hash = SHA256 | SHA384 | SHA512
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def leaf_of(authority: trustme.CA, name: str) -> tuple[ssl.SSLContext, bytes]:
    issued = authority.issue_cert(name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    der = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).public_bytes(Encoding.DER)
    return context, der


def made(algorithm: Hash | None) -> bytes:
    """Return a self-signed certificate; ``None`` is Ed25519, which has no hash of its own."""
    key = (
        ed25519.Ed25519PrivateKey.generate() if algorithm is None else ec.generate_private_key(ec.SECP256R1())
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.com")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=90))
    )
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


def test_a_certificates_facts(authority: trustme.CA) -> None:
    """Names, issuer, validity and both digests are told."""
    issued = authority.issue_cert("mail.example.com", "*.example.net", "192.0.2.1", not_after=NOW)
    read = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
    der = read.public_bytes(Encoding.DER)
    facts = read_certificate(der)
    assert facts.names == ("mail.example.com", "*.example.net", "192.0.2.1")
    assert (facts.not_after, facts.not_before < NOW) == (NOW, True)
    assert "trustme" in facts.issuer
    assert not facts.is_self_signed
    assert facts.digest == hashlib.sha256(der).hexdigest() == digest(der)
    key = read.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert facts.key_digest == hashlib.sha256(key).hexdigest() == key_digest(der)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mail.example.com", True),
        ("MAIL.example.com.", True),
        ("mx.example.net", True),
        ("a.b.example.net", False),
        ("example.net", False),
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("mail.example.org", False),
    ],
)
def test_a_name_is_covered_by_one_label_at_most(authority: trustme.CA, name: str, *, expected: bool) -> None:
    """A star stands for one label, addresses are compared as addresses."""
    issued = authority.issue_cert("mail.example.com", "*.example.net", "192.0.2.1")
    read = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
    assert read_certificate(read.public_bytes(Encoding.DER)).is_for(name) is expected


def test_a_certificates_problems_are_causes() -> None:
    """What is wrong with a certificate is told by the causes of a refused handshake."""
    facts = read_certificate(made(SHA256()))
    day = timedelta(days=1)
    assert facts.problems("mail.example.com", NOW - day)[0] == "tls-not-yet-valid"
    assert facts.problems("mail.example.com", NOW + 100 * day)[0] == "tls-expired"
    assert facts.problems("mail.example.com", NOW + day) == ["tls-hostname", "tls-untrusted"]


@pytest.mark.parametrize(
    ("algorithm", "name"), [(SHA256(), "sha256"), (SHA384(), "sha384"), (SHA512(), "sha512")]
)
def test_the_binding_has_the_hash_of_the_signature(algorithm: Hash, name: str) -> None:
    """RFC 5929: the certificate hashed as its signature was."""
    der = made(algorithm)
    assert end_point_binding(der) == hashlib.new(name, der).digest()


def test_an_old_hash_is_replaced_in_the_binding(monkeypatch: pytest.MonkeyPatch) -> None:
    """MD5 and SHA-1 give way to SHA-256 (RFC 5929 section 4.1)."""

    class Old:
        signature_hash_algorithm = type("SHA1", (), {"name": "sha1"})

    monkeypatch.setattr(x509, "load_der_x509_certificate", lambda _der: Old)
    assert end_point_binding(b"der") == hashlib.sha256(b"der").digest()


def test_a_binding_may_be_undefined() -> None:
    """A signature without a hash, or bytes that are no certificate, have no binding."""
    assert end_point_binding(made(None)) is None
    assert end_point_binding(b"\x30\x00") is None
    assert key_digest(b"\x30\x00") == ""


def test_what_cannot_be_read_is_a_value_error_and_has_no_binding() -> None:
    """A version that does not exist, and bytes that are no certificate."""
    later = made(SHA256()).replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020154"), 1)
    for der in (later, b"junk", b""):
        with pytest.raises(ValueError, match="the certificate cannot be read"):
            read_certificate(der)
        assert (end_point_binding(der), key_digest(der)) == (None, "")


def test_names_of_kinds_that_nobody_reads_are_left_out() -> None:
    """An x400Address in place of the names: the other facts are told."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.com")])
    names = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), bytes.fromhex("3004a3020500"))
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=90))
    der = builder.add_extension(names, critical=False).sign(key, SHA256()).public_bytes(Encoding.DER)
    facts = read_certificate(der)
    assert (facts.names, facts.subject) == ((), "CN=mail.example.com")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_pin_stands_in_place_of_authority_and_name(run: Run, version: ssl.TLSVersion) -> None:
    """An unknown authority and a wrong name do not matter to a pin; sessions are taken up."""

    async def main() -> None:
        context, der = leaf_of(trustme.CA(), "other.example.net")
        context.minimum_version = context.maximum_version = version
        async with listening(greet, tls=context) as port:
            for pin in (digest(der), key_digest(der)):
                for is_later in (False, True):
                    wire = await dial(account(port, TlsMode.IMPLICIT, pin=pin), TIMEOUTS, clock=CLOCK)
                    assert await wire.receive(5) == b"220 mx.example.com\r\n"
                    assert wire.is_resumed is is_later
                    assert wire.certificate == read_certificate(der)
                    assert wire.channel_binding == end_point_binding(der)
                    assert wire.tls_cipher
                    wire.abort()
            wrong = account(port, TlsMode.IMPLICIT, pin="0" * 64)
            failure = await fault_of(dial(wrong, TIMEOUTS, clock=CLOCK))
            assert (failure.step, failure.fault.kind) == (Step.TLS, FaultKind.TLS)
            assert failure.fault.cause == "pin-mismatch"
            assert digest(der) in failure.fault.text
            assert key_digest(der) in failure.fault.text

    run(main())


def test_a_pin_is_checked_though_a_session_is_taken_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a session that was kept for another pin does not get past the pin."""

    async def main() -> None:
        context, der = leaf_of(trustme.CA(), "127.0.0.1")
        async with listening(greet, tls=context) as port:
            good = account(port, TlsMode.IMPLICIT, pin=digest(der))
            wire = await dial(good, TIMEOUTS, clock=CLOCK)
            await wire.receive(5)
            wire.abort()
            held = dict(tls._sessions)
            (kept,) = [value for key, value in held.items() if key[1] == port]
            changed = account(port, TlsMode.IMPLICIT, pin="f" * 64)
            key = next(key for key in held if key[1] == port)
            monkeypatch.setitem(tls._sessions, (*key[:-1], "f" * 64), kept)
            assert (await fault_of(dial(changed, TIMEOUTS, clock=CLOCK))).fault.cause == "pin-mismatch"

    run(main())


def test_the_servers_name_may_differ_from_the_host(run: Run, authority: trustme.CA, ca_file: str) -> None:
    """``server_name`` goes into SNI and is the name that is checked."""

    async def main() -> None:
        context, _ = leaf_of(authority, "mail.example.com")
        asked: list[str | None] = []
        context.sni_callback = lambda _object, name, _context: asked.append(name)
        async with listening(greet, tls=context) as port:
            ours = account(port, TlsMode.IMPLICIT, ca_file=ca_file, server_name="mail.example.com")
            wire = await dial(ours, TIMEOUTS, clock=CLOCK)
            assert await wire.receive(5) == b"220 mx.example.com\r\n"
            assert asked == ["mail.example.com"]
            wire.abort()

    run(main())


def test_a_plain_connection_has_no_certificate(run: Run) -> None:
    """Certificate and binding are those of TLS only."""

    async def main() -> None:
        async with listening(greet) as port:
            wire = await dial(account(port), TIMEOUTS, clock=CLOCK)
            assert (wire.certificate, wire.channel_binding, wire.tls_cipher) == (None, None, "")
            wire.abort()

    run(main())

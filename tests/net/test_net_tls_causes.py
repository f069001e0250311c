"""Each thing that is wrong with a server's TLS is told from the others, through the whole of OpenSSL."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from net.wires import CLOCK, TIMEOUTS, Handler, Run, account, fault_of, listening
from postroom.clock import SystemClock
from postroom.model.outcome import Evidence
from postroom.model.step import Step
from postroom.model.transport import TlsMode
from postroom.net.dialing import dial
from postroom.policy.classify import classify

NOW = SystemClock().now()
DAY = timedelta(days=1)

Change = Callable[[ssl.SSLContext, trustme.CA, Path], None]


def issued(context: ssl.SSLContext, certificate: trustme.LeafCert) -> None:
    certificate.configure_cert(context)


def expired(context: ssl.SSLContext, authority: trustme.CA, _directory: Path) -> None:
    issued(context, authority.issue_cert("127.0.0.1", not_before=NOW - 9 * DAY, not_after=NOW - DAY))


def early(context: ssl.SSLContext, authority: trustme.CA, _directory: Path) -> None:
    issued(context, authority.issue_cert("127.0.0.1", not_before=NOW + DAY))


def wrong_name(context: ssl.SSLContext, authority: trustme.CA, _directory: Path) -> None:
    issued(context, authority.issue_cert("mail.example.com"))


def other_authority(context: ssl.SSLContext, _authority: trustme.CA, _directory: Path) -> None:
    issued(context, trustme.CA().issue_cert("127.0.0.1"))


def self_signed(context: ssl.SSLContext, _authority: trustme.CA, directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.com")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .sign(key, hashes.SHA256())
    )
    load(context, directory, made, key)


def weak_key(context: ssl.SSLContext, authority: trustme.CA, directory: Path) -> None:
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the claim
    signer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.com")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(signer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .sign(authority._private_key, hashes.SHA256())
    )
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    load(context, directory, made, key)


def load(
    context: ssl.SSLContext,
    directory: Path,
    certificate: x509.Certificate,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
) -> None:
    path = directory / "server.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    context.load_cert_chain(path)


def old_protocol(context: ssl.SSLContext, authority: trustme.CA, _directory: Path) -> None:
    issued(context, authority.issue_cert("127.0.0.1"))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1


def no_shared_cipher(context: ssl.SSLContext, authority: trustme.CA, _directory: Path) -> None:
    issued(context, authority.issue_cert("127.0.0.1"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("NULL:@SECLEVEL=0")


def shaking(context: ssl.SSLContext) -> Handler:
    """Return a server that says why it gives up; asyncio's own closes without its alert."""

    async def shake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        with suppress(ssl.SSLError):
            while received := await reader.read(65536):
                incoming.write(received)
                with suppress(ssl.SSLWantReadError):
                    tls.do_handshake()
                writer.write(outgoing.read())
        writer.write(outgoing.read())
        await reader.read()

    return shake


@pytest.mark.parametrize(
    ("change", "cause", "words"),
    [
        (expired, "tls-expired", "certificate has expired"),
        (early, "tls-not-yet-valid", "certificate is not yet valid"),
        (wrong_name, "tls-hostname", "IP address mismatch"),
        (other_authority, "tls-untrusted", "unable to get local issuer certificate"),
        (self_signed, "tls-untrusted", "self-signed certificate"),
        (weak_key, "tls-old", "key too weak"),
        (old_protocol, "tls-old", "protocol version"),
        (no_shared_cipher, "tls-old", "no cipher or certificate that both sides accept"),
    ],
)
def test_what_is_wrong_is_named(  # noqa: PLR0917 - the columns of the table
    run: Run, authority: trustme.CA, ca_file: str, tmp_path: Path, change: Change, cause: str, words: str
) -> None:
    """The cause is the right one, and the evidence has words that no other case has."""

    async def main() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        change(context, authority, tmp_path)
        async with listening(shaking(context)) as port:
            ours = account(port, TlsMode.IMPLICIT, ca_file=ca_file)
            failure = await fault_of(dial(ours, TIMEOUTS, clock=CLOCK))
            assert failure.step is Step.TLS
            assert classify(Evidence(step=failure.step, fault=failure.fault)).cause == cause
            assert words in failure.fault.text

    run(main())

"""The local authority: made once, trusted by clients as they are, renewed in time."""

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from postroom.clock import SystemDice
from postroom.errors import ConfigError
from postroom.net.authority import CERTIFICATE_LIFE, OwnCertificate, names_for, own_certificate

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NAMES = ("mail.example.com", "localhost", "127.0.0.1", "::1")


def made(data: Path, now: datetime = NOW, names: tuple[str, ...] = NAMES) -> OwnCertificate:
    return own_certificate(data, names, now=now, dice=SystemDice())


def shaken(own: OwnCertificate, name: str) -> bool:
    """Return whether a client with Python's defaults and only the authority's file takes it for ``name``."""
    client = ssl.create_default_context(cafile=str(own.authority))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(own.cert, own.key)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(down, up, server_hostname=name)
    theirs = server.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return ours.version() is not None


def test_a_client_with_defaults_takes_it(tmp_path: Path) -> None:
    """The authority's file is all a client needs, for every name and for no other."""
    own = made(tmp_path, datetime.now(UTC))
    assert own.is_new
    assert [shaken(own, name) for name in NAMES] == [True] * 4
    assert not shaken(own, "other.example.com")


def test_it_survives_a_restart(tmp_path: Path) -> None:
    """A second start changes no file."""
    made(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = made(tmp_path, NOW + timedelta(days=30))
    assert not again.is_new
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_keys_are_private(tmp_path: Path) -> None:
    """Nobody else may read a key; the authority's certificate may be read."""
    made(tmp_path)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes["authority.key"] == modes["listener.key"] == 0o600
    assert modes["authority.pem"] & 0o400


@pytest.mark.parametrize("change", ["age", "names", "cut"])
def test_the_certificate_is_made_again_under_the_same_authority(tmp_path: Path, change: str) -> None:
    """Near its end, for other names, or when it cannot be read; what was trusted stays."""
    own = made(tmp_path)
    trusted, old = own.authority.read_bytes(), own.cert.read_bytes()
    now, names = NOW, tuple[str, ...](NAMES)
    if change == "age":
        now += CERTIFICATE_LIFE - timedelta(days=59)
    elif change == "names":
        names = ("smtp.example.net", *NAMES)
    else:
        own.cert.write_bytes(b"cut")
    again = made(tmp_path, now, names)
    assert trusted == again.authority.read_bytes()
    assert old != again.cert.read_bytes()
    read = x509.load_pem_x509_certificate(again.cert.read_bytes())
    assert read.not_valid_after_utc > now + timedelta(days=300)
    read.verify_directly_issued_by(x509.load_pem_x509_certificate(trusted))


def test_a_lost_key_makes_a_new_authority_and_says_so(tmp_path: Path) -> None:
    """Without its key the authority cannot sign; programs must trust the new one."""
    now = datetime.now(UTC)
    trusted = made(tmp_path, now).authority.read_bytes()
    (tmp_path / "authority.key").unlink()
    again = made(tmp_path, now)
    assert again.is_new
    assert trusted != again.authority.read_bytes()
    assert shaken(again, "localhost")


def test_a_broken_authority_stops_the_start(tmp_path: Path) -> None:
    """What people trust is never replaced silently."""
    own = made(tmp_path)
    own.authority.write_bytes(b"cut")
    with pytest.raises(ConfigError, match="authority"):
        made(tmp_path)


def test_the_names_are_those_a_client_may_use() -> None:
    """Addresses of the listeners but not "every address", this machine, and loopback."""
    found = names_for(["0.0.0.0", "::", "192.0.2.7", "Mail.Example.com"])
    assert found[:2] == ("192.0.2.7", "mail.example.com")
    assert found[-3:] == ("localhost", "127.0.0.1", "::1")

"""What is refused at start: open doors without a way out or without a key; and the Nexus file merged in."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from each_row import each
from postroom.config.load import load
from postroom.config.settings import HttpDoor, Listener, Settings
from postroom.config.sources import Flags
from postroom.errors import ConfigError
from postroom.model.address import parse_mailbox
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, TlsMode

TRANSPORT = {"POSTROOM_TRANSPORT": "smtps://app@example.com:pw@mx.example.com"}
INI = """\
[api]
domain = id.example.com
api_port = 8448
https = no
cert_password = 00

[email]
smtp_url = smtp://mx.example.com:587
smtp_username = monitor
smtp_password = s3cret-word
from_mail = nexus@example.com

[thread]
max_client = 512
"""


def start(
    cwd: Path, flags: Flags, environ: Mapping[str, str] | None = None, *, toml: str = ""
) -> Settings | set[str]:
    """Return the settings, or the codes of what is wrong."""
    (cwd / "postroom.toml").write_text(toml)
    try:
        return load(flags, environ or {}, cwd)
    except ConfigError as error:
        return {problem.code for problem in error.problems}


def settings(
    cwd: Path, flags: Flags, environ: Mapping[str, str] | None = None, *, toml: str = ""
) -> Settings:
    found = start(cwd, flags, environ, toml=toml)
    assert isinstance(found, Settings)
    return found


@each(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("gw.example.com", False),
    ],
)
def test_loopback(host: str, is_loopback: bool) -> None:
    """Only what certainly is this machine counts as this machine."""
    assert is_loopback is Listener(host=host, port=1).is_loopback


def test_the_local_url() -> None:
    """A door on every address is reached over loopback."""
    assert Listener(host="0.0.0.0", port=1).local_url == "http://127.0.0.1:1"
    assert Listener(host="::", port=1, tls=True).local_url == "https://[::1]:1"
    assert Listener(host="192.0.2.1", port=1).local_url == "http://192.0.2.1:1"


def test_an_unknown_variable_hides_nothing(tmp_path: Path) -> None:
    """What the settings come to is judged beside the other errors."""
    assert start(tmp_path, Flags(http=(":1",)), {"POSTROOM_FORM": "x"}) == {
        "unknown-variable",
        "no-transport",
    }


@pytest.mark.parametrize("http", ["0.0.0.0:8587", ":8587", "[::]:8587", "192.0.2.1:8587"])
def test_beyond_loopback_needs_a_transport_or_capture(tmp_path: Path, http: str) -> None:
    """Other machines' mail is not captured unless that is said."""
    assert start(tmp_path, Flags(http=("127.0.0.1:1", http))) == {"no-transport"}
    assert settings(tmp_path, Flags(http=(http,), capture=True)).is_capturing
    assert not settings(tmp_path, Flags(http=(http,)), TRANSPORT).is_capturing
    assert start(tmp_path, Flags(http=(http,)), {"POSTROOM_TRANSPORT": "capture:"}) == {"no-transport"}


def test_capture_wins_over_transports(tmp_path: Path) -> None:
    """With capture asked for, no configured transport is used, and that is said."""
    found = settings(tmp_path, Flags(capture=True), TRANSPORT)
    assert found.transports == ()
    assert found.warnings == ("capture is asked for: the configured transports are not used",)


@pytest.mark.parametrize(
    ("toml", "environ", "keyless"),
    [
        ("", {}, True),
        ("", TRANSPORT, False),
        ("", {"POSTROOM_TRANSPORT": "capture:"}, True),
        ("[nexus]\nkeyless = true", TRANSPORT, True),
        ("[nexus]\nkeyless = false", {}, False),
        ('[http]\npublic_url = "https://gw.example.com"', {}, False),
        ('[http]\ntrusted_proxies = ["192.0.2.1"]', {}, False),
    ],
)
def test_keyless(tmp_path: Path, toml: str, environ: dict[str, str], keyless: bool) -> None:
    """Without a key: in capture mode or when set, never behind a proxy."""
    assert keyless is settings(tmp_path, Flags(), environ, toml=toml).nexus.keyless


def test_keyless_beyond_loopback_needs_networks(tmp_path: Path) -> None:
    """A door without keys that other machines reach needs the list of those machines."""
    (tmp_path / "nexus.ini").write_text(INI)
    beyond, asked = Flags(http=(":8587",)), "[nexus]\nkeyless = true\n"
    ini = Flags(http=(":8587",), nexus_config=Path("nexus.ini"))
    assert start(tmp_path, beyond, TRANSPORT, toml=asked) == {"keyless-open"}
    assert start(tmp_path, ini) == {"keyless-open"}
    assert not settings(tmp_path, ini, toml="[nexus]\nkeyless = false").nexus.keyless
    listed = settings(tmp_path, beyond, TRANSPORT, toml=f'{asked}networks = ["192.0.2.0/24"]')
    assert listed.nexus.keyless
    everyone = settings(tmp_path, beyond, TRANSPORT, toml=f'{asked}networks = ["0.0.0.0/0"]')
    assert "lets every caller" in everyone.warnings[0]


def test_keyless_behind_a_proxy_is_a_contradiction(tmp_path: Path) -> None:
    """Asked for by the setting it is refused; by a Nexus file alone it is switched off, and said."""
    proxied = '[http]\npublic_url = "https://gw.example.com"\n'
    assert start(tmp_path, Flags(), TRANSPORT, toml=f"{proxied}[nexus]\nkeyless = true") == {
        "keyless-behind-proxy"
    }
    (tmp_path / "nexus.ini").write_text(INI)
    found = settings(tmp_path, Flags(nexus_config=Path("nexus.ini")), toml=proxied)
    assert not found.nexus.keyless
    assert "the Nexus doors ask for a key because a proxy may stand before Postroom" in found.warnings


def test_a_nexus_file_alone_is_enough(tmp_path: Path) -> None:
    """The file gives transport, sender, a listener on loopback, the bound and the Message-ID's domain."""
    (tmp_path / "nexus.ini").write_text(INI)
    found = settings(tmp_path, Flags(nexus_config=Path("nexus.ini")))
    assert found.transports[0].account == SmtpAccount(
        host="mx.example.com",
        port=587,
        tls=TlsMode.OPPORTUNISTIC,
        username="monitor",
        password=Secret("s3cret-word"),
    )
    assert found.transports[0].default_from == found.nexus.from_ == parse_mailbox("nexus@example.com")
    assert found.listeners[1] == Listener(host="127.0.0.1", port=8448, doors=(HttpDoor.NEXUS,))
    assert found.door_limits.max_connections == 512
    assert (found.nexus.domain, found.nexus.keyless) == ("id.example.com", True)


def test_the_names_callers_without_a_key_may_use(tmp_path: Path) -> None:
    """The addresses listened on, the file's own domain and the names set; "every address" is no name."""
    (tmp_path / "nexus.ini").write_text(INI)
    flags = Flags(nexus_config=Path("nexus.ini"), http=(":1", "192.0.2.1:1"))
    toml = '[nexus]\nnetworks = ["192.0.2.0/24"]\nhosts = ["gw"]'
    assert settings(tmp_path, flags, toml=toml).nexus.hosts == ("192.0.2.1", "gw", "id.example.com")
    (tmp_path / "nexus.ini").write_text(INI.replace("id.example.com", "not a name"))
    found = settings(tmp_path, flags, toml=toml)
    assert found.nexus.hosts == ("192.0.2.1", "gw")
    assert "[api] domain is not a domain name and is not used" in found.warnings


def test_our_settings_win_over_the_nexus_file(tmp_path: Path) -> None:
    """Transport, bound, domain and sender of our own replace the file's."""
    (tmp_path / "nexus.ini").write_text(INI)
    toml = '[limits]\nmax_connections = 7\n[nexus]\ndomain = "a.example"\nfrom = "b@example.com"\n'
    toml += 'config = "nexus.ini"'
    found = settings(tmp_path, Flags(), TRANSPORT, toml=toml)
    assert [spec.name for spec in found.transports] == ["default"]
    assert found.door_limits.max_connections == 7
    assert (found.nexus.domain, found.nexus.from_) == ("a.example", parse_mailbox("b@example.com"))


def test_api_port_listens_where_the_callers_are(tmp_path: Path) -> None:
    """With networks beyond loopback the port is open to them; a port is never opened twice."""
    (tmp_path / "nexus.ini").write_text(INI)
    flags = Flags(nexus_config=Path("nexus.ini"))
    found = settings(tmp_path, flags, toml='[nexus]\nnetworks = ["192.0.2.0/24"]')
    assert found.listeners[1].host == "0.0.0.0"
    found = settings(tmp_path, flags, toml='[nexus]\nnetworks = ["127.0.0.0/8"]')
    assert found.listeners[1].host == "127.0.0.1"
    found = settings(tmp_path, Flags(nexus_config=Path("nexus.ini"), http=("127.0.0.1:8448",)))
    assert found.listeners == (Listener(host="127.0.0.1", port=8448),)


def test_https_of_the_nexus_file_takes_our_certificate(tmp_path: Path) -> None:
    """With https = yes the port speaks TLS, and a missing certificate is told."""
    (tmp_path / "nexus.ini").write_text(INI.replace("https = no", "https = yes"))
    assert start(tmp_path, Flags(nexus_config=Path("nexus.ini"))) == {"tls-incomplete"}
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("x")
    flags = Flags(nexus_config=Path("nexus.ini"), tls_cert=Path("cert.pem"), tls_key=Path("key.pem"))
    assert settings(tmp_path, flags).listeners[1].tls


@pytest.mark.parametrize(
    ("ini", "codes"),
    [
        (INI.replace("from_mail = nexus@example.com", ""), {"sender-missing"}),
        (INI.replace("nexus@example.com", "nobody"), {"address-syntax"}),
        (INI.replace("smtp_password = s3cret-word", ""), {"login-incomplete"}),
        (INI.replace("smtp://", "http://"), {"uri-scheme-unknown"}),
        (INI.replace("8448", "port"), {"ini-value"}),
    ],
)
def test_what_is_wrong_in_a_nexus_file(tmp_path: Path, ini: str, codes: set[str]) -> None:
    """A missing sender, an incomplete login and unusable values have names."""
    (tmp_path / "nexus.ini").write_text(ini)
    assert codes == start(tmp_path, Flags(nexus_config=Path("nexus.ini")))


def test_a_nexus_url_without_a_scheme(tmp_path: Path) -> None:
    """A bare server is read as smtp://, and said."""
    (tmp_path / "nexus.ini").write_text(INI.replace("smtp://mx", "mx"))
    found = settings(tmp_path, Flags(nexus_config=Path("nexus.ini")))
    assert found.transports[0].account is not None
    assert found.transports[0].account.port == 587
    assert "smtp_url has no scheme and is read as smtp://" in found.warnings


def test_an_account_of_the_nexus_file_that_is_not_used(tmp_path: Path) -> None:
    """A transport from elsewhere wins, and the start says that the file's account is left out."""
    (tmp_path / "nexus.ini").write_text(INI)
    found = settings(tmp_path, Flags(nexus_config=Path("nexus.ini")), TRANSPORT)
    assert found.transports[0].account is not None
    assert found.transports[0].account.username == "app@example.com"
    said = "smtp_url of the Nexus file is not used: transports are configured elsewhere"
    assert said in found.warnings
    without = settings(tmp_path, Flags(nexus_config=Path("nexus.ini")))
    assert said not in without.warnings


def test_a_missing_nexus_file(tmp_path: Path) -> None:
    """It is an error by the flag that named it."""
    with pytest.raises(ConfigError) as caught:
        load(Flags(nexus_config=Path("none.ini")), {}, tmp_path)
    assert [problem.code for problem in caught.value.problems] == ["file"]

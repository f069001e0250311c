"""``--nexus-config``: the document's INI file, as it is, through the whole reading of the settings."""

import tomllib
from pathlib import Path

import pytest

from postroom.config.load import load
from postroom.config.settings import HttpDoor, NexusAnswer, Settings
from postroom.config.sources import Flags
from postroom.errors import ConfigError
from postroom.model.address import parse_mailbox
from postroom.model.secret import Secret
from postroom.model.transport import TlsMode, TransportKind

INI = """\
[api]
domain          = test3.example.net
api_port        = 8448
https           = no
cert_password   = 00112233445566778899AABBCCDDEEFF

[email]
smtp_url        = smtp://mail.example.com:587
smtp_username   = monitor@example.com
smtp_password   = password
from_mail       = nexus@example.com

[thread]
max_client      = 1024
"""
DOCS = Path(__file__).parents[2] / "docs" / "nexus.md"


def loaded(cwd: Path, ini: str | bytes, *, toml: str = "", environ: dict[str, str] | None = None) -> Settings:
    data = ini.encode() if isinstance(ini, str) else ini
    (cwd / "nexus.ini").write_bytes(data)
    (cwd / "postroom.toml").write_text(toml, encoding="utf-8")
    return load(Flags(nexus_config=Path("nexus.ini")), environ or {}, cwd)


def problems(cwd: Path, ini: str, *, toml: str = "") -> dict[str, str]:
    """Return the cause of each wrong field."""
    with pytest.raises(ConfigError) as caught:
        loaded(cwd, ini, toml=toml)
    return {problem.field: problem.cause for problem in caught.value.problems}


def test_the_documents_file(tmp_path: Path) -> None:
    """The document's file alone makes a running gateway: account, sender, domain, port, connections."""
    settings = loaded(tmp_path, INI)
    (spec,) = settings.transports
    assert spec.kind is TransportKind.SMTP
    assert spec.account is not None
    assert (spec.account.host, spec.account.port) == ("mail.example.com", 587)
    assert spec.account.tls is TlsMode.OPPORTUNISTIC
    assert (spec.account.username, spec.account.password) == ("monitor@example.com", Secret("password"))
    assert not spec.account.allow_plaintext_login
    assert spec.default_from == settings.nexus.from_ == parse_mailbox("nexus@example.com")
    assert settings.nexus.domain == "test3.example.net"
    assert settings.nexus.answer is NexusAnswer.SENT
    assert settings.nexus.wait_s == 10.0
    assert settings.nexus.keyless
    assert settings.door_limits.max_connections == 1024
    assert [listener.url for listener in settings.listeners] == [
        "http://127.0.0.1:8587",
        "http://127.0.0.1:8448",
    ]
    assert settings.listeners[1].doors == (HttpDoor.NEXUS,)
    assert not settings.is_capturing


def test_cert_password_is_ignored_with_a_word(tmp_path: Path) -> None:
    """``cert_password`` does nothing and says so, without its value."""
    (warning,) = [text for text in loaded(tmp_path, INI).warnings if "cert_password" in text]
    assert "00112233" not in warning


@pytest.mark.parametrize(
    "data",
    [
        INI.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + INI.encode(),
        (INI + "# 메일 서버\n").encode("cp949"),
        INI.replace(" = ", "=").encode(),
        INI.replace("[api]", "[API]").replace("domain", "Domain").encode(),
    ],
)
def test_files_as_people_save_them(tmp_path: Path, data: bytes) -> None:
    """Line ends, marks, CP949, blanks and capitals make no difference."""
    assert loaded(tmp_path, data) == loaded(tmp_path, INI)


def test_odd_passwords_are_verbatim(tmp_path: Path) -> None:
    """A password may hold everything that other INI readers interpret."""
    settings = loaded(tmp_path, INI.replace("= password", "= a;b#c%d=e\"f' $g"))
    account = settings.transports[0].account
    assert account is not None
    assert account.password == Secret("a;b#c%d=e\"f' $g")
    assert "a;b#c" not in repr(settings)


def test_implicit_tls(tmp_path: Path) -> None:
    """``smtps://`` is TLS from the first byte."""
    account = (
        loaded(tmp_path, INI.replace("smtp://mail.example.com:587", "smtps://mail.example.com"))
        .transports[0]
        .account
    )
    assert account is not None
    assert (account.port, account.tls) == (465, TlsMode.IMPLICIT)


def test_settings_yield_to_the_file_of_postroom(tmp_path: Path) -> None:
    """What ``postroom.toml`` says itself stands above the INI file."""
    toml = """
    from = "general@example.com"
    [nexus]
    answer = "stored"
    wait = "2 s"
    domain = "own.example.com"
    from = "Nexus <own@example.com>"
    keyless = false
    [limits]
    max_connections = 50
    """
    settings = loaded(tmp_path, INI, toml=toml)
    assert settings.nexus.answer is NexusAnswer.STORED
    assert settings.nexus.wait_s == 2.0
    assert settings.nexus.domain == "own.example.com"
    assert settings.nexus.from_ == parse_mailbox("Nexus <own@example.com>")
    assert not settings.nexus.keyless
    assert settings.door_limits.max_connections == 50


@pytest.mark.parametrize(
    "http", ['public_url = "https://mail.example.com"', 'trusted_proxies = ["192.0.2.1"]']
)
def test_no_door_without_a_key_behind_a_proxy(tmp_path: Path, http: str) -> None:
    """Behind a proxy the file opens no door without a key, and a warning says so."""
    settings = loaded(tmp_path, INI, toml=f"[http]\n{http}")
    assert not settings.nexus.keyless
    assert any("key" in text for text in settings.warnings)


def test_port_beyond_loopback_only_for_listed_networks(tmp_path: Path) -> None:
    """``api_port`` is open to other machines only when their networks are listed."""
    settings = loaded(tmp_path, INI, toml='[nexus]\nnetworks = ["192.0.2.0/24"]')
    assert settings.listeners[1].host == "0.0.0.0"
    assert settings.nexus.networks == ("192.0.2.0/24",)
    assert "test3.example.net" in settings.nexus.hosts


def test_doors_for_everybody_are_refused(tmp_path: Path) -> None:
    """Without a key and without a list of networks nothing listens beyond this machine."""
    found = problems(tmp_path, INI, toml='[http]\nlisten = ["0.0.0.0:8587"]')
    assert list(found) == ["nexus.networks"]


def test_https_needs_a_certificate(tmp_path: Path) -> None:
    """``https = yes`` takes our certificate settings and names what is missing."""
    assert list(problems(tmp_path, INI.replace("= no", "= yes"))) == ["[api] https"]
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    toml = '[http]\ntls_cert = "cert.pem"\ntls_key = "key.pem"'
    settings = loaded(tmp_path, INI.replace("= no", "= yes"), toml=toml)
    assert [listener.tls for listener in settings.listeners] == [True, True]


@pytest.mark.parametrize(
    ("old", "new", "field", "cause"),
    [
        ("8448", "port", "nexus.ini [api] api_port", "not a number from 1 to 65535"),
        ("8448", "70000", "nexus.ini [api] api_port", "not a number from 1 to 65535"),
        ("1024", "0", "nexus.ini [thread] max_client", "not a number"),
        ("= no", "= perhaps", "nexus.ini [api] https", "neither yes nor no"),
        ("nexus@example.com", "nobody", "[email] from_mail", "no @ sign"),
        ("smtp://", "http://", "[email] smtp_url", "unknown scheme"),
        ("smtp_password   = password\n", "", "[email] smtp_password", "missing beside smtp_username"),
    ],
)
def test_wrong_values_are_named(  # noqa: PLR0917 - pytest passes by name
    tmp_path: Path, old: str, new: str, field: str, cause: str
) -> None:
    """A wrong value is refused under the name it has in the file."""
    found = problems(tmp_path, INI.replace(old, new))
    assert cause in found[field]


def test_all_wrong_values_at_once(tmp_path: Path) -> None:
    """One start shows everything that is wrong."""
    found = problems(tmp_path, INI.replace("8448", "x").replace("= no", "= x").replace("1024", "x"))
    assert set(found) == {
        "nexus.ini [api] api_port",
        "nexus.ini [api] https",
        "nexus.ini [thread] max_client",
    }


def test_unknown_names_are_warned_of(tmp_path: Path) -> None:
    """A key the program does not know is a warning with the nearest known one: the file is another's."""
    settings = loaded(tmp_path, INI + "max_clinet = 5\n[sms]\nsms_mode = polling\n")
    text = " ".join(settings.warnings)
    assert "max_clinet" in text
    assert "max_client" in text
    assert "unknown section" in text


def test_without_an_account_everything_is_captured(tmp_path: Path) -> None:
    """A file without ``smtp_url`` leaves capture mode, with the file's sender and port."""
    settings = loaded(tmp_path, INI[: INI.index("smtp_url")] + "from_mail = nexus@example.com\n")
    assert settings.is_capturing
    assert settings.nexus.from_ == parse_mailbox("nexus@example.com")
    assert settings.listeners[1].port == 8448


def test_a_missing_sender_is_named(tmp_path: Path) -> None:
    """Calls of this dialect name no sender, so a file that leads to none is refused at start."""
    ini = INI.replace("from_mail       = nexus@example.com\n", "").replace("monitor@example.com", "monitor")
    assert "no sender" in problems(tmp_path, ini)["nexus.from"]


def test_the_documented_settings_load(tmp_path: Path) -> None:
    """The settings shown in docs/nexus.md are settings."""
    shown = DOCS.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    assert set(tomllib.loads(shown)["nexus"]) == {
        "answer",
        "wait",
        "keyless",
        "networks",
        "hosts",
        "domain",
        "from",
        "config",
        "tenant_networks",
        "tenant_ports",
        "tenant_plaintext_login",
        "max_tenant_accounts",
    }
    settings = loaded(tmp_path, INI, toml=shown)
    assert settings.nexus.domain == "mail.example.com"


def test_urls_as_libcurl_has_them(tmp_path: Path) -> None:
    """A path is the name to greet with, ports default by scheme, and login options are refused by name."""
    for url, port, tls, greeting in (
        ("smtp://mail.example.com", 25, TlsMode.OPPORTUNISTIC, None),
        ("smtps://mail.example.com", 465, TlsMode.IMPLICIT, None),
        ("smtp://mail.example.com:465/", 465, TlsMode.IMPLICIT, None),
        ("smtp.example.com:587/client.example.com", 587, TlsMode.OPPORTUNISTIC, "client.example.com"),
    ):
        (spec,) = loaded(tmp_path, INI.replace("smtp://mail.example.com:587", url)).transports
        assert spec.account is not None
        assert (port, tls, greeting) == (spec.account.port, spec.account.tls, spec.ehlo_name)
    for login in ("user;AUTH=PLAIN@", "user:pw;auth=LOGIN@"):
        found = problems(tmp_path, INI.replace("smtp://", f"smtp://{login}"))
        assert {"[email] smtp_url": "has ;AUTH= in its login"} == found

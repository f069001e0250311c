"""The SMTP door's settings, and the doors that are not opened."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from postroom.config.load import load
from postroom.config.settings import Settings, SmtpListener
from postroom.config.sources import Flags
from postroom.errors import ConfigError
from postroom.model.address import Address

TRANSPORT = {"POSTROOM_TRANSPORT": "smtps://app@example.com:pw@mx.example.com"}


def loaded(
    cwd: Path, toml: str = "", flags: Flags | None = None, environ: Mapping[str, str] = {}
) -> Settings:
    (cwd / "postroom.toml").write_text(toml)
    return load(flags or Flags(), {**TRANSPORT, **environ}, cwd)


def refused(cwd: Path, toml: str, flags: Flags | None = None) -> set[tuple[str, str]]:
    with pytest.raises(ConfigError) as refusal:
        loaded(cwd, toml, flags)
    return {(problem.code, problem.field) for problem in refusal.value.problems}


def test_there_is_no_door_unless_it_is_asked_for(tmp_path: Path) -> None:
    """Without `listen` nothing listens, and settings without it are told to be without effect."""
    assert loaded(tmp_path).smtp.listeners == ()
    found = loaded(tmp_path, "[smtp]\nkeyless = true\n")
    assert found.smtp.listeners == ()
    assert any("no SMTP door" in warning for warning in found.warnings)


def test_the_postmaster_is_an_address(tmp_path: Path) -> None:
    """None is named unless it is set; what is no address is refused by its name."""
    assert loaded(tmp_path).smtp.postmaster is None
    found = loaded(tmp_path, "[smtp]\npostmaster = 'Ann <ann@example.com>'\n")
    assert Address("ann", "example.com") == found.smtp.postmaster
    assert {"smtp.postmaster"} == {field for _, field in refused(tmp_path, "[smtp]\npostmaster = 'ann'\n")}


@pytest.mark.parametrize(
    ("text", "listener"),
    [
        ("127.0.0.1:2525", SmtpListener(host="127.0.0.1", port=2525)),
        (":587", SmtpListener(host="0.0.0.0", port=587)),
        ("[::1]:465", SmtpListener(host="::1", port=465, is_implicit=True)),
        ("smtps://127.0.0.1:10465", SmtpListener(host="127.0.0.1", port=10465, is_implicit=True)),
        ("smtp://mail.example.com:465", SmtpListener(host="mail.example.com", port=465)),
    ],
)
def test_port_or_scheme_says_how_tls_begins(tmp_path: Path, text: str, listener: SmtpListener) -> None:
    """465 and `smtps` begin with TLS, everything else offers STARTTLS."""
    for found in (
        loaded(tmp_path, f'[smtp]\nlisten = "{text}"\n', environ={}),
        loaded(tmp_path, flags=Flags(smtp=(text,))),
        loaded(tmp_path, environ={"POSTROOM_SMTP": text}),
    ):
        assert (listener,) == found.smtp.listeners


@pytest.mark.parametrize("text", ["587", "http://127.0.0.1:587", "127.0.0.1:70000", "::1:587", "a:b:587"])
def test_what_is_no_listener_is_refused(tmp_path: Path, text: str) -> None:
    """A wrong address is told with the setting's name."""
    assert refused(tmp_path, f'[smtp]\nlisten = "{text}"\n') == {("setting-value", "smtp.listen.0")}


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    """Half a pair, or a file that is not there, stops the start."""
    (tmp_path / "cert.pem").write_text("")
    assert refused(tmp_path, "", Flags(smtp_cert=tmp_path / "cert.pem")) == {
        ("tls-incomplete", "smtp.tls_key")
    }
    pair = Flags(smtp_cert=tmp_path / "cert.pem", smtp_key=tmp_path / "none.pem")
    assert refused(tmp_path, "", pair) >= {("file", "--smtp-key")}


@pytest.mark.parametrize(
    ("network", "is_refused"),
    [
        ("0.0.0.0/0", True),
        ("::/0", True),
        ("128.0.0.0/1", True),
        ("2000::/3", True),
        ("10.0.0.0/8", False),
        ("fc00::/7", False),
        ("192.0.2.0/24", False),
        ("2001:db8::/32", False),
    ],
)
def test_a_list_of_the_world_is_no_list(tmp_path: Path, network: str, *, is_refused: bool) -> None:
    """Networks without a key that hold most of the internet are refused at start."""
    toml = f'[smtp]\nlisten = ":2525"\nnetworks = "{network}"\n'
    if is_refused:
        assert refused(tmp_path, toml) == {("open-relay", "smtp.networks")}
    else:
        assert (network,) == loaded(tmp_path, toml).smtp.networks


def test_no_keyless_door_behind_a_proxy(tmp_path: Path) -> None:
    """A proxy on this machine would lend its address to everybody."""
    toml = (
        '[http]\npublic_url = "https://mail.example.com"\n[smtp]\nlisten = "127.0.0.1:2525"\nkeyless = true\n'
    )
    assert refused(tmp_path, toml) == {("keyless-behind-proxy", "smtp.keyless")}


def test_mail_of_other_machines_is_not_captured_unasked(tmp_path: Path) -> None:
    """Without a transport a door beyond loopback needs --capture."""
    (tmp_path / "postroom.toml").write_text('[smtp]\nlisten = ":2525"\n')
    with pytest.raises(ConfigError) as refusal:
        load(Flags(), {}, tmp_path)
    assert [problem.code for problem in refusal.value.problems] == ["no-transport"]
    assert load(Flags(capture=True), {}, tmp_path).smtp.listeners

"""The section of the HAP doors: who needs no secret, what is refused, what is warned of."""

from pathlib import Path

import pytest

from postroom.config.load import load
from postroom.config.settings import Settings
from postroom.config.sources import Flags
from postroom.errors import ConfigError

SECRET = "hap-secret-0123456789"
TRANSPORT = {"POSTROOM_TRANSPORT": "smtps://app@example.com:x@mx.example.com"}
PROXY = '[http]\npublic_url = "https://gw.example.com"\n'


def settings(
    tmp_path: Path, toml: str, *, environ: dict[str, str] | None = None, flags: Flags | None = None
) -> Settings:
    (tmp_path / "postroom.toml").write_text(toml)
    return load(flags or Flags(), TRANSPORT | (environ or {}), tmp_path)


def codes(tmp_path: Path, toml: str, *, flags: Flags | None = None) -> dict[str, str]:
    """Return field and code of everything that is refused."""
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, toml, flags=flags)
    assert SECRET not in str(caught.value)
    return {problem.field: problem.code for problem in caught.value.problems}


def test_a_secret_closes_the_doors(tmp_path: Path) -> None:
    """By the file, a file of its own or a variable; callers without it need an API key then."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    for found in (
        settings(tmp_path, f'[hap]\nsecret = "{SECRET}"'),
        settings(tmp_path, '[hap]\nsecret_file = "secret"\nheader = "X-Other"'),
        settings(tmp_path, "", environ={"POSTROOM_HAP_SECRET": SECRET}),
    ):
        assert found.hap.secret is not None
        assert (SECRET, False) == (found.hap.secret.reveal(), found.hap.keyless)
        assert found.hap.header in {"x-hap-token", "x-other"}


def test_without_a_secret_the_section_opens_them_to_this_machine(tmp_path: Path) -> None:
    """A written section does; none at all does so only while everything is captured; false never."""
    written = settings(tmp_path, '[hap]\nnetworks = ["10.1.0.0/16"]\nhosts = ["gw"]')
    assert (True, False) == (written.hap.keyless, written.hap.keyless_by_capture)
    assert (("10.1.0.0/16",), True) == (written.hap.networks, "gw" in written.hap.hosts)
    absent = settings(tmp_path, "")
    assert (True, True) == (absent.hap.keyless, absent.hap.keyless_by_capture)
    assert not settings(tmp_path, "[hap]\nkeyless = false").hap.keyless


def test_behind_a_proxy_everybody_needs_something(tmp_path: Path) -> None:
    """Peers cannot be told apart: closed and said, and refused when it was asked for."""
    found = settings(tmp_path, f'{PROXY}[hap]\nfrom = "office@example.com"')
    assert not found.hap.keyless
    assert any("set hap.secret" in warning for warning in found.warnings)
    assert {"hap.keyless": "keyless-behind-proxy"} == codes(tmp_path, f"{PROXY}[hap]\nkeyless = true")


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    """A secret that is none, one beside open doors, open doors that everybody reaches, strange places."""
    assert {"hap.secret": "hap-secret"} == codes(tmp_path, '[hap]\nsecret = "short"')
    assert {"hap.secret": "hap-secret"} == codes(tmp_path, '[hap]\nsecret = "long enough but not\\tone word"')
    both = f'[hap]\nsecret = "{SECRET}"\nkeyless = true'
    assert {"hap.keyless": "given-twice"} == codes(tmp_path, both)
    beyond = Flags(http=(":8587",))
    assert {"hap.networks": "keyless-open"} == codes(tmp_path, "[hap]\nkeyless = true", flags=beyond)
    wrong = '[hap]\nattachment_hosts = ["http://x/"]\nattachment_redirects = 9\nca_file = "missing"'
    assert {"hap.attachment_hosts.0", "hap.attachment_redirects", "hap.ca_file"} == codes(
        tmp_path, wrong
    ).keys()


def test_places_of_file_servers(tmp_path: Path) -> None:
    """A host for every port or for one, names in lower case, IPv6 in brackets; one or a list."""
    found = settings(
        tmp_path, '[hap]\nattachment_hosts = ["Files.example.com", "10.0.0.7:8880", "[::1]:8881"]'
    )
    assert (("files.example.com", None), ("10.0.0.7", 8880), ("::1", 8881)) == found.hap.attachment_hosts
    one = settings(tmp_path, '[hap]\nattachment_hosts = "a:8880"\nattachment_timeout = "5 min"')
    assert ((("a", 8880),), 300.0) == (one.hap.attachment_hosts, one.hap.attachment_timeout_s)


def test_networks_beside_a_secret_are_said_to_be_useless(tmp_path: Path) -> None:
    """Nobody should believe that they let anybody in."""
    found = settings(tmp_path, f'[hap]\nsecret = "{SECRET}"\nnetworks = ["10.0.0.0/8"]')
    assert any("hap.networks is not used" in warning for warning in found.warnings)

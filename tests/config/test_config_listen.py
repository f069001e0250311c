"""``[[http.listen]]``: several addresses, each with its certificate and its doors."""

from pathlib import Path

import pytest

from postroom.config.load import load
from postroom.config.settings import HttpDoor, Settings
from postroom.config.sources import Flags
from postroom.errors import ConfigError

OUT = {"POSTROOM_TRANSPORT": "smtps://app@example.com:x@mx.example.com"}


def loaded(cwd: Path, toml: str, *, http: tuple[str, ...] = ()) -> Settings:
    for name in ("front.pem", "all.pem"):
        (cwd / name).write_text("x", "utf-8")
    (cwd / "postroom.toml").write_text(toml, "utf-8")
    return load(Flags(http=http), OUT, cwd)


def problems(cwd: Path, toml: str) -> dict[str, str]:
    """Return the code of each wrong field."""
    with pytest.raises(ConfigError) as caught:
        loaded(cwd, toml)
    return {problem.field: problem.code for problem in caught.value.problems}


def test_each_address_has_its_own(tmp_path: Path) -> None:
    """Certificate, doors and plain speech are an address's own; what it does not say is the general one."""
    toml = """
[http]
tls_cert = "all.pem"
tls_key = "all.pem"
[[http.listen]]
address = "127.0.0.1:8443"
tls_cert = "front.pem"
tls_key = "front.pem"
doors = "nexus"
[[http.listen]]
address = "127.0.0.1:8448"
tls = false
doors = ["nexus", "v1"]
[[http.listen]]
address = "[::1]:8449"
"""
    settings = loaded(tmp_path, toml)
    front, plain, rest = settings.listeners
    assert (8443, True, tmp_path / "front.pem") == (front.port, front.tls, front.files and front.files.cert)
    assert (8448, False, None) == (plain.port, plain.tls, plain.files)
    assert ("::1", True, None) == (rest.host, rest.tls, rest.files)
    doors = [[listener.serves(door) for door in HttpDoor] for listener in settings.listeners]
    assert [[False, True, False], [True, True, False], [True, True, True]] == doors
    assert 1 == settings.front


def test_the_short_forms_stand(tmp_path: Path) -> None:
    """One address, a list, and tables among plain addresses; a flag replaces all."""
    for toml, ports in (
        ('[http]\nlisten = "127.0.0.1:1"', [1]),
        ('[http]\nlisten = "127.0.0.1:1, 127.0.0.1:2"', [1, 2]),
        ('[http]\nlisten = ["127.0.0.1:1", {address = "127.0.0.1:2", doors = ["hap"]}]', [1, 2]),
        ('[http.listen]\naddress = "127.0.0.1:3"', [3]),
    ):
        assert ports == [listener.port for listener in loaded(tmp_path, toml).listeners]
    flagged = loaded(
        tmp_path, '[[http.listen]]\naddress = "127.0.0.1:3"\ndoors = "nexus"', http=("127.0.0.1:9",)
    )
    assert [(9, ())] == [(listener.port, listener.doors) for listener in flagged.listeners]


@pytest.mark.parametrize(
    ("toml", "field", "code"),
    [
        ('[http]\nlisten = ["nowhere"]', "http.listen.0", "setting-value"),
        ('[[http.listen]]\naddress = "nowhere"', "http.listen.0.address", "setting-value"),
        ('[[http.listen]]\ndoors = "nexus"', "http.listen.0.address", "setting-missing"),
        ('[[http.listen]]\naddress = "127.0.0.1:1"\ndoors = "fax"', "http.listen.0.doors.0", "setting-value"),
        ('[[http.listen]]\naddress = "127.0.0.1:1"\ntls = true', "http.listen.0.tls", "tls-incomplete"),
        (
            '[[http.listen]]\naddress = "127.0.0.1:1"\ntls_cert = "front.pem"',
            "http.listen.0.tls_key",
            "tls-incomplete",
        ),
        (
            '[[http.listen]]\naddress = "127.0.0.1:1"\ntls_cert = "no.pem"\ntls_key = "front.pem"',
            "http.listen.0.tls_cert",
            "file",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, toml: str, field: str, code: str) -> None:
    """Every mistake of a table names its place."""
    assert field in problems(tmp_path, toml), problems(tmp_path, toml)
    assert code == problems(tmp_path, toml)[field]


def test_a_keyless_door_to_the_world(tmp_path: Path) -> None:
    """Only an address that serves the Nexus doors opens them; networks that hold most of the world do not."""
    keyless = "[nexus]\nkeyless = true\n"
    beyond = '[[http.listen]]\naddress = "0.0.0.0:1"\ndoors = '
    assert {"nexus.networks": "keyless-open"} == problems(tmp_path, keyless + beyond + '"nexus"')
    assert loaded(tmp_path, keyless + beyond + '"v1"').nexus.keyless
    for network in ("0.0.0.0/0", "::/0"):
        toml = f'[nexus]\ntenant_networks = ["{network}"]'
        assert {"nexus.tenant_networks": "open-relay"} == problems(tmp_path, toml)

"""Accounts in the settings file: our fields, other programs' names, secrets in files, and the key."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from postroom.config.load import load
from postroom.config.settings import Settings
from postroom.config.shown import shown
from postroom.config.sources import Flags
from postroom.errors import ConfigError
from postroom.model.address import parse_mailbox
from postroom.model.secret import Secret
from postroom.model.transport import FromPolicy, TlsMode, TransportOrigin
from postroom.providers.catalogue import provider
from postroom.providers.files import load_overrides


def settings(cwd: Path, toml: str, environ: Mapping[str, str] | None = None) -> Settings:
    (cwd / "postroom.toml").write_text(toml)
    return load(Flags(), environ or {}, cwd)


def told(cwd: Path, toml: str, environ: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        settings(cwd, toml, environ)
    return [(problem.code, problem.field) for problem in caught.value.problems]


FORMS = """
[[transports]]
name = "ours"
provider = "qq"
username = "app@qq.com"
password_file = "code"
receivers = "a@example.com; b@example.com"

[[transports]]
name = "tapdata"
smtp.server.host = "mx.example.com"
smtp.server.port = "587"
smtp.server.user = "app@example.com"
smtp.server.password = "tap-word"
email.server.tls = "TLS"
email.title.prefix = "[Tap]"

[[transports]]
name = "hap"
signature = "Acme"
fromAddress = "app@163.com"
server = "smtp.163.com"
account = "app@163.com"
password = "hap-word"
port = 465
enableSsl = true

[[transports]]
name = "builder"
URI = "smtp://mail.example.com"
UserName = "login"
Password = "jit-word"
DefaultFromAddress = "app@example.com"
"""


def test_every_form_in_one_file(tmp_path: Path) -> None:
    """Tables in our names and in those of other programs stand side by side, each a transport of the file."""
    (tmp_path / "code").write_text("abcd efgh\n")
    found = settings(tmp_path, FORMS)
    assert ["ours", "tapdata", "hap", "builder"] == [spec.name for spec in found.transports]
    assert {TransportOrigin.FILE} == {spec.origin for spec in found.transports}
    accounts = [spec.account for spec in found.transports]
    assert [
        ("smtp.qq.com", 465, TlsMode.IMPLICIT, "app@qq.com", Secret("abcdefgh")),
        ("mx.example.com", 587, TlsMode.STARTTLS, "app@example.com", Secret("tap-word")),
        ("smtp.163.com", 465, TlsMode.IMPLICIT, "app", Secret("hap-word")),
        ("mail.example.com", 25, TlsMode.OPPORTUNISTIC, "login", Secret("jit-word")),
    ] == [(a.host, a.port, a.tls, a.username, a.password) for a in accounts if a is not None]
    assert found.transports[0].receivers == (parse_mailbox("a@example.com"), parse_mailbox("b@example.com"))
    assert found.transports[0].from_policy is FromPolicy.REWRITE
    assert found.transports[1].subject_prefix == "[Tap]"
    assert any("the part before the @" in warning for warning in found.warnings)
    everything = f"{shown(found)} {found!r} {found.warnings}"
    assert not any(
        word in everything for word in ("abcdefgh", "abcd efgh", "tap-word", "hap-word", "jit-word")
    )


def test_what_is_wrong_in_another_programs_table(tmp_path: Path) -> None:
    """Mixed and unknown keys are told by table and key, beside what is wrong elsewhere."""
    toml = """
    [[transports]]
    name = "one"
    URI = "smtp://mx.example.com"
    host = "mx.example.com"
    [[transports]]
    name = "two"
    smtp.server.host = "mx.example.com"
    smtp.server.prot = 25
    [[transports]]
    name = "three"
    URI = "imap://mx.example.com"
    [http]
    listen = "nowhere"
    """
    assert {
        ("transport-forms-mixed", "transports.0.host"),
        ("unknown-setting", "transports.1.smtp.server.prot"),
        ("uri-scheme-unknown", "transports.2.URI"),
        ("setting-value", "http.listen.0"),
    } == set(told(tmp_path, toml))


def test_secrets_in_files(tmp_path: Path) -> None:
    """Password and token may stand in files; one given twice or unreadable is told."""
    (tmp_path / "pw").write_text("s3cret-word\r\n")
    (tmp_path / "token").write_text("refresh-word\n")
    toml = '[[transports]]\nhost = "mx.example.com"\nusername = "app@example.com"\n'
    found = settings(tmp_path, f'{toml}password_file = "pw"').transports[0].account
    assert found is not None
    assert Secret("s3cret-word") == found.password
    oauth = (
        '[transports.oauth]\nclient_id = "c"\ntoken_url = "https://example.com/token"\nsecret_file = "token"'
    )
    found = settings(tmp_path, f"{toml}{oauth}").transports[0].account
    assert found is not None
    assert found.oauth is not None
    assert Secret("refresh-word") == found.oauth.secret
    both = f'{toml}password = "x"\npassword_file = "pw"'
    assert [("given-twice", "transports.0.password_file")] == told(tmp_path, both)
    assert [("secret-file", "transports.0.password_file")] == told(tmp_path, f'{toml}password_file = "none"')


def test_a_provider_from_the_environment(tmp_path: Path) -> None:
    """One line names a provider; where it was written is remembered."""
    (spec,) = settings(tmp_path, "", {"POSTROOM_TRANSPORT": "provider+qq://app@qq.com:x@"}).transports
    assert (TransportOrigin.ENVIRONMENT, "smtp.qq.com") == (spec.origin, spec.account and spec.account.host)
    smtp = {"SMTP_ACTIVE": "yes", "SMTP_SERVER": "mx.example.com", "SMTP_EMAIL": "a@example.com"}
    (spec,) = settings(tmp_path, "", smtp).transports
    assert TransportOrigin.ENVIRONMENT is spec.origin


KEY = bytes(range(32))


@pytest.mark.parametrize(
    "text", [KEY.hex(), b64encode(KEY).decode(), f"{KEY.hex()}\n{b64encode(KEY[::-1]).decode()}"]
)
def test_the_key_for_secrets(tmp_path: Path, text: str) -> None:
    """It is 32 bytes in hex or Base64, from the environment or a file, older ones after it; never shown."""
    (tmp_path / "key").write_text(f"{text}\n")
    for environ in ({"POSTROOM_SECRET_KEY": text}, {"POSTROOM_SECRET_KEY_FILE": "key"}):
        found = settings(tmp_path, "", environ)
        assert found.secret_key is not None
        assert text.split() == found.secret_key.reveal().split()
        assert text.split(maxsplit=1)[0] not in f"{found!r} {shown(found)}"


def test_a_wrong_key_for_secrets(tmp_path: Path) -> None:
    """A pass phrase, a short key and two sources are refused without repeating the key."""
    assert [("secret-key", "POSTROOM_SECRET_KEY")] == told(
        tmp_path, "", {"POSTROOM_SECRET_KEY": "pass phrase"}
    )
    assert [("secret-key", "secret_key")] == told(tmp_path, f'secret_key = "{KEY.hex()[:-2]}"')
    both = {"POSTROOM_SECRET_KEY": KEY.hex(), "POSTROOM_SECRET_KEY_FILE": "key"}
    assert ("given-twice", "POSTROOM_SECRET_KEY") in told(tmp_path, "", both)


@pytest.mark.parametrize(
    ("text", "expected"), [("true", True), ("false", False), ('"auto"', None), ('"yes"', True)]
)
def test_the_sender_process(tmp_path: Path, text: str, expected: bool | None) -> None:
    """It is asked for, refused, or left to the machine."""
    assert expected is settings(tmp_path, f"sender_process = {text}").sender_process
    assert settings(tmp_path, "").sender_process is None
    assert {"sender_process"} == {
        field.split(".")[0] for _, field in told(tmp_path, 'sender_process = "perhaps"')
    }


@pytest.fixture
def shipped() -> Iterator[None]:
    """Put back what was shipped."""
    yield
    load_overrides(())


@pytest.mark.usefixtures("shipped")
def test_files_of_providers(tmp_path: Path) -> None:
    """What they add can be named in the same file; what is wrong in them is told with the rest."""
    (tmp_path / "mine.toml").write_text(
        '[[provider]]\nid = "acme"\nname = "Acme"\nhost = "mail.acme.example"\ntls = [465]\n'
        'prefer = [465, "tls"]\nusername = "full_address"\nsecret = ["app_password"]\n'
        'from = "equals_account"\n'
    )
    toml = (
        '[providers]\nfiles = "mine.toml"\n[[transports]]\nprovider = "acme"\nusername = "a@acme.example"\n'
    )
    (spec,) = settings(tmp_path, f'{toml}password = "a b"').transports
    assert spec.account is not None
    assert ("mail.acme.example", Secret("ab")) == (spec.account.host, spec.account.password)
    assert provider("acme") is not None
    (tmp_path / "mine.toml").write_text("[[provider]]\nid = 3")
    assert "providers-file-wrong" in {code for code, _ in told(tmp_path, toml)}


@pytest.mark.parametrize(
    "text",
    [
        "a@example.com; b@example.com",
        "a@example.com\uff0cb@example.com\uff1b",
        "a@example.com b@example.com",
        " a@example.com,, b@example.com\n",
    ],
)
def test_failures_go_to_several(tmp_path: Path, text: str) -> None:
    """Addresses are parted as people part them."""
    found = settings(tmp_path, "", {"POSTROOM_FAILURES_TO": text})
    assert (parse_mailbox("a@example.com"), parse_mailbox("b@example.com")) == found.failures.to

"""Settings from file, environment and flags: who wins, what is refused, and every error at once."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from postroom.config.load import load
from postroom.config.settings import ClassSettings, Listener, NexusAnswer, Settings
from postroom.config.shown import shown
from postroom.config.sources import Flags
from postroom.errors import ConfigError, Problem
from postroom.model.address import parse_mailbox
from postroom.model.message import MailClass, UncertainPolicy
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, StepTimeouts, TlsMode, TransportKind, TransportOrigin

URL = "smtps://app@example.com:s3cret-word@mx.example.com"


def settings(
    cwd: Path, environ: Mapping[str, str] | None = None, *, toml: str = "", flags: Flags | None = None
) -> Settings:
    if toml:
        (cwd / "postroom.toml").write_text(toml)
    return load(flags or Flags(), environ or {}, cwd)


def problems(
    cwd: Path, environ: Mapping[str, str] | None = None, *, toml: str = "", flags: Flags | None = None
) -> dict[str, Problem]:
    with pytest.raises(ConfigError) as caught:
        settings(cwd, environ, toml=toml, flags=flags)
    by_field = {problem.field: problem for problem in caught.value.problems}
    assert len(by_field) == len(caught.value.problems)
    return by_field


def test_nothing_set(tmp_path: Path) -> None:
    """With nothing set, everything is captured, on loopback, in ./postroom-data."""
    found = settings(tmp_path)
    assert found.data == tmp_path / "postroom-data"
    assert found.listeners == (Listener(host="127.0.0.1", port=8587),)
    assert found.is_capturing
    assert found.nexus.keyless
    assert found == Settings(data=found.data, listeners=found.listeners, nexus=found.nexus, hap=found.hap)


PRECEDENCE = [
    # setting in the file, variable, flag; what holds when each further source is added
    ('data = "a"', {"POSTROOM_DATA": "b"}, Flags(data=Path("c")), "data", ["a", "b", "c"]),
    (
        '[http]\nlisten = "127.0.0.1:1"',
        {"POSTROOM_HTTP": "127.0.0.1:2,[::1]:2"},
        Flags(http=("127.0.0.1:3",)),
        "listen",
        [["http://127.0.0.1:1"], ["http://127.0.0.1:2", "http://[::1]:2"], ["http://127.0.0.1:3"]],
    ),
    ("capture = false", {"POSTROOM_CAPTURE": "no"}, Flags(capture=True), "capture", [False, False, True]),
    ("capture = false", {"POSTROOM_CAPTURE": "yes"}, Flags(), "capture", [False, True, True]),
    ('from = "a@example.com"', {"POSTROOM_FROM": "B <b@example.com>"}, Flags(), "from", ["a", "b", "b"]),
    ("[log]\njson = false", {"POSTROOM_LOG_JSON": "true"}, Flags(), "json", [False, True, True]),
]


@pytest.mark.parametrize(("toml", "environ", "flags", "name", "expected"), PRECEDENCE)
def test_precedence(  # noqa: PLR0917 - a row of the table
    tmp_path: Path, toml: str, environ: dict[str, str], flags: Flags, name: str, expected: list[object]
) -> None:
    """Flags win over the environment, the environment over the file."""
    seen: Callable[[Settings], object] = {
        "data": lambda found: found.data.name,
        "listen": lambda found: [listener.url for listener in found.listeners],
        "capture": lambda found: found.capture,
        "from": lambda found: found.default_from and found.default_from.address.local,
        "json": lambda found: found.log_json,
    }[name]
    by_source = [
        settings(tmp_path, toml=toml),
        settings(tmp_path, environ, toml=toml),
        settings(tmp_path, environ, toml=toml, flags=flags),
    ]
    assert expected == [seen(found) for found in by_source]


def test_env_file_is_below_the_environment(tmp_path: Path) -> None:
    """A .env in the working directory is read; a real variable wins over it, and --env-file replaces it."""
    (tmp_path / ".env").write_text(
        "# comment\nexport POSTROOM_FROM='env@example.com'\nOTHER=1\nPOSTROOM_DATA=\n"
    )
    (tmp_path / "other.env").write_text('POSTROOM_FROM="other@example.com"\n')

    def sender(environ: dict[str, str], flags: Flags) -> str:
        found = settings(tmp_path, environ, flags=flags).default_from
        assert found is not None
        return found.address.local

    assert sender({}, Flags()) == "env"
    assert sender({"POSTROOM_FROM": "real@example.com"}, Flags()) == "real"
    assert sender({}, Flags(env_file=Path("other.env"))) == "other"


def test_empty_variables_are_unset(tmp_path: Path) -> None:
    """Container tools pass unset variables as empty ones."""
    assert settings(tmp_path, {"POSTROOM_TRANSPORT": "", "POSTROOM_API_KEY": ""}) == settings(tmp_path)


EVERYTHING_WRONG = """\
dat = "x"
from = "nobody"
[http]
listen = ["127.0.0.1", "[::1]:70000"]
public_url = "mail.example.com"
trusted_proxies = ["10.0.0.0/33"]
[nexus]
wait = "70 s"
answr = "sent"
[[transports]]
name = "Main Account"
url = "smtp://user:se/cret-word@mx.example.com"
max_conections = 3
[transports.timeouts]
body_end = 60
[[transports]]
name = "b"
[limits]
max_content = "many"
[retention]
content = -1
[classes.urgent]
expires = 3
[classes.code]
uncertain = "never"
"""


def test_every_error_at_once(tmp_path: Path) -> None:
    """Every wrong setting of every source is told, by the name it was written under."""
    found = problems(
        tmp_path,
        {"POSTROOM_TRANSPROT": "x", "POSTROOM_API_KEY": "too-short-secret"},
        toml=EVERYTHING_WRONG,
        flags=Flags(tls_cert=Path("none.pem")),
    )
    assert {
        "dat": "unknown-setting",
        "from": "setting-value",
        "http.listen.0": "setting-value",
        "http.listen.1": "setting-value",
        "http.public_url": "setting-value",
        "http.trusted_proxies.0": "setting-value",
        "nexus.wait": "setting-value",
        "nexus.answr": "unknown-setting",
        "transports.0.name": "setting-value",
        "transports.0.url": "url-unencoded",
        "transports.0.max_conections": "unknown-setting",
        "transports.0.timeouts.body_end": "setting-value",
        "transports.1.url": "transport-url-missing",
        "limits.max_content": "setting-value",
        "retention.content": "setting-value",
        "classes.urgent": "unknown-setting",
        "classes.code.uncertain": "setting-value",
        "POSTROOM_TRANSPROT": "unknown-variable",
        "POSTROOM_API_KEY": "api-key",
        "--tls-cert": "file",
        "http.tls_key": "tls-incomplete",
    } == {field: problem.code for field, problem in found.items()}
    assert "cret-word" not in str(found)
    assert "too-short-secret" not in str(found)


@pytest.mark.parametrize(
    ("toml", "field", "fix"),
    [
        ('dat = "x"', "dat", "Did you mean data?"),
        ("[htpp]", "htpp", "Did you mean http?"),
        ('[http]\nlistn = "x"', "http.listn", "Did you mean listen?"),
        (
            '[[transports]]\nurl = "capture:"\nsubject_prefx = "x"',
            "transports.0.subject_prefx",
            "Did you mean subject_prefix?",
        ),
        ("[classes.code]\nexpire = 1", "classes.code.expire", "Did you mean expires?"),
    ],
)
def test_unknown_settings_name_the_nearest(tmp_path: Path, toml: str, field: str, fix: str) -> None:
    """A slip in a name is answered with the name that was meant, on every level."""
    assert fix == problems(tmp_path, toml=toml)[field].fix


def test_unknown_variables_name_the_nearest(tmp_path: Path) -> None:
    """A POSTROOM_ variable that means nothing is refused, in .env too; other programs' variables are not."""
    (tmp_path / ".env").write_text("POSTROOM_FORM=a@example.com\n")
    found = problems(tmp_path, {"POSTROOM_TRANSPORTS": URL, "HOME": "/root", "SMTP_HOST": "x"})
    assert set(found) == {"POSTROOM_FORM", "POSTROOM_TRANSPORTS"}
    assert found["POSTROOM_FORM"].fix == "Did you mean POSTROOM_FROM?"
    assert found["POSTROOM_TRANSPORTS"].fix == "Did you mean POSTROOM_TRANSPORT?"
    assert "s3cret" not in str(found)


def test_kubernetes_service_links_are_not_settings(tmp_path: Path) -> None:
    """Variables that a service named postroom leaves in every pod are passed over; no other PORT is."""
    links = {
        "POSTROOM_SERVICE_HOST": "192.0.2.1",
        "POSTROOM_SERVICE_PORT": "8587",
        "POSTROOM_SERVICE_PORT_HTTP": "8587",
        "POSTROOM_PORT": "tcp://192.0.2.1:8587",
        "POSTROOM_PORT_8587_TCP": "tcp://192.0.2.1:8587",
        "POSTROOM_PORT_8587_TCP_ADDR": "192.0.2.1",
        "POSTROOM_PORT_8587_TCP_PORT": "8587",
        "POSTROOM_METRICS_SERVICE_HOST": "192.0.2.1",
        "POSTROOM_METRICS_PORT": "tcp://192.0.2.1:9000",
    }
    assert settings(tmp_path, links) == settings(tmp_path)
    assert "POSTROOM_PORT" in problems(tmp_path, {"POSTROOM_PORT": "8587"})


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    """A missing or broken settings file is an error by the name that gave it, and the only one."""
    assert list(problems(tmp_path, flags=Flags(config=Path("no.toml")))) == ["--config"]
    assert list(problems(tmp_path, {"POSTROOM_CONFIG": "no.toml"})) == ["POSTROOM_CONFIG"]
    broken = problems(tmp_path, {"POSTROOM_HTTP": ":8587"}, toml='api_key = "s3cret-word')
    assert {"postroom.toml": "toml"} == {field: problem.code for field, problem in broken.items()}
    assert "s3cret" not in str(broken)


# --------------------------------------------------------------------------- transports


def test_a_transport_with_everything(tmp_path: Path) -> None:
    """Every setting of a transport reaches its spec."""
    (tmp_path / "ca.pem").write_text("x")
    toml = f"""
from = "general@example.com"
[[transports]]
name = "main"
url = "{URL}"
from = "Main <main@example.com>"
subject_prefix = "[test] "
ehlo_name = "gw.example.com"
max_connections = 3
max_recipients = 50
max_messages = 20
max_idle = "5 s"
max_age = "2 min"
pipelining = false
ca_file = "ca.pem"
verify = false
allow_plaintext_login = true
auth = "LOGIN"
[transports.timeouts]
connect = "5 s"
body_end = "11 min"
[[transports]]
name = "inbox"
url = "capture:"
"""
    found = settings(tmp_path, toml=toml)
    main, inbox = found.transports
    assert main.account == SmtpAccount(
        host="mx.example.com",
        port=465,
        tls=TlsMode.IMPLICIT,
        username="app@example.com",
        password=Secret("s3cret-word"),
        allow_plaintext_login=True,
        ca_file=str(tmp_path / "ca.pem"),
        verify=False,
        auth="LOGIN",
    )
    assert (main.default_from, main.subject_prefix) == (parse_mailbox("Main <main@example.com>"), "[test] ")
    assert (main.ehlo_name, main.pipelining) == ("gw.example.com", False)
    assert (main.max_connections, main.max_recipients, main.max_messages) == (3, 50, 20)
    assert (main.max_idle_s, main.max_age_s) == (5.0, 120.0)
    assert main.timeouts == StepTimeouts(connect=5.0, body_end=660.0)
    assert (inbox.kind, inbox.default_from) == (TransportKind.CAPTURE, parse_mailbox("general@example.com"))
    assert not found.is_capturing
    assert any("verify = false" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("toml", "environ", "sender"),
    [
        ("", {}, "app@example.com"),
        ("", {"POSTROOM_FROM": "general@example.com"}, "general@example.com"),
        (
            '[[transports]]\nfrom = "own@example.com"',
            {"POSTROOM_FROM": "general@example.com"},
            "own@example.com",
        ),
    ],
)
def test_the_sender_of_a_transport(tmp_path: Path, toml: str, environ: dict[str, str], sender: str) -> None:
    """Its own sender, else the general one, else the account."""
    spec = settings(tmp_path, {"POSTROOM_TRANSPORT": URL, **environ}, toml=toml).transports[0]
    assert spec.default_from is not None
    assert sender == spec.default_from.address.spec


def test_an_account_that_is_no_address_is_no_sender(tmp_path: Path) -> None:
    """Without any sender it is said at start that messages must name one."""
    found = settings(tmp_path, {"POSTROOM_TRANSPORT": "smtps://login:pw@mx.example.com"})
    assert found.transports[0].default_from is None
    assert found.warnings == (
        "transport default has no sender: messages that name none are refused; set from",
    )


def test_the_variable_gives_the_one_transport_its_url(tmp_path: Path) -> None:
    """Details may stand in the file, the secret in the environment; with two transports that is ambiguous."""
    spec = settings(
        tmp_path, {"POSTROOM_TRANSPORT": URL}, toml='[[transports]]\nname = "m"\nmax_connections = 2'
    ).transports[0]
    assert (spec.name, spec.max_connections) == ("m", 2)
    two = f'[[transports]]\nname = "a"\nurl = "{URL}"\n[[transports]]\nname = "b"\nurl = "{URL}"'
    assert (
        problems(tmp_path, {"POSTROOM_TRANSPORT": URL}, toml=two)["POSTROOM_TRANSPORT"].code
        == "transport-ambiguous"
    )


def test_an_error_is_told_under_the_variables_name(tmp_path: Path) -> None:
    """What came from the environment is not blamed on the file."""
    assert (
        problems(tmp_path, {"POSTROOM_TRANSPORT": "smpt://x"})["POSTROOM_TRANSPORT"].code
        == "uri-scheme-unknown"
    )
    assert problems(tmp_path, {"POSTROOM_HTTP": "x"})["POSTROOM_HTTP"].code == "setting-value"


def test_double_names_are_refused(tmp_path: Path) -> None:
    """A transport's name is unique."""
    toml = '[[transports]]\nurl = "capture:"\n[[transports]]\nurl = "capture:"'
    assert problems(tmp_path, toml=toml)["transports"].code == "transport-name"


def test_secret_files(tmp_path: Path) -> None:
    """Each secret may stand in a file; a final line end is not part of it."""
    (tmp_path / "url").write_text(f"{URL}\n")
    (tmp_path / "key").write_text("0123456789abcdef0123\r\n")
    found = settings(tmp_path, {"POSTROOM_TRANSPORT_FILE": "url", "POSTROOM_API_KEY_FILE": "key"})
    assert found.transports == settings(tmp_path, {"POSTROOM_TRANSPORT": URL}).transports
    assert found.bootstrap_key == Secret("0123456789abcdef0123")
    toml = 'api_key_file = "key"\n[[transports]]\nurl_file = "url"'
    from_file = settings(tmp_path, toml=toml)
    assert from_file.transports[0].origin is TransportOrigin.FILE
    assert found.transports[0].origin is TransportOrigin.ENVIRONMENT
    assert (from_file.bootstrap_key, from_file.transports[0].account) == (
        found.bootstrap_key,
        found.transports[0].account,
    )


def test_wrong_secret_files(tmp_path: Path) -> None:
    """A missing file, an empty one, and a secret given twice are told."""
    (tmp_path / "empty").write_text("\n")
    found = problems(tmp_path, {"POSTROOM_TRANSPORT_FILE": "none", "POSTROOM_API_KEY_FILE": "empty"})
    assert {field: problem.code for field, problem in found.items()} == {
        "POSTROOM_TRANSPORT_FILE": "secret-file",
        "POSTROOM_API_KEY_FILE": "secret-file",
    }
    both = problems(tmp_path, {"POSTROOM_API_KEY": "0" * 20, "POSTROOM_API_KEY_FILE": "x"})
    assert both["POSTROOM_API_KEY"].code == "given-twice"


SMTP = {
    "SMTP_ACTIVE": "true",
    "SMTP_SERVER": "mx.example.com",
    "SMTP_PORT": "587",
    "SMTP_USERNAME": "login",
    "SMTP_PASSWORD": "s3cret-word",
    "SMTP_EMAIL": "app@example.com",
}


def test_smtp_variables(tmp_path: Path) -> None:
    """The usual names make a transport with STARTTLS required, implicit TLS on 465."""
    spec = settings(tmp_path, SMTP).transports[0]
    assert spec.default_from == parse_mailbox("app@example.com")
    assert spec.account == SmtpAccount(
        host="mx.example.com",
        port=587,
        tls=TlsMode.STARTTLS,
        username="login",
        password=Secret("s3cret-word"),
    )
    implicit = settings(tmp_path, SMTP | {"SMTP_PORT": "465"}).transports[0].account
    assert implicit is not None
    assert implicit.tls is TlsMode.IMPLICIT


def test_smtp_variables_are_only_a_fallback(tmp_path: Path) -> None:
    """They are not used beside another transport, and not unless active; the second is said."""
    assert settings(tmp_path, SMTP | {"POSTROOM_TRANSPORT": URL}).transports[0].name == "default"
    for inactive in ({**SMTP, "SMTP_ACTIVE": "False"}, {k: v for k, v in SMTP.items() if k != "SMTP_ACTIVE"}):
        found = settings(tmp_path, inactive)
        assert found.is_capturing
        assert found.warnings == ("SMTP_SERVER is set but SMTP_ACTIVE is not true, so it is not used",)


def test_wrong_smtp_variables(tmp_path: Path) -> None:
    """What is missing or wrong among them is told, all at once."""
    found = problems(
        tmp_path, {"SMTP_ACTIVE": "yes", "SMTP_PORT": "x", "SMTP_USERNAME": "u", "SMTP_EMAIL": "nobody"}
    )
    assert set(found) == {"SMTP_SERVER", "SMTP_PORT", "SMTP_USERNAME", "SMTP_EMAIL"}


# --------------------------------------------------------------------------- the rest of the document


def test_bounds_retention_classes_and_nexus(tmp_path: Path) -> None:
    """Each section reaches its place, units understood."""
    toml = """
[http]
public_url = "https://mail.example.com/"
trusted_proxies = ["10.0.0.1"]
[limits]
max_content = "10 MiB"
max_connections = 50
max_body = "1 GiB"
[retention]
content = 1
events = 2
captures = 0.5
[disk]
reserve = "2 GiB"
[nexus]
answer = "stored"
wait = "3 s"
domain = "ID.example.com"
networks = ["192.0.2.0/24"]
hosts = ["GW.example.com", "[2001:DB8::1]"]
[classes.code]
expires = "5 min"
first_retry = "2 s"
uncertain = "ask"
"""
    found = settings(tmp_path, toml=toml)
    assert found.message_limits.max_content == 10 * 1024 * 1024
    assert (found.door_limits.max_connections, found.door_limits.max_body) == (50, 1024**3)
    kept = found.retention
    assert (kept.content, kept.events, kept.captures) == (timedelta(1), timedelta(2), timedelta(hours=12))
    assert found.disk.reserve == 2 * 1024**3
    assert (found.nexus.answer, found.nexus.wait_s) == (NexusAnswer.STORED, 3.0)
    assert (found.nexus.domain, found.nexus.networks) == ("id.example.com", ("192.0.2.0/24",))
    assert found.nexus.hosts == ("127.0.0.1", "2001:db8::1", "gw.example.com")
    assert found.public_url == "https://mail.example.com"
    assert found.trusted_proxies == ("10.0.0.1/32",)
    changed = ClassSettings(
        expires=timedelta(minutes=5), first_retry=timedelta(seconds=2), uncertain=UncertainPolicy.ASK
    )
    assert found.classes == {MailClass.CODE: changed}


def test_tls_makes_every_listener_speak_it(tmp_path: Path) -> None:
    """With certificate and key every address of http.listen is https."""
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("x")
    flags = Flags(tls_cert=Path("cert.pem"), tls_key=Path("key.pem"), http=("127.0.0.1:1", "localhost:2"))
    found = settings(tmp_path, flags=flags)
    assert [listener.url for listener in found.listeners] == ["https://127.0.0.1:1", "https://localhost:2"]
    assert found.tls is not None
    assert found.tls.cert == tmp_path / "cert.pem"


@pytest.mark.parametrize(
    "key", ["0123456789abcdefghi", "0123456789 abcdefghijk", "0123456789abcdefghi\u00e4"]
)
def test_bootstrap_keys_that_cannot_be(tmp_path: Path, key: str) -> None:
    """A bootstrap key is at least 20 characters that fit into a header; it is never repeated."""
    found = problems(tmp_path, {"POSTROOM_API_KEY": key})
    assert found["POSTROOM_API_KEY"].code == "api-key"
    assert key not in str(found)


def test_shown_has_no_secret(tmp_path: Path) -> None:
    """Neither the representation nor the picture for people holds a secret."""
    found = settings(tmp_path, {"POSTROOM_TRANSPORT": URL, "POSTROOM_API_KEY": "k3y-" * 6})
    for told in (repr(found), str(shown(found))):
        assert "s3cret" not in told
        assert "k3y" not in told
    assert "smtps://app@example.com:*****@mx.example.com:465" in str(shown(found))

"""``postroom import``: each program's own file becomes settings that are accepted; what is left is named."""

import json
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cli.scripted_answers import Run

SECRET = "pa#ss;word = 1"

NEXUS = f"""[api]
domain          = api.example.com
api_port        = 8448
https           = no
cert_password   = 00112233445566778899AABBCCDDEEFF

[email]
smtp_url        = smtp://mail.example.com:587
smtp_username   = monitor@example.com
smtp_password   = {SECRET}
from_mail       = nexus@example.com

[thread]
max_client      = 512
"""
HAP = json.dumps(
    {
        "signature": "Acme",
        "fromAddress": "app@example.com",
        "server": "smtp.example.com",
        "account": "app@example.com",
        "password": SECRET,
        "port": 465,
        "enableSsl": True,
        "CertificateValidation": True,
        "ComponentType": 1,
    }
)


def record(key: str, value: object, default: object = "", category: str = "SMTP") -> dict[str, Any]:
    return {"category": category, "key": key, "value": value, "default_value": default, "user_visible": True}


NOTIFICATION = {
    "runNotification": [
        {"label": "jobPaused", "notice": True, "email": True},
        {"label": "jobDeleted", "notice": True, "email": False},
        {"label": "jobEncounterError", "notice": True, "email": True, "Interval": 12, "util": "hour"},
        {
            "label": "CDCLagTime",
            "notice": True,
            "email": True,
            "lagTimeInterval": 12,
            "lagTimeUtil": "second",
            "noticeIntervalInterval": 24,
            "noticeIntervalUtil": "hour",
        },
    ],
    "systemNotification": [],
    "agentNotification": [{"label": "agentStopped", "notice": True, "email": True}],
}
SETTINGS = [
    record("smtp.server.user", "app@example.com"),
    record("smtp.server.password", SECRET),
    record("email.server.tls", None, "SSL"),
    record("smtp.server.host", "smtp.example.com"),
    record("smtp.server.port", "465"),
    record("email.send.address", "app@example.com"),
    record("email.receivers", "ops@example.com\uff0cdba@example.com; third@example.com"),
    record("email.title.prefix", "[Prod]"),
    record("smtp.proxy.host", "proxy.example.com"),
    record("smtp.proxy.port", "1080"),
    record("emailHref", "http://console.example.com"),
    record("notification", json.dumps(NOTIFICATION), category="notification"),
    record("job.heart.timeout", "60000", category="Job"),
]
ALARMS = [
    {
        "type": "TASK",
        "open": True,
        "key": "TASK_STATUS_ERROR",
        "notify": ["SYSTEM", "EMAIL"],
        "interval": 1,
        "unit": "DAY",
    },
    {
        "type": "TASK",
        "open": True,
        "key": "TASK_FULL_COMPLETE",
        "notify": ["SYSTEM", "SMS"],
        "emailAlarmTitle": "t",
    },
]
TAPDATA = json.dumps(
    {"settings": SETTINGS, "alarms": ALARMS, "blacklist": ["old@example.com", r".*@trap\.example", "(?=x)"]}
)
APP_BUILDER_DE = f"""SMTP-Konfigurationstabelle
Eigentum | Wert |
---|---|
URI | smtps://email-smtp.us-east-1.example.com |
Benutzername | benutzer |
Passwort | {SECRET} |
Standardmäßige Absenderadresse | app@example.com |
""".partition("\n")[2]
APP_BUILDER_EN = f"""Property | Value
---|---
URI | smtp://mail.example.com
User Name | u
Password | {SECRET}
From Address | app@example.com
Provider | x
"""
APP_BUILDER_INI = f"""[SMTP]
URI = smtp://mail.example.com:465
UserName = u
Password = {SECRET}
DefaultFromAddress = app@example.com
"""
APP_BUILDER_JSON = json.dumps(
    {
        "URI": "smtp://mail.example.com/?starttls=always",
        "UserName": "u",
        "Password": SECRET,
        "DefaultFromAddress": "app@example.com",
    }
)
HYPERION_ENV = f"""POSTGRES_HOST="db.example.com"
SMTP_ACTIVE=True
SMTP_PORT=587
SMTP_SERVER="smtp.example.com"
SMTP_USERNAME="app"
SMTP_PASSWORD="{SECRET}"
SMTP_EMAIL="noreply@example.com"
"""
HYPERION_YAML = f"""# Hyperion
ACCESS_TOKEN_SECRET_KEY: "x"
AUTH_CLIENTS:
  - {{id: 1, secret: y}}
SMTP_ACTIVE: true   # send
SMTP_PORT: 587
SMTP_SERVER: smtp.example.com
SMTP_USERNAME: 'app'
SMTP_PASSWORD: "{SECRET}"
SMTP_EMAIL: noreply@example.com
"""


def imported(postroom: Run, tmp_path: Path, words: str, text: str) -> tuple[dict[str, Any], str, str]:
    """Run an import, prove that its output is accepted; return settings, output and complaints."""
    system, name = words.split()
    (tmp_path / name).write_text(text, encoding="utf-8")
    code, out, err = postroom("import", system, name)
    assert code == 0, err
    assert SECRET not in out + err
    (tmp_path / "made.toml").write_text(out, encoding="utf-8")
    code, shown, wrong = postroom("config", "check", "--config", "made.toml")
    assert code == 0, wrong
    assert SECRET not in shown
    return tomllib.loads(out), out, err


def secret_of(transport: dict[str, Any]) -> str:
    """Return what the named file holds; nobody else may read it."""
    path = Path(transport["password_file"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    return path.read_text(encoding="utf-8")


def test_nexus(postroom: Run, tmp_path: Path) -> None:
    """Account, doors without a key, the port and the limit; cert_password is named as left."""
    found, out, err = imported(postroom, tmp_path, "nexus api.ini", NEXUS)
    (transport,) = found["transports"]
    assert SECRET == secret_of(transport)
    expected = {
        "name": "nexus",
        "url": "smtp://mail.example.com:587",
        "username": "monitor@example.com",
        "from": "nexus@example.com",
        "password_file": transport["password_file"],
    }
    assert expected == transport
    assert {"keyless": True, "domain": "api.example.com", "hosts": ["api.example.com"]} == found["nexus"]
    listen = [{"address": "127.0.0.1:8587"}, {"address": "127.0.0.1:8448", "doors": ["nexus"]}]
    assert (listen, 512) == (
        found["http"]["listen"],
        found["limits"]["max_connections"],
    )
    assert "cert_password" in out
    assert "cert_password" in err


def test_hap(postroom: Run, tmp_path: Path) -> None:
    """The seven keys; ignored certificates are told, the component is named as left."""
    found, out, err = imported(postroom, tmp_path, "hap appextensions.json", "// mail\n" + HAP)
    (transport,) = found["transports"]
    assert SECRET == secret_of(transport)
    assert ("smtp.example.com", 465, "tls") == (transport["host"], transport["port"], transport["encryption"])
    assert '"Acme" <app@example.com>' == transport["from"]
    assert transport["verify"] is False
    assert "IGNORED" in out
    assert "ComponentType" in err


def test_a_webhook_of_hap_stays_in_its_file(postroom: Run, tmp_path: Path) -> None:
    """The settings name appextensions.json, whose header fields stay there; idle keys are told."""
    text = (
        f'{{"WebhookUrl": "https://api.example.com/x", "WebhookHeaders": {{"X-Key": "{SECRET}"}}, '
        '"ComponentType": 1, "CertificateValidation": true,}'
    )
    found, out, _ = imported(postroom, tmp_path, "hap appextensions.json", text)
    assert {"hap_config": str(tmp_path / "appextensions.json")} == found
    assert "ComponentType" in out
    assert "IGNORED" in out


def test_a_webhook_that_cannot_be_read_is_refused(postroom: Run, tmp_path: Path) -> None:
    """What reads the file at the start says more."""
    (tmp_path / "appextensions.json").write_text(
        '{"WebhookUrl": "https://api.example.com/x", "WebhookHeaders": ["x"]}'
    )
    code, out, err = postroom("import", "hap", "appextensions.json")
    assert (2, "") == (code, out)
    assert "--hap-config" in err


def test_tapdata(postroom: Run, tmp_path: Path) -> None:
    """The ten keys, receivers however they are parted, events with their intervals, and the blacklist."""
    found, _, err = imported(postroom, tmp_path, "tapdata settings.json", TAPDATA)
    (transport,) = found["transports"]
    assert SECRET == secret_of(transport)
    receivers = ["ops@example.com", "dba@example.com", "third@example.com"]
    expected = {
        "name": "tapdata",
        "username": "app@example.com",
        "host": "smtp.example.com",
        "port": 465,
        "encryption": "tls",
        "from": "app@example.com",
        "receivers": receivers,
        "subject_prefix": "[Prod]",
        "proxy": "socks5://proxy.example.com:1080",
        "password_file": transport["password_file"],
    }
    assert expected == transport
    assert {
        "sets": ["tapdata"],
        "receivers": receivers,
        "types": [
            {"key": "TASK_STATUS_ERROR", "mail": True, "every": 86400},
            {"key": "TASK_FULL_COMPLETE", "subject": "t"},
        ],
    } == found["alerts"]
    assert ["old@example.com", r"re:.*@trap\.example"] == found["recipients"]["blocked"]
    left = {line.split(": ")[1] for line in err.splitlines()}
    assert {
        "emailHref",
        "job.heart.timeout",
        "notification notice",
        "TASK_FULL_COMPLETE notify",
        "blacklist.2",
    } == left


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.json", json.dumps(SETTINGS)),
        ("answer.json", json.dumps({"code": "ok", "data": SETTINGS})),
        ("keys.json", json.dumps({one["key"]: one["value"] or one["default_value"] for one in SETTINGS})),
        (
            "under.json",
            json.dumps(
                {
                    "SMTP_Server_User": "app@example.com",
                    "SMTP_Server_password": SECRET,
                    "Email_Communication_Protocol": "SSL",
                    "SMTP_Server_Host": "smtp.example.com",
                    "SMTP_Server_Port": "465",
                    "Email_Send_Address": "app@example.com",
                    "Email_Receivers": "ops@example.com",
                }
            ),
        ),
        (
            "tap.properties",
            f"""# smtp
smtp.server.host=smtp.example.com
smtp.server.port = 465
smtp.server.user=app@example.com
smtp.server.password={SECRET}
email.send.address=app@example.com
""",
        ),
    ],
)
def test_every_form_of_tapdata_gives_the_same_account(
    postroom: Run, tmp_path: Path, name: str, text: str
) -> None:
    """A list, the API's answer, plain keys, the keys of the test call, and properties."""
    found, _, _ = imported(postroom, tmp_path, f"tapdata {name}", text)
    (transport,) = found["transports"]
    assert SECRET == secret_of(transport)
    assert ("smtp.example.com", 465, "tls") == (transport["host"], transport["port"], transport["encryption"])


def test_a_hidden_password_is_asked_for(postroom: Run, tmp_path: Path) -> None:
    """TapData shows ``*****``: the settings name the file that has to be written, and then they are good."""
    settings = [{**one, "value": "*****"} if "password" in one["key"] else one for one in SETTINGS]
    (tmp_path / "s.json").write_text(json.dumps(settings))
    code, out, err = postroom("import", "tapdata", "s.json")
    assert code == 0
    assert "smtp.server.password" in err
    (tmp_path / "made.toml").write_text(out)
    assert postroom("config", "check", "--config", "made.toml")[0] == 2
    path = Path(tomllib.loads(out)["transports"][0]["password_file"])
    path.parent.mkdir(parents=True)
    path.write_text("the real one")
    assert postroom("config", "check", "--config", "made.toml")[0] == 0


def test_alertmanager(postroom: Run, tmp_path: Path) -> None:
    """Its account, the secret in a file, and its tree with the clocks that it has without a word."""
    text = f"""global: {{ smtp_smarthost: 'smtp.example.com:587', smtp_from: am@example.com,
      smtp_auth_username: am, smtp_auth_password: '{SECRET}', slack_api_url: hidden }}
route: {{ receiver: ops, routes: [ {{ matchers: [ severity="page" ], receiver: pager, group_wait: 0s }} ] }}
receivers: [ {{ name: ops }}, {{ name: pager, email_configs: [ {{ to: pager@example.com }} ] }} ]
"""
    found, out, err = imported(postroom, tmp_path, "alertmanager alertmanager.yml", text)
    (transport,) = found["transports"]
    assert SECRET == secret_of(transport)
    assert {
        "root": {
            "receiver": "ops",
            "resolved": False,
            "group_by": [],
            "group_wait": 30.0,
            "group_interval": 300.0,
            "repeat": 14400.0,
        },
        "receivers": [{"name": "ops"}, {"name": "pager", "to": ["pager@example.com"]}],
        "routes": [
            {"matchers": ['severity="page"'], "receiver": "pager", "resolved": False, "group_wait": 0}
        ],
    } == found["alerts"]
    assert "global.slack_api_url" in err
    assert "hidden" not in out + err


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (APP_BUILDER_DE, "smtps://email-smtp.us-east-1.example.com"),
        (APP_BUILDER_EN, "smtp://mail.example.com"),
        (APP_BUILDER_INI, "smtp://mail.example.com:465"),
        (APP_BUILDER_JSON, "smtp://mail.example.com/?starttls=always"),
    ],
)
def test_app_builder(postroom: Run, tmp_path: Path, text: str, url: str) -> None:
    """The table of the page in both languages, as INI and as JSON."""
    found, _, err = imported(postroom, tmp_path, "appbuilder endpoint.txt", text)
    (transport,) = found["transports"]
    assert SECRET == secret_of(transport)
    assert (url, "app@example.com") == (transport["url"], transport["from"])
    assert ("Provider" in text) == ("Provider" in err)


@pytest.mark.parametrize(("name", "text"), [(".env", HYPERION_ENV), (".env.yaml", HYPERION_YAML)])
def test_hyperion(postroom: Run, tmp_path: Path, name: str, text: str) -> None:
    """Both files that Hyperion has had; every other key is named and its value is not."""
    found, out, err = imported(postroom, tmp_path, f"hyperion {name}", text)
    (transport,) = found["transports"]
    assert SECRET == secret_of(transport)
    assert ("smtp.example.com", 587, "starttls") == (
        transport["host"],
        transport["port"],
        transport["encryption"],
    )
    assert "noreply@example.com" == transport["from"]
    for key in {line.partition(":")[0].partition("=")[0] for line in text.splitlines() if line[0].isupper()}:
        assert key.startswith("SMTP_") or key in err
    assert "db.example.com" not in out + err


def test_hyperion_switched_off_captures(postroom: Run, tmp_path: Path) -> None:
    """SMTP_ACTIVE off means that no mail leaves; so it is here."""
    found, _, _ = imported(postroom, tmp_path, "hyperion .env", HYPERION_ENV.replace("True", "False"))
    assert found["capture"] is True


def test_the_env_of_hyperion_starts_the_server_as_it_is(postroom: Run, tmp_path: Path) -> None:
    """Without any import: the variables of ``.env`` are an account."""
    (tmp_path / ".env").write_text(HYPERION_ENV)
    code, out, err = postroom("config", "check")
    assert code == 0, err
    assert "smtp.example.com" in out
    assert SECRET not in out


def test_secrets_are_shown_only_when_asked(postroom: Run, tmp_path: Path) -> None:
    """--show-secrets prints them and writes nothing; --secrets says where; no other secret is replaced."""
    (tmp_path / "api.ini").write_text(NEXUS)
    code, out, _ = postroom("import", "nexus", "api.ini", "--show-secrets")
    assert (0, SECRET) == (code, tomllib.loads(out)["transports"][0]["password"])
    assert not (tmp_path / "postroom-data").exists()
    assert postroom("import", "nexus", "api.ini", "--secrets", "kept")[0] == 0
    assert SECRET == (tmp_path / "kept" / "nexus.password").read_text()
    assert postroom("import", "nexus", "api.ini", "--secrets", "kept")[0] == 0
    (tmp_path / "api.ini").write_text(NEXUS.replace(SECRET, "another"))
    code, out, err = postroom("import", "nexus", "api.ini", "--secrets", "kept")
    assert code == 1
    assert "another secret" in err
    assert SECRET == (tmp_path / "kept" / "nexus.password").read_text()


def test_a_colon_parts_properties_too(postroom: Run, tmp_path: Path) -> None:
    """An equals sign in a value never makes a part of the value a name, which is shown."""
    text = "smtp.server.host: smtp.example.com\nemail.send.address: a@example.com\nx.token: hunter2=\n"
    _, out, err = imported(postroom, tmp_path, "tapdata a.properties", text)
    assert "x.token" in err
    assert "hunter2" not in out + err


def test_nobody_else_reads_what_is_made(postroom: Run, tmp_path: Path) -> None:
    """The data directory that an import makes is private; a secret that others may read is refused."""
    (tmp_path / "api.ini").write_text(NEXUS)
    assert postroom("import", "nexus", "api.ini")[0] == 0
    data = tmp_path / "postroom-data"
    secret = data / "import-secrets" / "nexus.password"
    made = (data, secret.parent, secret)
    assert [0o700, 0o700, 0o600] == [stat.S_IMODE(one.stat().st_mode) for one in made]
    secret.chmod(0o644)
    code, _, err = postroom("import", "nexus", "api.ini")
    assert code == 1
    assert "chmod 600" in err


def test_a_login_in_a_url_is_a_secret_too(postroom: Run, tmp_path: Path) -> None:
    """The whole URL goes into the file then."""
    url = "smtp://u:hidden-in-url@mail.example.com:587"
    (tmp_path / "api.ini").write_text(f"[email]\nsmtp_url = {url}\nfrom_mail = a@example.com\n")
    code, out, err = postroom("import", "nexus", "api.ini")
    assert code == 0, err
    assert "hidden-in-url" not in out + err
    assert url == Path(tomllib.loads(out)["transports"][0]["url_file"]).read_text()


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        ("nexus a.ini", "[email]\nfrom_mail = a@example.com\n", "smtp_url"),
        ("nexus a.ini", "no ini", "INI"),
        (
            "hap a.json",
            '{"signature": "x", "port": "x", "server": "h", "fromAddress": "a@b.example"}',
            "port",
        ),
        ("hap a.json", "{", "JSON"),
        ("tapdata a.json", "[1]", "TapData"),
        ("tapdata a.json", '{"smtp.server.host": "h", "email.server.tls": "ROT13"}', "email.server.tls"),
        ("tapdata a.properties", "nothing", "line 1"),
        ("appbuilder a.txt", "URI | ftp://mail.example.com\n", "URI"),
        ("appbuilder a.txt", "words", "line 1"),
        ("appbuilder a.txt", "Benutzername | u\n", "URI"),
        ("appbuilder a.txt", "URI | smtp://mail.example.com\nPassword: hunter2=\n", "line 2"),
        ("hyperion .env", "SMTP_ACTIVE=maybe\n", "SMTP_ACTIVE"),
        ("hyperion .env", "SMTP_ACTIVE=true\n", "SMTP_SERVER"),
        ("hyperion .env.yaml", "SMTP_PASSWORD: |\n  x\n", "SMTP_PASSWORD"),
        ("hyperion .env.yaml", "SMTP_ACTIVE: true\nSMTP_SERVER: h.example\nSMTP_PORT: x\n", "SMTP_PORT"),
    ],
)
def test_what_is_wrong_is_named(  # noqa: PLR0917 - two fixtures and a table
    postroom: Run, tmp_path: Path, words: str, text: str, said: str
) -> None:
    """An import that cannot be made says which line and prints no settings."""
    system, name = words.split()
    (tmp_path / name).write_text(text)
    code, out, err = postroom("import", system, name)
    assert (2, "") == (code, out)
    assert said in err
    assert "hunter2" not in err


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('"a\\"b # c" # d', 'a"b # c'),
        ("'it''s'", "it's"),
        ("plain # comment", "plain"),
        ("a#b", "a#b"),
        ("null", ""),
        ('"\\u00e9"', "é"),
    ],
)
def test_simple_yaml_is_read_as_yaml(postroom: Run, tmp_path: Path, written: str, expected: str) -> None:
    """Quotes, comments and escapes of one-line values."""
    text = f"SMTP_ACTIVE: on\nSMTP_SERVER: h.example\nSMTP_USERNAME: {written}\nSMTP_PASSWORD: p\n"
    (tmp_path / "e.yaml").write_text(text if expected else text.replace("SMTP_PASSWORD: p\n", ""))
    code, out, err = postroom("import", "hyperion", "e.yaml")
    assert code == 0, err
    assert expected == tomllib.loads(out)["transports"][0].get("username", "")

"""From each program's own file to a real SMTP server: import, check, serve, send, and the mail is right."""

import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
import trustme

from peers import alert_payloads, proxies
from peers.mail_host import MailHost, running
from peers.postroom_process import PostroomProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),  # implicit TLS is TLS
]

PASSWORD = "pa#ss;word = 1"
NEXUS = """[api]
domain          = api.example.com
api_port        = 8448
https           = no

[email]
smtp_url        = smtp://localhost:NUMBER
smtp_username   = monitor@example.com
smtp_password   = SECRET
from_mail       = nexus@example.com

[thread]
max_client      = 1024
"""
HAP = """{
    // the mail service
    "signature": "Acme GmbH", "fromAddress": "app@example.com", "server": "localhost", "port": NUMBER,
    "account": "app@example.com", "password": "SECRET", "enableSsl": false
}"""
TAPDATA = json.dumps(
    {
        "settings": [
            {"category": "SMTP", "key": key, "value": value, "default_value": default}
            for key, value, default in [
                ("smtp.server.user", "app@example.com", ""),
                ("smtp.server.password", "SECRET", ""),
                ("email.server.tls", None, "SSL"),
                ("smtp.server.host", "127.0.0.1", ""),
                ("smtp.server.port", "NUMBER", ""),
                ("email.send.address", "app@example.com", ""),
                ("email.receivers", "ops@example.org;dba@example.org", ""),
                ("email.title.prefix", "[Prod]", ""),
                ("smtp.proxy.host", "127.0.0.1", ""),
                ("smtp.proxy.port", "PROXY", ""),
            ]
        ],
        "blacklist": [r".*@trap\.example", "old@example.org"],
    }
)
TAPDATA_NOTIFICATION = {
    "smtp.server.user": "app@example.com",
    "smtp.server.password": "SECRET",
    "email.server.tls": "SSL",
    "smtp.server.host": "127.0.0.1",
    "smtp.server.port": "NUMBER",
    "email.send.address": "app@example.com",
    "email.receivers": "ops@example.org,dba@example.org",
    "email.title.prefix": "[Prod]",
}
APP_BUILDER = """Eigentum | Wert |
---|---|
URI | smtp://localhost:NUMBER |
Benutzername | app@example.com |
Passwort | SECRET |
Standardmäßige Absenderadresse | app@example.com |
"""
HYPERION = """SMTP_ACTIVE: true
SMTP_PORT: NUMBER
SMTP_SERVER: "localhost"
SMTP_USERNAME: "app@example.com"
SMTP_PASSWORD: 'SECRET'
SMTP_EMAIL: "noreply@example.com"
"""


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return context


@pytest.fixture
def host(context: ssl.SSLContext) -> Iterator[MailHost]:
    with running(MailHost(PASSWORD, refused=("gone@example.org",)), starttls=context) as server:
        yield server


def served(tmp_path: Path, system: str, name: str, text: str) -> PostroomProcess:
    """Import the file as a user does, and return a server with what was printed."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    command = [str(Path(sys.executable).parent / "postroom"), "import", system, name]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    (tmp_path / "made.toml").write_bytes(made.stdout)
    assert PASSWORD.encode() not in made.stdout + made.stderr
    check = [command[0], "config", "check", "--config", "made.toml"]
    subprocess.run(check, cwd=tmp_path, capture_output=True, check=True)
    environ = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    return PostroomProcess(tmp_path / "data", environ=environ, args=("--config", str(tmp_path / "made.toml")))


def sent(server: PostroomProcess, **mail: object) -> dict[str, object]:
    status, shown = server.call("POST", "/v1/messages", mail, headers={"Prefer": "wait=20"})
    assert status == 200, shown["recipients"]
    return dict(shown)


def filled(text: str, host: MailHost) -> str:
    """Put this server's secret and port in."""
    return text.replace("SECRET", PASSWORD).replace("NUMBER", str(host.port))


def test_the_ini_of_nexus(tmp_path: Path, host: MailHost) -> None:
    """The account and sender of the file, and the Nexus door needs no key."""
    with served(tmp_path, "nexus", "api.ini", filled(NEXUS, host)) as server:
        body = json.dumps({"to": "<tony@example.org>", "subject": "타이틀", "body": "<p>본문</p>"})
        answer = httpx2.post(
            f"{server.url}/email/send", content=body, headers={"content-type": "application/json"}, timeout=30
        ).json()
    assert answer["code"] == "200"
    ((envelope, mail),) = host.mails
    assert [b"monitor@example.com"] == host.logins
    assert ("nexus@example.com", ["tony@example.org"]) == (mail["from"], envelope.rcpt_tos)
    assert mail["message-id"] == f"<{answer['message_id']}@api.example.com>"


def test_the_seven_keys_of_hap(tmp_path: Path, host: MailHost) -> None:
    """The signature is the sender's name; without SSL the offered STARTTLS is taken."""
    with served(tmp_path, "hap", "hap.json", filled(HAP, host)) as server:
        sent(server, to="a@example.org", subject="Hi", text="x")
    assert [b"app@example.com"] == host.logins
    assert host.mails[0][1]["from"] == "Acme GmbH <app@example.com>"


def test_the_settings_of_tapdata(tmp_path: Path, context: ssl.SSLContext) -> None:
    """SSL through the SOCKS proxy, the prefix verbatim, and the blacklist holds for two of three."""
    with running(MailHost(PASSWORD), implicit=context) as host, proxies.running() as proxy:
        text = filled(TAPDATA, host).replace("PROXY", str(proxy.socks))
        with served(tmp_path, "tapdata", "settings.json", text) as server:
            shown = sent(
                server,
                to=["x@trap.example", "OLD@example.org", "ops@example.org"],
                subject="Job error",
                text="x",
            )
            status, tested = server.call("POST", "/v1/transports/tapdata/test", {})
            again, _ = server.call("POST", "/v1/transports/tapdata/test", {})
    recipients = shown["recipients"]
    assert isinstance(recipients, list)
    assert ["suppressed", "suppressed", "accepted"] == [one["state"] for one in recipients]
    assert ["recipient-blocked", "recipient-blocked", ""] == [one["cause"] for one in recipients]
    assert "blocked" in recipients[0]["remedy"]
    (job, test) = host.mails
    assert ("[Prod]Job error", ["ops@example.org"]) == (job[1]["subject"], job[0].rcpt_tos)
    assert (200, True, None, 429) == (status, tested["result"], tested["stack"], again)
    assert ["ops@example.org", "dba@example.org"] == test[0].rcpt_tos


def until(holds: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.05)


def looked_at(server: PostroomProcess) -> bool:
    """Say whether no report waits to be looked at, and no letter to be handed in."""
    alerts = server.call("GET", "/v1/status")[1]["alerts"]
    return not alerts["events_waiting"] and not alerts["letters_waiting"]


def deleted(server: PostroomProcess, *tasks: str) -> list[str]:
    """Report two tasks as deleted, by TapData's webhook and by our own door; return the alerts when done."""
    told = {**alert_payloads.TAPDATA["actionData"], "metric": "jobDeleted", "name": tasks[0]}
    webhook = {**alert_payloads.TAPDATA, "title": "Task deleted", "content": "", "actionData": told}
    own = {"key": "jobDeleted", "source": "tapdata", "object": tasks[1]}
    event = {"X-Event": "TaskAlter"}
    status, first = server.call("POST", "/v1/alerts/tapdata", webhook, headers=event)
    assert (202, 1) == (status, first["accepted"])
    status, second = server.call("POST", "/v1/alerts", own)
    assert (202, 1) == (status, second["accepted"])
    until(lambda: looked_at(server))
    return [first["alerts"][0]["alert"], second["alerts"][0]["alert"]]


def test_a_task_that_tapdata_deleted(tmp_path: Path, context: ssl.SSLContext) -> None:
    """With its row on a deleted task is one mail with the prefix; with the row off none, and why says so."""

    def export(host: MailHost, *, is_on: bool) -> str:
        rows = [{"label": "jobDeleted", "notice": True, "email": is_on}]
        notification = json.dumps({"runNotification": rows})
        return filled(json.dumps({**TAPDATA_NOTIFICATION, "notification": notification}), host)

    def clauses(server: PostroomProcess, alert: str) -> set[str]:
        return {step["clause"] for step in server.call("GET", f"/v1/alerts/{alert}/why")[1]["steps"]}

    with running(MailHost(PASSWORD), implicit=context) as host:
        with served(tmp_path, "tapdata", "settings.json", export(host, is_on=True)) as server:
            ping = {**alert_payloads.TAPDATA, "action": "PING"}
            status, pinged = server.call("POST", "/v1/alerts/tapdata", ping, headers={"X-Event": "PING"})
            assert (200, 0) == (status, pinged["accepted"])
            for alert in deleted(server, "orders", "bills"):
                assert {"new", "told"} <= clauses(server, alert)
            until(lambda: len(host.mails) >= 2)
            assert 0 == server.stop()
        with served(tmp_path, "tapdata", "settings.json", export(host, is_on=False)) as server:
            for alert in deleted(server, "stock", "users"):
                assert {"mail-off"} == clauses(server, alert)
            assert 0 == server.stop()
    (by_webhook, by_body) = sorted((mail for _, mail in host.mails), key=lambda mail: "bills" in str(mail))
    for mail, task in ((by_webhook, "orders"), (by_body, "bills")):
        assert mail["subject"].startswith("[Prod]")
        assert task in str(mail)
    assert [["ops@example.org", "dba@example.org"]] * 2 == [envelope.rcpt_tos for envelope, _ in host.mails]
    assert {b"app@example.com"} == set(host.logins)


def test_the_table_of_app_builder(tmp_path: Path, host: MailHost) -> None:
    """The endpoint of the page sends by the plug-in's inputs, and its outputs say what became of it."""
    with served(tmp_path, "appbuilder", "endpoint.txt", filled(APP_BUILDER, host)) as server:
        given = {
            "to": "a@example.org, b@example.org,",
            "cc": "c@example.org",
            "subject": "Invoice",
            "body": "<p>Hello</p>",
            "pdfattachment": {"filename": "invoice.pdf", "content": "JVBERi0="},
        }
        status, good = server.call("POST", "/app-builder/send", given)
        plain, lost, wrong = (
            server.call("POST", "/app-builder/send", {"to": to, "subject": "x", "body": "1 < 2"})
            for to in ("a@example.org", "gone@example.org", "")
        )
    assert (200, True, None, 250) == (
        status,
        good["responseSent"],
        good["responseErrorCode"],
        good["responseStatusCode"],
    )
    assert "4Xyz" in good["responseMessage"]
    (first, second) = host.mails
    assert ["a@example.org", "b@example.org", "c@example.org"] == first[0].rcpt_tos
    assert ("app@example.com", "Invoice") == (first[1]["from"], first[1]["subject"])
    html = first[1].get_body(("html",))
    assert html is not None
    assert html.get_content().strip() == "<p>Hello</p>"
    (pdf,) = first[1].iter_attachments()
    assert ("invoice.pdf", b"%PDF-") == (pdf.get_filename(), pdf.get_content())
    assert plain[1]["responseSent"] is True
    assert second[1].get_content_type() == "text/plain"
    assert (200, False, 2, 550) == (
        lost[0],
        lost[1]["responseSent"],
        lost[1]["responseErrorCode"],
        lost[1]["responseStatusCode"],
    )
    assert "550 5.1.1 no such user here" in lost[1]["responseMessage"]
    assert (422, False) == (wrong[0], wrong[1]["responseSent"])
    assert "No recipients have been specified." in wrong[1]["responseMessage"]


def test_the_yaml_of_hyperion(tmp_path: Path, host: MailHost) -> None:
    """STARTTLS, login and sender as Hyperion has them."""
    with served(tmp_path, "hyperion", ".env.yaml", filled(HYPERION, host)) as server:
        sent(server, to="a@example.org", subject="Hi", html="<p>x</p>")
    assert [b"app@example.com"] == host.logins
    assert host.mails[0][1]["from"] == "noreply@example.com"

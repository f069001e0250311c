"""Calls that bring their own account, against the real program, with servers that others wrote at the end."""

import json
import os
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from delivery.test_delivery_accounts import until
from peers.foreign import TidyController
from peers.fork_server import ForkServer
from peers.postroom_process import KEY, UNBENT, PostroomProcess, free_port

pytestmark = pytest.mark.slow

WIRE = Path(__file__).parents[1] / "ingress/wire"
TENANT = (WIRE / "email_multipart_tenant_send.sh").read_text("utf-8")
PASSWORD, OTHER = "tenant-pass-0815", "other-pass-0815"
INI = """\
[api]
domain          = test3.example.net
api_port        = {api_port}
https           = no
cert_password   = 00112233445566778899AABBCCDDEEFF

[email]
smtp_url        = smtp://127.0.0.1:{smtp_port}
smtp_username   = monitor@example.com
smtp_password   = password
from_mail       = nexus@example.com

[thread]
max_client      = 1024
"""
TOML = """\
[nexus]
tenant_networks = ["127.0.0.0/8"]
tenant_ports = [{ports}]

[egress]
allowed_networks = ["127.0.0.0/8"]
"""


class MailServer:
    """Keeps mail with who logged in for it, and counts logins."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, Envelope, EmailMessage]] = []
        self.logins: list[tuple[str, str]] = []
        self.tls: list[bool] = []
        self.later = False

    async def handle_RCPT(  # noqa: N802, PLR0917 - aiosmtpd's hook
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del server, session, options
        if self.later:
            return "450 4.2.0 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        del server
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.tls.append(session.ssl is not None)
        self.mails.append((str(session.auth_data or ""), envelope, mail))
        return "250 OK"

    def authenticate(self, *facts: object) -> AuthResult:
        login = facts[-1]
        assert isinstance(login, LoginPassword)
        user, password = login.login.decode(), login.password.decode()
        self.logins.append((user, password))
        known = password in {PASSWORD, OTHER, "password"}
        return AuthResult(success=known, handled=False, auth_data=f"{user} {password}" if known else None)


@contextmanager
def a_server(port: int | None = None, **options: Any) -> Iterator[tuple[MailServer, int]]:
    box = MailServer()
    controller = TidyController(
        box,
        hostname="127.0.0.1",
        port=port or free_port(),
        authenticator=box.authenticate,
        auth_require_tls=False,
        **options,
    )
    controller.start()
    try:
        yield box, controller.port
    finally:
        controller.stop()


@contextmanager
def a_gateway(
    directory: Path,
    smtp_port: int,
    *,
    toml: str = TOML,
    environ: dict[str, str] | None = None,
    forks: ForkServer = UNBENT,
) -> Iterator[tuple[PostroomProcess, int]]:
    """Run Postroom with the document's file; yield it and ``api_port``."""
    api_port = free_port()
    (directory / "nexus.ini").write_text(INI.format(api_port=api_port, smtp_port=smtp_port), "utf-8")
    (directory / "postroom.toml").write_text(toml.format(ports=smtp_port), "utf-8")
    args = ("--nexus-config", str(directory / "nexus.ini"))
    with PostroomProcess(directory / "data", args=args, environ=environ, forks=forks) as server:
        yield server, api_port


def curl(command: str, port: int, **changed: str) -> dict[str, Any]:
    """Run a command of the document with its host, ports and named texts changed."""
    command = re.sub(r":84\d\d/", f":{port}/", command)
    for old, new in changed.items():
        command = command.replace(old.replace("_", " "), new)
    done = subprocess.run(["bash", "-c", command], cwd=WIRE, capture_output=True, check=True, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def tenant(port: int, path: str = "/email/tenant/send", **members: Any) -> dict[str, Any]:
    """Make a tenant call in JSON."""
    body = json.dumps({"to": "<a@example.net>", "subject": "제목", "body": "x", **members})
    command = ["curl", "-sS", "-H", "Content-type: application/json", "-d", body]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, check=True, timeout=60
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def an_account(port: int, password: str = PASSWORD, **more: Any) -> dict[str, Any]:
    url = f"smtp://127.0.0.1:{port}"
    return {"smtp_url": url, "user": "test@example.com", "password": password, "ssl": False, **more}


def guests_in(data: Path) -> int:
    with closing(sqlite3.connect(f"file:{data / 'postroom.sqlite'}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM guest").fetchone()[0])


def test_the_documents_command_over_tls(tmp_path: Path) -> None:
    """The multipart tenant command, ``ssl=true``: STARTTLS, the caller's login, its user as From."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with (
        a_server(tls_context=context) as (box, port),
        a_gateway(tmp_path, port, environ={"SSL_CERT_FILE": str(tmp_path / "ca.pem")}) as (server, api_port),
    ):
        command = TENANT.replace("127.0.0.1:465", f"127.0.0.1:{port}")
        answer = curl(command, api_port)
        assert ("200", "발송 성공") == (answer["code"], answer["message"])
        ((login, envelope, mail),) = box.mails
        assert [True] == box.tls
        assert f"test@example.com {PASSWORD}" == login
        assert "test@example.com" == envelope.mail_from == mail["from"]
        assert ["test@example.com", "test@example.net"] == envelope.rcpt_tos
        assert f"<{answer['message_id']}@test3.example.net>" == mail["message-id"]
        assert ["800_400.png", "template_create.json"] == [
            part.get_filename() for part in mail.iter_attachments()
        ]
        shown = server.call("GET", f"/v1/messages/{answer['message_id']}")[1]
        assert shown["transport"].startswith(f"guest:127.0.0.1:{port}:")
        assert ["nexus"] == [one["name"] for one in server.call("GET", "/v1/transports")[1]["transports"]]
        assert 404 == server.call("GET", f"/v1/transports/{shown['transport']}")[0]
        assert 200 == server.call("GET", "/readyz")[0]
        metrics = server.call("GET", "/metrics")[1].decode()
        assert 'transport="guest"' in metrics
        assert "guest:" not in metrics
        until(lambda: guests_in(server.data) == 0)
        stored = b"".join(path.read_bytes() for path in server.data.iterdir() if path.is_file())
    assert PASSWORD.encode() not in stored + server.log.read_bytes()


def test_tls_from_the_first_byte(tmp_path: Path) -> None:
    """``smtps://`` speaks TLS at once, whatever ``ssl`` says; a strange certificate gets no login."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with a_server(ssl_context=context) as (box, port):
        account = an_account(port, smtp_url=f"smtps://127.0.0.1:{port}")
        with a_gateway(tmp_path, port, environ={"SSL_CERT_FILE": str(tmp_path / "ca.pem")}) as (_, api_port):
            assert "200" == tenant(api_port, **account)["code"]
        assert f"test@example.com {PASSWORD}" == box.mails[0][0]
        with a_gateway(tmp_path, port) as (_, api_port):
            answer = tenant(api_port, **account)
            assert "certificate" in answer["message"]
        assert (1, 1) == (len(box.mails), len(box.logins))


def test_every_route_ends_at_the_callers_server(tmp_path: Path) -> None:
    """JSON, a plain route with ``smtp``, aliases, bcc, reply_id; without ``smtp_url`` our account."""
    with a_server() as (box, port), a_gateway(tmp_path, port) as (_, api_port):
        brought = an_account(port)
        answer = tenant(api_port, **brought, bcc="<b@example.net>", reply_id="1@example.org")
        assert "200" == answer["code"], answer
        login, envelope, mail = box.mails.pop()
        assert ["a@example.net", "b@example.net"] == envelope.rcpt_tos
        assert ("<1@example.org>", "<1@example.org>") == (mail["in-reply-to"], mail["references"])
        assert mail["bcc"] is None
        aliased = {"smtp": brought["smtp_url"], "user": brought["user"], "pasword": PASSWORD, "ssl": "false"}
        assert "200" == tenant(api_port, "/email/send", **aliased)["code"]
        assert login == box.mails.pop()[0] == f"test@example.com {PASSWORD}"
        assert "200" == tenant(api_port, "/email/send")["code"]
        assert "monitor@example.com password" == box.mails.pop()[0]
        without = {key: value for key, value in brought.items() if key != "password"}
        assert "200" == tenant(api_port, **without)["code"]
        assert "" == box.mails.pop()[0]


def test_one_pool_per_credential(tmp_path: Path) -> None:
    """The same user with another password never sends over the first one's connection; a wrong one is 423."""
    with a_server() as (box, port), a_gateway(tmp_path, port) as (server, api_port):
        for password in (PASSWORD, OTHER, PASSWORD, OTHER):
            assert "200" == tenant(api_port, **an_account(port, password))["code"]
        assert [f"test@example.com {one}" for one in (PASSWORD, OTHER, PASSWORD, OTHER)] == [
            login for login, *_ in box.mails
        ]
        assert [("test@example.com", PASSWORD), ("test@example.com", OTHER)] == box.logins
        answer = tenant(api_port, **an_account(port, "wrong-canary-1"))
        assert "423" == answer["code"]
        assert "535 5.7.8" in answer["message"]
        state = server.call("GET", f"/v1/messages/{answer['message_id']}")[1]
        assert "refused" == state["state"]
        assert 200 == server.call("GET", "/readyz")[0]
        until(lambda: guests_in(server.data) == 0)
        assert "wrong-canary-1" not in json.dumps(state) + json.dumps(answer)
        # A person's retry finds no account, and no other one takes the mail.
        assert server.call("POST", f"/v1/messages/{answer['message_id']}/retry")[0] in (200, 202)
        until(lambda: server.call("GET", f"/v1/messages/{answer['message_id']}")[1]["state"] == "refused")
    assert b"wrong-canary-1" not in server.log.read_bytes()
    assert 4 == len(box.mails)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_mail_outlives_the_process_with_its_account(tmp_path: Path, ending: signal.Signals) -> None:
    """What its server put off goes out after a restart by the caller's account, which is forgotten then."""
    with a_server() as (box, port):
        box.later = True
        with a_gateway(tmp_path, port) as (server, api_port):
            answer = tenant(api_port, **an_account(port))
            assert ("200", True) == (answer["code"], answer["message"].startswith("not sent yet"))
            assert 1 == guests_in(server.data)
            assert server.process is not None
            server.process.send_signal(ending)
            server.process.wait(30)
        box.later = False
        with a_gateway(tmp_path, port) as (server, _):
            assert server.call("POST", f"/v1/messages/{answer['message_id']}/retry")[0] in (200, 202)
            until(lambda: box.mails)
            assert f"test@example.com {PASSWORD}" == box.mails[0][0]
            until(lambda: guests_in(server.data) == 0)


def test_cancelled_mail_lets_its_account_go(tmp_path: Path) -> None:
    """Mail that a person cancels needs its account no longer."""
    hurried = ForkServer(speed=20.0)  # it is looked for four times a minute
    with a_server() as (box, port), a_gateway(tmp_path, port, forks=hurried) as (server, api_port):
        box.later = True
        answer = tenant(api_port, **an_account(port))
        assert 1 == guests_in(server.data)
        assert 200 == server.call("DELETE", f"/v1/messages/{answer['message_id']}")[0]
        until(lambda: guests_in(server.data) == 0, bound_s=30.0)


def test_nowhere_but_where_the_guard_lets_it(tmp_path: Path) -> None:
    """Without the setting neither an address of this machine nor a name that leads to it is reached: 422."""
    with a_server() as (box, port):
        toml = TOML.partition("[egress]")[0]
        with a_gateway(tmp_path, port, toml=toml) as (server, api_port):
            for host in ("127.0.0.1", "localhost", "[::1]"):
                answer = tenant(api_port, **an_account(port, smtp_url=f"smtp://{host}:{port}"))
                assert "422" == answer["code"], answer
                assert "egress.allowed_networks" in answer["message"]
            assert (
                "422" == tenant(api_port, **an_account(port, smtp_url="smtp://mx.example.com:6379"))["code"]
            )
            until(lambda: guests_in(server.data) == 0)
        assert ([], []) == (box.mails, box.logins)


def test_who_may_bring_an_account(tmp_path: Path) -> None:
    """Keyless callers outside of the list may not, a key may with its scope alone."""
    with a_server() as (box, port):
        toml = TOML.replace("127.0.0.0/8", "192.0.2.0/24", 1)
        with a_gateway(tmp_path, port, toml=toml) as (server, api_port):
            refused = tenant(api_port, **an_account(port))
            assert "422" == refused["code"]
            assert "tenant-smtp" in refused["message"]
            status, made = server.call("POST", "/v1/keys", {"name": "plain", "scopes": ["send"]})
            assert 201 == status
            body = {"to": "a@example.net", "subject": "s", **an_account(port)}
            as_plain = {"Authorization": f"Bearer {made['key']}"}
            assert 403 == server.call("POST", "/email/tenant/send", body, headers=as_plain)[0]
            assert [] == box.logins
            assert "200" == server.call("POST", "/email/tenant/send", body)[1]["code"]
            assert 1 == len(box.mails)


def test_captured_where_everything_is(tmp_path: Path) -> None:
    """In capture mode a tenant call is captured: its server is not even looked up."""
    with a_server() as (box, port), PostroomProcess(tmp_path / "data") as server:
        answer = tenant(server.port, **an_account(port, smtp_url="smtp://mx.example.com:25"))
        assert ("200", "capture") == (answer["code"], answer["mode"])
        assert 0 == guests_in(server.data)
        assert [] == box.logins


def test_the_documents_three_ports_at_once(tmp_path: Path) -> None:
    """8443 with TLS of its own, 8448 and 8449 plain, each with the doors it opens."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    one = authority.issue_cert("localhost")
    one.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "front.pem"))
    tls, plain, forms = free_port(), free_port(), free_port()
    listen = f"""
[[http.listen]]
address = "127.0.0.1:{tls}"
tls_cert = "front.pem"
tls_key = "front.pem"
doors = ["nexus"]

[[http.listen]]
address = "127.0.0.1:{plain}"
doors = "nexus"

[[http.listen]]
address = "127.0.0.1:{forms}"
"""
    with a_server() as (box, port):
        (tmp_path / "nexus.ini").write_text(INI.format(api_port=plain, smtp_port=port), "utf-8")
        (tmp_path / "postroom.toml").write_text(TOML.format(ports=port) + listen, "utf-8")
        args = ("serve", "--data", "data", "--nexus-config", "nexus.ini")
        with running(tmp_path, *args, port=forms):
            send = (WIRE / "email_send.sh").read_text("utf-8")
            over_tls = send.replace(
                "http://127.0.0.1:8443", f"--cacert {tmp_path}/ca.pem https://localhost:{tls}"
            )
            assert "200" == curl(over_tls, 0)["code"]
            assert "200" == curl(send, plain)["code"]
            assert "200" == curl((WIRE / "email_multipart_send.sh").read_text("utf-8"), forms)["code"]
            assert 3 == len(box.mails)
            assert [404, 404, 200] == [
                status_of(f"{scheme}://localhost:{at}/v1/status", "--cacert", f"{tmp_path}/ca.pem", *WITH_KEY)
                for scheme, at in (("https", tls), ("http", plain), ("http", forms))
            ]
            assert 200 == status_of(f"http://localhost:{plain}/healthz")


WITH_KEY = ("-H", f"Authorization: Bearer {KEY}")


def status_of(url: str, *options: str) -> int:
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *options, url]
    return int(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)


@contextmanager
def running(home: Path, *args: str, port: int) -> Iterator[None]:
    """Run the program with these arguments alone until its health can be asked at ``port``."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "POSTROOM_API_KEY": KEY}
    with (home / "log").open("wb") as log:
        program = str(Path(sys.executable).parent / "postroom")
        process = subprocess.Popen([program, *args], env=environ, cwd=home, stdout=log, stderr=log)
        try:
            until(lambda: process.poll() is not None or is_listening(port))
            yield
        finally:
            process.terminate()
            assert 0 == process.wait(30), (home / "log").read_text()


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

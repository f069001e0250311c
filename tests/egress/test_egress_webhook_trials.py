"""A webhook looked at, tried by the command line, and given a mail in its own bytes."""

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from egress.hook_works import LINKS, content, posted, stored, webhook
from egress.works import file_blobs
from net.wires import listening, server_context
from peers.hook_server import hook_server, plain
from peers.http_receiver import http_receiver
from postroom.cli.app import run
from postroom.clock import SystemClock
from postroom.egress.doctor.webhook import look_at_webhook
from postroom.model.checkup import Checkup, Stage, StageStatus
from postroom.model.message import Content, RawMail
from postroom.model.transport import HookForm, HookTarget
from postroom.policy.links import FilePlace
from postroom.schema.hook_mapping import profile

HEAD = (
    b"From: Ann Example <ann@example.com>\r\nTo: Bob <to@example.net>, other@example.net\r\n"
    b"Reply-To: desk@example.com\r\nSubject: raw\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n"
)
BODY = (
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    b'<p>M\xc3\xa4rz</p><img src="cid:logo">\r\n'
    b"--b\r\nContent-Type: image/png\r\nContent-ID: <logo>\r\nContent-Disposition: inline; filename=l.png\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nUE5H\r\n"
    b"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nUERG\r\n--b--\r\n"
)


def raw(data: Path, *, is_large: bool) -> Content:
    body = stored(file_blobs(data), BODY) if is_large else BODY
    return content(
        subject="raw",
        html=None,
        to=(),
        cc=(),
        reply_to=(),
        raw=RawMail(head=HEAD, body=body),
    )


@pytest.mark.parametrize("is_large", [False, True])
def test_a_mail_in_its_own_bytes_is_read_into_the_members(tmp_path: Path, is_large: bool) -> None:
    """Texts and files come from its parts, lists from its header, as far as they are recipients."""

    async def post() -> dict[str, Any]:
        async with hook_server(plain(200)) as server, webhook(server.url, tmp_path) as transport:
            mail = raw(tmp_path, is_large=is_large)
            await transport.attempt(posted("to@example.net", "blind@example.org", mail=mail))
            found: dict[str, Any] = json.loads(server.requests[0].body)
            return found

    body = asyncio.run(post())
    work = posted()

    def link(number: int, name: str) -> str:
        place = FilePlace(tenant=work.tenant, message=work.message_id, number=number)
        return LINKS.url(place, name=name, accepted_at=content().date, now=SystemClock().now())

    assert {
        "ToEmails": ["to@example.net"],
        "ReplyToEmails": ["desk@example.com"],
        "CcEmails": [],
        "BccEmails": ["blind@example.org"],
        "Signature": "Ann Example",
        "Subject": "raw",
        "Body": f'<p>März</p><img src="{link(0, "l.png")}">',
        "Attachments": {"a.pdf": link(1, "a.pdf")},
    } == {**body, "Body": body["Body"].strip()}


def test_files_of_a_raw_mail_go_into_a_multipart_body(tmp_path: Path) -> None:
    """The Nexus profile posts the decoded parts as files."""

    async def post() -> bytes:
        changes: dict[str, Any] = {"form": HookForm.MAPPED, "mapping": profile("nexus")}
        async with (
            hook_server(plain(200, b'{"code":"200"}')) as server,
            webhook(server.url, tmp_path, **changes) as transport,
        ):
            await transport.attempt(posted("to@example.net", mail=raw(tmp_path, is_large=True)))
            return server.requests[0].body

    body = asyncio.run(post())
    assert b'name="files"; filename="a.pdf"\r\nContent-Type: application/pdf\r\n\r\nPDF\r\n' in body
    assert b'name="files"; filename="l.png"\r\nContent-Type: image/png\r\n\r\nPNG\r\n' in body


def looked(port: int, *, tls: bool = False, **changes: Any) -> Checkup:
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/hook"
    return asyncio.run(look_at_webhook(HookTarget(url=url, **changes), clock=SystemClock()))


def test_a_check_connects_and_posts_nothing() -> None:
    """Name, addresses and port are looked at; the receiver gets no byte."""
    got = []

    async def check() -> Checkup:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            got.append(await reader.read())
            writer.close()

        async with listening(serve) as port:
            target = HookTarget(url=f"http://127.0.0.1:{port}/hook")
            return await look_at_webhook(target, clock=SystemClock())

    found = asyncio.run(check())
    assert [Stage.NAME, Stage.DNS, Stage.TCP] == [one.stage for one in found.stages]
    assert found.ok
    assert b"".join(got) == b""


def test_a_check_names_a_closed_port_and_a_strange_certificate(tmp_path: Path) -> None:
    """Each failure has its stage and a cause with words; a known authority, or no check, is fine."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async def check(**changes: Any) -> Checkup:
        async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            await reader.read()

        context: ssl.SSLContext = server_context(authority)
        async with listening(serve, tls=context) as port:
            target = HookTarget(url=f"https://127.0.0.1:{port}/hook", **changes)
            return await look_at_webhook(target, clock=SystemClock())

    closed = looked(9)
    assert (Stage.TCP, StageStatus.FAILED) == (closed.stages[-1].stage, closed.stages[-1].status)
    assert closed.cause
    strange = asyncio.run(check())
    assert (Stage.TLS, False) == (strange.stages[-1].stage, strange.ok)
    assert strange.cause
    known = asyncio.run(check(ca_file=str(tmp_path / "ca.pem")))
    assert known.ok
    assert "TLSv1" in known.stages[-1].evidence
    assert "NOT checked" in asyncio.run(check(verify=False)).stages[-1].evidence


def tried(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *args: str
) -> tuple[int, dict[str, Any]]:
    monkeypatch.chdir(directory)
    code = run(["webhook", "test", *args, "--json"])
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, answer


def test_the_command_shows_and_posts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ``--to`` nothing is posted; with it the answer comes with its meaning, secrets never."""
    with http_receiver(200, 404) as receiver:
        file = tmp_path / "appextensions.json"
        file.write_text(json.dumps({"WebhookUrl": receiver.url, "WebhookHeaders": {"X-Key": "very-secret"}}))
        code, shown = tried(tmp_path, capsys, monkeypatch, "appextensions.json")
        assert (0, []) == (code, receiver.posts)
        assert "*****" == shown["headers"]["x-key"]
        assert ["to@example.net"] == json.loads(shown["body"])["ToEmails"]
        code, sent = tried(tmp_path, capsys, monkeypatch, "appextensions.json", "--to", "me@example.com")
        assert (0, "accepted") == (code, sent["outcome"])
        assert "very-secret" == receiver.posts[0][1]["x-key"]
        assert "very-secret" not in json.dumps(sent)
        code, refused = tried(tmp_path, capsys, monkeypatch, "appextensions.json", "--to", "me@example.com")
        assert (1, "webhook-not-taken") == (code, refused["cause"])
        assert refused["remedy"]


def test_the_command_tries_a_mapping(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mapping file with a URL is shown as it would be posted."""
    (tmp_path / "m.toml").write_text('[body]\nsubject = "[x] ${subject}"\n')
    _, shown = tried(tmp_path, capsys, monkeypatch, "m.toml", "--url", "https://api.example.com/")
    assert {"subject": "[x] Test by Postroom"} == json.loads(shown["body"])

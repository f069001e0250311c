"""The vendor's ``appextensions.json`` against ``postroom serve`` and a receiver that others wrote."""

import base64
import json
import re
import subprocess
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from peers.fork_server import ForkServer
from peers.http_receiver import Receiver, http_receiver
from peers.postroom_process import KEY, PostroomProcess

pytestmark = pytest.mark.slow

FILE = """\ufeff{
  // where the mail goes
  "WebhookUrl": "%s",
  "WebhookHeaders": {"X-Hap-Token": "token-of-the-webhook"},
}
"""
REPORT = bytes(range(256)) * 64
LOGO = b"\x89PNG picture"


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with ForkServer() as running:
        yield running


def serving(receiver: Receiver, directory: Path, forks: ForkServer, **environ: str) -> PostroomProcess:
    file = directory / "appextensions.json"
    file.write_text(FILE % receiver.url, encoding="utf-8")
    return PostroomProcess(
        directory / "data",
        args=("--hap-config", str(file)),
        environ={"POSTROOM_FROM": "Desk <desk@example.com>", **environ},
        forks=forks,
    )


def mail(**changes: Any) -> dict[str, Any]:
    return {
        "from": "Ann Example <ann@example.com>",
        "to": ["Bob <bob@example.net>"],
        "cc": ["cc@example.net"],
        "bcc": ["blind@example.org"],
        "reply_to": "desk@example.com",
        "subject": "Bericht für März",
        "html": '<p>see</p><img src="cid:logo">',
        **changes,
    }


def with_files() -> dict[str, Any]:
    def file(name: str, kind: str, data: bytes, **more: str) -> dict[str, str]:
        return {
            "filename": name,
            "content_type": kind,
            "content": base64.b64encode(data).decode(),
            **more,
        }

    return mail(
        attachments=[
            file("Bericht März.pdf", "application/pdf", REPORT),
            file("Bericht März.pdf", "application/pdf", b"second"),
            file("logo.png", "image/png", LOGO, content_id="logo", disposition="inline"),
        ]
    )


def curl(*args: str) -> bytes:
    return subprocess.run(["curl", "-sS", *args], capture_output=True, check=True, timeout=30).stdout


def fetched(server: PostroomProcess, link: str, *args: str) -> tuple[int, dict[str, str], bytes]:
    """Follow a link with curl, without a key."""
    parts = urlsplit(link)
    answer = curl("-i", *args, f"{server.url}{parts.path}?{parts.query}")
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(status.split()[1]), fields, body


def sent(server: PostroomProcess, body: dict[str, Any]) -> dict[str, Any]:
    status, answer = server.call("POST", "/v1/messages", body, headers={"Prefer": "wait=20"})
    assert status in {200, 202}, answer
    found: dict[str, Any] = answer
    return found


def test_the_vendors_file_sends_mail_with_files(tmp_path: Path, forks: ForkServer) -> None:
    """From ``appextensions.json`` to the exact body at the receiver, its links, and the ledger."""
    with (
        http_receiver() as receiver,
        serving(receiver, tmp_path, forks, POSTROOM_PUBLIC_URL="https://mail.example.com") as server,
    ):
        answer = sent(server, with_files())
        path, fields, raw = receiver.next()
        assert ["accepted"] * 3 == [one["state"] for one in answer["recipients"]]
        assert ("/email/webhook", "application/json") == (path, fields["content-type"])
        assert "token-of-the-webhook" == fields["x-hap-token"]
        body = json.loads(raw)
        files = body.pop("Attachments")
        html = body.pop("Body")
        assert {
            "ToEmails": ["bob@example.net"],
            "ReplyToEmails": ["desk@example.com"],
            "CcEmails": ["cc@example.net"],
            "BccEmails": ["blind@example.org"],
            "Signature": "Ann Example",
            "Subject": "Bericht für März",
        } == body
        assert ["Bericht März.pdf", "Bericht März (2).pdf"] == list(files)
        assert all(link.startswith("https://mail.example.com/files/") for link in files.values())

        link = files["Bericht März.pdf"]
        status, head, content = fetched(server, link)
        assert (200, REPORT) == (status, content)
        assert (
            "attachment; filename=\"Bericht M_rz.pdf\"; filename*=UTF-8''Bericht%20M%C3%A4rz.pdf"
            == (head["content-disposition"])
        )
        assert ("nosniff", "application/pdf") == (head["x-content-type-options"], head["content-type"])
        assert (206, REPORT[100:200]) == fetched(server, link, "-r", "100-199")[::2]
        assert (206, REPORT[-5:]) == fetched(server, link, "-r", "-5")[::2]
        assert b"second" == fetched(server, files["Bericht März (2).pdf"])[2]
        picture = re.search(r'<img src="([^"]+)">', html)
        assert picture is not None
        assert LOGO == fetched(server, picture[1])[2]

        other = "A" if link[-3] != "A" else "B"  # not the last letter: some of its bits say nothing
        assert 404 == fetched(server, f"{link[:-3]}{other}{link[-2:]}")[0]
        assert 404 == fetched(server, link.replace("/0/", "/1/"))[0]
        assert 404 == int(curl("-o", "/dev/null", "-w", "%{http_code}", f"{server.url}/files/"))

        story = server.call("GET", f"/v1/messages/{answer['id']}/events")[1]
        (reduced,) = [one for one in story["events"] if one["kind"] == "message.reduced"]
        assert "the From address ann@example.com" in reduced["text"]
        log = server.log.read_text()
        assert "token-of-the-webhook" not in log
        assert link.rpartition("s=")[2] not in log
        assert 0 == server.stop()


def test_a_retry_posts_the_same_body(tmp_path: Path, forks: ForkServer) -> None:
    """503 first, then 200: both posts are the same bytes, and the mail is accepted."""
    with (
        http_receiver(503) as receiver,
        serving(receiver, tmp_path, forks, POSTROOM_PUBLIC_URL="https://mail.example.com") as server,
    ):
        answer = sent(server, {**with_files(), "class": "code"})
        assert ["deferred"] * 3 == [one["state"] for one in answer["recipients"]]
        assert {"webhook-unavailable"} == {one["cause"] for one in answer["recipients"]}
        receiver.next()
        receiver.next()
        first, second = receiver.posts
        assert first[2] == second[2]
        assert first[1]["idempotency-key"] == second[1]["idempotency-key"]


def test_without_a_public_address_mail_with_files_is_held(tmp_path: Path, forks: ForkServer) -> None:
    """The start says so, the mail waits for a person with the cause that names the setting; others go."""
    with http_receiver() as receiver, serving(receiver, tmp_path, forks) as server:
        answer = sent(server, with_files())
        assert {("held", "public-url-missing")} == {
            (one["state"], one["cause"]) for one in answer["recipients"]
        }
        assert "POSTROOM_PUBLIC_URL" in answer["recipients"][0]["remedy"]
        assert "public_url is not set" in server.log.read_text()
        assert "accepted" == sent(server, mail(text="a < b", html=None))["recipients"][0]["state"]
        assert "a &lt; b" == json.loads(receiver.next()[2])["Body"]


def test_a_refused_key_pauses_the_transport_and_keeps_the_mail(tmp_path: Path, forks: ForkServer) -> None:
    """401 is the account's trouble: the mail waits, the transport says why."""
    with http_receiver(401) as receiver, serving(receiver, tmp_path, forks) as server:
        answer = sent(server, mail(html="hi"))
        assert {("queued", "webhook-not-taken")} == {
            (one["state"], one["cause"]) for one in answer["recipients"]
        }
        transport = server.call("GET", "/v1/transports/hap")[1]
        assert ("down", "webhook-not-taken") == (transport["state"], transport["pauses"][0]["cause"])
        assert {"X-Hap-Token": "*****"} == transport["settings"]["headers"]
        assert f"http://127.0.0.1:{receiver.port}" == transport["target"]


def test_a_stored_webhook_is_made_changed_and_keeps_its_secrets(tmp_path: Path, forks: ForkServer) -> None:
    """Made by a call, its header sealed: a ``*****`` that comes back keeps it, over a restart too."""
    data = tmp_path / "data"
    with http_receiver() as receiver:
        body = {
            "name": "hook",
            "kind": "webhook",
            "url": receiver.url,
            "headers": {"X-Key": "sealed-value-of-a-header"},
            "from": "desk@example.com",
        }
        with PostroomProcess(data, forks=forks) as server:
            status, made = server.call("POST", "/v1/transports", body)
            assert (201, {"X-Key": "*****"}) == (status, made["settings"]["headers"]), made
            change = {"headers": {"X-Key": "*****"}, "subject_prefix": "[x] "}
            assert 200 == server.call("PATCH", "/v1/transports/hook", change)[0]
            assert 0 == server.stop()
        with PostroomProcess(data, forks=forks) as server:
            assert "accepted" == sent(server, mail(html="hi"))["recipients"][0]["state"]
            assert 0 == server.stop()
        _, fields, raw = receiver.next()
        assert "sealed-value-of-a-header" == fields["x-key"]
        assert "[x] Bericht für März" == json.loads(raw)["Subject"]
    assert b"sealed-value" not in b"".join(one.read_bytes() for one in data.iterdir() if one.is_file())
    assert KEY not in (tmp_path / "data.log").read_text()


def test_what_one_postroom_posts_another_takes(tmp_path: Path, forks: ForkServer) -> None:
    """HAP out to HAP in: the second one fetches the files by their links and has the whole mail."""
    inner = PostroomProcess(tmp_path / "inner", args=("--config", str(tmp_path / "inner.toml")), forks=forks)
    outer = PostroomProcess(
        tmp_path / "outer",
        args=("--config", str(tmp_path / "outer.toml"), "--hap-config", str(tmp_path / "app.json")),
        forks=forks,
    )
    (tmp_path / "inner.toml").write_text(
        f'capture = true\n[hap]\nfrom = "in@example.com"\nattachment_hosts = ["127.0.0.1:{outer.port}"]\n'
    )
    (tmp_path / "outer.toml").write_text(f'[http]\npublic_url = "{outer.url}"\n')
    (tmp_path / "app.json").write_text(json.dumps({"WebhookUrl": f"{inner.url}/hap/email"}))
    with inner, outer:
        assert {"accepted"} == {one["state"] for one in sent(outer, with_files())["recipients"]}
        deadline = time.monotonic() + 20
        while not (mails := inner.call("GET", "/v1/captured")[1]["captured"]):
            assert time.monotonic() < deadline
        source = inner.call("GET", f"/v1/captured/{mails[0]['number']}/source")[1]
    mail = message_from_bytes(source, policy=policy.default)
    assert "Ann Example <in@example.com>" == mail["From"]
    assert ["Bericht März.pdf", "Bericht März (2).pdf"] == [
        part.get_filename() for part in mail.iter_attachments()
    ]
    assert [REPORT, b"second"] == [part.get_content() for part in mail.iter_attachments()]
    assert "Bericht für März" == mail["Subject"]

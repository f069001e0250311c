"""From the webhook body of Mingdao HAP to a mail at a real SMTP server, with its files and failures."""

import contextlib
import email
import email.policy
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from peers.file_server import FileServer
from peers.ledger_sink import LedgerSink
from peers.postroom_process import PostroomProcess, free_port

pytestmark = pytest.mark.slow

TOKEN = "hap-token-0123456789"
PDF = b"%PDF-1.7 " + bytes(range(256)) * 600
SECONDS = 20.0
DOCUMENT = """{
    "ToEmails": ["email1@example.com","email2@example.com"],
    "ReplyToEmails": ["email3@example.com","email4@example.com"],
    "CcEmails": ["email5@example.com","email6@example.com"],
    "BccEmails": ["email7@example.com","email8@example.com"],
    "Signature": "Signature",
    "Subject": "Email Subject",
    "Body": "Email Body",
    "Attachments": { "Attachment Name 1": "LINK/1", "Attachment Name 2": "LINK/2" }
}"""
"""The message body of the document, with reserved addresses and the links of a test."""


class House:
    """A server with the HAP doors, the sink behind it and a file server that is opened for it."""

    def __init__(self, server: PostroomProcess, sink: LedgerSink, files: FileServer) -> None:
        self.server = server
        self.sink = sink
        self.files = files

    def curl(self, body: str, *options: str, path: str = "/email/webhook") -> tuple[int, Any]:
        """Post a body as the document says, with curl; return status and answer."""
        assert shutil.which("curl"), "curl is part of every test machine"
        command = ["curl", "-s", "-w", "\n%{http_code}", "-H", "Content-Type: application/json", *options]
        done = subprocess.run(
            [*command, "--data-binary", "@-", f"{self.server.url}{path}"],
            input=body.encode(),
            capture_output=True,
            check=True,
            timeout=30,
        )
        answer, _, status = done.stdout.decode().rpartition("\n")
        return int(status), json.loads(answer)

    def post(self, files: Mapping[str, str | None], **members: Any) -> str:
        """Post a mail with these files and the token; return its id."""
        body = {"ToEmails": ["kim@example.net"], "Subject": "s", "Body": "<p>b</p>", "Attachments": files}
        status, answer = self.curl(json.dumps(body | members), "-H", f"X-Hap-Token: {TOKEN}")
        assert 200 == status, answer
        return str(answer["id"])

    def view(self, message_id: str) -> Any:
        status, view = self.server.call("GET", f"/v1/messages/{message_id}")
        assert 200 == status
        return view

    def until(self, message_id: str, holds: Callable[[Any], bool]) -> Any:
        """Wait until a message is as wished; return its picture."""
        deadline = time.monotonic() + SECONDS
        while not holds(view := self.view(message_id)):
            assert time.monotonic() < deadline, json.dumps(view, indent=1)
            time.sleep(0.02)
        return view

    def becomes(self, message_id: str, state: str) -> Any:
        return self.until(message_id, lambda view: view["state"] == state)

    def mail(self, message_id: str) -> EmailMessage:
        """Return the one copy of a mail that the sink has."""
        self.becomes(message_id, "accepted")
        parsed = email.message_from_bytes(self.sink.bodies[message_id], policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    def held(self, message_id: str, cause: str) -> str:
        """Wait until a mail is held for this cause; return the text of its last attempt."""
        view = self.becomes(message_id, "held")
        (recipient,) = view["recipients"]
        assert cause == recipient["cause"]
        assert recipient["meaning"]
        assert recipient["remedy"]
        last = recipient["attempts"][-1]
        assert ("fetch", None) == (last["step"], last["code"])
        assert message_id not in self.sink.bodies
        return str(last["text"])

    def release(self, message_id: str) -> None:
        assert 200 == self.server.call("POST", f"/v1/messages/{message_id}/release", {})[0]


def files_of(mail: EmailMessage) -> dict[str | None, bytes]:
    return {part.get_filename(): bytes(part.get_payload(decode=True)) for part in mail.iter_attachments()}


@contextlib.contextmanager
def house(directory: Path, settings: str = "", *, data: str = "data") -> Iterator[House]:
    with LedgerSink() as sink, FileServer() as files:
        sink.keep_bodies = True
        document = f"""
            from = "Office <office@example.com>"
            [hap]
            secret = "{TOKEN}"
            attachment_hosts = ["{files.place}"]
            {settings}
        """
        (directory / "postroom.toml").write_text(document)
        environ = {"POSTROOM_TRANSPORT": f"smtp://127.0.0.1:{sink.port}"}
        with PostroomProcess(directory / data, environ=environ) as server:
            yield House(server, sink, files)


@pytest.fixture(scope="module")
def hap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("hap")) as found:
        yield found


def test_the_body_of_the_document(hap: House) -> None:
    """The document's JSON by curl: each address, the signature, text beside HTML, files by their keys."""
    hap.files.files |= {"/1": PDF, "/2": b"second"}
    hap.files.types["/1"] = "application/pdf"
    body = DOCUMENT.replace("LINK", f"http://{hap.files.place}")
    status, answer = hap.curl(body, "-H", f"X-Hap-Token: {TOKEN}")

    assert (200, "success") == (status, answer["status"])
    mail = hap.mail(answer["id"])
    assert "Signature <office@example.com>" == mail["From"]
    assert "email1@example.com, email2@example.com" == mail["To"]
    assert "email5@example.com, email6@example.com" == mail["Cc"]
    assert "email3@example.com, email4@example.com" == mail["Reply-To"]
    assert (None, "Email Subject") == (mail["Bcc"], mail["Subject"])
    html, plain = mail.get_body(("html",)), mail.get_body(("plain",))
    assert html is not None
    assert plain is not None
    assert ("Email Body", "Email Body") == (html.get_content().strip(), plain.get_content().strip())
    assert {"Attachment Name 1": PDF, "Attachment Name 2": b"second"} == files_of(mail)
    assert ["application/pdf", "application/octet-stream"] == [
        part.get_content_type() for part in mail.iter_attachments()
    ]
    taken = {address for id_, address in hap.sink.copies if id_ == answer["id"]}
    assert {f"email{number}@example.com" for number in (1, 2, 5, 6, 7, 8)} == taken
    assert {1} == {hap.sink.copies[answer["id"], address] for address in taken}


def test_both_paths_are_one_door(hap: House) -> None:
    """The path of the document's example and our own take the same body."""
    for path in ("/email/webhook", "/hap/email"):
        body = json.dumps({"ToEmails": "kim@example.net"})
        status, answer = hap.curl(body, "-H", f"X-Hap-Token: {TOKEN}", path=path)
        assert (200, "") == (status, hap.mail(answer["id"])["Subject"])


def test_who_may_post(hap: House) -> None:
    """The token or an API key; without either, and with a wrong one, 401 and nothing is stored."""
    body = json.dumps({"ToEmails": ["kim@example.net"]})
    for options in ([], ["-H", "X-Hap-Token: wrong-token-0123456"], ["-H", "Authorization: Bearer no"]):
        status, problem = hap.curl(body, *options)
        assert (401, True) == (status, bool(problem["errors"][0]["fix"]))
        assert TOKEN not in json.dumps(problem)
    assert 200 == hap.server.call("POST", "/hap/email", {"ToEmails": ["kim@example.net"]})[0]


def test_a_wrong_body_is_a_problem_in_hap_s_names(hap: House) -> None:
    """422 names each wrong member as HAP wrote it; what is no JSON, or has a name twice, is 400."""
    body = {"ToEmails": ["kim@example.net", "not an address"], "Attachments": {"a": "ftp://x/"}, "Subject": 7}
    status, problem = hap.curl(json.dumps(body), "-H", f"X-Hap-Token: {TOKEN}")
    assert 422 == status
    fields = {error["field"] for error in problem["errors"]}
    assert {"ToEmails.1", "Attachments.0", "Subject"} == fields
    for unreadable in ("{", '{"Attachments": {"a": "http://x.example/1", "a": "http://x.example/2"}}'):
        status, problem = hap.curl(unreadable, "-H", f"X-Hap-Token: {TOKEN}")
        assert (400, "malformed-json") == (status, problem["code"])


def test_a_file_that_is_gone_holds_the_mail_until_it_is_back(hap: House) -> None:
    """Held with its cause and never sent without it; released it is fetched again, and then sent whole."""
    message_id = hap.post({"合同 1.pdf": hap.files.url("/gone/合同 1.pdf?attname=合同")})
    text = hap.held(message_id, "fetch-gone")
    assert "合同 1.pdf from 127.0.0.1: 404 not found" == text
    path = hap.files.asked[-1]
    assert "/gone/%E5%90%88%E5%90%8C%201.pdf?attname=%E5%90%88%E5%90%8C" == path
    hap.release(message_id)
    hap.files.wait_until_asked(path, 2)
    hap.held(message_id, "fetch-gone")
    hap.files.files[path] = b"here"
    hap.release(message_id)
    mail = hap.mail(message_id)
    assert {"合同 1.pdf": b"here"} == files_of(mail)
    assert ["application/pdf"] == [part.get_content_type() for part in mail.iter_attachments()]


@pytest.mark.parametrize(("status", "cause"), [(403, "fetch-forbidden"), (302, "fetch-redirect")])
def test_what_a_person_must_mend_is_held(hap: House, status: int, cause: str) -> None:
    """A refusal and a redirect hold the mail; of two files one is enough."""
    hap.files.files |= {"/good": b"good", f"/{status}": status}
    urls = {"good": hap.files.url("/good"), "bad": hap.files.url(f"/{status}")}
    text = hap.held(hap.post(urls), cause)
    assert text.startswith("bad from 127.0.0.1: ")


def test_a_private_address_is_held_with_the_line_that_opens_it(hap: House) -> None:
    """A file server that nobody listed is not called, and the attempt says what to write where."""
    with FileServer() as other:
        text = hap.held(hap.post({"a.txt": other.url("/a.txt")}), "fetch-refused")
        assert [] == other.asked
        assert f'write attachment_hosts = ["{other.place}"] below [hap] and restart' in text


def test_a_server_that_fails_defers_the_mail_and_pauses_nothing(hap: House) -> None:
    """A 500 is an attempt at step fetch, tried again; other mail goes by the same transport at once."""
    hap.files.files["/flaky"] = 503
    message_id = hap.post({"a.bin": hap.files.url("/flaky")})
    view = hap.becomes(message_id, "deferred")
    (recipient,) = view["recipients"]
    assert "fetch-failed" == recipient["cause"]
    assert ["fetch"] == [attempt["step"] for attempt in recipient["attempts"]]
    assert view["next_attempt_at"] is not None
    hap.mail(hap.post({}))
    hap.files.files["/flaky"] = b"at last"
    assert 200 == hap.server.call("POST", f"/v1/messages/{message_id}/retry", {})[0]
    assert {"a.bin": b"at last"} == files_of(hap.mail(message_id))


def test_files_together_larger_than_a_mail_are_held(tmp_path: Path) -> None:
    """The limit counts texts and files together."""
    with house(tmp_path, '[limits]\nmax_content = "100 kB"') as small:
        small.files.files |= {"/a": bytes(60_000), "/b": bytes(50_000)}
        urls = {"a": small.files.url("/a"), "b": small.files.url("/b")}
        text = small.held(small.post(urls), "fetch-too-large")
        assert text.startswith("b from 127.0.0.1: 50000 bytes, more than")
        small.mail(small.post({"a": small.files.url("/a")}))


def test_a_slow_file_server_keeps_no_other_mail_waiting(hap: House) -> None:
    """More mails than have places wait for a silent server, and others go meanwhile."""
    gate = hap.files.gates["/slow"] = threading.Event()
    hap.files.files["/slow"] = b"slow"
    slow = [hap.post({"slow": hap.files.url("/slow")}) for _ in range(20)]
    hap.files.wait_until_asked("/slow", 16)
    hap.mail(hap.post({}))
    assert {"sending", "queued"} == {hap.view(one)["state"] for one in slow}
    gate.set()
    for one in slow:
        assert {"slow": b"slow"} == files_of(hap.mail(one))


def test_a_kill_while_files_are_fetched_loses_nothing(tmp_path: Path) -> None:
    """Killed in the middle of a download, and again between two, the mail is sent once and whole."""
    with house(tmp_path) as one:
        one.files.files |= {"/a": PDF, "/b": b"second"}
        for path in ("/a", "/b"):
            gate = one.files.gates[path] = threading.Event()
        message_id = one.post({"a.pdf": one.files.url("/a"), "b": one.files.url("/b")})
        for path in ("/a", "/b"):
            one.files.wait_until_asked(path)
            one.server.kill()
            one.files.gates[path].set()
            one.server.start()
        mail = one.mail(message_id)
        assert {"a.pdf": PDF, "b": b"second"} == files_of(mail)
        assert {(message_id, "kim@example.net"): 1} == dict(one.sink.copies)
        gate.set()


def test_an_orderly_stop_gives_back_what_is_fetched(tmp_path: Path) -> None:
    """A stop does not wait for a file server, and the next start fetches again without suspicion."""
    with house(tmp_path) as one:
        one.files.files["/a"] = b"a"
        one.files.gates["/a"] = threading.Event()
        message_id = one.post({"a": one.files.url("/a")})
        one.files.wait_until_asked("/a")
        began = time.monotonic()
        assert 0 == one.server.stop()
        assert time.monotonic() - began < SECONDS / 2
        one.files.gates["/a"].set()
        one.server.start()
        assert {"a": b"a"} == files_of(one.mail(message_id))


def test_the_same_mail_twice(tmp_path: Path) -> None:
    """Each call is a mail; with an Idempotency-Key, or in duplicate_window, the first one is answered."""
    body = json.dumps({"ToEmails": ["kim@example.net"], "Subject": "once"})
    token = ("-H", f"X-Hap-Token: {TOKEN}")
    with house(tmp_path) as one:
        first, second = one.curl(body, *token)[1], one.curl(body, *token)[1]
        assert first["id"] != second["id"]
        keyed = [one.curl(body, *token, "-H", "Idempotency-Key: k1")[1] for _ in range(2)]
        assert keyed[0]["id"] == keyed[1]["id"]
        assert "stored before: this is the same mail" == keyed[1]["message"]
    with house(tmp_path, 'duplicate_window = "10 min"', data="other") as one:
        same = [one.curl(body, *token)[1]["id"] for _ in range(2)]
        assert same[0] == same[1]
        assert same[0] != one.curl(body.replace("once", "other"), *token)[1]["id"]


def test_the_smtp_form_and_its_test_mail(tmp_path: Path) -> None:
    """HAP's seven keys and toEmail: a real mail, answered by success and message, nothing kept."""
    form = {
        "signature": "Office",
        "fromAddress": "office@example.org",
        "server": "127.0.0.1",
        "account": "",
        "password": "",
        "enableSsl": False,
        "toEmail": "kim@example.net",
    }
    with house(tmp_path, '[egress]\nallowed_networks = ["127.0.0.0/8"]') as one:
        status, told = one.server.call("POST", "/hap/smtp/test", form | {"port": one.sink.port})
        assert (200, True) == (status, told["success"])
        assert "kim@example.net" in told["message"]
        mail = one.mail(told["id"])
        assert "Office <office@example.org>" == mail["From"]
        assert {"default"} == {
            way["name"] for way in one.server.call("GET", "/v1/transports")[1]["transports"]
        }

        status, told = one.server.call("POST", "/hap/smtp/test", form | {"port": free_port()})
        assert (200, False) == (status, told["success"])
        assert "refused" in told["message"]
        assert "cancelled" == one.view(told["id"])["state"]

        status, problem = one.server.call("POST", "/hap/smtp/test", {**form, "port": 25, "toEmail": None})
        assert (422, ["toEmail"]) == (status, [error["field"] for error in problem["errors"]])
        status, problem = one.server.call(
            "POST", "/hap/smtp/test", {"toEmail": "kim@example.net", "server": ""}
        )
        assert 422 == status

"""The document's two commands, byte for byte: replayed as curl sent them, and run by curl itself.

``wire/*.sh`` are the commands (with reserved addresses and this machine), ``wire/*.http`` what curl
7.88.1 sent for them; ``quoted`` is what an older curl sends, which leaves the quotes in place.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingress.nexus_doors import MESSAGE_ID, ScriptedService, app_of, exchange, recipient, serving, view_of
from postroom.model.lifecycle import RecipientState
from postroom.model.message import Submission
from postroom.schema.nexus import TEXT_MEMBERS, TEXTS

WIRE = Path(__file__).parent / "wire"
PNG = (WIRE / "800_400.png").read_bytes()
TEMPLATE = (WIRE / "template_create.json").read_bytes()

SEND = (WIRE / "email_send.sh").read_text()
MULTIPART_SEND = (WIRE / "email_multipart_send.sh").read_text()


@pytest.fixture(scope="module")
def service() -> ScriptedService:
    return ScriptedService()


@pytest.fixture(scope="module")
def port(service: ScriptedService) -> Iterator[int]:
    with serving(app_of(service)) as port:
        yield port


def stored(service: ScriptedService) -> Submission:
    """Return the one submission since the last look, and forget it."""
    (found,) = service.submissions
    service.submissions.clear()
    return found


def contents(service: ScriptedService) -> list[bytes]:
    found = [blob.data for blob in service.blobs if blob.end == "stored"]
    service.blobs.clear()
    return found


def addresses(submission: Submission) -> tuple[list[str], list[str]]:
    return [box.address.spec for box in submission.to], [box.address.spec for box in submission.cc]


def curl(command: str, port: int) -> dict[str, str]:
    """Run one of the document's commands in a shell, only the port changed."""
    assert shutil.which("curl"), "curl is part of every test machine"
    done = subprocess.run(
        ["bash", "-c", re.sub(r":84\d\d/", f":{port}/", command)],
        cwd=WIRE,
        capture_output=True,
        check=True,
        timeout=30,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


# --------------------------------------------------------------------------- recorded bytes


def test_recorded_json_command(service: ScriptedService, port: int) -> None:
    """The bytes of the document's JSON command are stored and answered in the document's shape."""
    answer = exchange(port, (WIRE / "email_send.http").read_bytes())
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {"code": "200", "message_id": MESSAGE_ID, "message": "발송 성공"}
    found = stored(service)
    assert addresses(found) == (["tony@example.com"], ["kenneth@example.com"])
    assert (found.subject, found.html) == ("타이틀 입니>다.", "메일 BODY 입니다. n")


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
def test_recorded_form_command(service: ScriptedService, port: int, size: int) -> None:
    """The bytes of the document's form command are stored whole, in whatever pieces they come."""
    answer = exchange(port, (WIRE / "email_multipart_send.http").read_bytes(), size=size)
    assert answer.code == "200"
    found = stored(service)
    assert addresses(found) == (["test@example.com"], ["test@example.net"])
    assert (found.subject, found.html) == ("타이틀 입니다.", "메일 BODY 입니다.")
    assert [each.filename for each in found.attachments] == ["800_400.png", "template_create.json"]
    assert [each.content_type for each in found.attachments] == ["image/png", "application/json"]
    assert contents(service) == [PNG, TEMPLATE]


def test_recorded_form_that_expects(service: ScriptedService, port: int) -> None:
    """A caller that waits for ``100 Continue`` gets one; an absent body is no fault."""
    answer = exchange(port, (WIRE / "email_multipart_send_expect.http").read_bytes())
    assert answer.code == "200"
    assert stored(service).text == ""
    assert contents(service) == [PNG]


def test_recorded_form_with_quotes(service: ScriptedService, port: int) -> None:
    """An older curl leaves the quotes in place: they are stripped from addresses, truth values and ids."""
    answer = exchange(port, (WIRE / "email_multipart_send_quoted.http").read_bytes())
    assert answer.code == "200"
    found = stored(service)
    assert addresses(found) == (["test@example.com"], ["test@example.net", "other@example.net"])
    assert (found.html, found.text) == (None, "")
    assert found.in_reply_to == "3B5560140957@example.net"
    assert found.attachments[0].filename == "그림 800×400.png"  # noqa: RUF001 - a name as people give it
    assert contents(service) == [PNG]


def test_recorded_bytes_cut_short(service: ScriptedService, port: int) -> None:
    """A request whose body ends before its closing boundary is code 410 and stores nothing (rule A8)."""
    head, _, body = (WIRE / "email_multipart_send.http").read_bytes().partition(b"\r\n\r\n")
    short = body[:-40]
    head = re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(short), head)
    answer = exchange(port, head + b"\r\n\r\n" + short)
    assert (answer.status, answer.code) == (200, "410")
    assert service.submissions == []
    assert contents(service) == []


# --------------------------------------------------------------------------- curl itself


def test_curl_json_command(service: ScriptedService, port: int) -> None:
    """The document's JSON command succeeds unchanged."""
    assert curl(SEND, port)["code"] == "200"
    found = stored(service)
    assert addresses(found) == (["tony@example.com"], ["kenneth@example.com"])
    assert (found.subject, found.html) == ("타이틀 입니>다.", "메일 BODY 입니다. n")


def test_curl_form_command(service: ScriptedService, port: int) -> None:
    """The document's form command succeeds unchanged."""
    assert curl(MULTIPART_SEND, port)["message_id"] == MESSAGE_ID
    found = stored(service)
    assert addresses(found) == (["test@example.com"], ["test@example.net"])
    assert [each.filename for each in found.attachments] == ["800_400.png", "template_create.json"]
    assert contents(service) == [PNG, TEMPLATE]


@pytest.mark.parametrize(
    "options",
    [
        "",
        '-H "Expect: 100-continue"',
        '-H "Content-Type:"',
        '-H "Content-Type: application/json; charset=UTF-8"',
        '-H "Transfer-Encoding: chunked"',
        "--http1.0",
    ],
)
def test_curl_as_people_use_it(service: ScriptedService, port: int, options: str) -> None:
    """JSON arrives with any of the headers curl users add or leave out."""
    command = f"""curl -sS {options} -d '{{"to": "a@example.com,", "subject": "제목"}}' http://127.0.0.1:8443/email/send"""
    assert curl(command, port)["code"] == "200"
    assert stored(service).subject == "제목"


def test_curl_body_from_a_file(service: ScriptedService, port: int) -> None:
    """A form's text may come from a file, and JSON's fields are a form's fields too."""
    command = """curl -sS -F to=a@example.com -F subject=s -F use_html=n -F bcc=b@example.com \
        -F "body=@template_create.json" -F reply_id=1@example.net http://127.0.0.1:8449/email/multipart/send"""
    assert curl(command, port)["code"] == "200"
    found = stored(service)
    assert found.text == TEMPLATE.decode()
    assert found.attachments == ()
    assert [box.address.spec for box in found.bcc] == ["b@example.com"]
    assert found.references == ("1@example.net",)


def test_curl_sees_a_refusal(service: ScriptedService, port: int) -> None:
    """What the next server refused reaches the caller with its words, meaning and remedy."""
    service.after_attempt = view_of(
        recipient(state=RecipientState.REFUSED, cause="mailbox-unknown", text="5.1.1 no such user")
    )
    try:
        answer = curl(SEND, port)
    finally:
        service.after_attempt = view_of(recipient())
    stored(service)
    assert answer["code"] == "500"
    assert answer["message_id"] == MESSAGE_ID
    assert (
        "[550 5.1.1 no such user]. Meaning of mailbox-unknown. Remedy for mailbox-unknown."
        in answer["message"]
    )


# --------------------------------------------------------------------------- the documentation

DOCS = (Path(__file__).parents[2] / "docs" / "nexus.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```console\n\$ (.*?)\n(\{.*?)```", DOCS, re.DOTALL)


@pytest.mark.parametrize(("command", "shown"), EXAMPLES)
def test_documented_examples(service: ScriptedService, port: int, command: str, shown: str) -> None:
    """Every example of docs/nexus.md runs as it stands and is answered as shown, the id apart."""
    answer = curl(command.replace(":8587/", ":8448/"), port)
    stored(service)
    contents(service)
    assert answer == {**json.loads(shown), "message_id": MESSAGE_ID}


def test_documentation_is_complete() -> None:
    """docs/nexus.md has three examples, every code with the document's words, and every field."""
    assert len(EXAMPLES) == 3
    assert all(f"| `{code}` | {words} |" in DOCS for code, words in TEXTS.items())
    fields = (TEXT_MEMBERS - {"smtp"}) | {"files", "message", "message_id", "mode"}
    assert [] == [name for name in sorted(fields) if f"`{name}`" not in DOCS]

"""Every attack row that reaches the HTTP doors by its form: heads, bodies, keys, lists, logs, the store."""

import contextlib
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from attacks.attack_room import (
    ANSWER_S,
    FILE_PART,
    TEXT_PART,
    TOP,
    AttackRoom,
    attack_room,
    inputs,
    row,
)
from peers.postroom_process import KEY

pytestmark = pytest.mark.slow

HEAD = (
    b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    b"Authorization: Bearer " + KEY.encode() + b"\r\n"
)
FORM = "multipart/form-data; boundary=b"
MESSAGE = json.dumps(
    {"to": "kim@example.net", "subject": "Hello", "text": "x", "attachments": [{"upload": "files"}]}
).encode()
FIRST = b'--b\r\nContent-Disposition: form-data; name="message"\r\n\r\n' + MESSAGE + b"\r\n"
ATTACHED: dict[str, Any] = {"headers": TOP, "parts": [TEXT_PART, FILE_PART]}

CASES: dict[str, Callable[[AttackRoom], None]] = {}
Case = Callable[[AttackRoom], None]


def case(*row_ids: str) -> Callable[[Case], Case]:
    """Note what runs a row."""

    def note(check: Case) -> Case:
        for row_id in row_ids:
            CASES[row_id] = check
        return check

    return note


def given(row_id: str) -> Any:
    (value,) = inputs(row(row_id))
    return value


def post(room: AttackRoom, body: bytes, kind: str = "application/json", **headers: str) -> tuple[int, Any]:
    sent = {"Content-Type": kind, "Prefer": "wait=10", **headers}
    return room.server.call("POST", "/v1/messages", body, headers=sent)


# --------------------------------------------------------------------------- bodies


@case("MPT-027", "MPT-028")
def ambiguous_json(room: AttackRoom) -> None:
    for row_id in ("MPT-027", "MPT-028"):
        room.refused(post(room, given(row_id).encode()), 400)


@case("MPT-029", "MPT-030", "MPT-031")
def json_of_the_wrong_kind(room: AttackRoom) -> None:
    for row_id in ("MPT-029", "MPT-030"):
        room.refused(post(room, b'{"to": "kim@example.net", ' + given(row_id).encode()[1:]), 422)
    room.refused(post(room, given("MPT-031").encode()), 422)


@case("MPT-033")
def a_million_names(room: AttackRoom) -> None:
    room.refused(post(room, given("MPT-033").encode()), 400, 413, 422)


@case("MPT-017")
def a_packed_body(room: AttackRoom) -> None:
    bomb = gzip.compress(bytes(2_000_000))  # refused by its header, whatever it would become
    room.refused(post(room, bomb, **{"Content-Encoding": "gzip"}), 415)


@case("MPT-018")
def two_lengths(room: AttackRoom) -> None:
    status, answer = room.raw(given("MPT-018"))
    assert 400 == status
    assert 1 == answer.count(b"\r\ndate: ")


@case("MPT-019")
def a_broken_chunk(room: AttackRoom) -> None:
    body = given("MPT-019").replace(b"hello", MESSAGE).replace(b"\r\n5\rX", b"\r\n%x\rX" % len(MESSAGE))
    status, answer = room.raw(HEAD + b"Content-Type: application/json\r\n" + body)
    assert 400 == status, answer


# --------------------------------------------------------------------------- forms


@case("MPT-001")
def too_many_parts(room: AttackRoom) -> None:
    room.refused(post(room, FIRST + given("MPT-001"), FORM), 413, 422)


@case("MPT-003")
def a_long_epilogue(room: AttackRoom) -> None:
    mail = json.dumps({"to": "kim@example.net", "subject": "Hello", "text": "x"}).encode()
    began = time.monotonic()
    answer = post(room, FIRST.replace(MESSAGE, mail) + given("MPT-003"), FORM)
    assert time.monotonic() - began < ANSWER_S
    if answer[0] == 200:
        room.delivered(answer)
    else:
        room.refused(answer, 400, 413)


@case("MPT-005", "MPT-013", "MPT-015")
def parts_with_forbidden_headers(room: AttackRoom) -> None:
    large = given("MPT-005")
    head = HEAD + b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n" % len(large)
    assert room.raw(head, large)[0] in {0, 400}  # the answer may be lost in what was still being sent
    room.refused(post(room, FIRST + given("MPT-013"), FORM), 400)
    nested = (
        b'--b\r\nContent-Disposition: form-data; name="files"\r\n'
        b"Content-Type: multipart/mixed; boundary=c\r\n\r\n"
        + b"".join(b"--c\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n" for _ in range(200))
    )
    room.refused(post(room, FIRST + nested + b"\r\n--b--\r\n", FORM), 400)


@case("MPT-007")
def two_boundaries(room: AttackRoom) -> None:
    kind = given("MPT-007").encode()
    head = HEAD + b"Content-Type: " + kind + b"\r\nContent-Length: %d\r\n\r\n" % len(FIRST)
    assert room.raw(head + FIRST)[0] in {400, 415}


@case("MPT-008")
def a_content_type_that_never_ends(room: AttackRoom) -> None:
    began = time.monotonic()
    room.refused(post(room, b"{}", given("MPT-008")), 400, 415)
    assert time.monotonic() - began < ANSWER_S


@case("MPT-009")
def a_field_of_500_megabytes(room: AttackRoom) -> None:
    announced = HEAD + b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 500000000\r\n\r\n"
    assert 413 == room.raw(announced + FIRST)[0]
    chunked = HEAD + b"Content-Type: multipart/form-data; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\n"
    field = FIRST[: FIRST.index(MESSAGE)]
    pieces = [b"%x\r\n%s\r\n" % (len(one), one) for one in (field, *[b"x" * 65536] * 1500)]
    assert room.raw(chunked, *pieces)[0] in {0, 413}


@case("MPT-010")
def a_large_file(room: AttackRoom) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.bin"\r\n\r\n'
    body = FIRST + part + bytes(range(256)) * 100_000 + b"\r\n--b--\r\n"
    answers: list[tuple[int, Any]] = []
    upload = threading.Thread(target=lambda: answers.append(post(room, body, FORM)))
    upload.start()
    while upload.is_alive():
        began = time.monotonic()
        assert 200 == room.server.call("GET", "/healthz")[0]
        assert time.monotonic() - began < ANSWER_S
    upload.join()
    (attachment,) = room.delivered(answers[0], **ATTACHED).iter_attachments()
    assert bytes(range(256)) * 100_000 == attachment.get_payload(decode=True)


@case("MPT-012")
def a_field_that_names_a_charset(room: AttackRoom) -> None:
    part = given("MPT-012").removesuffix(b"--b--\r\n")
    room.refused(post(room, part + FIRST + b"--b--\r\n", FORM), 400, 422)


@case("MPT-014")
def two_file_names(room: AttackRoom) -> None:
    part = b"--b\r\n" + given("MPT-014") + b"\r\n\r\nA\r\n--b--\r\n"
    (attachment,) = room.delivered(post(room, FIRST + part, FORM), **ATTACHED).iter_attachments()
    assert "ok.txt" == attachment.get_filename()


# --------------------------------------------------------------------------- heads and connections


@case("MPT-020")
def two_hosts(room: AttackRoom) -> None:
    assert 400 == room.raw(given("MPT-020"))[0]


@case("MPT-021")
def an_endless_header_line(room: AttackRoom) -> None:
    status, _ = room.raw(HEAD + b"X: ", *[b"a" * 100] * 10_000)
    assert status in {0, 431}  # the answer may be lost in what was still being sent


@case("MPT-023")
def many_ranges(room: AttackRoom) -> None:
    assert 200 == room.server.call("GET", "/v1/messages", headers={"Range": given("MPT-023")})[0]


@case("DOS-001")
def slow_heads(room: AttackRoom) -> None:
    with contextlib.ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", room.server.port), timeout=20))
            for _ in range(300)
        ]
        for wire in slow:
            wire.sendall(b"G")
        began = time.monotonic()
        room.delivered(room.post({}))
        assert time.monotonic() - began < ANSWER_S
        assert all(wire.recv(12) in {b"HTTP/1.1 408", b""} for wire in slow)
        assert time.monotonic() - began < 20  # ten seconds, and what a busy machine adds


@case("WEB-003", "WEB-004", "WEB-005", "WEB-010", "WEB-012", "WEB-013")
def what_a_browser_would_try(room: AttackRoom) -> None:
    room.refused(post(room, MESSAGE, "text/plain"), 415)
    request = b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n"
    for path in (b"/queue/flush?id=1", b"/proxy?url=http://169.254.169.254/", b"/debug/vars"):
        assert 404 == room.raw(request % (path, b""))[0]
    assert 401 == room.raw(request % (b"/metrics", b""))[0]
    assert 405 == room.raw(request % (b"/email/send", b""))[0]
    for path in (b"/", b"/v1/messages", b"/messages/1/x.css"):
        answer = room.raw(request % (path, b"Origin: null\r\n"))[1].lower()
        assert b"access-control-allow-origin" not in answer
        assert b"cache-control: no-store" in answer


# --------------------------------------------------------------------------- keys


@case("AUT-001")
def keys_that_are_nearly_right(room: AttackRoom) -> None:
    near, far = KEY[:-1] + "x", "x" * len(KEY)
    answers = [
        room.server.call("GET", "/v1/messages", headers={"Authorization": f"Bearer {key}"})
        for key in (near, far)
    ]
    assert 401 == answers[0][0]
    assert answers[0] == answers[1]


@case("AUT-003")
def a_key_in_the_query(room: AttackRoom) -> None:
    line = f"POST /email/send?api_key={KEY} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    status, answer = room.raw(line.encode() + b"Content-Length: 0\r\n\r\n")
    assert 401 == status
    assert KEY.encode() not in answer


@case("AUT-004")
def malformed_schemes(room: AttackRoom) -> None:
    for value in inputs(row("AUT-004")):
        header = value.replace(" k", f" {KEY}").replace(" l", f" {KEY}")
        assert 401 == room.server.call("GET", "/v1/messages", headers={"Authorization": header})[0], header


@case("AUT-005")
def a_stolen_database(room: AttackRoom) -> None:
    made = room.server.call("POST", "/v1/keys", {"name": "app", "scopes": ["send"]})
    assert made[0] in {200, 201}, made
    stored = b"".join(path.read_bytes() for path in room.server.data.glob("postroom.sqlite*"))
    assert b"app" in stored
    assert made[1]["key"].encode() not in stored
    assert KEY.encode() not in stored


@case("AUT-008")
def guessed_attachments(room: AttackRoom) -> None:
    assert 404 == room.server.call("GET", "/attachments/2")[0]


@case("AUT-011")
def a_reused_idempotency_key(room: AttackRoom) -> None:
    first = room.post({}, **{"Idempotency-Key": "1"})
    room.delivered(first)
    again = room.post({"text": "other"}, **{"Idempotency-Key": "1"})
    room.refused(again, 422)
    assert first[1]["id"] == room.post({}, **{"Idempotency-Key": "1"})[1]["id"]


# --------------------------------------------------------------------------- lists, logs, the store


@case("DOS-015", "SQL-001", "SQL-003")
def hostile_searches(room: AttackRoom) -> None:
    for row_id in ("DOS-015", "SQL-001", "SQL-003"):
        for name in ("tag", "recipient", "sender", "transport"):
            status, page = room.server.call("GET", f"/v1/messages?{name}={quote(given(row_id))}")
            assert status == 422 or (200, []) == (status, page["messages"])
        assert 422 == room.server.call("GET", f"/v1/messages?q={quote(given(row_id))}")[0]


@case("DOS-016")
def a_huge_page(room: AttackRoom) -> None:
    assert 422 == room.server.call("GET", "/v1/messages?limit=1000000000&offset=1000000000")[0]


@case("ATT-019")
def a_path_for_an_id(room: AttackRoom) -> None:
    for path in (given("ATT-019"), quote(given("ATT-019"), safe="")):
        assert room.server.call("GET", f"/v1/messages/{path}")[0] in {404, 422}


@case("LOG-001")
def a_header_that_forges_a_record(room: AttackRoom) -> None:
    line = b"User-Agent: " + given("LOG-001").encode() + b"\r\n"
    assert 400 == room.raw(HEAD + line + b"Content-Length: 0\r\n\r\n")[0]
    assert b"admin logged in" not in room.server.log.read_bytes()


@case("LOG-003")
def subjects_that_look_like_formats(room: AttackRoom) -> None:
    for subject in inputs(row("LOG-003")):
        assert subject == room.delivered(room.post({"subject": subject}))["subject"]


@case("LOG-009")
def a_flood_of_bad_requests(room: AttackRoom) -> None:
    before = room.server.log.stat().st_size
    bad = b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    for _ in range(10):
        room.raw(*[bad] * 100, b"nonsense\r\n\r\n")
    assert room.server.log.stat().st_size - before < 10_000


@case("LOG-010")
def people_are_not_logged(room: AttackRoom) -> None:
    room.sink.refuse = {"secret-person@x.test": b"550 5.1.1 no such user\r\n"}.get
    _, sent = room.post({"to": "secret-person@x.test", "subject": "salary-canary"})
    assert "refused" == sent["state"]
    log = room.server.log.read_bytes()
    assert b"secret-person" not in log
    assert b"salary-canary" not in log


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackRoom]:
    with attack_room(tmp_path_factory.mktemp("attacks")) as running:
        yield running


@pytest.mark.parametrize("check", dict.fromkeys(CASES.values()), ids=lambda check: check.__name__)
def test_attack_on_a_door(room: AttackRoom, check: Case) -> None:
    """The attack ends as its rows say, and the server goes on as if nothing had been."""
    with room.watched():
        check(room)


RUN = set(CASES)

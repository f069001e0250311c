"""Every attack row that reaches the doors of a person at the desk: notes, filters, tokens, CSV, paths."""

import csv
import io
import time
from collections.abc import Iterator
from typing import Any

import pytest

from attacks.attack_room import ANSWER_S, AttackRoom, attack_room, inputs, row

pytestmark = pytest.mark.slow

RUN = {"XSS-030", "CMD-015", "CMD-016", *(f"DSK-00{number}" for number in range(1, 8))}
CSV = {"Content-Type": "text/csv"}
FILTERS = ("tag", "sender", "recipient", "transport")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackRoom]:
    with attack_room(tmp_path_factory.mktemp("desk")) as opened:
        yield opened


def post(room: AttackRoom, path: str, body: object, **headers: str) -> tuple[int, Any]:
    """Make one call; it is answered in time."""
    began = time.monotonic()
    answer = room.server.call("POST", path, body, headers=headers or None)
    assert time.monotonic() - began < ANSWER_S
    return answer


def waiting(room: AttackRoom) -> str:
    """Store a mail that waits."""
    mail = {"to": "kim@example.net", "text": "x", "send_at": "2099-01-31T08:00:00Z"}
    return str(post(room, "/v1/messages", mail)[1]["id"])


def notes(room: AttackRoom, text: str) -> list[tuple[int, Any]]:
    """Say a text wherever a person may say something."""
    order = {"filter": {"tag": "none"}, "resolution": "drop"}
    return [
        post(room, "/v1/messages/resolve", {**order, "note": text}),
        post(room, "/v1/holds", {"filter": {"tag": "none"}, "reason": text}),
        post(room, "/v1/suppressions", {"address": "gone@example.org", "note": text}),
        post(room, "/v1/transports/default/suspend", {"reason": text}),
    ]


def test_notes_that_would_move_a_cursor(room: AttackRoom) -> None:
    """DSK-001: each is refused by its field at each door."""
    with room.watched():
        for text in inputs(row("DSK-001")):
            for status, answer in notes(room, text):
                assert 422 == status, answer
                assert "control-character" == answer["code"]


def test_notes_that_are_only_data(room: AttackRoom) -> None:
    """DSK-002: each is kept and shown as it was said."""
    with room.watched():
        for text in inputs(row("DSK-002")):
            resolved, held, stopped, suspended = notes(room, text)
            assert [200, 201, 201, 200] == [one[0] for one in (resolved, held, stopped, suspended)]
            assert text == held[1]["reason"] == stopped[1]["note"] == suspended[1]["pauses"][0]["evidence"]
            told = room.server.call("GET", "/v1/events?kinds=transport.suspended&limit=1")[1]["events"]
            assert text == told[0]["data"]["note"]
            assert 200 == room.server.call("POST", "/v1/transports/default/resume")[0]
        assert 204 == room.server.call("DELETE", "/v1/suppressions/gone@example.org?note=x")[0]


def test_filters_mean_what_they_say(room: AttackRoom) -> None:
    """DSK-003: wildcards and quotes match nothing, or are no address."""
    waiting(room)
    with room.watched():
        for text in inputs(row("DSK-003")):
            for name in FILTERS:
                status, answer = post(room, "/v1/messages/cancel", {"filter": {name: text}})
                assert (200, 0) == (status, answer["recipients"]) if status == 200 else 422 == status
            for verb in ("events?transport=", "messages?tag="):
                path = "/v1/" + verb + text.replace("%", "%25").replace(" ", "%20").replace("'", "%27")
                status, answer = room.server.call("GET", path)
                assert (200, []) == (status, answer[verb.partition("?")[0]])


def test_filters_that_are_too_large(room: AttackRoom) -> None:
    """DSK-004: each is refused at once."""
    with room.watched():
        for body in inputs(row("DSK-004"))[0]:
            for verb in ("retry", "cancel", "release"):
                assert post(room, f"/v1/messages/{verb}", body.encode())[0] in (400, 413, 422)


def test_tokens_that_are_not_ours(room: AttackRoom) -> None:
    """DSK-005: no made-up token cancels anything, nor a good one with a letter changed."""
    kept = waiting(room)
    body: dict[str, Any] = {"filter": {"state": "queued"}}
    good = post(room, "/v1/messages/cancel", body)[1]["token"]
    with room.watched():
        for token in [*inputs(row("DSK-005")), good[:-1] + ("A" if good[-1] != "A" else "B"), good[1:]]:
            status, answer = post(room, "/v1/messages/cancel", {**body, "token": token})
            assert (422, "token") == (status, answer["errors"][0]["field"])
    assert "queued" == room.server.call("GET", f"/v1/messages/{kept}")[1]["state"]


def test_accounts_that_would_say_more(room: AttackRoom) -> None:
    """CMD-015, CMD-016: a login or a server with a control character is refused when it would be stored."""
    account = {"name": "attacked", "host": "mx.example.com", "username": "app", "password": "x"}
    by_token = {
        "oauth": {"token_url": "https://login.example.com/t", "client_id": "c", "secret": "r"},
        "password": None,
    }
    behind = {"proxy": "http://proxy.example.com:3128"}
    with room.watched():
        for name, field, change in (("CMD-015", "username", by_token), ("CMD-016", "host", behind)):
            status, made = post(room, "/v1/transports", {**account, **change})
            assert (201, 204) == (status, room.server.call("DELETE", "/v1/transports/attacked")[0]), made
            (text,) = inputs(row(name))
            status, answer = post(room, "/v1/transports", {**account, **change, field: text})
            assert (422, [field]) == (status, [one["field"] for one in answer["errors"]])
            assert 404 == room.server.call("GET", "/v1/transports/attacked")[0]


def test_uploads_that_never_end_well(room: AttackRoom) -> None:
    """DSK-006: broken rows are counted, told up to a bound, and nothing is stored."""
    with room.watched():
        for upload in inputs(row("DSK-006"))[0]:
            status, answer = room.server.call("POST", "/v1/suppressions/import", upload, headers=CSV)
            assert (200, 0) == (status, answer.get("stored")), answer
            assert answer["refused"] == answer["rows"] > 0
            assert len(answer["problems"]) <= 1000


def test_paths_that_lead_elsewhere(room: AttackRoom) -> None:
    """DSK-007: what is no id, name or address is not found."""
    with room.watched():
        for path in inputs(row("DSK-007")):
            for method in ("GET", "DELETE"):
                assert room.server.call(method, path)[0] in (404, 405, 422), path


def test_no_cell_of_the_export_calculates(room: AttackRoom) -> None:
    """XSS-030: every cell that a spreadsheet would calculate has an apostrophe before it, or was refused."""
    with room.watched():
        for number, text in enumerate(inputs(row("XSS-030"))):
            body = {"address": f"+{number}@example.org", "note": text}
            assert (422 if "\t" in text else 201) == post(room, "/v1/suppressions", body)[0]
        status, exported = room.server.call("GET", "/v1/suppressions.csv")
        assert 200 == status
        cells = [cell for line in csv.reader(io.StringIO(exported.decode())) for cell in line]
        assert [cell for cell in cells if "HYPERLINK" in cell]
        assert [] == [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]

"""Attack rows against the HAP doors of a started server: bodies, the secret, and links that are no files."""

import http.client
import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from attacks.attack_room import AttackRoom, Row, attack_room, inputs, row, rows
from peers.file_server import FileServer

pytestmark = pytest.mark.slow

SECRET = "hap-secret-0123456789"
URL_ROWS = [one for one in rows() if one["surface"] == "fetch.url"]
NAME_ROWS = [one for one in rows() if one["surface"] == "api.from_name"]
RUN = {"POS-013", "AUT-002"}
"""Rows that are run here and nowhere else; links and names are run at the other doors as well."""
SECONDS = 20.0


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackRoom]:
    with attack_room(tmp_path_factory.mktemp("hap"), POSTROOM_HAP_SECRET=SECRET) as attacked:
        yield attacked
        assert SECRET.encode() not in attacked.server.log.read_bytes()


def post(room: AttackRoom, body: Any, **headers: str) -> tuple[int, Any]:
    """Post a body as HAP does, without an API key."""
    sent = headers or {"X-Hap-Token": SECRET}
    text = body if isinstance(body, str) else json.dumps(body)
    connection = http.client.HTTPConnection("127.0.0.1", room.server.port, timeout=30)
    try:
        connection.request("POST", "/hap/email", text.encode(), {"Content-Type": "application/json", **sent})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def settled(room: AttackRoom, message_id: str) -> Any:
    """Return a message once nothing of it is queued or in work."""
    deadline = time.monotonic() + SECONDS
    while (view := room.server.call("GET", f"/v1/messages/{message_id}")[1])["state"] in {
        "queued",
        "sending",
    }:
        assert time.monotonic() < deadline, view
        time.sleep(0.02)
    return view


def test_empty_and_missing_members(room: AttackRoom) -> None:
    """POS-013: the body goes to its one recipient."""
    with room.watched():
        (body,) = inputs(row("POS-013"))
        status, answer = post(room, body)
        assert (200, "success") == (status, answer["status"])
        view = settled(room, answer["id"])
        room.delivered((200, view), to=["a@x.test"], headers=HTML, parts=TWO_TEXTS)


HTML = ["Content-Type", "Date", "From", "MIME-Version", "Message-ID", "Subject", "To"]
TWO_TEXTS = [["Content-Transfer-Encoding", "Content-Type"]] * 2


@pytest.mark.parametrize("name", ["Authorization", "X-Hap-Token"])
def test_a_wrong_secret(room: AttackRoom, name: str) -> None:
    """AUT-002: 401, in a time that tells nothing; neither header lets a guess in."""
    with room.watched():
        (guess,) = inputs(row("AUT-002"))
        status, problem = post(room, {"ToEmails": ["kim@example.net"]}, **{name: guess.partition(": ")[2]})
        assert (401, False) == (status, "id" in problem)
        assert SECRET not in json.dumps(problem)


@pytest.mark.parametrize("one", NAME_ROWS, ids=lambda one: one["id"])
def test_names_in_the_signature(room: AttackRoom, one: Row) -> None:
    """A signature is refused or stays one name of one sender."""
    with room.watched():
        for text in inputs(one):
            status, answer = post(room, {"ToEmails": ["kim@example.net"], "Body": "b", "Signature": text})
            if one["outcome"] == "REJECT":
                assert (422, ["Signature"]) == (status, [error["field"] for error in answer["errors"]])
                continue
            mail = room.delivered((200, settled(room, answer["id"])), headers=HTML, parts=TWO_TEXTS)
            assert ["app@example.com"] == [box.addr_spec for box in mail["From"].addresses]


@pytest.mark.parametrize("one", URL_ROWS, ids=lambda one: one["id"])
def test_links_that_lead_inside(room: AttackRoom, one: Row) -> None:
    """A link is refused at the door, or its mail is held without a connection; it is never sent."""
    with room.watched():
        for text in inputs(one):
            body = {"ToEmails": ["kim@example.net"], "Attachments": {"a.pdf": text}}
            status, answer = post(room, body)
            if status == 422:
                assert ["Attachments.0"] == [error["field"] for error in answer["errors"]]
                continue
            view = settled(room, answer["id"])
            assert ("held", "fetch-refused") == (view["state"], view["recipients"][0]["cause"])


def test_links_to_this_machine_reach_nothing(room: AttackRoom) -> None:
    """By address and by name: canaries see nothing (O5), and the mail is held with the line to write."""
    met: list[str] = []

    class Canary(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            met.append(self.path)

    with http.server.HTTPServer(("127.0.0.1", 0), Canary) as server, room.watched():
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            for host in ("127.0.0.1", "localhost"):
                link = f"http://{host}:{server.server_port}/"
                body = {"ToEmails": ["kim@example.net"], "Attachments": {"a": link}}
                view = settled(room, post(room, body)[1]["id"])
                assert "held" == view["state"]
                text = view["recipients"][0]["attempts"][-1]["text"]
                assert f'attachment_hosts = ["{host}:{server.server_port}"]' in text
        finally:
            server.shutdown()
            thread.join()
    assert [] == met


def test_a_file_server_names_no_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    """SSR-051, SSR-043: the name is HAP's, whatever the answer says; a redirect home is not followed."""
    with FileServer() as files:
        config = tmp_path_factory.mktemp("settings") / "postroom.toml"
        config.write_text(f'[hap]\nattachment_hosts = ["{files.place}"]\n')
        environ = {"POSTROOM_HAP_SECRET": SECRET, "POSTROOM_CONFIG": str(config)}
        with attack_room(tmp_path_factory.mktemp("named"), **environ) as room:
            files.files |= {"/x": b"content", "/home": 302}
            body = {"ToEmails": ["kim@example.net"], "Body": "b"}
            link = {"../../etc/passwd": files.url("/x")}
            view = settled(room, post(room, body | {"Attachments": link})[1]["id"])
            parts = [["Content-Type"], *TWO_TEXTS, FILE]
            mail = room.delivered((200, view), headers=HTML, parts=parts)
            assert ["passwd"] == [part.get_filename() for part in mail.iter_attachments()]
            held = settled(room, post(room, body | {"Attachments": {"a": files.url("/home")}})[1]["id"])
            assert "fetch-redirect" == held["recipients"][0]["cause"]


FILE = ["Content-Disposition", "Content-Transfer-Encoding", "Content-Type"]

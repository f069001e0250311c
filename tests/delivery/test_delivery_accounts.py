"""Transports made, mended and removed while the real program runs, over real servers."""

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from peers.fork_server import ForkServer
from peers.ledger_sink import LedgerSink
from peers.postroom_process import PostroomProcess, free_port

pytestmark = pytest.mark.slow

PASSWORD, WRONG = "correct-horse-battery", "wrong-horse-battery"
FROM = ("--from", "app@example.com")


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with ForkServer() as running:
        yield running


class _Mailbox:
    """Takes mail; may be made to wait."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        self.logins: list[bool] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        del server, session
        self.mails += envelope.rcpt_tos
        return "250 2.0.0 taken"

    def judge(  # noqa: PLR0917 - the library's signature
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        del server, session, envelope, mechanism
        is_right = bytes(data.password) == PASSWORD.encode()
        self.logins.append(is_right)
        return AuthResult(success=is_right, handled=False)


@contextlib.contextmanager
def a_mailbox() -> Iterator[tuple[_Mailbox, int]]:
    """Run a server that others wrote and that knows one password."""
    box = _Mailbox()
    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=box.judge,
        auth_require_tls=False,
    )
    controller.start()
    try:
        yield box, controller.port
    finally:
        controller.stop()


def until(is_so: Callable[[], Any], *, bound_s: float = 15.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + bound_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def send(server: PostroomProcess, number: int = 0, **fields: Any) -> str:
    body = {"from": "app@example.com", "to": f"r{number}@example.org", "text": "It works.", **fields}
    status, answer = server.call("POST", "/v1/messages", body)
    assert 202 == status, answer
    return str(answer["id"])


def state_of(server: PostroomProcess, name: str) -> str:
    return str(server.call("GET", f"/v1/messages/{name}")[1]["state"])


def plain(port: int, name: str = "relay", **fields: Any) -> dict[str, Any]:
    return {"name": name, "host": "127.0.0.1", "port": port, "encryption": "none", **fields}


def made(server: PostroomProcess, body: dict[str, Any]) -> dict[str, Any]:
    status, answer = server.call("POST", "/v1/transports", body)
    assert 201 == status, answer
    return dict(answer)


def test_a_corrected_password_works_at_once(tmp_path: Path, forks: ForkServer) -> None:
    """A refused login stands on the message; after one call with the right password the mail is out.

    Neither password is in any answer, event, metric or the log, and the record outlives a restart.
    """
    shown: list[str] = []
    with a_mailbox() as (box, port), PostroomProcess(tmp_path / "data", forks=forks) as server:

        def ask(method: str, path: str, body: Any = None) -> tuple[int, Any]:
            status, answer = server.call(method, path, body)
            shown.append(json.dumps(answer, default=repr))
            return status, answer

        status, answer = ask("POST", "/v1/transports", plain(port, username="app", password=WRONG))
        assert (201, "live", "*****") == (status, answer["mode"], answer["settings"]["password"])
        first = send(server)
        until(lambda: ask("GET", f"/v1/messages/{first}")[1]["recipients"][0]["cause"])
        _, waiting = ask("GET", f"/v1/messages/{first}")
        assert "queued" == waiting["state"]
        assert waiting["recipients"][0]["remedy"]
        assert "down" == ask("GET", "/v1/transports/relay")[1]["state"]
        status, answer = ask("PATCH", "/v1/transports/relay", {"password": PASSWORD})
        assert (200, [], "*****") == (status, answer["pauses"], answer["settings"]["password"])
        until(lambda: state_of(server, first) == "accepted", bound_s=5)
        assert [False, True] == box.logins
        if (pid := _sender_of(server)) is not None:
            assert _gauge(server, "postroom_sender_resident_memory_bytes") > 0, pid
        ask("GET", "/v1/transports")
        ask("GET", "/metrics")
        kinds = [one["kind"] for one in ask("GET", "/v1/events?transport=relay")[1]["events"]]
        assert {"transport.created", "transport.changed", "transport.breaker_closed"} <= set(kinds)
        assert 0 == server.stop()
        server.start()
        second = send(server, 1)
        until(lambda: state_of(server, second) == "accepted")
        assert ["r0@example.org", "r1@example.org"] == box.mails
        assert 0 == server.stop()
        shown.append(server.log.read_text())
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
    for secret in (PASSWORD, WRONG):
        assert not any(secret in text for text in shown)
        assert secret.encode() not in stored


def test_from_capture_to_live_and_back(tmp_path: Path, forks: ForkServer) -> None:
    """The first transport makes the next message leave; after real mail the last one is not removed."""
    with LedgerSink() as sink, PostroomProcess(tmp_path / "data", forks=forks) as server:
        captured = send(server)
        until(lambda: state_of(server, captured) == "captured")
        scheduled = send(server, 1, send_at="2190-01-01T00:00:00Z", expires_at="2190-02-01T00:00:00Z")
        made(server, plain(sink.port))
        names = [one["name"] for one in server.call("GET", "/v1/transports")[1]["transports"]]
        assert ["relay"] == names
        status, answer = server.call("DELETE", "/v1/transports/relay")
        assert (409, "transport-in-use") == (status, answer["code"])
        assert 200 == server.call("DELETE", f"/v1/messages/{scheduled}")[0]
        assert 204 == server.call("DELETE", "/v1/transports/relay")[0]
        assert "capture" == server.call("GET", "/readyz")[1]["mode"]
        made(server, plain(sink.port))
        sent = send(server, 2)
        until(lambda: state_of(server, sent) == "accepted")
        assert "live" == server.call("GET", "/readyz")[1]["mode"]
        status, answer = server.call("DELETE", "/v1/transports/relay")
        assert (409, "transport-last") == (status, answer["code"])
        assert 1 == sum(sink.copies.values())
        assert 0 == server.stop()


def test_capture_on_demand_uses_none(tmp_path: Path, forks: ForkServer) -> None:
    """With --capture a transport is stored, said to be unused, and nothing leaves; without it, it works."""
    with LedgerSink() as sink:
        with PostroomProcess(tmp_path / "data", args=("--capture",), forks=forks) as server:
            answer = made(server, plain(sink.port))
            assert ("capture", "unused", False) == (answer["mode"], answer["state"], answer["used"])
            captured = send(server)
            until(lambda: state_of(server, captured) == "captured")
            assert 0 == server.stop()
        with PostroomProcess(tmp_path / "data", forks=forks) as server:
            sent = send(server)
            until(lambda: state_of(server, sent) == "accepted")
            assert 0 == server.stop()
        assert 1 == sum(sink.copies.values())


def test_mail_of_a_removed_transport_goes_by_the_other(tmp_path: Path, forks: ForkServer) -> None:
    """While mail waits the removal is refused; with move_to it goes out by the named one, once."""
    with (
        LedgerSink() as old,
        LedgerSink() as new,
        PostroomProcess(tmp_path / "data", forks=forks) as server,
    ):
        made(server, plain(old.port, "old"))
        made(server, plain(new.port, "new"))
        assert 200 == server.call("POST", "/v1/transports/old/suspend", {"reason": "it is to go"})[0]
        names = [send(server, number) for number in range(5)]
        status, answer = server.call("DELETE", "/v1/transports/old")
        assert (409, "transport-in-use") == (status, answer["code"])
        assert 409 == server.call("DELETE", "/v1/transports/old?move_to=none")[0]
        assert 204 == server.call("DELETE", "/v1/transports/old?move_to=new")[0]
        assert 404 == server.call("GET", "/v1/transports/old")[0]
        until(lambda: all(state_of(server, name) == "accepted" for name in names), bound_s=30)
        assert (0, 5) == (sum(old.copies.values()), sum(new.copies.values()))
        assert 0 == server.stop()


def _gauge(server: PostroomProcess, name: str) -> float:
    lines = server.call("GET", "/metrics")[1].decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def _sender_of(server: PostroomProcess) -> int | None:
    """Return the pid of a server's sender process."""
    assert server.process is not None
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has ended
            for pid in (task / "children").read_text().split():
                if b"postroom.bootstrap.sender" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
    return None


@pytest.mark.parametrize("is_killed", [False, True], ids=["in order", "sender killed"])
def test_a_host_is_replaced_under_load(is_killed: bool, tmp_path: Path, forks: ForkServer) -> None:
    """While 200 messages flow the host changes: none is lost, and none is sent twice in silence."""
    count = 200
    with (
        LedgerSink() as one,
        LedgerSink() as other,
        PostroomProcess(tmp_path / "data", forks=forks) as server,
    ):
        made(server, plain(one.port))
        names: list[str] = []

        def flow() -> None:
            names.extend(send(server, number, **{"class": "alert"}) for number in range(count))

        sending = threading.Thread(target=flow)
        sending.start()
        for turn in range(6):
            until(lambda turn=turn: len(names) >= 30 * (turn + 1))  # type: ignore[misc]
            port = (other, one)[turn % 2].port
            assert 200 == server.call("PATCH", "/v1/transports/relay", {"port": port})[0]
            if is_killed and turn == 3 and (pid := _sender_of(server)) is not None:
                os.kill(pid, signal.SIGKILL)
        sending.join()
        open_states = {"queued", "sending", "deferred"}
        until(lambda: not any(state_of(server, name) in open_states for name in names), bound_s=60)
        states = Counter(state_of(server, name) for name in names)
        copies = one.copies + other.copies
        uncertain = {name for name in names if state_of(server, name) == "uncertain"}
        assert count == states["accepted"] + len(uncertain)
        assert is_killed or not uncertain
        by_name = Counter({name: number for (name, _), number in copies.items()})
        assert 1 == max(by_name.values())
        assert one.copies
        assert other.copies
        assert 0 == server.stop()


def test_a_killed_server_knows_what_it_answered(tmp_path: Path, forks: ForkServer) -> None:
    """Whenever a kill falls, a transport whose making was answered is at work after the next start."""
    with LedgerSink() as sink, PostroomProcess(tmp_path / "data", forks=forks) as server:
        answered: list[str] = []
        for round_ in range(4):
            asked = threading.Event()

            def make(round_: int = round_, asked: threading.Event = asked) -> None:
                with contextlib.suppress(OSError):
                    for number in range(100):
                        name = f"relay-{round_}-{number}"
                        asked.set()
                        made(server, plain(sink.port, name))
                        answered.append(name)

            making = threading.Thread(target=make)
            making.start()
            assert asked.wait(10)
            time.sleep(0.004 * round_ + 0.01)  # a kill falls anywhere
            server.kill()
            making.join()
            server.start()
            shown = {
                one["name"]: one["used"] for one in server.call("GET", "/v1/transports")[1]["transports"]
            }
            assert all(shown.get(name) for name in answered)
        sent = send(server)
        until(lambda: state_of(server, sent) == "accepted")
        assert 1 == sum(sink.copies.values())
        assert 0 == server.stop()


def test_doors_without_a_key_close_when_mail_really_leaves(tmp_path: Path, forks: ForkServer) -> None:
    """What capture opened to callers without a key asks for one once a transport is made, and ever after."""

    def without_key(server: PostroomProcess) -> int:
        mail = json.dumps({"to": "r9@example.org", "subject": "x", "message": "x"})
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("POST", "/email/send", mail, {"Content-Type": "application/json"})
        status = connection.getresponse().status
        connection.close()
        return status

    with LedgerSink() as sink, PostroomProcess(tmp_path / "data", forks=forks) as server:
        assert 200 == without_key(server)
        made(server, plain(sink.port))
        assert 401 == without_key(server)
        assert 0 == server.stop()
        server.start()
        assert 401 == without_key(server)
        assert 0 == server.stop()
    assert 0 == sum(sink.copies.values())


def test_a_lost_key_holds_the_mail(tmp_path: Path, forks: ForkServer) -> None:
    """Without the key of its secrets a transport waits for a person and opens no connection."""
    key = tmp_path / "data" / "secret.key"
    with LedgerSink() as sink:
        with PostroomProcess(tmp_path / "data", forks=forks) as server:
            made(server, plain(sink.port, username="app", password=PASSWORD))
            assert 0 == server.stop()
        away = key.rename(tmp_path / "away.key")
        with PostroomProcess(tmp_path / "data", forks=forks) as server:
            waiting = send(server)
            (recipient,) = server.call("GET", f"/v1/messages/{waiting}")[1]["recipients"]
            assert ("queued", "secret-key-missing") == (recipient["state"], recipient["cause"])
            assert recipient["remedy"]
            shown = server.call("GET", "/v1/transports/relay")[1]
            assert ("down", "secrets") == (shown["state"], shown["pauses"][0]["kind"])
            assert 409 == server.call("POST", "/v1/transports/relay/resume")[0]
            status, answer = server.call("PATCH", "/v1/transports/relay", {"subject_prefix": "x"})
            assert status >= 400, answer
            assert 0 == server.stop()
        assert 0 == sink.sessions
        away.rename(key)
        with PostroomProcess(tmp_path / "data", forks=forks) as server:
            until(lambda: sink.sessions)
            assert 0 == server.stop()


def test_routes_of_the_settings_name_stored_transports(tmp_path: Path, forks: ForkServer) -> None:
    """A leg that does not exist yet is passed over, and said to be; once a call makes it, mail goes by it."""
    with LedgerSink() as relay, LedgerSink() as spare:
        environ = {"POSTROOM_TRANSPORT": f"failover(relay smtp://127.0.0.1:{spare.port})"}
        with PostroomProcess(tmp_path / "data", environ=environ, forks=forks) as server:

            def explained() -> dict[str, str]:
                body = {"from": "app@example.com", "to": "r@example.org", "text": "x"}
                status, answer = server.call("POST", "/v1/explain", body)
                assert 200 == status, answer
                return {leg["transport"]: leg["state"] for leg in answer["legs"]}

            until(lambda: "no transport 'relay'" in server.log.read_text())
            first = send(server)
            until(lambda: state_of(server, first) == "accepted")
            assert {"relay": "absent", "127-0-0-1": "working"} == explained()
            said = "routes name the transport relay, which does not exist: they pass it over"
            assert [said] == server.call("GET", "/v1/status")[1]["problems"]
            made(server, plain(relay.port))
            second = send(server, 1)
            until(lambda: state_of(server, second) == "accepted")
            assert {"relay": "working", "127-0-0-1": "working"} == explained()
            assert [] == server.call("GET", "/v1/status")[1]["problems"]
            status, refused = server.call("DELETE", "/v1/transports/relay")
            assert (409, "transport-in-route") == (status, refused["code"])
            assert 0 == server.stop()
            server.log.write_text("")
            server.start()
            until(lambda: "first page" in server.log.read_text())
            assert "no transport 'relay'" not in server.log.read_text()
            assert 0 == server.stop()
        assert [["r1@example.org"], ["r0@example.org"]] == [
            [address for _, address in sink.copies] for sink in (relay, spare)
        ]


@pytest.mark.parametrize("fields", ["{", "[]", '{"host": 5}', '{"host": "mail.example.com", "newer": 1}'])
def test_a_record_that_cannot_be_read_stops_nothing_else(
    fields: str, tmp_path: Path, forks: ForkServer
) -> None:
    """The server starts, other mail leaves, and the cause and what to do stand on what waits for it."""
    with LedgerSink() as sink:
        with PostroomProcess(tmp_path / "data", forks=forks) as server:
            made(server, plain(sink.port, name="odd"))
            made(server, plain(sink.port))
            assert 0 == server.stop()
        with contextlib.closing(sqlite3.connect(tmp_path / "data" / "postroom.sqlite")) as db, db:
            db.execute("UPDATE stored_transport SET fields = ? WHERE name = 'odd'", (fields,))
        with PostroomProcess(tmp_path / "data", forks=forks) as server:
            waiting = send(server)
            shown = server.call("GET", "/v1/transports/odd")[1]["pauses"]
            assert ["transport-unusable"] == [pause["cause"] for pause in shown]
            assert shown[0]["remedy"]
            status, refused = server.call("POST", "/v1/transports/odd/resume")
            assert (409, True) == (status, "PATCH it" in refused["errors"][0]["fix"])
            assert 204 == server.call("DELETE", "/v1/transports/odd?move_to=relay")[0]
            until(lambda: state_of(server, waiting) == "accepted")
            assert 0 == server.stop()

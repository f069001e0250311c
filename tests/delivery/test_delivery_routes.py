"""Several accounts, from a POST to the servers' hands: rules, failover, round robin in the real program."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from peers.fork_server import ForkServer
from peers.ledger_sink import Command, LedgerSink, Say, Then
from peers.postroom_process import PostroomProcess, free_port

pytestmark = pytest.mark.slow

COUNT = 30


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with ForkServer() as running:
        yield running


@contextmanager
def sinks(*names: str) -> Iterator[dict[str, LedgerSink]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(LedgerSink()) for name in names}


def settings(tmp_path: Path, ports: dict[str, int], routes: str) -> tuple[str, ...]:
    tables = [
        f'[[transports]]\nname = "{name}"\nurl = "smtp://127.0.0.1:{port}"' for name, port in ports.items()
    ]
    path = tmp_path / "postroom.toml"
    path.write_text("\n".join(['from = "app@example.com"', *tables, routes]))
    return ("--config", str(path))


def send(server: PostroomProcess, number: int, **fields: Any) -> str:
    body = {"to": f"r{number}@example.org", "subject": "Hello", "text": "It works.", **fields}
    status, answer = server.call("POST", "/v1/messages", body)
    assert 202 == status, answer
    return str(answer["id"])


def test_mail_by_tag_goes_one_way_and_the_rest_the_other(tmp_path: Path, forks: ForkServer) -> None:
    """Each sink gets exactly the mail of its rule, whoever is asked says so, and explain said so before."""
    routes = '[[routes]]\nname = "letters"\ntag = "newsletter"\nto = "b"'
    with sinks("a", "b") as at:
        args = settings(tmp_path, {name: sink.port for name, sink in at.items()}, routes)
        with PostroomProcess(tmp_path / "data", args=args, forks=forks) as server:
            _, explained = server.call("POST", "/v1/explain", {"to": "x@example.org", "tags": ["newsletter"]})
            assert ("letters", "b", True) == tuple(
                explained[key] for key in ("rule", "transport", "accepted")
            )
            tags: list[list[str]] = [
                ["newsletter"] if number % 3 == 0 else ["other"] for number in range(COUNT)
            ]
            ids = [send(server, number, tags=tag) for number, tag in enumerate(tags)]
            by_b = {name for name, tag in zip(ids, tags, strict=True) if tag == ["newsletter"]}
            assert at["b"].wait_for(len(by_b), timeout_s=20)
            assert at["a"].wait_for(COUNT - len(by_b), timeout_s=20)
            assert by_b == {name for name, _ in at["b"].copies}
            assert set(ids) - by_b == {name for name, _ in at["a"].copies}
            assert {1} == set(at["a"].copies.values()) | set(at["b"].copies.values())
            shown = [server.call("GET", f"/v1/messages/{name}")[1]["transport"] for name in ids]
            assert ["b" if name in by_b else "a" for name in ids] == shown
            assert server.stop() == 0


def test_a_code_takes_the_leg_that_works(tmp_path: Path, forks: ForkServer) -> None:
    """While the first leg is suspended or refuses its login, mail goes by the second, each once."""
    routes = '[[routes]]\nto = "failover(a b)"'
    with sinks("a", "b") as at:
        at["a"].script = lambda command: (
            Say(b"535 5.7.8 authentication failed\r\n", Then.CLOSE) if command.verb == "AUTH" else None
        )
        at["a"].usual["EHLO"] = b"250-sink.example.net\r\n250 AUTH PLAIN LOGIN\r\n"
        ports = {"a": at["a"].port, "b": at["b"].port}
        args = settings(tmp_path, ports, routes)
        path = Path(args[1])
        path.write_text(
            path.read_text().replace("smtp://127.0.0.1", "smtp://app%40example.com:wrong@127.0.0.1", 1)
        )
        with PostroomProcess(tmp_path / "data", args=args, forks=forks) as server:
            ids = [send(server, number, **{"class": "code"}) for number in range(COUNT)]
            assert at["b"].wait_for(COUNT, timeout_s=20)
            assert set(ids) == {name for name, _ in at["b"].copies}
            assert not at["a"].copies
            _, explained = server.call("POST", "/v1/explain", {"to": "x@example.org"})
            legs = {leg["transport"]: leg for leg in explained["legs"]}
            assert ("failover(a b)", "b") == (explained["route"], explained["transport"])
            assert ("down", ["login"]) == (legs["a"]["state"], [wait["kind"] for wait in legs["a"]["waits"]])
            assert legs["a"]["waits"][0]["remedy"]
            assert server.stop() == 0


def test_waiting_for_an_answer_watches_the_leg_that_was_taken(tmp_path: Path, forks: ForkServer) -> None:
    """``Prefer: wait`` is answered at once by the outcome, or the pause, of a leg that is not the first."""
    routes = '[[routes]]\ntag = "b"\nto = "b"\n[[routes]]\ntag = "gone"\nto = "gone"'
    with sinks("a", "b") as at:
        ports = {name: sink.port for name, sink in at.items()} | {"gone": free_port()}
        with PostroomProcess(
            tmp_path / "data", args=settings(tmp_path, ports, routes), forks=forks
        ) as server:
            body = {"to": "x@example.org", "subject": "Hello", "text": "It works."}
            for tag, state in (("b", "accepted"), ("gone", "queued")):
                begun = time.monotonic()
                _, shown = server.call(
                    "POST", "/v1/messages", {**body, "tags": [tag]}, headers={"Prefer": "wait=30"}
                )
                assert (tag, state) == (shown["transport"], shown["state"])
                assert time.monotonic() - begun < 15
            assert server.stop() == 0


def test_a_group_of_urls_takes_turns(tmp_path: Path, forks: ForkServer) -> None:
    """POSTROOM_TRANSPORT alone: two of three servers share the mail, and the third's share goes to them."""
    with sinks("a", "b") as at:
        gone = free_port()
        urls = " ".join(f"smtp://127.0.0.1:{port}" for port in (at["a"].port, gone, at["b"].port))
        environ = {"POSTROOM_TRANSPORT": f"roundrobin({urls})", "POSTROOM_FROM": "app@example.com"}
        with PostroomProcess(tmp_path / "data", environ=environ, forks=forks) as server:
            ids = [send(server, number) for number in range(3 * COUNT)]
            end = time.monotonic() + 60
            while len(at["a"].copies) + len(at["b"].copies) < 3 * COUNT:
                assert time.monotonic() < end, (len(at["a"].copies), len(at["b"].copies))
                at["a"].wait_for(at["a"].copies.total() + 1, timeout_s=0.2)
            taken = at["a"].copies + at["b"].copies
            assert set(ids) == {name for name, _ in taken}
            assert {1} == set(taken.values())
            assert min(len(at["a"].copies), len(at["b"].copies)) > COUNT // 2
            routes = {server.call("GET", f"/v1/messages/{name}")[1]["route"] for name in ids}
            names = ("127-0-0-1", "127-0-0-1-2", "127-0-0-1-3")
            turned = {f"roundrobin({' '.join(names[n:] + names[:n])})" for n in range(3)}
            assert turned == routes
            assert server.stop() == 0


def test_what_may_have_arrived_stays_with_its_server(tmp_path: Path, forks: ForkServer) -> None:
    """A mail cut after its final dot is uncertain and is not given to the other leg, which takes the rest."""
    routes = '[[routes]]\nto = "failover(a b)"'
    with sinks("a", "b") as at:

        def cut(command: Command) -> Say | None:
            if command.verb == ".":
                at["a"].script = lambda _: Say(b"421 4.3.2 closing\r\n", Then.CLOSE)
                return Say(b"", Then.RESET, is_taken=True)
            return None

        at["a"].script = cut
        args = settings(tmp_path, {"a": at["a"].port, "b": at["b"].port}, routes)
        with PostroomProcess(tmp_path / "data", args=args, forks=forks) as server:
            first = send(server, 0)
            assert at["a"].wait_for(1, timeout_s=10)
            rest = [send(server, number) for number in range(1, 6)]
            status, _ = server.call("POST", "/v1/transports/a/suspend", {"reason": "it is gone"})
            assert 200 == status
            assert at["b"].wait_for(len(rest), timeout_s=20)
            assert set(rest) == {name for name, _ in at["b"].copies}
            _, shown = server.call("GET", f"/v1/messages/{first}")
            assert ("uncertain", "a") == (shown["state"], shown["transport"])
            assert server.stop() == 0

"""One mail for one key, however many ask at once, whatever dies in between."""

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from peers.fork_server import ForkServer
from peers.ledger_sink import LedgerSink
from peers.postroom_process import PostroomProcess

pytestmark = pytest.mark.slow

CALLERS = 64
MAIL = {"to": "kim@example.com", "subject": "Your order", "text": "It is on its way."}
KEY = {"Idempotency-Key": "order-42"}


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with ForkServer() as running:
        yield running


class Callers:
    """So many threads that make the same call at the same moment."""

    def __init__(self, server: PostroomProcess) -> None:
        self._server = server
        self._barrier = threading.Barrier(CALLERS + 1)
        self.answers: list[tuple[int, Any]] = []
        self.lost = 0
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]
        for thread in self._threads:
            thread.start()
        self._barrier.wait()

    def _call(self) -> None:
        self._barrier.wait()
        try:
            self.answers.append(self._server.call("POST", "/v1/messages", MAIL, headers=KEY))
        except (OSError, ValueError):
            self.lost += 1

    def join(self) -> Sequence[str]:
        """Return the ids that were acknowledged."""
        for thread in self._threads:
            thread.join()
        assert CALLERS == len(self.answers) + self.lost
        assert {202} >= {status for status, _ in self.answers}
        return [answer["id"] for _, answer in self.answers]


def test_64_identical_calls_at_once_are_one_mail(tmp_path: Path, forks: ForkServer) -> None:
    """All are answered 202 with the one id (none is told to come back), and the server gets one mail."""
    with LedgerSink() as sink:
        environ = {"POSTROOM_TRANSPORT": f"smtp://127.0.0.1:{sink.port}", "POSTROOM_FROM": "app@example.com"}
        with PostroomProcess(tmp_path / "data", environ=environ, forks=forks) as server:
            ids = Callers(server).join()
            assert (CALLERS, 1) == (len(ids), len(set(ids)))
            assert sink.wait_for(1, timeout_s=10)
            assert 1 == len(server.call("GET", "/v1/messages")[1]["messages"])
            other = server.call("POST", "/v1/messages", {**MAIL, "subject": "Another"}, headers=KEY)
            assert (422, "subject") == (other[0], other[1]["errors"][0]["field"])
            assert server.stop() == 0
        assert {(ids[0], "kim@example.com"): 1} == dict(sink.copies)


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.03])
def test_a_crash_in_between_makes_no_second_mail(tmp_path: Path, delay_s: float, forks: ForkServer) -> None:
    """Killed under 64 identical calls and started again, the repetition gets the same mail, sent once.

    A kill beside the final dot leaves it uncertain; then nothing is sent again by itself yet.
    """
    with LedgerSink() as sink:
        environ = {"POSTROOM_TRANSPORT": f"smtp://127.0.0.1:{sink.port}", "POSTROOM_FROM": "app@example.com"}
        server = PostroomProcess(tmp_path / "data", environ=environ, forks=forks)
        server.start()
        callers = Callers(server)
        time.sleep(delay_s)
        server.kill()
        before = set(callers.join())
        assert len(before) <= 1
        with server:
            ids = set(Callers(server).join())
            assert 1 == len(ids)
            assert before <= ids
            (message_id,) = ids
            end, state = time.monotonic() + 60, ""
            while state not in {"accepted", "uncertain"}:
                assert time.monotonic() < end
                state = server.call("GET", f"/v1/messages/{message_id}")[1]["state"]
            assert 1 == len(server.call("GET", "/v1/messages")[1]["messages"])
            assert server.stop() == 0
        copies = sink.copies[message_id, "kim@example.com"]
        assert copies == sink.copies.total()
        assert copies == 1 or (copies == 0 and state == "uncertain")  # killed just before the dot

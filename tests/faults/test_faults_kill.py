"""The promise that matters most: a SIGKILL at any moment loses nothing and doubles nothing silently.

The ledger is outside the process: the driver notes every acknowledged id, the sink every copy.
"""

import contextlib
import http.client
import json
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from peers.ledger_sink import LedgerSink
from peers.postroom_process import KEY, PostroomProcess

KILLS = 30
"""Of the short round; the long one goes on for ``--faults`` seconds."""
SENDERS = 4
END_STATES = {"accepted", "refused", "expired", "cancelled", "uncertain"}


class Driver:
    """Hands messages in as fast as four connections can, and notes what was acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, str] = {}
        self._number = 0
        self._lock = threading.Lock()
        self.stop = threading.Event()

    def run(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        with contextlib.closing(connection):
            while not self.stop.is_set() and self._hand_in(connection, headers):
                pass

    def _hand_in(self, connection: http.client.HTTPConnection, headers: dict[str, str]) -> bool:
        with self._lock:
            self._number += 1
            recipient = f"rcpt{self._number}@example.net"
        body = {
            "from": "app@example.com",
            "to": recipient,
            "subject": "kill test",
            "text": "x" * 500,
            "class": "alert",
        }
        try:
            connection.request("POST", "/v1/messages", json.dumps(body), headers)
            answer = connection.getresponse()
            content = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        assert answer.status == 202, content
        with self._lock:
            self.acknowledged[content["id"]] = recipient
        return True


def _one_life(server: PostroomProcess, driver: Driver, seconds: float) -> None:
    """Start, load for a while, kill."""
    server.start()
    threads = [threading.Thread(target=driver.run, args=(server.port,)) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    time.sleep(seconds)  # the moment of the kill is the test
    server.kill()
    for thread in threads:
        thread.join(15)


def _settled(server: PostroomProcess, message_id: str, deadline: float) -> dict[str, Any]:
    while True:
        status, view = server.call("GET", f"/v1/messages/{message_id}")
        assert status == 200, f"acknowledged {message_id} is gone: {view}"
        if view["state"] in END_STATES or time.monotonic() > deadline:
            return dict(view)
        time.sleep(0.05)


def _declared_uncertain(view: dict[str, Any]) -> int:
    return sum(
        attempt["outcome"] == "uncertain"
        for recipient in view["recipients"]
        for attempt in recipient["attempts"]
    )


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_sigkill_at_random_moments_loses_nothing_and_declares_every_possible_copy(
    tmp_path: Path, fault_seconds: float
) -> None:
    """Every acknowledged id ends in one state; extra copies exist only where uncertainty was recorded."""
    seed = int(os.environ.get("POSTROOM_TEST_SEED", str(random.randrange(2**32))))
    dice = random.Random(seed)
    driver = Driver()
    with LedgerSink() as sink:
        environ = {"POSTROOM_TRANSPORT": f"smtp://127.0.0.1:{sink.port}?starttls=never"}
        server = PostroomProcess(tmp_path / "data", environ=environ)
        kills, end = 0, time.monotonic() + fault_seconds
        while kills < KILLS or time.monotonic() < end:
            _one_life(server, driver, dice.uniform(0.01, 0.4))
            kills += 1
        with server:
            deadline = time.monotonic() + 120
            views = {name: _settled(server, name, deadline) for name in driver.acknowledged}
            assert server.stop() == 0
        copies = sink.copies.copy()
    states = Counter(view["state"] for view in views.values())
    print(f"seed {seed}: {kills} kills, {len(views)} acknowledged, {dict(states)}, {copies.total()} copies")
    assert len(driver.acknowledged) > kills, "the load was too small to prove anything"
    assert set(states) <= END_STATES
    for name, recipient in driver.acknowledged.items():
        uncertain = _declared_uncertain(views[name])
        if views[name]["state"] == "accepted":
            assert copies[name, recipient] >= 1, f"seed {seed}: {name} says accepted, the sink has none"
        assert copies[name, recipient] <= 1 + uncertain, f"seed {seed}: undeclared copy of {name}"

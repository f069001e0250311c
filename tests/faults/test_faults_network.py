"""Peers that refuse, vanish, storm or reject the login: they are left in peace, and everything arrives later.

Time runs faster for these servers: minutes of an outage pass in seconds.
"""

import time
from itertools import pairwise
from pathlib import Path

import pytest

from faults.conftest import Tally
from faults.faults_room import a_server
from faults.ledger import Caller, Json, Ledger, account, settled
from peers.fault_proxy import FaultProxy
from peers.fork_server import ForkServer
from peers.ledger_sink import Command, LedgerSink, Say, Then

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MAILS = 20


def lasting(number: int) -> Json:
    return {
        "from": "app@example.com",
        "to": [f"r{number}@example.net"],
        "text": "x",
        "class": "transactional",
    }


def hand_in(call: Caller, ledger: Ledger, count: int = MAILS) -> None:
    """Hand in until so many more are acknowledged: in a hurry a server may say that it is overloaded."""
    wanted = len(ledger.acknowledged) + count
    end = time.monotonic() + 30
    while len(ledger.acknowledged) < wanted:
        assert time.monotonic() < end
        call.hand_in(ledger, ledger.next())


def gaps(times: list[float], speed: float) -> list[float]:
    """Return the seconds of the server's time between each two."""
    return [(later - earlier) * speed for earlier, later in pairwise(times)]


def test_a_link_that_is_down_burns_no_attempts(tmp_path: Path, tally: Tally) -> None:
    """Five minutes without a connection cost a few probes in all; then everything is sent once."""
    speed = 60.0
    with (
        ForkServer(speed=speed) as forks,
        LedgerSink() as sink,
        FaultProxy(sink.port) as proxy,
        a_server(tmp_path / "data", proxy.port, forks=forks) as server,
    ):
        ledger = Ledger(make=lasting)
        proxy.refuse()
        call = Caller(server.port)
        hand_in(call, ledger)
        time.sleep(300 / speed)  # the outage is the test
        names = [one.acknowledged or "" for one in ledger.acknowledged]
        views = [call("GET", f"/v1/messages/{name}")[1] for name in names]
        call.close()
        tried = sum(len(recipient["attempts"]) for view in views for recipient in view["recipients"])
        proxy.restore()
        found = account(ledger, sink, server.port, bound_s=60)
    tally.add(found)
    tally.note = f"{tried} attempts in 5 minutes of outage"
    found.check()
    assert 1 <= tried <= MAILS
    assert found.extra == 0


def test_a_peer_that_stopped_gives_its_descriptors_back(tmp_path: Path, tally: Tally) -> None:
    """A peer that takes bytes and answers nothing is left at the step's limit; copies only where declared."""
    speed = 200.0
    with (
        ForkServer(speed=speed) as forks,
        LedgerSink() as sink,
        FaultProxy(sink.port) as proxy,
        a_server(tmp_path / "data", proxy.port, forks=forks, transport="max_connections = 4") as server,
    ):
        ledger = Ledger(make=lasting)
        call = Caller(server.port)
        hand_in(call, ledger, 4)
        settled(call, [one.acknowledged or "" for one in ledger.acknowledged], bound_s=30)
        proxy.freeze()
        hand_in(call, ledger)
        assert server.process is not None
        descriptors = Path(f"/proc/{server.process.pid}/fd")
        most = 0
        end = time.monotonic() + 1500 / speed  # longer than the longest limit of a step
        while time.monotonic() < end:
            most = max(most, len(list(descriptors.iterdir())))
            time.sleep(0.05)
        call.close()
        proxy.refuse()
        proxy.thaw()
        proxy.restore()
        found = account(ledger, sink, server.port, bound_s=60)
        left = len(list(descriptors.iterdir()))
    tally.add(found)
    tally.note = f"{most} descriptors at most, {left} afterwards"
    found.check()
    assert left <= most + 2


@pytest.mark.parametrize("verb", ["CONNECT", "MAIL"])
def test_a_storm_of_421_is_met_with_few_probes(verb: str, tmp_path: Path, tally: Tally) -> None:
    """Ten minutes of 421: soon at most one probe in 30 s; afterwards no burst, and all is sent once."""
    speed, connections = 60.0, 3
    storm = Say(b"421 4.3.2 try later\r\n", Then.CLOSE)
    with (
        ForkServer(speed=speed) as forks,
        LedgerSink(script=lambda command: storm if command.verb == verb else None) as sink,
        a_server(
            tmp_path / "data", sink.port, forks=forks, transport=f"max_connections = {connections}"
        ) as server,
    ):
        ledger = Ledger(make=lasting)
        call = Caller(server.port)
        hand_in(call, ledger)
        call.close()
        time.sleep(60 / speed)  # the first minute may probe sooner
        before = len(sink.said[verb])
        time.sleep(540 / speed)
        probes = len(sink.said[verb]) - before
        sink.script = lambda _command: None
        found = account(ledger, sink, server.port, bound_s=90)
    tally.add(found)
    tally.note = f"{probes} probes in 9 minutes"
    found.check()
    assert found.extra == 0
    assert probes <= 540 / 30
    assert sink.most_open <= connections


def test_a_refused_login_is_tried_once_in_a_quarter_of_an_hour(tmp_path: Path, tally: Tally) -> None:
    """Two hours of 535: one login in 15 minutes; with the right password everything is sent.

    What was on its way to a connection when the first login was refused may try once more.
    """
    speed = 900.0
    wrong = Say(b"535 5.7.8 authentication failed\r\n")

    def refuse(command: Command) -> Say | None:
        return wrong if command.verb == "AUTH" else None

    with (
        ForkServer(speed=speed) as forks,
        LedgerSink(script=refuse, extensions=("AUTH PLAIN", "PIPELINING")) as sink,
        a_server(tmp_path / "data", sink.port, forks=forks, login="user:secret@") as server,
    ):
        ledger = Ledger(make=lasting)
        call = Caller(server.port)
        hand_in(call, ledger)
        call.close()
        time.sleep(7200 / speed)  # two hours
        logins = list(sink.said["AUTH"])
        sink.script = lambda _command: None
        found = account(ledger, sink, server.port, bound_s=60)
    tally.add(found)
    tally.note = f"{len(logins)} logins in 2 hours"
    found.check()
    assert 0 < len(logins) <= 9
    assert all(gap > 850 for gap in gaps(logins, speed)[1:]), gaps(logins, speed)

"""Thousands of mails through a server that refuses a random third in four ways: every account agrees."""

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.conftest import Tally
from faults.faults_room import a_server
from faults.ledger import Caller, Json, Ledger, account, load
from peers.fork_server import ForkServer
from peers.ledger_sink import Command, LedgerSink

MAILS = 1000
MAILS_OF_THE_LONG_ROUND = 10_000
ENOUGH_S = 60.0
"""Seconds for the parts on the wire from which the long round is made."""
WAYS = ("rcpt-4", "rcpt-5", "dot-4", "dot-5")
REPLIES = {
    "rcpt-4": b"450 4.2.0 mailbox busy\r\n",
    "rcpt-5": b"550 5.1.1 no such user here\r\n",
    "dot-4": b"451 4.3.0 not now\r\n",
    "dot-5": b"554 5.6.0 message refused\r\n",
}


def way_of(recipient: str) -> str:
    """A third of all recipients is refused, each in one of four ways that follows from its address."""
    dice = random.Random(recipient)
    return dice.choice(WAYS) if dice.random() < 1 / 3 else "taken"


class Refusing:
    """What the sink says: each refusal at its place, the temporary ones until it is healed."""

    is_healed = False

    def reply(self, recipient: str, step: str) -> bytes | None:
        way = way_of(recipient)
        return REPLIES[way] if way.startswith(step) and not (self.is_healed and way.endswith("4")) else None

    def refuse(self, recipient: str) -> bytes | None:
        return self.reply(recipient, "rcpt")

    def at_the_dot(self, command: Command) -> bytes | None:
        return self.reply(command.recipients[0], "dot") if command.verb == "." else None


def to_one(number: int) -> Json:
    to = [f"rcpt{number}@example.net"]
    return {"from": "app@example.com", "to": to, "subject": "s", "text": "x", "class": "bulk"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_account_of_ten_thousand_mails_agrees(
    tmp_path: Path, share: Callable[[str], float], forks: ForkServer, tally: Tally
) -> None:
    """The API's counts equal the server's log exactly; a retry of the temporary ones delivers each once."""
    count = MAILS_OF_THE_LONG_ROUND if share("wire") >= ENOUGH_S else MAILS
    server_side = Refusing()
    with LedgerSink(server_side.refuse, script=server_side.at_the_dot) as sink:
        ledger = Ledger(make=to_one)
        server = a_server(tmp_path / "data", sink.port, forks=forks)
        with server:
            with load(ledger, server.port, count=count):
                pass
            assert len(ledger.acknowledged) == count
            call = Caller(server.port)
            expected = Counter(way_of(one.body["to"][0]) for one in ledger.submissions)
            temporary = expected["rcpt-4"] + expected["dot-4"]
            until_counted(call, {"deferred": temporary})
            seen = Counter(replies[0] for replies in sink.replies.values())
            counts = call("GET", "/v1/status")[1]["counts"]
            assert counts["accepted"] == expected["taken"] == seen["250"]
            assert counts["refused"] == seen["550"] + seen["554"] == expected["rcpt-5"] + expected["dot-5"]
            assert counts["deferred"] == seen["450"] + seen["451"] == temporary
            server_side.is_healed = True
            retried = 0
            for submission in ledger.submissions:
                if way_of(submission.body["to"][0]).endswith("4"):
                    status, answer = call("POST", f"/v1/messages/{submission.acknowledged}/retry", {})
                    assert status in {200, 409}, answer  # 409: its own time came before ours
                    retried += 1
            assert retried == temporary
            call.close()
            found = account(ledger, sink, server.port, bound_s=120)
            assert server.stop() == 0
    tally.add(found)
    tally.runs += count
    found.check()
    assert (found.extra, found.uncertain) == (0, 0)
    assert dict(found.states) == {"accepted": seen["250"] + temporary, "refused": seen["550"] + seen["554"]}


def until_counted(call: Caller, wanted: dict[str, int]) -> None:
    """Wait until nothing is queued or under way and the counts are as wanted."""
    end = time.monotonic() + 120
    while True:
        counts = call("GET", "/v1/status")[1]["counts"]
        is_busy = counts.get("queued", 0) or counts.get("sending", 0)
        if not is_busy and all(counts.get(state) == number for state, number in wanted.items()):
            return
        assert time.monotonic() < end, counts
        time.sleep(0.1)

"""Kills and power cuts while alerts are told: what was answered is told, in one mail each.

A report without an answer is made again: it is the same alert then, and still one mail. A copy of a mail
beyond the first exists only where an attempt at it was declared uncertain.
"""

import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faults.conftest import Tally
from faults.faults_room import a_server
from faults.ledger import Caller, Ledger, Submission, load, settled
from peers import loop_image
from peers.fork_server import ForkServer
from peers.ledger_sink import LedgerSink
from peers.postroom_process import PostroomProcess

KILLS = 5
CUTS = 4
SUBJECT = re.compile(rb"(?m)^Subject: .*\bdb-(\d+)-x")
ALERTS = """
[alerts]
receivers = ["ops@example.com"]
[alerts.root]
group_by = ["..."]
[alerts.storm]
mails = 0
"""


def a_report(number: int) -> dict[str, Any]:
    """Return a report about an object of its own."""
    severity = "critical" if number % 2 else "warning"
    return {"key": "disk-full", "object": f"db-{number}-x", "state": "firing", "severity": severity}


class Reporter(Caller):
    """Reports instead of handing in mail."""

    def hand_in(self, ledger: Ledger, submission: Submission) -> int | None:
        try:
            status, answer = self("POST", "/v1/alerts", submission.body)
        except (OSError, ValueError):
            status, answer = None, None
        found = {"id": answer["alerts"][0]["alert"]} if status == 202 else None
        ledger.note(submission, status, found)
        return status


def live_and_die(server: PostroomProcess, ledger: Ledger, sink: LedgerSink, dice: random.Random) -> None:
    """Start, report, and kill after some mails and a moment more: the moment of the kill is the test."""
    server.start()
    with load(
        ledger, server.port, caller=lambda: Reporter(server.port, timeout_s=5), senders=2, pause_s=0.02
    ):
        sink.wait_for(sink.copies.total() + dice.randrange(1, 30), timeout_s=2)
        time.sleep(dice.uniform(0.0, 0.05))
        server.kill()


def all_told(call: Caller, sink: LedgerSink, *, bound_s: float) -> dict[str, dict[str, Any]]:
    """Wait until nothing waits any more; return the messages."""
    deadline = time.monotonic() + bound_s
    while time.monotonic() < deadline:
        alerts = call("GET", "/v1/status")[1]["alerts"]
        if not alerts["events_waiting"] and not alerts["letters_waiting"]:
            break
        time.sleep(0.05)
    names, older = list[str](), ""
    while True:
        status, page = call("GET", f"/v1/messages?limit=200{older}")
        assert status == 200, page
        names += [one["id"] for one in page["messages"]]
        if not page.get("next"):
            break
        older = f"&cursor={page['next']}"
    for name in names:
        call("POST", f"/v1/messages/{name}/retry", {"confirm_duplicate": True})  # what waits after deaths
    assert {name for name, _ in sink.copies} <= set(names)
    return settled(call, names, bound_s=bound_s)


def settle_accounts(
    server: PostroomProcess, ledger: Ledger, sink: LedgerSink, *, tally: Tally, dice: random.Random
) -> None:
    """Start a last time, let everything be told, and compare what was answered with what was mailed."""
    with server:
        call = Caller(server.port)
        views = all_told(call, sink, bound_s=120)
        for one in dice.sample(ledger.acknowledged, min(20, len(ledger.acknowledged))):
            _, why = call("GET", f"/v1/alerts/{one.acknowledged}/why")
            assert 1 == [step["clause"] for step in why["steps"]].count("told"), why
        call.close()
        assert server.stop() == 0
    told = Counter(int(found[1]) for body in sink.bodies.values() if (found := SUBJECT.search(body)))
    acknowledged = {one.number for one in ledger.acknowledged}
    declared = {
        name: sum(step["outcome"] == "uncertain" for step in view["recipients"][0]["attempts"])
        for name, view in views.items()
    }
    undeclared = [name for (name, _), count in sink.copies.items() if count > 1 + declared[name]]
    tally.runs += 1
    tally.acknowledged += len(acknowledged)
    tally.delivered += len(told)
    tally.lost += len(acknowledged - told.keys())
    tally.copies += sink.copies.total() - len(sink.copies)
    tally.undeclared += len(undeclared)
    tally.uncertain += sum(declared.values())
    print(tally)
    assert {"accepted"} == {view["state"] for view in views.values()}
    assert set() == acknowledged - told.keys()
    assert [] == [number for number, count in told.items() if count > 1]
    assert [] == undeclared


def seeded(tally: Tally) -> random.Random:
    seed = int(os.environ.get("POSTROOM_TEST_SEED", str(random.randrange(2**32))))
    tally.note = f"seed {seed}"
    return random.Random(seed)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_sigkill_while_alerts_are_told_loses_no_report_and_doubles_no_mail(
    tmp_path: Path, share: Callable[[str], float], forks: ForkServer, tally: Tally
) -> None:
    """Every report that was answered is one mail, also when it was made again for want of an answer."""
    dice = seeded(tally)
    end = time.monotonic() + share("alerts")
    with LedgerSink() as sink:
        sink.keep_bodies = True
        ledger = Ledger(make=a_report)
        server = a_server(tmp_path / "data", sink.port, forks=forks, more=ALERTS)
        while tally.kills < KILLS or time.monotonic() < end:
            live_and_die(server, ledger, sink, dice)
            tally.kills += 1
        settle_accounts(server, ledger, sink, tally=tally, dice=dice)
        assert len(ledger.acknowledged) > 10 * KILLS, "the load was too small to prove anything"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_power_cuts_lose_no_report(tmp_path: Path, forks: ForkServer, tally: Tally) -> None:
    """What was answered was on the disk: it is told in one mail when the power is back."""
    if (reason := loop_image.why_not("ext4")) is not None:
        pytest.skip(f"no power cut on ext4: {reason}")
    dice = seeded(tally)
    with loop_image.image("ext4") as image, LedgerSink() as sink:
        sink.keep_bodies = True
        ledger = Ledger(make=a_report)
        server = a_server(image.root / "data", sink.port, forks=forks, home=tmp_path, more=ALERTS)
        for _ in range(CUTS):
            server.start()
            with load(ledger, server.port, caller=lambda: Reporter(server.port, timeout_s=5), senders=2):
                time.sleep(dice.uniform(0.02, 0.3))  # the moment of the cut is the test
                server.freeze()
                image.cut_power()
                server.kill()
            image.unmount()
            image.mount()
            tally.power_cuts += 1
        settle_accounts(server, ledger, sink, tally=tally, dice=dice)
        assert len(ledger.acknowledged) > CUTS, "the load was too small to prove anything"

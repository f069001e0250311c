"""The promise at the SMTP door: every 250 is in the store, whenever the server is killed; so is every report.

The callers are the standard library's client. A mail without an answer is handed in again under its key, as a
careful caller does, and is then stored once.
"""

import contextlib
import os
import random
import smtplib
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faults.conftest import Tally
from faults.faults_room import a_server
from faults.ledger import Caller, Ledger, Submission, a_message, account, load, release_suspects
from peers.fork_server import ForkServer
from peers.ledger_sink import LedgerSink
from peers.postroom_process import PostroomProcess, free_port

KILLS = 8
"""Of the short round; the long one goes on for its share of ``--faults``."""
REPORT_KILLS = 3
BOUND_S = 120.0


def a_mail(number: int) -> dict[str, Any]:
    """Return what the ledger knows of a mail: recipients of its own, now and then one too large for a row."""
    body = a_message(number)
    body.pop("attachments", None)
    if number % 7 == 0:
        body["text"] = f"line {number}\n" * 8000
    return body


class SmtpCaller:
    """One kept session at the SMTP door."""

    def __init__(self, port: int) -> None:
        """Connect when it is used."""
        self._port = port
        self._session: smtplib.SMTP | None = None

    def hand_in(self, ledger: Ledger, submission: Submission) -> int | None:
        """Hand one mail in and note the answer; ``None`` when there was none."""
        submission.begun_at = time.time()
        status, answer = None, None
        try:
            code, text = self._sent(submission)
            if code == 250:
                status, answer = 200, {"id": text.decode().split()[3].rstrip(";")}
            else:
                assert 400 <= code < 500, (code, text)
                status = 503
        except (OSError, smtplib.SMTPException):
            self.close()
        ledger.note(submission, status, answer)
        return status

    def _sent(self, submission: Submission) -> tuple[int, bytes]:
        session = self._session
        if session is None:
            session = self._session = smtplib.SMTP("127.0.0.1", self._port, timeout=15)
            session.ehlo()
        body = submission.body
        mail = (
            f"From: {body['from']}\r\nTo: undisclosed-recipients:;\r\nSubject: {body['subject']}\r\n"
            f"X-Postroom-Class: alert\r\nX-Postroom-Idempotency-Key: submission-{submission.number}\r\n\r\n"
        ) + body["text"].replace("\n", "\r\n")
        code, text = session.mail(str(body.get("sender", body["from"])))
        for recipient in body["to"]:
            if code == 250:
                code, text = session.rcpt(recipient)
        if code == 250:
            code, text = session.data(mail)
        if code != 250:
            session.rset()
        return code, text

    def close(self) -> None:
        """End the session without a word."""
        if self._session is not None:
            self._session.close()
            self._session = None


def a_server_with_a_door(data: Path, sink: LedgerSink, forks: ForkServer) -> tuple[PostroomProcess, int]:
    """Return a server, not started, and the port of its SMTP door, which asks for no key."""
    door = free_port()
    more = f'[smtp]\nlisten = "127.0.0.1:{door}"\nkeyless = true\n'
    return a_server(data, sink.port, forks=forks, more=more), door


def start(server: PostroomProcess, door: int) -> None:
    """Start and wait until the door is open too."""
    server.start()
    deadline = time.monotonic() + 10
    while True:
        with contextlib.suppress(OSError), smtplib.SMTP("127.0.0.1", door, timeout=5):
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def dice_of(tally: Tally) -> random.Random:
    seed = int(os.environ.get("POSTROOM_TEST_SEED", str(random.randrange(2**32))))
    tally.note = f"seed {seed}"
    return random.Random(seed)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_250_outlives_every_kill(
    tmp_path: Path, share: Callable[[str], float], forks: ForkServer, tally: Tally
) -> None:
    """Mail that the door took reaches an end and is sent once, or its copies are declared uncertain."""
    dice = dice_of(tally)
    end = time.monotonic() + share("smtp")
    with LedgerSink() as sink:
        ledger = Ledger(make=a_mail)
        server, door = a_server_with_a_door(tmp_path / "data", sink, forks)
        while tally.kills < KILLS or time.monotonic() < end:
            start(server, door)
            with load(ledger, server.port, caller=lambda: SmtpCaller(door)):
                sink.wait_for(sink.copies.total() + dice.randrange(1, 40), timeout_s=2)
                time.sleep(dice.uniform(0.0, 0.05))
                server.kill()
            tally.kills += 1
        with server:
            call = Caller(server.port)
            release_suspects(call, ledger)
            call.close()
            found = account(ledger, sink, server.port, bound_s=BOUND_S)
            assert 0 == server.stop()
    tally.add(found)
    assert len(ledger.acknowledged) > tally.kills, "the load was too small to prove anything"
    found.check()


def a_failing_mail(number: int) -> dict[str, Any]:
    """Return a mail to nobody, with a sender of its own who wants to know."""
    return {**a_mail(1), "to": [f"gone{number}@example.net"], "sender": f"sender{number}@example.com"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_failure_is_reported_through_every_kill(tmp_path: Path, forks: ForkServer, tally: Tally) -> None:
    """Each sender of a mail that was taken and refused has one report, or copies that were declared."""
    dice = dice_of(tally)
    with LedgerSink(lambda to: b"550 5.1.1 no such user\r\n" if to.startswith("gone") else None) as sink:
        ledger = Ledger(make=a_failing_mail)
        server, door = a_server_with_a_door(tmp_path / "data", sink, forks)
        kills = 0
        while kills < REPORT_KILLS:
            start(server, door)
            with load(ledger, server.port, caller=lambda: SmtpCaller(door), senders=2, pause_s=0.02):
                sink.wait_for(sink.copies.total() + dice.randrange(1, 20), timeout_s=7)
                time.sleep(dice.uniform(0.0, 0.05))
                server.kill()
            kills += 1
        with server:
            call = Caller(server.port)
            release_suspects(call, ledger)
            release_reports(call)
            senders = {str(one.body["sender"]) for one in ledger.acknowledged}
            deadline = time.monotonic() + BOUND_S
            while senders - reported(sink).keys():
                assert time.monotonic() < deadline, sorted(senders - reported(sink).keys())[:5]
                time.sleep(0.05)
            copies = reported(sink)
            declared = {name: uncertain(call, name) for name, count in copies.items() if count > 1}
            call.close()
            assert 0 == server.stop()
    tally.kills += kills
    tally.acknowledged += len(senders)
    assert len(senders) > kills, "the load was too small to prove anything"
    assert {} == {name: copies[name] for name, times in declared.items() if copies[name] > 1 + times}


def release_reports(call: Caller) -> None:
    """Send again what waits longer than a test does: reports that were in work at a death."""
    for state in ("uncertain", "held"):
        status, page = call("GET", f"/v1/messages?tag=postroom-report&state={state}")
        assert 200 == status
        for one in page["messages"]:
            status, answer = call("POST", f"/v1/messages/{one['id']}/retry", {"confirm_duplicate": True})
            assert status in {200, 409}, answer


def reported(sink: LedgerSink) -> Counter[str]:
    """Return the copies of reports by the sender who got them."""
    with sink.arrived:
        found: Counter[str] = Counter()
        for (_, recipient), count in sink.copies.items():
            found[recipient] += count
        return found


def uncertain(call: Caller, recipient: str) -> int:
    """Return how many attempts at a recipient were declared uncertain."""
    status, page = call("GET", f"/v1/messages?recipient={recipient}")
    assert 200 == status
    views = [call("GET", f"/v1/messages/{one['id']}")[1] for one in page["messages"]]
    return sum(
        one["outcome"] == "uncertain"
        for view in views
        for recipient_ in view["recipients"]
        for one in recipient_["attempts"]
    )

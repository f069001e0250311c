"""A sender that hands in mail by SMTP hears by SMTP what could not be sent, from a started server."""

import email
import email.policy
import smtplib
import time
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from peers.fork_server import ForkServer
from peers.ledger_sink import Command, LedgerSink
from peers.postroom_process import KEY, PostroomProcess, free_port

pytestmark = pytest.mark.slow

WAIT_S = 30.0
HURRIED = ForkServer(speed=10.0)
"""What is to be reported is looked for every five seconds."""
SENDER = "billing@example.com"
MAIL = (
    b"From: app@example.com\r\nTo: gone@example.org\r\nSubject: Invoice 17\r\n"
    b"Message-ID: <invoice-17@example.com>\r\nContent-Language: fr\r\n\r\nDear customer\r\n"
)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def refuses(address: str) -> bytes | None:
    return b"550 5.1.1 no such user\r\n" if address.startswith("gone") else None


def settings(data: Path, sink: LedgerSink, text: str = "") -> tuple[str, ...]:
    path = data.parent / "postroom.toml"
    path.write_text(
        f'{text}[[transports]]\nname = "main"\nurl = "smtp://127.0.0.1:{sink.port}"\n'
        '[reports]\nname = "mail.example.com"\n',
        "utf-8",
    )
    return ("--config", str(path))


def test_a_refusal_comes_back_to_the_reverse_path(tmp_path: Path) -> None:
    """Of two recipients one is refused: the sender gets one report, from <>, and no other mail follows."""
    said: list[str] = []

    def heard(command: Command) -> None:
        if command.verb in {"MAIL", "RCPT"}:
            said.append(f"{command.verb} {command.argument.split()[0]}")

    door = free_port()
    with LedgerSink(refuses, script=heard) as sink:
        sink.keep_bodies = True
        args = (*settings(tmp_path / "data", sink), "--smtp", f"127.0.0.1:{door}")
        with PostroomProcess(tmp_path / "data", args=args, forks=HURRIED) as server:
            with smtplib.SMTP("127.0.0.1", door) as client:
                client.login("anybody", KEY)
                client.mail(SENDER, ["RET=FULL", "ENVID=QQ314159"])
                wishes = ["NOTIFY=FAILURE", "ORCPT=rfc822;list@example.net"]
                assert 250 == client.rcpt("gone@example.org", wishes)[0]
                assert 250 == client.rcpt("ok@example.org", ["NOTIFY=NEVER"])[0]
                assert 250 == client.data(MAIL)[0]
            assert sink.wait_for(2, timeout_s=WAIT_S)
            status, counted = server.call("GET", "/v1/events?kinds=message.reported")
            assert 200 == status
    (body,) = [one for one in sink.bodies.values() if b"auto-replied" in one]
    report = email.message_from_bytes(body, policy=email.policy.default)
    assert isinstance(report, EmailMessage)
    parts: list[Any] = list(report.iter_parts())
    person, machine, returned = parts
    whole, recipient = machine.get_payload()

    assert ["MAIL FROM:<>", f"RCPT {SENDER}"] == said[-2:]
    assert (SENDER, "auto-replied") == (report["To"], report["Auto-Submitted"])
    assert "Le message n'a pas pu être envoyé : Invoice 17" == report["Subject"]
    assert "550 5.1.1 no such user" in person.get_content()
    assert ("QQ314159", "dns; mail.example.com") == (whole["Original-Envelope-Id"], whole["Reporting-MTA"])
    assert ("failed", "5.1.1") == (recipient["Action"], recipient["Status"])
    assert "rfc822; list@example.net" == recipient["Original-Recipient"]
    assert b"Dear customer" in returned.get_payload(0).as_bytes()
    assert 1 == len(counted["events"]), counted


def test_a_report_that_is_refused_ends_there(tmp_path: Path) -> None:
    """The sender's own address does not exist: the report fails, a line of the log says so, no more."""
    door = free_port()
    with LedgerSink(lambda _: b"550 5.1.1 no such user\r\n") as sink:
        args = (*settings(tmp_path / "data", sink), "--smtp", f"127.0.0.1:{door}")
        with PostroomProcess(tmp_path / "data", args=args, forks=HURRIED) as server:
            with smtplib.SMTP("127.0.0.1", door) as client:
                client.login("anybody", KEY)
                client.sendmail(SENDER, ["gone@example.org"], MAIL)
            until(lambda: "a report did not arrive" in server.log.read_text("utf-8"))
            status, listed = server.call("GET", "/v1/messages")
            assert 200 == status
    assert 2 == len(listed["messages"])
    assert {"gone@example.org": ["550"], SENDER: ["550"]} == dict(sink.replies)

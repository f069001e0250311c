"""The real servers of the test suite do what the tests rely on."""

import os
import smtplib
import time
from collections.abc import Callable
from email.message import EmailMessage

import pytest

from peers import postfix, sink

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="an own Postfix needs root")


def send(port: int, *, to: str) -> None:
    mail = EmailMessage()
    mail["From"] = "sender@example.com"
    mail["To"] = to
    mail["Subject"] = "A smoke test"
    mail.set_content("Through Postfix.\n")
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.send_message(mail)


def wait_until(is_done: Callable[[], bool], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline, "the deadline passed"
        time.sleep(0.02)


@pytest.mark.postfix
def test_the_sink_counts_every_message() -> None:
    """``smtp-sink`` counts each message once, however many share a connection."""
    with sink.running() as target:
        assert target.received() == 0
        with smtplib.SMTP("127.0.0.1", target.port, timeout=20) as client:
            for _ in range(3):
                client.sendmail("sender@example.com", ["one@example.org"], b"Subject: x\r\n\r\nx\r\n")
        wait_until(lambda: target.received() == 3)


@needs_root
@pytest.mark.postfix
@pytest.mark.parametrize("settings", [postfix.STOCK, postfix.TUNED], ids=["stock", "tuned"])
def test_postfix_relays_to_the_sink(settings: dict[str, str]) -> None:
    """Our own Postfix takes a mail, relays it to the next server and has an empty queue afterwards."""
    with sink.running() as target, postfix.running(relay_to=target.port, settings=settings) as relay:
        send(relay.port, to="one@example.org")
        wait_until(lambda: target.received() == 1)
        wait_until(lambda: relay.queued() == 0)
        assert "status=sent (250 2.0.0 Ok)" in relay.log
    assert not relay.directory.exists()


@needs_root
@pytest.mark.postfix
def test_postfix_discards_without_a_next_server() -> None:
    """Without a next server mail is queued and thrown away, and nothing leaves the machine."""
    with postfix.running(relay_to=None) as relay:
        send(relay.port, to="one@example.org")
        wait_until(lambda: "status=sent" in relay.log)
        assert "relay=none" in relay.log

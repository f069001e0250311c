"""A server that dies between the end of a mail and its 250: what it promised is there, whenever it dies."""

import random
import smtplib
import threading
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest

from peers.fork_server import ForkServer
from peers.postroom_process import KEY, PostroomProcess, free_port

ROUNDS = 3
CLIENTS = 4


def mails(port: int, promised: list[str], seen: threading.Event, enough: int) -> None:
    """Hand in one mail after the other until the server is gone; keep each id that a 250 named."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = "app@example.com", "someone@example.org", "Hi"
    message.set_content("Hello\n" * 200)
    content = message.as_bytes()
    with suppress(OSError, smtplib.SMTPException), smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.login("app", KEY)
        while True:
            client.mail("app@example.com")
            client.rcpt("someone@example.org")
            code, text = client.data(content)
            if code != 250:
                return
            promised.append(text.decode().split()[3].rstrip(";"))
            if len(promised) >= enough:
                seen.set()


@pytest.mark.slow
def test_what_was_promised_is_there_after_a_kill(tmp_path: Path) -> None:
    """Killed while clients hand in, the next start has every mail whose 250 was read."""
    dice = random.Random(20260101)
    smtp = free_port()
    total = 0
    with ForkServer() as forks:
        server = PostroomProcess(tmp_path / "data", args=("--smtp", f"127.0.0.1:{smtp}"), forks=forks)
        for _ in range(ROUNDS):
            total += one_death(server, smtp, dice.randrange(20, 60))
    assert total >= ROUNDS * 20


def one_death(server: PostroomProcess, smtp: int, enough: int) -> int:
    """Kill the server after so many promises; return how many it made, all of them kept."""
    promised: list[str] = []
    seen = threading.Event()
    server.start()
    clients = [threading.Thread(target=mails, args=(smtp, promised, seen, enough)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    assert seen.wait(30)
    server.kill()
    for client in clients:
        client.join(30)
    with server:
        lost = [one for one in promised if server.call("GET", f"/v1/messages/{one}")[0] != 200]
        assert [] == lost
        server.stop()
    return len(promised)


@pytest.mark.slow
def test_a_stop_answers_what_is_under_way(tmp_path: Path) -> None:
    """SIGTERM under load: every client reads 250 for what is stored, or 421; none is cut without a word."""
    smtp = free_port()
    ends: list[int] = []
    promised: list[str] = []
    seen = threading.Event()

    def client() -> None:
        with suppress(OSError), smtplib.SMTP("127.0.0.1", smtp, timeout=20) as one:
            one.login("app", KEY)
            while True:
                for command in ("MAIL FROM:<app@example.com>", "RCPT TO:<someone@example.org>"):
                    code, text = one.docmd(command)
                    if code != 250:
                        ends.append(code)
                        return
                code, text = one.data(b"From: app@example.com\r\nSubject: x\r\n\r\nHello\r\n")
                if code != 250:
                    ends.append(code)
                    return
                promised.append(text.decode().split()[3].rstrip(";"))
                if len(promised) > 20:
                    seen.set()

    with PostroomProcess(tmp_path / "data", args=("--smtp", f"127.0.0.1:{smtp}")) as server:
        clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
        for one in clients:
            one.start()
        assert seen.wait(30)
        assert 0 == server.stop()
        for one in clients:
            one.join(30)
    with server:
        lost = [one for one in promised if server.call("GET", f"/v1/messages/{one}")[0] != 200]
    assert [] == lost
    assert set(ends) <= {421}

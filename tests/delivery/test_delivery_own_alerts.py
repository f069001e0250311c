"""Postroom's own alerts in the real program: each condition is real, and a working account tells of it."""

import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from peers.fork_server import ForkServer
from peers.ledger_sink import LedgerSink, Say, Then
from peers.postroom_process import PostroomProcess, free_port

pytestmark = pytest.mark.slow

SPEED = 20.0
"""Seconds that pass for the program in one: a code has waited for too long after two minutes."""
SAID = {
    b"Nothing is sent by locked": "the login is refused",
    b"The quota of scarce is nearly used up": "nine of ten mails of a day",
    b"Mail of class code waits for too long": "no way for it",
    b"Uncertain mail waits for a person": "the connection broke after the last byte",
    b"A certificate of ours ends at": "tomorrow",
    b"The disk gets full": "less than twice the reserve is free",
}


def test_each_condition_is_told_by_the_account_that_works(tmp_path: Path) -> None:
    """A refused login, a quota, mail that waits, uncertain mail, a certificate and the disk."""
    issued = trustme.CA().issue_cert("mail.example.com", not_after=datetime.now(UTC) + timedelta(days=1))
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    with LedgerSink() as works, LedgerSink() as locked, LedgerSink() as scarce, LedgerSink() as breaks:
        works.keep_bodies = True
        locked.script = lambda command: (
            Say(b"535 5.7.8 authentication failed\r\n", Then.CLOSE) if command.verb == "AUTH" else None
        )
        locked.usual["EHLO"] = b"250-sink.example.net\r\n250 AUTH PLAIN LOGIN\r\n"
        breaks.script = lambda command: Say(b"", Then.CLOSE) if command.verb == "." else None
        names = {"works": works, "locked": locked, "scarce": scarce, "breaks": breaks}
        lines = ['from = "app@example.com"', "uncertain_alarm = 5"]
        for name, sink in names.items():
            user = "app%40example.com:wrong@" if sink is locked else ""
            lines += [f'[[transports]]\nname = "{name}"\nurl = "smtp://{user}127.0.0.1:{sink.port}"']
            lines += ['rate = "10/d"'] if sink is scarce else []
        lines += [f'[[routes]]\ntag = "{name}"\nto = "{name}"' for name in names if name != "works"]
        lines += ['[[routes]]\nto = "works"', "[alerts]\nreceivers = ['ops@example.com']"]
        lines += [f"[disk]\nreserve = {int(shutil.disk_usage(tmp_path).free * 0.7)}"]
        lines += [f'[smtp]\nlisten = ["127.0.0.1:{free_port()}"]']
        lines += [f'tls_cert = "{tmp_path}/cert.pem"\ntls_key = "{tmp_path}/key.pem"']
        (tmp_path / "postroom.toml").write_text("\n".join(lines))
        args = ("--config", str(tmp_path / "postroom.toml"))
        mail = {"to": "x@example.org", "subject": "Hello", "text": "Hello"}
        with (
            ForkServer(speed=SPEED) as hurried,
            PostroomProcess(tmp_path / "data", args=args, forks=hurried) as server,
        ):
            for tag, count in (("locked", 1), ("scarce", 9), ("breaks", 1)):
                for _ in range(count):
                    body = {**mail, "tags": [tag], "class": "code"}
                    assert 202 == server.call("POST", "/v1/messages", body)[0]
            deadline = time.monotonic() + 30
            while missing := {said for said in SAID if not any(said in one for one in works.bodies.values())}:
                assert time.monotonic() < deadline, missing
                time.sleep(0.05)
        assert {"ops@example.com"} == {address for _, address in works.copies}
        assert (9, 0) == (scarce.copies.total(), locked.copies.total())

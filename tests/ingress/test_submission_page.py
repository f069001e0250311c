"""The page about the SMTP door: its examples work and its tables are whole."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from peers.postroom_process import KEY, PostroomProcess, free_port
from postroom.ingress.submission import answers

PAGE = (Path(__file__).resolve().parents[2] / "docs/smtp.md").read_text()


def example(kind: str, containing: str) -> str:
    """Return the one code block of this kind with this text."""
    (found,) = [code for code in re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) if containing in code]
    return str(found)


@pytest.mark.slow
def test_the_examples_work(tmp_path: Path) -> None:
    """The Python program and the curl line hand a mail in, as they stand but for host and port."""
    port = free_port()
    data = tmp_path / "data"
    (tmp_path / "mail.eml").write_bytes(b"From: app@example.com\r\nSubject: Curl\r\n\r\nHello\r\n")
    with PostroomProcess(data, args=("--smtp", f"127.0.0.1:{port}")) as server:
        authority = str(data / "authority.pem")
        environ = {**os.environ, "POSTROOM_API_KEY": KEY, "SSL_CERT_FILE": authority}
        program = example("python", "smtplib").replace('"mail.example.com", 587', f'"localhost", {port}')
        line = example("sh", "curl").replace("mail.example.com:587", f"localhost:{port}")
        for command in (
            [sys.executable, "-c", program],
            ["sh", "-c", line.replace("/etc/ssl/postroom.pem", authority)],
        ):
            done = subprocess.run(
                command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
            )
            assert 0 == done.returncode, done.stderr
        _, page = server.call("GET", "/v1/messages")
    assert {"Hello", "Curl"} == {one["subject"] for one in page["messages"]}


@pytest.mark.parametrize(
    "name", ["SHUTTING_DOWN", "TOO_MANY_SESSIONS", "BUSY", "KEY_GONE", "SLOW_COMMAND", "SLOW_CONTENT"]
)
def test_replies_are_on_the_page(name: str) -> None:
    """Each reply of the door itself has its row."""
    reply = getattr(answers, name)
    assert f"| {reply.code} {reply.enhanced} " in PAGE

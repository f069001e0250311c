"""The figures that the SMTP door promises, measured as the benchmark does, with bounds for a busy machine."""

from pathlib import Path

import pytest
from bench.work import Work

from bench import smtp_in
from peers import postfix

pytestmark = [
    pytest.mark.slow,
    pytest.mark.postfix,
    pytest.mark.skipif(not postfix.is_available(), reason="needs root and Debian's postfix"),
]


def work(directory: Path) -> Work:
    return Work(messages=100, warm_up=50, rounds=1, open_loop_s=1, connections_out=4, directory=directory)


def test_a_large_mail_takes_little_memory(tmp_path: Path) -> None:
    """25 MB come in and go out while all processes together grow by less than 30 MB."""
    found = smtp_in.measure_large(work(tmp_path))
    assert found.content_bytes > 24_900_000
    assert found.growth_mb < 30


def test_many_sessions_are_open(tmp_path: Path) -> None:
    """1,024 sessions are open at once, and the last of them hands in a mail."""
    found = smtp_in.measure_sessions(work(tmp_path))
    assert 1024 == found.opened
    assert found.mail_ms < 5000

"""The log: one valid line a record, the ids of its task, no secrets, and nobody waits for its reader."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from select import PIPE_BUF
from urllib.parse import quote

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from postroom.telemetry import configure_logging, context, logger, redaction
from postroom.telemetry.catalogue import LOG_DROPPED
from postroom.telemetry.logs import access
from postroom.telemetry.redaction import conceal, redacted
from postroom.telemetry.sink import Sink, whole_lines

PASSWORD = 'correct "horse" \\ bättery'
NASTY = "a\r\nINFO forged\x1b[2J\x00\u2028\u202ereversed\ud800"


class Lines(Sink):
    """Keeps what would be written."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.lines: list[str] = []

    def write(self, record: str) -> None:
        self.lines.append(record)


@contextmanager
def recording(*, json: bool) -> Iterator[list[str]]:
    """Log into a list; afterwards everything is as it was."""
    before, forms = structlog.get_config(), dict(redaction._forms)
    sink = Lines()
    try:
        configure_logging(json=json, sink=sink)
        yield sink.lines
    finally:
        structlog.configure(**before)
        access.use(None)
        redaction._forms.clear()
        redaction._forms.update(forms)


@pytest.mark.parametrize("is_json", [True, False])
def test_each_record_is_one_line_whatever_it_holds(is_json: bool) -> None:
    """Line ends, escapes, NUL, separators, bidi and lone surrogates of a peer make no second line."""
    with recording(json=is_json) as lines:
        logger("egress").warning(NASTY, text=NASTY, error=ValueError(NASTY), **{"a b": NASTY})

    (line,) = lines
    assert line.isprintable()
    assert 1 == len(line.splitlines())
    if is_json:
        assert NASTY == json.loads(line)["text"]


@given(st.text(), st.recursive(st.none() | st.text() | st.floats(), st.lists, max_leaves=4))
def test_any_value_is_valid_json(event: str, value: object) -> None:
    """In JSON mode every record is one JSON object, whatever was logged."""
    with recording(json=True) as lines:
        logger("engine").info(event, value=value, thing=object(), raw=b"\xff")

    (line,) = lines
    assert event == json.loads(line)["event"]
    assert {"part", "level", "timestamp", "value"} <= json.loads(line).keys()


@pytest.mark.parametrize("is_json", [True, False])
def test_an_exception_stays_in_its_record(is_json: bool) -> None:
    """A trace is part of the one line of its record: its type, its text and where it came from."""
    with recording(json=is_json) as lines:
        try:
            int("disk\ncanary")
        except ValueError:
            logger("engine").exception("failed")
        logger("engine").error("failed", exc_info=KeyError("given"))

    assert 2 == len(lines)
    assert "ValueError" in lines[0]
    assert "canary" in lines[0]
    assert "test_telemetry_log.py" in lines[0]
    assert "KeyError" in lines[1]


def test_a_value_that_holds_itself_is_still_a_record() -> None:
    """Nothing that is logged can make logging fail."""
    endless: list[object] = []
    endless.append(endless)
    with recording(json=True) as lines:
        logger("engine").info("odd", endless=endless)

    assert "odd" in json.loads(lines[0])["event"]


@pytest.mark.parametrize("is_json", [True, False])
def test_a_secret_is_masked_in_every_form(is_json: bool) -> None:
    """The password of a transport is written neither raw, nor escaped, nor in base64, nor in a URL."""
    coded = __import__("base64").b64encode(PASSWORD.encode()).decode()
    with recording(json=is_json) as lines:
        conceal(PASSWORD, "tiny")
        try:
            int(PASSWORD)
        except ValueError:
            logger("smtp").exception(PASSWORD, text=[PASSWORD], sent=f"334 {coded}", url=quote(PASSWORD))
        logger("smtp").info("tiny things stay", password="tiny", api_key="k", author="ann")

    told = "".join(lines)
    for form in (PASSWORD, json.dumps(PASSWORD)[1:-1], coded, quote(PASSWORD), "horse"):
        assert form not in told
    assert "tiny things stay" in told
    assert "ann" in told
    assert 2 == lines[1].count("*****")


@pytest.mark.parametrize(
    "text",
    [
        "smtps://app@example.com:hunter2hunter2@smtp.example.com:465 failed",
        "http://user:hunter2hunter2@proxy.example.com/path",
        "Authorization: Bearer hunter2hunter2",
        "AUTH PLAIN hunter2hunter2==",
        "key pr_hunter2hunter2hunter2 is unknown",
        "whsec_hunter2hunter2hunter2",
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    """Passwords in URLs, Bearer tokens, logins and keys of ours need not be told before."""
    assert "hunter2" not in redacted(text)
    assert "*****" in redacted(text)


@pytest.mark.parametrize(
    "text", ["a@example.com at 10:20:30", "http://[::1]:8587/v1 and a@example.com", "basic idea", "1:2@3"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Addresses, times and ports are not taken for passwords."""
    assert text == redacted(text)


def test_a_record_names_what_it_belongs_to() -> None:
    """Request, message and attempt of the task stand in its records, and in no other task's."""

    async def attempt() -> None:
        context.REQUEST.set(0x2F)
        context.MESSAGE.set("m1")
        context.ATTEMPT.set(7)
        logger("egress").info("inside")

    async def run() -> None:
        await asyncio.create_task(attempt())
        logger("engine").info("outside", message_id="given")

    with recording(json=True) as lines:
        asyncio.run(run())

    inside, outside = map(json.loads, lines)
    assert inside["request"].endswith("-2f")
    assert ("m1", 7) == (inside["message_id"], inside["attempt"])
    assert "given" == outside["message_id"]
    assert outside.keys().isdisjoint({"request", "attempt"})


def test_a_reader_that_stops_costs_records_and_no_time() -> None:
    """With a full pipe nobody waits; what is dropped is counted, and told when the reader is back."""
    reading, writing = os.pipe()
    sink = Sink(writing, max_records=100)
    before, began = LOG_DROPPED.value(), time.monotonic()
    for number in range(10_000):
        sink.write(f"{number} " + "x" * 2000)  # what is kept is more than a pipe holds
    assert time.monotonic() - began < 20
    dropped = LOG_DROPPED.value() - before
    assert dropped > 9000
    assert not sink.flush(0.01)

    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.extend(iter(lambda: os.read(reading, 65536), b"")))
    reader.start()
    assert sink.flush(10)
    sink.write("the last one")
    assert sink.flush(10)
    os.close(writing)
    reader.join(10)
    os.close(reading)
    lines = b"".join(got).decode().splitlines()
    assert "the last one" in lines
    assert int(dropped) == sum(json.loads(line)["count"] for line in lines if "records dropped" in line)
    assert 10_000 - int(dropped) == sum(line.endswith("xxx") for line in lines)


def test_what_was_logged_last_is_written_before_the_end() -> None:
    """A program that logs and ends leaves nothing behind, and one whose log is closed ends all the same."""
    program = (
        "from postroom.telemetry import configure_logging, logger\n"
        "configure_logging(json=True)\n"
        "for number in range(500): logger('test').info('record', number=number)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert list(range(500)) == [json.loads(line)["number"] for line in ended.stderr.splitlines()]
    closed = subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -c "$0" 2>&-', program], timeout=30, check=False
    )
    assert 0 == closed.returncode


def test_access_records_are_for_machines_only() -> None:
    """One record for each request in JSON mode, none for people."""
    with recording(json=False) as lines:
        assert not access.is_on
        access.record({"path": "/v1/messages"}, status=200, now=0)
    assert [] == lines
    with recording(json=True) as lines:
        assert access.is_on
        access.record({"path": "/a\nb"}, status=202, now=0)
    assert {
        "event": "request",
        "path": "/a\nb",
        "status": 202,
        "part": "http",
        "level": "info",
    }.items() <= json.loads(lines[0]).items()


def test_refused_requests_cannot_fill_the_log() -> None:
    """Ten a second have a record, the next one says how many had none, and good requests all have theirs."""
    with recording(json=True) as lines:
        for number in range(50):
            access.record({"path": "/"}, status=404, now=7.5)
            if number % 10 == 0:
                access.record({"path": "/good"}, status=202, now=7.5)
        access.record({"path": "/"}, status=404, now=8.0)

    records = list(map(json.loads, lines))
    assert 5 == sum(record["status"] == 202 for record in records)
    assert 11 == sum(record["status"] == 404 for record in records)
    assert 40 == sum(record.get("left_out", 0) for record in records)


@given(st.lists(st.text(st.characters(exclude_characters="\n"), max_size=3000), max_size=20))
def test_records_are_written_whole(records: list[str]) -> None:
    """No piece that is written ends inside of a record, and small records are not written one by one."""
    pieces = list(whole_lines(records))

    whole = "".join(f"{record}\n" for record in records).encode("utf-8", "backslashreplace")
    assert whole == b"".join(pieces)
    ends = set(
        itertools.accumulate(len(record.encode("utf-8", "backslashreplace")) + 1 for record in records)
    )
    assert set(itertools.accumulate(map(len, pieces))) <= ends
    for first, second in itertools.pairwise(pieces):
        assert len(first) <= PIPE_BUF or b"\n" not in first[:-1]
        assert len(first) + len(second) > PIPE_BUF

"""How long one message waits: alone on an idle server, and as a one-time code beside a long queue of bulk."""

import asyncio
import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

from bench.load import Target
from bench.postroom import serving
from bench.watched import watching
from bench.work import Work
from postroom.clock import SystemClock, SystemDice
from postroom.engine import freezing
from postroom.model.address import parse_mailbox
from postroom.model.ids import new_message_id
from postroom.model.message import MailClass, Submission
from postroom.policy.retry import CLASS_RULES
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import open_sqlite

IDLE_MESSAGES = 200
IDLE_GAP_S = 0.05
CODES = 100
CODE_GAP_S = 0.1
SINK_DELAY_S = 0.02
"""What a final dot costs at the sink while bulk is sent: a provider that takes its time."""
FILL_CHUNK = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """Milliseconds from the beginning of the request to the first command of the message at the sink."""

    count: int
    queued: int
    """Bulk messages that waited when it began."""
    p50_ms: float
    p99_ms: float
    max_ms: float


def measure_idle(work: Work) -> Waited:
    """Send one message after the other, each with nothing else to do."""
    with watching() as sink, serving(work, sink.port) as server:
        spans = []
        for number in range(IDLE_MESSAGES):
            began = time.perf_counter()
            address = f"idle-{number}@example.org"
            _submit(server.target, address, "transactional")
            spans.append(sink.wait_for(address, timeout_s=10) - began)
            time.sleep(IDLE_GAP_S)
    return waited(spans[1:], queued=0)  # the first also opens the connection and loads the last modules


def measure_code(work: Work, queued: int) -> Waited:
    """Fill the queue with bulk before the start, then send one-time codes while it is worked off."""
    with (
        watching(delay_s=SINK_DELAY_S) as sink,
        serving(work, sink.port, before=lambda data: _fill(data, queued)) as server,
    ):
        sink.wait_for("bulk@example.org", timeout_s=60)
        spans = []
        for number in range(CODES):
            began = time.perf_counter()
            address = f"code-{number}@example.org"
            _submit(server.target, address, "code")
            spans.append(sink.wait_for(address, timeout_s=60) - began)
            time.sleep(CODE_GAP_S)
    return waited(spans, queued=queued)


def _submit(target: Target, address: str, mail_class: str) -> None:
    body = {
        "from": "bench@example.com",
        "to": address,
        "subject": "Benchmark",
        "text": "Waiting for nobody.",
        "class": mail_class,
    }
    headers = {"Authorization": f"Bearer {target.key}", "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{target.port}/v1/messages"
    with urlopen(Request(url, json.dumps(body).encode(), headers), timeout=30) as answer:
        answer.read()


def _fill(data: Path, count: int) -> None:
    """Store bulk messages as a server would have, many times faster than over HTTP."""
    asyncio.run(_store(data, count))


async def _store(data: Path, count: int) -> None:
    clock, dice = SystemClock(), SystemDice()
    sending = freezing.Sending(transport="sink", default_from=None, account=None)
    pattern = freezing.freeze(
        Submission(
            from_=parse_mailbox("bench@example.com"),
            to=(parse_mailbox("bulk@example.org"),),
            subject="Benchmark",
            text="One of very many.",
            mail_class=MailClass.BULK,
        ),
        sending=sending,
        rules=CLASS_RULES[MailClass.BULK],
        id_domain=None,
        now=datetime.now(UTC) - timedelta(minutes=5),
        entropy=dice.token(freezing.FREEZE_BYTES),
    )
    store = open_sqlite(data, settings=SpoolSettings(), clock=clock)
    try:
        for first in range(0, count, FILL_CHUNK):
            await asyncio.gather(
                *[
                    store.spool.accept(
                        dataclasses.replace(pattern, id=new_message_id(pattern.created_at, dice.token(20))),
                        transport="sink",
                    )
                    for _ in range(first, min(first + FILL_CHUNK, count))
                ]
            )
    finally:
        await store.close()


def waited(spans: Sequence[float], *, queued: int) -> Waited:
    """Return the figures of spans in seconds."""
    ordered = sorted(spans)
    return Waited(
        count=len(ordered),
        queued=queued,
        p50_ms=ordered[len(ordered) // 2] * 1000,
        p99_ms=ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1000,
        max_ms=ordered[-1] * 1000,
    )

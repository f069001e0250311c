"""Alerts: how many reports are accepted, what many active ones take, how soon a critical one is told.

Reports come in requests of 50 over kept connections, as a relay of a monitoring system sends them. Each is
about one of many objects, so most of them are repeats of an alert that is active.
"""

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from urllib.request import Request, urlopen

from bench import load, usage
from bench.postroom import Server, serving
from bench.report import Bar
from bench.waiting import Waited, waited
from bench.watched import Watched, watching
from bench.work import CONNECTIONS_IN, Work, json_body
from postroom.clock import SystemClock
from postroom.model.alert import AlertState, NewAlertEvent
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import open_sqlite

BAR_ACCEPTED_S = 5_000
BAR_GROWTH_MB = 20.0
BAR_MAIL_MS = 1_000.0
IN_REQUEST = 50
LEAST_EVENTS = 20_000
"""Of a round: some seconds."""
OBJECTS = 1_000
"""Alerts that the reports of the first part are about."""
ACTIVE = 100_000
EARLY_UPDATES = 10_000
FILLED = 95_000
"""Reports that wait before the start: fewer than are refused."""
QUEUED = 10_000
"""That wait at least before a critical one."""
CRITICAL = 100
AT_ONCE = 200
"""Requests between two waits: reports of ten thousand."""
MAILS_S = 50
"""Mails a second beside the flood."""
FLOOD_CONNECTIONS = 16
SETTLED_S = 3.0
"""How long a store without work takes to tidy up."""
_SETTINGS = '[alerts]\nreceivers = ["ops@example.org"]\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Reports in requests of ``IN_REQUEST``, durable before the answer."""

    events: int
    accepted_s: float
    """A second, the median round."""
    looked_at_s: float
    """A second, from the first request until nothing waits to be looked at."""
    cpu_us: float
    """Of all processes for one report: accepted, looked at, stored."""
    request_p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Memory of all processes in megabytes, with ``active`` alerts."""

    active: int
    updates: int
    empty_mb: float
    early_mb: float
    """After a tenth of the updates."""
    late_mb: float
    disk_mb: float
    """Of the store in the end: alerts, reports and decisions, which go with their retention."""

    @property
    def growth_mb(self) -> float:
        """Return what the updates took."""
        return self.late_mb - self.early_mb


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """How long mails wait to be accepted, alone and beside ``BAR_ACCEPTED_S`` reports a second."""

    mails: int
    alone_p50_ms: float
    alone_p99_ms: float
    flooded_p50_ms: float
    flooded_p99_ms: float
    reported_s: float
    """Reports a second that were really accepted."""
    waiting: int
    """Reports that were not looked at when the flood ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """Everything."""

    accepted: Accepted
    growth: Growth
    mail: Waited
    """From the request with a critical event to the mail's recipient at the sink."""
    beside: Beside


def measure(work: Work, *, active: int = ACTIVE) -> Alerts:
    """Measure everything."""
    return Alerts(
        accepted=_measure_accepted(work),
        growth=_measure_growth(work, active),
        mail=_measure_mail(work),
        beside=_measure_beside(work),
    )


def _measure_accepted(work: Work) -> Accepted:
    bodies = _bodies(OBJECTS)
    requests = max(work.messages, LEAST_EVENTS) // IN_REQUEST
    rates, spans, latencies = [], [], []
    with _alerted(work) as (server, _):
        _send(server, *bodies, requests=len(bodies))
        cpu = usage.cpu_us(server.pid)
        for _ in range(work.rounds):
            seen = _send(server, *bodies, requests=requests)
            rates.append(requests * IN_REQUEST / (seen.ended - seen.began))
            spans.append(requests * IN_REQUEST / (time.perf_counter() - seen.began))
            latencies += seen.latencies_s
        events = work.rounds * requests * IN_REQUEST
        return Accepted(
            events=events,
            accepted_s=median(rates),
            looked_at_s=median(spans),
            cpu_us=(usage.cpu_us(server.pid) - cpu) / events,
            request_p99_ms=sorted(latencies)[int(len(latencies) * 0.99)] * 1000,
        )


def _measure_growth(work: Work, active: int) -> Growth:
    bodies = _bodies(active)
    early = min(EARLY_UPDATES, active // 10) // IN_REQUEST
    with _alerted(work) as (server, _):
        empty = usage.pss_mb(server.pid)
        _send_slowly(server, bodies)
        found = []
        for part in (bodies[:early], bodies[early:]):
            _send_slowly(server, part)
            time.sleep(SETTLED_S)
            found.append(usage.pss_mb(server.pid))
        disk_mb = sum(file.stat().st_size for file in server.store.rglob("*") if file.is_file()) / 1e6
    return Growth(
        active=active,
        updates=len(bodies) * IN_REQUEST,
        empty_mb=empty,
        early_mb=found[0],
        late_mb=found[1],
        disk_mb=disk_mb,
    )


def _measure_mail(work: Work) -> Waited:
    bodies = _bodies(OBJECTS)
    spans = []
    with _alerted(work, queued=FILLED) as (server, sink):
        for number in range(CRITICAL + 1):
            if _waiting(server) < 2 * QUEUED:
                _hand_in(server, *bodies, requests=QUEUED // IN_REQUEST)
            address = f"critical-{number}@example.org"
            event = {"key": f"critical-{number}", "severity": "critical", "receivers": [address]}
            began = time.perf_counter()
            _post(server, event)
            spans.append(sink.wait_for(address, timeout_s=60) - began)
        left = _waiting(server)
    return waited(spans[1:], queued=left)  # the first also starts the renderer and opens the connection


def _measure_beside(work: Work) -> Beside:
    bodies = _bodies(OBJECTS)
    floods: list[load.Result] = []

    def flood() -> None:
        floods.append(
            load.open_loop(
                server.target,
                *bodies,
                rate=BAR_ACCEPTED_S // IN_REQUEST,
                seconds=work.open_loop_s,
                connections=FLOOD_CONNECTIONS,
                path="/v1/alerts",
            )
        )

    with _alerted(work) as (server, _):
        _send(server, *bodies, requests=len(bodies))
        alone = _mails(server, work.open_loop_s)
        thread = threading.Thread(target=flood, name="flood")
        thread.start()
        flooded = _mails(server, work.open_loop_s)
        thread.join()
        left = _waiting(server)
    seen = floods[0]
    return Beside(
        mails=flooded.accepted,
        alone_p50_ms=alone.percentile_ms(0.5),
        alone_p99_ms=alone.percentile_ms(0.99),
        flooded_p50_ms=flooded.percentile_ms(0.5),
        flooded_p99_ms=flooded.percentile_ms(0.99),
        reported_s=seen.accepted * IN_REQUEST / (seen.ended - seen.began),
        waiting=left,
    )


def _mails(server: Server, seconds: float) -> load.Result:
    seen = load.open_loop(
        server.target, json_body(), rate=MAILS_S, seconds=seconds, connections=FLOOD_CONNECTIONS
    )
    if seen.accepted != len(seen.latencies_s):
        raise RuntimeError(f"not every mail was accepted: {seen.statuses}")
    return seen


@contextmanager
def _alerted(work: Work, *, queued: int = 0) -> Iterator[tuple[Server, Watched]]:
    with (
        watching() as sink,
        serving(
            work, sink.port, settings=_SETTINGS, before=lambda data: asyncio.run(_fill(data, queued))
        ) as server,
    ):
        yield server, sink


def _hand_in(server: Server, *bodies: bytes, requests: int) -> load.Result:
    seen = load.closed_loop(
        server.target, *bodies, count=requests, connections=CONNECTIONS_IN, path="/v1/alerts"
    )
    if seen.accepted != requests:
        raise RuntimeError(f"{seen.accepted} of {requests} requests were accepted: {seen.statuses}")
    return seen


def _send(server: Server, *bodies: bytes, requests: int) -> load.Result:
    """Send requests and wait until nothing waits to be looked at."""
    seen = _hand_in(server, *bodies, requests=requests)
    while _waiting(server):
        time.sleep(0.02)
    return seen


def _send_slowly(server: Server, bodies: Sequence[bytes]) -> None:
    """Send each body once, no more at a time than may wait."""
    for first in range(0, len(bodies), AT_ONCE):
        some = bodies[first : first + AT_ONCE]
        _send(server, *some, requests=len(some))


def _waiting(server: Server) -> int:
    """Return how many events were not looked at."""
    for line in _ask(server, "/metrics").decode().splitlines():
        if line.startswith("postroom_alert_events_waiting "):
            return int(float(line.split()[1]))
    raise RuntimeError("the metrics do not say how many alert events wait")


def _post(server: Server, event: Mapping[str, object]) -> None:
    _ask(server, "/v1/alerts", json.dumps(event).encode())


def _ask(server: Server, path: str, body: bytes | None = None) -> bytes:
    headers = {"Authorization": f"Bearer {server.target.key}", "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{server.target.port}{path}"
    with urlopen(Request(url, body, headers), timeout=30) as answer:
        content: bytes = answer.read()
    return content


def _bodies(objects: int) -> list[bytes]:
    """Return requests with one report of each object."""
    return [_body(range(first, first + IN_REQUEST)) for first in range(0, objects, IN_REQUEST)]


def _body(numbers: range) -> bytes:
    return json.dumps(
        {
            "alerts": [
                {
                    "key": f"lag-{number % 100}",
                    "severity": "error",
                    "source": f"agent-{number % 20}.example.net",
                    "object": f"task-{number}",
                    "title": "The task is behind its source",
                    "text": "91 % of the buffer are used, and it grows by 2 % an hour.",
                    "labels": {"team": f"team-{number % 7}", "region": "eu"},
                    "values": {"lag_s": number % 3600, "limit_s": 600},
                    "state": "firing",
                    "link": f"https://tasks.example.net/{number}",
                }
                for number in numbers
            ]
        }
    ).encode()


async def _fill(data: Path, count: int) -> None:
    """Store reports as a server would have, before it starts."""
    if not count:
        return
    store = open_sqlite(data, settings=SpoolSettings(), clock=SystemClock())
    try:
        pattern = [
            NewAlertEvent(key=f"lag-{number % 100}", object=f"task-{number}", state=AlertState.FIRING)
            for number in range(OBJECTS)
        ]
        for first in range(0, count, OBJECTS):
            events = pattern[: count - first]
            await store.alerts.add(events, at=datetime.now(UTC))
    finally:
        await store.close()


# ---------------------------------------------------------------------- for people


def alerts_lines(found: Alerts) -> str:
    """Return the figures."""
    accepted, growth, mail, beside = found.accepted, found.growth, found.mail, found.beside
    return (
        f"\nalerts: {accepted.events:,} reports in requests of {IN_REQUEST}: "
        f"{accepted.accepted_s:,.0f} /s accepted, {accepted.looked_at_s:,.0f} /s looked at, "
        f"{accepted.cpu_us:.0f} us CPU each, request p99 {accepted.request_p99_ms:.0f} ms\n"
        f"  {growth.active:,} active: {growth.empty_mb:.0f} MB empty, {growth.early_mb:.0f} MB after a tenth "
        f"of {growth.updates:,} updates, {growth.late_mb:.0f} MB after all; {growth.disk_mb:.0f} MB on disk\n"
        f"  a critical one to its mail, {mail.queued:,} reports and more before it: "
        f"p50 {mail.p50_ms:.0f} ms, p99 {mail.p99_ms:.0f} ms, worst {mail.max_ms:.0f} ms\n"
        f"  mails accepted at {MAILS_S} /s: alone p50 {beside.alone_p50_ms:.0f} ms, p99 "
        f"{beside.alone_p99_ms:.0f} ms; beside {beside.reported_s:,.0f} reports a second p50 "
        f"{beside.flooded_p50_ms:.0f} ms, p99 {beside.flooded_p99_ms:.0f} ms"
    )


def alerts_bars(found: Alerts | None) -> list[Bar]:
    """Return the bars of alerts."""
    if found is None:
        return []
    return [
        Bar(
            name="alert events",
            wanted=f"at least {BAR_ACCEPTED_S:,} /s",
            found=f"{found.accepted.accepted_s:,.0f} /s",
            is_met=found.accepted.accepted_s >= BAR_ACCEPTED_S,
        ),
        Bar(
            name="alerts, memory",
            wanted=f"under {BAR_GROWTH_MB:.0f} MB more",
            found=f"{found.growth.growth_mb:.1f} MB",
            is_met=found.growth.growth_mb < BAR_GROWTH_MB,
        ),
        Bar(
            name="critical alert",
            wanted=f"under {BAR_MAIL_MS:,.0f} ms",
            found=f"{found.mail.p99_ms:.0f} ms",
            is_met=found.mail.p99_ms < BAR_MAIL_MS,
        ),
    ]

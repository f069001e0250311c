"""Run everything, print it, keep it: ``make bench``, ``make bench BENCH="--quick"``."""

import argparse
import dataclasses
import json
import os
import shutil
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench import alerts, postfix, postroom, profile, report, smtp_in, templates, waiting, work
from bench.result import Peer
from peers.postfix import STOCK, TUNED, is_available

PARTS = (
    "postfix",
    "postroom",
    "smtp",
    "large",
    "sessions",
    "latency",
    "uploads",
    "idle",
    "codes",
    "templates",
    "alerts",
)
RESULTS = Path(".bench")


def main() -> int:
    """Return the exit code: 0 when every part ran, whatever the bars say."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that a stopped run ends its servers too
    options = _options()
    if "postfix" in options.parts and not is_available():
        print("Postfix is not measured: it needs root and Debian's postfix", file=sys.stderr)
        options.parts = [part for part in options.parts if part != "postfix"]
    directory = work.working_directory(options.directory)
    amount = work.Work(
        messages=options.messages,
        warm_up=max(200, options.messages // 20),
        rounds=options.rounds,
        open_loop_s=options.open_loop_seconds,
        connections_out=options.connections_out,
        directory=directory,
    )
    try:
        if options.profile:
            print(profile.sample(amount, RESULTS))
        else:
            _measure(options.parts, amount, queued=options.queued, active=options.alerts)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def _measure(parts: list[str], amount: work.Work, *, queued: int, active: int) -> None:
    machine = work.machine(amount.directory)
    for name, value in machine.items():
        print(f"{name}: {value}")
    print(
        f"work: {amount.messages} messages of {work.MESSAGE_BYTES} bytes, {amount.rounds} rounds, "
        f"{work.CONNECTIONS_IN} connections in, {amount.connections_out} out"
    )
    postfixes: list[Peer] = []
    if "postfix" in parts:
        postfixes.append(postfix.measure("Postfix, stock", STOCK, amount))
        postfixes.append(postfix.measure("Postfix, tuned", TUNED, amount))
    ours = postroom.measure(amount) if "postroom" in parts else None
    by_smtp = smtp_in.measure(amount) if "smtp" in parts else None
    peers = [*postfixes, *([ours] if ours else []), *([by_smtp] if by_smtp else [])]
    if peers:
        print(report.peers_table(peers))
        print(report.configurations(peers))
    large, sessions = _smtp(parts, amount)
    latency = postroom.measure_open_loop(amount) if "latency" in parts else None
    if latency:
        print("\n" + report.latency_line(latency))
    uploads = postroom.measure_uploads(amount) if "uploads" in parts else None
    if uploads:
        print(report.uploads_line(uploads))
    idle = waiting.measure_idle(amount) if "idle" in parts else None
    if idle:
        print(report.waited_line("idle", idle))
    code = waiting.measure_code(amount, queued) if "codes" in parts else None
    if code:
        print(report.waited_line("one-time codes", code))
    rendering = _templates(parts)
    told = _alerts(parts, amount, active)
    bars = [
        *report.bars(ours, postfixes, latency, uploads),
        *report.smtp_bars(by_smtp, postfixes, large, sessions),
        *report.waiting_bars(idle, code),
        *templates.templates_bars(rendering),
        *alerts.alerts_bars(told),
    ]
    print(report.bars_table(bars))
    if ours and postfixes:
        print(f"\ndelivered: {report.ratio(ours, postfixes):.1f} x Postfix")
    if by_smtp and postfixes:
        print(f"delivered, SMTP in to SMTP out: {report.ratio(by_smtp, postfixes):.1f} x Postfix")
    found: dict[str, object] = {
        "machine": machine,
        "peers": [peer.as_json() for peer in peers],
        "large": dataclasses.asdict(large) if large else None,
        "sessions": dataclasses.asdict(sessions) if sessions else None,
        "latency": dataclasses.asdict(latency) if latency else None,
        "uploads": dataclasses.asdict(uploads) if uploads else None,
        "idle": dataclasses.asdict(idle) if idle else None,
        "codes": dataclasses.asdict(code) if code else None,
        "templates": dataclasses.asdict(rendering) if rendering else None,
        "alerts": dataclasses.asdict(told) if told else None,
        "bars": [dataclasses.asdict(bar) for bar in bars],
    }
    print(f"kept in {_keep(found)}")


def _smtp(parts: list[str], amount: work.Work) -> tuple[smtp_in.LargeMail | None, smtp_in.Sessions | None]:
    """Measure the bounds of the SMTP door."""
    large = smtp_in.measure_large(amount) if "large" in parts else None
    if large:
        print("\n" + report.large_line(large))
    sessions = smtp_in.measure_sessions(amount) if "sessions" in parts else None
    if sessions:
        print(report.sessions_line(sessions))
    return large, sessions


def _templates(parts: list[str]) -> templates.Templates | None:
    """Measure mail from templates."""
    found = templates.measure() if "templates" in parts else None
    if found:
        print(templates.templates_lines(found))
    return found


def _alerts(parts: list[str], amount: work.Work, active: int) -> alerts.Alerts | None:
    """Measure alerts."""
    found = alerts.measure(amount, active=active) if "alerts" in parts else None
    if found:
        print(alerts.alerts_lines(found))
    return found


def _keep(found: dict[str, object]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return path


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure")
    parser.add_argument("--messages", type=int, default=20_000, help="messages a round (20000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each peer, the median counts (3)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="4000 messages, one round, 5 s of open loop, 20000 queued, 10000 alerts",
    )
    parser.add_argument("--open-loop-seconds", type=float, default=15.0, help="length of the open loop (15)")
    parser.add_argument(
        "--queued", type=int, default=100_000, help="bulk messages that wait beside the codes (100000)"
    )
    parser.add_argument(
        "--alerts", type=int, default=alerts.ACTIVE, help="active alerts whose memory is measured (100000)"
    )
    parser.add_argument(
        "--connections-out",
        type=int,
        default=work.CONNECTIONS_OUT,
        help="outgoing connections of each peer (20)",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(os.environ.get("BENCH_DIR", "/var/tmp")),  # noqa: S108 - a directory of its own is made in it
        help="where queues and data are kept, on a real file system (/var/tmp)",
    )
    parser.add_argument(
        "--profile", action="store_true", help="sample Postroom under load, show where time goes"
    )
    options = parser.parse_args()
    if options.quick:
        options.messages, options.rounds, options.open_loop_seconds = 4000, 1, 5.0
        options.queued = min(options.queued, 20_000)
        options.alerts = min(options.alerts, 10_000)
    return options


if __name__ == "__main__":
    sys.exit(main())

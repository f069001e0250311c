"""``postroom status`` without an id, for people: one word, the queue, the ways out, and what to do next."""

from collections.abc import Mapping
from typing import Any

from postroom.cli.show import say, say_wrapped
from postroom.cli.transports import show_transport

_STYLES = {"ready": "green", "degraded": "yellow", "not-ready": "red"}


def show_status(status: Mapping[str, Any]) -> None:
    """Print how everything stands."""
    word = str(status["status"])
    say(word.replace("-", " "), style=_STYLES.get(word, ""))
    say(f"  postroom {status['version']}, mode {status['mode']}, up {span(status['uptime_s'])}")
    say("  store:", status["durability"])
    for problem in status["problems"]:
        say("  problem:", problem, style="yellow")
    _show_queue(status)
    _show_alerts(status["alerts"])
    if store := status["store"]:
        say(f"disk: {size(store['disk_free'])} free, {size(store['disk_reserve'])} kept in reserve")
    for transport in status["transports"]:
        show_transport(transport)
    for number, advice in enumerate(status["next"]):
        say("next:" if number == 0 else "then:", advice["text"], style="bold")
        say("   ", advice["command"])


def _show_queue(status: Mapping[str, Any]) -> None:
    counts = status["counts"]
    said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    say("recipients:", said or "none yet")
    if status["oldest_open_at"]:
        say("  oldest that is not finished: accepted", status["oldest_open_at"])
    for mail_class, due_at in status["oldest_due_at"].items():
        say(f"  {mail_class}: the first is due {due_at}")
    uncertain = status["uncertain"]
    if uncertain["recipients"]:
        text = f"uncertain: {uncertain['recipients']}, the oldest accepted {uncertain['oldest_accepted_at']}"
        say_wrapped(text, indent="  ")


def _show_alerts(alerts: Mapping[str, Any] | None) -> None:
    if alerts is None:
        return
    say(f"alerts: {alerts['active']} active")
    if alerts["events_waiting"]:
        say(f"  {alerts['events_waiting']} events were not looked at yet", style="yellow")
    if alerts["letters_waiting"]:
        oldest = alerts["oldest_letter_at"]
        say_wrapped(f"{alerts['letters_waiting']} letters wait, the oldest since {oldest}", indent="  ")


def span(seconds: float) -> str:
    """Write a time for people: its two largest units."""
    total = int(seconds)
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    parts: list[str] = []
    for unit, name in units:
        count, total = divmod(total, unit)
        if count or (unit == 1 and not parts):
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])


def size(count: float) -> str:
    """Write bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"

"""Alerts, their stories and their rules, for people.

Each alert is one line, so that a list can be searched; nothing is cut, so that ids can be copied.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from postroom.cli.show import say, say_wrapped
from postroom.cli.standing import span
from postroom.clock import SystemClock

STYLES = {
    "emergency": "bold red",
    "critical": "red",
    "error": "yellow",
    "warning": "",
    "info": "dim",
}
"""By severity."""
MAX_VALUE = 300
"""Characters of a member: the route of a ready set names every type; --json has all."""
_TEXTS = frozenset({"name", "key", "label", "variables", "subject", "body"})
"""Members of rules that are names, or too long for a list."""


def instant(text: str) -> str:
    """Write an instant of an answer to the second."""
    return f"{datetime.fromisoformat(text):%Y-%m-%dT%H:%M:%SZ}"


def show_alerts(answer: Mapping[str, Any]) -> None:
    """Print one page of alerts."""
    now = SystemClock().now()
    for one in answer["alerts"]:
        age = span((now - datetime.fromisoformat(one["first_at"])).total_seconds())
        notes = [reports(one["tally"]), *_notes(one)]
        line = f"{one['id']}  {one['severity']:9}  {age:>11}  {what(one)}  ({', '.join(notes)})"
        say(line, style="dim" if one["state"] == "resolved" else STYLES[one["severity"]])
    if not answer["alerts"]:
        say("no alert")
    if answer["next"]:  # a cursor may begin with a dash
        say(f"more: postroom alerts list --after={answer['next']}")


def _notes(one: Mapping[str, Any]) -> Iterable[str]:
    if one["state"] == "resolved":
        yield "over"
    if one["flapping"]:
        yield "flapping"
    if one["muted"]:
        yield one["muted"]
    elif one["told_at"] is None and one["state"] == "firing":
        yield "not told"


def what(one: Mapping[str, Any]) -> str:
    """Return what an alert or a report is about, on one line."""
    place = " ".join(filter(None, (one["key"], one["object"], one["node"])))
    if one["source"]:
        place += f" on {one['source']}"
    return f"{place}: {one['title']}" if one["title"] else place


def reports(count: int) -> str:
    """Write a number of reports."""
    return f"{count} report{'s' * (count != 1)}"


def show_alert(one: Mapping[str, Any]) -> None:
    """Print one alert with everything known of it."""
    say(one["id"], one["severity"], one["state"], style=STYLES[one["severity"]] or "bold")
    say_wrapped(what(one))
    for line in one["text"].splitlines():
        say("   ", line)
    first, last = instant(one["first_at"]), instant(one["last_at"])
    say(f"  since {first}, {reports(one['tally'])}, the last one {last} (event {one['last_event']})")
    if one["resolved_at"]:
        say("  over since", instant(one["resolved_at"]))
    say(f"  told {instant(one['told_at'])}" if one["told_at"] else "  nobody was told yet")
    if one["flapping"]:
        say("  flapping: its changes are not told before it is calm", style="yellow")
    if one["acknowledged_by"]:
        end = one["acknowledged_until"]
        say("  acknowledged by", one["acknowledged_by"], f"until {instant(end)}" if end else "")
    elif one["muted"]:
        say("  nobody is told now:", one["muted"], style="yellow")
    for title in ("labels", "values", "details"):
        for name, value in one[title].items():
            say(f"  {title[:-1]} {name}: {value}")
    if one["link"]:
        say("  look closer:", one["link"])
    say("  why: postroom alerts why", one["id"])


def show_story(answer: Mapping[str, Any]) -> None:
    """Print decisions, oldest first."""
    if alert := answer["alert"]:
        say(alert["id"], alert["severity"], alert["state"], style=STYLES[alert["severity"]] or "bold")
        say_wrapped(what(alert))
    else:
        say(answer["id"], "is over and forgotten; its history is kept", style="bold")
    steps = sorted(answer["steps"], key=lambda one: one["number"])
    for step in steps:
        event = f"event {step['event']}" if step["event"] is not None else "by the clock"
        say(f"{instant(step['at'])}  {step['clause']}, {event}", style="bold")
        say_wrapped(step["text"])
        if step["letter"] is not None:
            mail = f" {step['message_id']} {step['message_state']}" if step["message_id"] else ""
            way = f": {step['sent_by']}{mail}" if step.get("sent_by") else ""  # an older server says none
            say(f"  letter {step['letter']}{way}")
    if not steps:
        say("nothing was decided yet")
    if answer["next"] is not None:
        say("older: postroom alerts why", answer["id"], "--before", answer["next"])


def show_reports(answer: Mapping[str, Any]) -> None:
    """Print reports, oldest first."""
    for one in answer["events"][::-1]:
        words = [one["severity"] or "", one["state"] or "", f"by {one['door']}"]
        say(one["number"], instant(one["arrived_at"]), " ".join(filter(None, words)), style="bold")
        say_wrapped(f"{one['alert']} {what(one)}")
        if one["values"]:
            say_wrapped(", ".join(f"{name} {value}" for name, value in one["values"].items()))
    if not answer["events"]:
        say("nothing was reported")
    if answer["next"] is not None:
        say("older: postroom alerts events --before", answer["next"])


def show_all_rules(answer: Mapping[str, Any]) -> None:
    """Print everything that decides; of the types only how many there are."""
    say("every route, where it says nothing else", style="bold")
    say_wrapped(members(answer["root"]))
    show_rules([one for one in answer["rules"] if one["kind"] != "type"])
    flapping, storm = answer["flapping"], answer["storm"]
    say("flapping", style="bold")
    say_wrapped(members(flapping))
    say("storm", style="bold")
    say_wrapped(members(storm))
    say("language", answer["language"], "and times of", answer["time_zone"])
    if count := sum(one["kind"] == "type" for one in answer["rules"]):
        say(f"types: {count}; `postroom alerts types` lists them")


def show_rules(rules: Sequence[Mapping[str, Any]]) -> None:
    """Print rules."""
    for one in rules:
        label = one["rule"].get("label", {})
        name = f": {label.get('en') or next(iter(label.values()))}" if label else ""
        say(f"{one['kind']} {one['name']} ({one['origin']}){name}", style="bold")
        say_wrapped(members(one["rule"]) or "as the defaults say")


def members(rule: Mapping[str, Any]) -> str:
    """Write the members of a rule on one line."""
    said = ((name, written(value)) for name, value in rule.items() if name not in _TEXTS)
    return "; ".join(f"{name} {shortened(text, MAX_VALUE)}" for name, text in said)


def shortened(text: str, length: int) -> str:
    """Return the beginning of a text that is longer."""
    return text if len(text) <= length else f"{text[:length]}..."


def _entry(entry: Mapping[str, Any]) -> str:
    """Write one of several entries: what its first member says, and the others in brackets."""
    (_, first), *others = entry.items()
    return f"{written(first)} ({written(dict(others))})" if others else written(first)


def written(value: object) -> str:
    """Write a member's value."""
    match value:
        case bool():
            return "yes" if value else "no"
        case None | [] | "":
            return "nothing"
        case list() if all(isinstance(one, str | int | float) for one in value):
            return ", ".join(map(str, value))
        case dict():
            return ", ".join(f"{name} {written(one)}" for name, one in value.items())
        case list():
            return ", ".join(map(_entry, value))
        case float():
            return f"{value:g}"
        case _:
            return str(value)

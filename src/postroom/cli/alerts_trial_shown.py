"""What would become of a report, for people: the type, the way, and who hears when."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from postroom.cli.alerts_shown import STYLES, instant, shortened, written
from postroom.cli.show import say, say_wrapped
from postroom.cli.standing import span

MAX_MATCHERS = 60
"""Characters of a route's matchers: those of a ready set name every type."""
_LATER = {"in-digest": "in the digest", "quiet-hours": "when the quiet hours are over"}


def show_trial(answer: Mapping[str, Any]) -> None:
    """Print what the rules say of a report."""
    labels = ", ".join(f"{name}={value}" for name, value in answer["labels"].items())
    say(answer["severity"], style=STYLES[answer["severity"]] or "bold")
    say_wrapped(f"labels {labels}")
    _show_type(answer["type"])
    say("routes asked", style="bold")
    for one in answer["asked"]:
        _show_asked(one)
    for one in answer["branches"]:
        _show_branch(one, answer["tables"])
    for one in answer["inhibitions"]:
        _show_inhibition(one)
    for one in answer["silences"]:
        say(f"silenced until {instant(one['ends_at'])}", style="yellow")
        say_wrapped(f"{', '.join(one['matchers'])}: {one['reason'] or 'no reason'} ({one['author']})")
    if not answer["told"]:
        say("nobody would hear of it:", _why_nobody(answer), style="red")


def _show_type(entry: Mapping[str, Any]) -> None:
    name = f"type {entry['key']} ({entry['origin']})" if entry["key"] else "no type: the defaults hold"
    say(name, style="bold")
    said = [
        f"{setting} {written(one['value'])} ({one['said_by']})"
        for setting, one in entry["settings"].items()
        if one["said_by"] != "default"
    ]
    defaults = [
        f"{setting} {written(one['value'])}"
        for setting, one in entry["settings"].items()
        if one["said_by"] == "default" and one["value"] not in (None, [])
    ]
    if said:
        say_wrapped("; ".join(said))
    say_wrapped(f"by default: {'; '.join(defaults)}")


def _show_asked(one: Mapping[str, Any]) -> None:
    name = shortened(one["path"].rpartition(" / ")[2], MAX_MATCHERS)
    indent = "  " * (one["depth"] + 1)
    if not one["match"]:
        met = f"is {one['value']}" if one["value"] else "is not there"
        say(f"{indent}{name}: no, {shortened(one['failed'], MAX_MATCHERS)}, and it {met}", style="dim")
        return
    by = f" by {shortened(', '.join(one['matchers']), MAX_MATCHERS)}" if one["matchers"] else ""
    taken = ", takes it" if one["taken"] else ""
    more = ", and the next ones are asked too" if one["continued"] else ""
    say(f"{indent}{name}: yes{by}{taken}{more}", style="green" if one["taken"] else "")


def _show_branch(one: Mapping[str, Any], tables: Sequence[Mapping[str, Any]]) -> None:
    say(f"-> {one['path']}, receiver {one['receiver']}", style="bold")
    if one["told_at"] is None:
        say("  never: its tables do not allow a time", style="red")
    elif one["outside_hours"]:
        say(f"  not before {instant(one['told_at'])}: outside its hours", style="yellow")
    if not one["told"]:
        say("  no address: nobody is told", style="red")
    for person in one["told"]:
        _show_hearing(person, one)
    if one["pierces"]:
        say("  quiet hours, digests and storms do not hold for this severity")
    group = ", ".join(f"{name}={value}" for name, value in one["labels"].items())
    say_wrapped(f"one thread for {group or 'all alerts of this route'}")
    wait = f"after {span(one['group_wait_s'])}" if one["group_wait_s"] else "at once"
    repeat = ", later ".join(map(span, one["repeat_s"]))
    over = "is told" if one["resolved"] else "is not told"
    say_wrapped(
        f"first mail {wait}, news after {span(one['group_interval_s'])}, "
        f"{f'repeated every {repeat}' if repeat else 'never repeated'}; that it is over {over}"
    )
    for table in tables:
        if table["name"] in (*one["active"], *one["mute"]):
            word = "told only" if table["name"] in one["active"] else "not told"
            now = "now is in it" if table["now"] else "now is outside"
            text = f"{word} at {table['name']}: {', '.join(table['windows'])} {table['time_zone']}; {now}"
            say_wrapped(text)


def _show_hearing(one: Mapping[str, Any], branch: Mapping[str, Any]) -> None:
    if one["at"] is None:
        when = "never, there is no time for it"
    elif one["later"]:
        when = f"{_LATER[one['later']]}, {_wall(one['at'], one['time_zone'])}"
    elif branch["outside_hours"] or branch["group_wait_s"]:
        when = _wall(one["at"], one["time_zone"])
    else:
        when = "at once"
    say(f"  {one['address']} {when} ({one['language']}, {one['time_zone']})")


def _wall(at: str, zone: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def _show_inhibition(one: Mapping[str, Any]) -> None:
    same = [f"{name}={value}" if value else f"no {name}" for name, value in one["equal"].items()]
    say("inhibition", one["name"], style="bold")
    say_wrapped(f"not told while another alert is active with {', '.join([*one['source'], *same])}")


def _why_nobody(answer: Mapping[str, Any]) -> str:
    settings = answer["type"]["settings"]
    if not settings["open"]["value"]:
        return "its type is off"
    if not settings["mail"]["value"]:
        return "its type sends no mail"
    if not any(one["told"] for one in answer["branches"]):
        names = ", ".join(dict.fromkeys(one["receiver"] for one in answer["branches"]))
        return f"no address in receiver {names}; write one in [alerts] receivers"
    return "there is no time for it"


def show_mails(mails: Sequence[Mapping[str, Any]]) -> None:
    """Print mails as their readers see them."""
    for mail in mails:
        say(f"mail to {', '.join(mail['recipients'])} ({mail['language']})", style="bold")
        say(f"  Subject: {mail['subject']}")
        say()
        for line in mail["text"].splitlines():
            say(f"  {line}".rstrip())
        say()

"""``postroom alerts silence``, ``silences``, ``unsilence``, ``ack`` and ``rhythm``: less mail for a while."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once
# ruff: noqa: PLR0913 - the options of a command

from collections.abc import Sequence
from getpass import getuser
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.options import Config, Data, EnvFile, Json, Reason, flags_of, server_of
from postroom.errors import Problem

if TYPE_CHECKING:
    from postroom.cli.server import Server

MAX_QUERY = 320
"""Characters of matchers that a list is asked for."""
COUNTED = 200
"""Alerts of one page: more are not counted."""

Span = Annotated[str | None, typer.Option("--for", metavar="SPAN", help="How long from now: 30min, 2h, 1d.")]
Author = Annotated[str | None, typer.Option("--author", metavar="NAME", help="Who, default your login name.")]


def silence(
    what: Annotated[
        list[str],
        typer.Argument(metavar="WHAT", help="Id of an alert, or matchers, all of them: team=db node=~'a.*'."),
    ],
    *,
    span: Span = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="When it ends.")] = None,
    begin: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="When it begins, default now.")
    ] = None,
    reason: Reason,
    author: Author = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Tell nobody of an alert, or of what matches."""
    from postroom.cli.alerts_shown import instant
    from postroom.cli.show import say, say_json

    if (span is None) == (until is None):
        _refuse("--for", "give --for or --until, one of the two", "Write --for 2h.")
    given = {
        "duration": span,
        "ends_at": until,
        "starts_at": begin,
        "reason": reason,
        "author": author or _me(),
    }
    body: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    is_one = len(what) == 1 and not set("=~!{") & set(what[0])
    if is_one and begin is not None:
        _refuse("--from", "a silence of one alert begins now", "Leave it out, or give matchers.")
    with server_of(flags_of(data, config, env_file)) as server:
        if is_one:
            made = server.ask("POST", f"/v1/alerts/{quote(what[0], safe='')}/silence", json=body)
        else:
            made = server.ask("POST", "/v1/alerts/silences", json={**body, "matchers": what})
        matched = "" if json else _matched(server, made["matchers"])
    if json:
        say_json(made)
        return
    say("silence", made["id"], "until", instant(made["ends_at"]), style="bold")
    say("  of", ", ".join(made["matchers"]))
    if matched:
        say(" ", matched, style="" if matched[0] != "n" else "yellow")
    say("  to end it: postroom alerts unsilence", made["id"])


def silences(
    *, data: Data = None, config: Config = None, env_file: EnvFile = None, json: Json = False
) -> None:
    """List the silences that hold or will."""
    from postroom.cli.alerts_shown import instant
    from postroom.cli.show import say, say_json, say_wrapped

    with server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask("GET", "/v1/alerts/silences")
    if json:
        say_json(answer)
        return
    for one in answer["silences"]:
        say(one["id"], ", ".join(one["matchers"]), style="bold")
        say_wrapped(f"from {instant(one['starts_at'])} until {instant(one['ends_at'])}")
        say_wrapped(f"{one['reason'] or 'no reason'} ({one['author']})")
    if not answer["silences"]:
        say("nothing is silenced")


def unsilence(
    silence_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the silence.")],
    *,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """End a silence now; what it kept is told."""
    from postroom.cli.show import say, say_json

    with server_of(flags_of(data, config, env_file)) as server:
        server.ask("DELETE", f"/v1/alerts/silences/{quote(silence_id, safe='')}")
    if json:
        say_json({"ended": silence_id})
    else:
        say("ended", silence_id)


def ack(
    alert_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the alert.")],
    *,
    span: Span = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", help="Default: until it is over, or gets worse."),
    ] = None,
    author: Author = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Say that you work on an alert; it is not repeated."""
    from postroom.cli.alerts_shown import instant
    from postroom.cli.show import say, say_json

    if span is not None and until is not None:
        _refuse("--for", "give --for or --until, one of the two", "Write --for 2h.")
    given = {"duration": span, "until": until, "by": author or _me()}
    body = {name: value for name, value in given.items() if value is not None}
    with server_of(flags_of(data, config, env_file)) as server:
        alert = server.ask("POST", f"/v1/alerts/{quote(alert_id, safe='')}/acknowledge", json=body)
    if json:
        say_json(alert)
    else:
        until = alert["acknowledged_until"]
        end = instant(until) if until else "it is over or gets worse"
        say(alert["id"], "acknowledged by", alert["acknowledged_by"], "until", end)


def rhythm(
    alert_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the alert.")],
    every: Annotated[str, typer.Argument(metavar="SPAN", help="Such as 30min, 12h or 1d.")],
    *,
    author: Author = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Repeat its mails at another interval while it is active."""
    from postroom.cli.show import say, say_json
    from postroom.cli.standing import span as written

    path = f"/v1/alerts/{quote(alert_id, safe='')}/rhythm"
    with server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask("POST", path, json={"every": every, "by": author or _me()})
    if json:
        say_json(answer)
        return
    for one in answer["groups"]:
        say(f"told again every {written(answer['every_s'])}: what is told together by {one['path']}")


def _matched(server: "Server", matchers: Sequence[str]) -> str:
    """Say how many active alerts match now; nothing where that cannot be known."""
    text = ",".join(matchers)
    if len(text) > MAX_QUERY:
        return ""
    try:
        answer = server.ask("GET", "/v1/alerts", params={"match": text, "limit": COUNTED})
    except CliError:  # the silence is made; a key that may not read cannot ask
        return ""
    count = len(answer["alerts"])
    if not count:
        return "no active alert matches it now"
    return f"{'more than ' * bool(answer['next'])}{count} active alert{'s' * (count != 1)} matched now"


def _me() -> str | None:
    """Return the name of the person at the terminal; ``None``: the key's name stands for it."""
    try:
        return getuser()
    except (OSError, KeyError):  # a process of no known user
        return None


def _refuse(field: str, cause: str, fix: str) -> None:
    problem = Problem(code="missing-field", field=field, cause=cause, fix=fix)
    raise CliError(Exit.USAGE, "this cannot be done as it is", problems=[problem])

"""``postroom events``: what happened, to one message or to all."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

import json as json_lines
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from postroom.cli.language import Lang
from postroom.cli.options import Config, Data, EnvFile, Json, Limit, flags_of, server_of

if TYPE_CHECKING:
    from postroom.cli.server import Server

POLL_S = 1.0
"""Seconds between two looks of ``--follow``."""
PAGE = 200
pause = threading.Event().wait
"""Waits so many seconds for what never comes; an interrupt ends it."""
MAX_SHOWN = 5
"""Recipients named on one event; the rest is counted."""


def events(  # noqa: PLR0913 - the options of a command
    message_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Id of one message.")] = None,
    *,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", metavar="KIND", help="Kind of events, such as recipient.refused; repeat for more."
        ),
    ] = None,
    transport: Annotated[
        str | None, typer.Option("--transport", metavar="NAME", help="Only of this transport.")
    ] = None,
    limit: Limit = 20,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with what happens, until interrupted.")
    ] = False,
    lang: Lang = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Show the newest events, oldest first."""
    from postroom.cli.show import say, say_json

    path = "/v1/events" if message_id is None else f"/v1/messages/{quote(message_id, safe='')}/events"
    params: dict[str, Any] = {"kinds": ",".join(kind)} if kind else {}
    if transport is not None:
        params["transport"] = transport
    with server_of(flags_of(data, config, env_file), lang) as server:
        answer = server.ask("GET", path, params={**params, "limit": limit})
        found = answer["events"][::-1]
        if json and not follow:
            say_json(answer)
            return
        for event in found:
            _show(event, json=json)
        if follow:
            _follow(server, path, params, found[-1]["number"] if found else 0, json=json)
        elif not found:
            say("nothing happened")


def _follow(server: "Server", path: str, params: Mapping[str, Any], after: int, *, json: bool) -> None:
    """Show what happens from now on; an interrupt is the usual end."""
    try:
        while True:
            page = server.ask("GET", path, params={**params, "after": after, "limit": PAGE})["events"]
            for event in page:
                _show(event, json=json)
                after = event["number"]
            if len(page) < PAGE:
                pause(POLL_S)
    except KeyboardInterrupt:
        return


def _show(event: Mapping[str, Any], *, json: bool) -> None:
    from postroom.cli.show import say, say_wrapped

    if json:
        typer.echo(json_lines.dumps(event, ensure_ascii=False))
        return
    say(event["number"], event["at"], event["kind"], style="bold")
    whom = [*event["recipients"][:MAX_SHOWN]]
    if (rest := len(event["recipients"]) - len(whom)) > 0:
        whom.append(f"and {rest} more")
    if event["message_id"]:
        say(" ", event["message_id"])
    if whom:
        say_wrapped(" ".join(whom))
    for text in (event["text"], event["remedy"], event["data"].get("note", "")):
        if text:
            say_wrapped(text)

"""``postroom transports``: the ways out, how and what each is, and what a person may do about it.

What makes and changes them is in ``cli.transport_changes``.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from postroom.cli.language import Lang
from postroom.cli.options import Config, Data, End, EnvFile, Json, Reason, flags_of, server_of

app = typer.Typer(
    help="The ways out: look, make, change, suspend, resume.", no_args_is_help=True, rich_markup_mode=None
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the transport.")]

_STYLES = {"working": "green", "down": "red"}
_ORIGINS = {
    "file": "configured in the settings file",
    "environment": "configured in the environment",
    "stored": "stored; calls may change it",
}


@app.command("list")
def list_transports(
    *,
    lang: Lang = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """List the transports in configured order."""
    from postroom.cli.show import say_json

    with server_of(flags_of(data, config, env_file), lang) as server:
        answer = server.ask("GET", "/v1/transports")
    if json:
        say_json(answer)
        return
    for one in answer["transports"]:
        show_transport(one)


@app.command()
def show(
    name: Name,
    *,
    lang: Lang = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Show one transport: its settings, its pauses, its pace, what was learnt."""
    from postroom.cli.show import say_json

    with server_of(flags_of(data, config, env_file), lang) as server:
        answer = server.ask("GET", f"/v1/transports/{quote(name, safe='')}")
    (say_json if json else show_settings)(answer)


@app.command()
def suspend(
    name: Name,
    *,
    reason: Reason,
    until: End = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Send nothing by a transport until it is resumed."""
    body = {"reason": reason, **({"until": until} if until is not None else {})}
    path = f"/v1/transports/{quote(name, safe='')}/suspend"
    _ask("POST", path, body, (data, config, env_file), json=json)


@app.command()
def resume(
    name: Name, *, data: Data = None, config: Config = None, env_file: EnvFile = None, json: Json = False
) -> None:
    """Send by a transport again, and let one message probe what it waits for."""
    path = f"/v1/transports/{quote(name, safe='')}/resume"
    _ask("POST", path, None, (data, config, env_file), json=json)


def _ask(
    method: str, path: str, body: Mapping[str, str] | None, where: tuple[Data, Config, EnvFile], *, json: bool
) -> None:
    from postroom.cli.show import say_json

    with server_of(flags_of(*where)) as server:
        answer = server.ask(method, path, **({} if body is None else {"json": body}))
    (say_json if json else show_transport)(answer)


def show_transport(one: Mapping[str, Any]) -> None:
    """Print one transport: how it is, why, and its pace."""
    from postroom.cli.show import say, say_wrapped

    is_default = ", the default" if one["default"] else ""
    say(f"{one['name']}: {one['state']}{is_default}", style=_STYLES.get(one["state"], "yellow"))
    say(" ", one["target"])
    say(f"  connections at this moment: {one['level']}")
    for pause in one["pauses"]:
        until = "until it is resumed" if pause["until"] is None else f"until {pause['until']}"
        author = f" by {pause['author']}" if pause["author"] else ""
        say(f"  {pause['kind']}{author}: {'over, waits for a probe' if pause['over'] else until}")
        for name in ("cause", "meaning", "remedy", "evidence"):
            if pause[name]:
                say_wrapped(f"{name}: {pause[name]}", indent="    ")
    for pace in one["pace"]:
        say(f"  in {pace['window_s']} s: {pace['used']} of {pace['allowed']} used")
        if learnt := pace["learnt"]:
            text = f"learnt {learnt['learnt_at']} after {learnt['seen']}: {learnt['evidence']}"
            say_wrapped(text, indent="    ")
    if one["quota_ends_at"]:
        say("  at this pace the day's quota ends at", one["quota_ends_at"])
    if origin := _ORIGINS.get(one.get("origin", "")):
        say(f"  {origin}{'' if one['used'] else '; not used in this run'}")
    for warning in one.get("warnings", ()):
        say_wrapped(warning, indent="  ", style="yellow")


def show_settings(one: Mapping[str, Any]) -> None:
    """Print one transport, and what it is set to."""
    from postroom.cli.show import say

    show_transport(one)
    for key, value in flat(one["settings"]):
        say(f"  {key} = {value}")


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield settings by dotted name, as ``--set`` takes them."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}", ", ".join(map(str, value))
        elif key != "name":
            yield f"{prefix}{key}", str(value).lower() if isinstance(value, bool) else str(value)

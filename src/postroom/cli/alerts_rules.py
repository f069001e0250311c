"""``postroom alerts rules``: everything that decides, and rules of one's own."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.options import Config, Data, EnvFile, Json, flags_of, server_of

KINDS = ("type", "route", "receiver", "table", "inhibition")
app = typer.Typer(help="The rules of alerts, and where each stands.", rich_markup_mode=None)
Kind = Annotated[str, typer.Argument(metavar="KIND", help="type, route, receiver, table or inhibition.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name; of a type its key.")]


@app.callback(invoke_without_command=True)
def rules(
    context: typer.Context,
    *,
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help="Only rules of this kind.")
    ] = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """List everything that decides; `rules put` and `rules remove` change what is stored."""
    if context.invoked_subcommand is not None:
        return
    from postroom.cli.alerts_shown import show_all_rules, show_rules
    from postroom.cli.show import say, say_json

    if kind is not None and kind not in KINDS:
        raise CliError(
            Exit.USAGE, f"there is no kind {kind!r} of rules", fix=f"Take one of {', '.join(KINDS)}."
        )
    with server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask("GET", "/v1/alerts/rules")
    if json:
        say_json(answer)
    elif kind is None:
        show_all_rules(answer)
    elif found := [one for one in answer["rules"] if one["kind"] == kind]:
        show_rules(found)
    else:
        say("no", kind)


@app.command()
def put(
    kind: Kind,
    name: Name,
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="The rule as in the settings (TOML), or as JSON.")
    ],
    *,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Store a rule, or put it in the place of a stored one; it holds at once."""
    from postroom.cli.alerts_shown import show_rules
    from postroom.cli.show import say_json

    rule = _read(file)
    with server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask("PUT", _path(kind, name), json=rule)
    if json:
        say_json(answer)
    else:
        show_rules([answer])


@app.command()
def remove(
    kind: Kind,
    name: Name,
    *,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Remove a stored rule."""
    from postroom.cli.show import say, say_json

    with server_of(flags_of(data, config, env_file)) as server:
        server.ask("DELETE", _path(kind, name))
    if json:
        say_json({"removed": name})
    else:
        say("removed", kind, name)


def _path(kind: str, name: str) -> str:
    return f"/v1/alerts/rules/{quote(kind, safe='')}/{quote(name, safe='')}"


def _read(file: str) -> dict[str, Any]:
    """Read one rule. Raises CliError."""
    import json
    import tomllib

    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise CliError(Exit.USAGE, f"{file} cannot be read", fix="Check the name of the file.") from None
    try:
        value: dict[str, Any] = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except ValueError as error:
        fix = 'Write lines as in the settings, such as receiver = "db", or a JSON object.'
        raise CliError(Exit.USAGE, f"{file} is no rule: {error}", fix=fix) from None
    return value

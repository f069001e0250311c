"""``postroom suppress``: addresses that mail does not go to."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once
# ruff: noqa: PLR0913 - the options of a command

import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.options import Config, Data, End, EnvFile, Json, Limit, flags_of, server_of

IMPORT_TIMEOUT_S = 3600.0
"""Seconds: rows are stored as they come, before the answer."""

app = typer.Typer(help="Addresses that mail does not go to.", no_args_is_help=True, rich_markup_mode=None)
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="An address, or @domain.")]
Scope = Annotated[
    str | None, typer.Option("--class", metavar="CLASS", help="Only mail of this class, default all.")
]


@app.command()
def add(
    address: Address,
    *,
    reason: Annotated[
        str,
        typer.Option(
            "--reason", metavar="WHY", help="manual (default), hard_bounce, complaint or unsubscribe."
        ),
    ] = "manual",
    mail_class: Scope = None,
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="A note for others.")] = None,
    until: End = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Send nothing to an address any more; what waits for it is suppressed."""
    from postroom.cli.show import say, say_json

    given = {"address": address, "reason": reason, "class": mail_class, "note": note, "until": until}
    body = {name: value for name, value in given.items() if value is not None}
    with server_of(flags_of(data, config, env_file)) as server:
        made = server.ask("POST", "/v1/suppressions", json=body)
    if json:
        say_json(made)
    else:
        say(made["address"], "gets no", f"{made['class'] or 'more'} mail")


@app.command("list")
def list_suppressions(
    *,
    address: Annotated[
        str | None, typer.Option("--address", metavar="ADDRESS", help="Only this address or @domain.")
    ] = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar="ADDRESS", help="Go on after this address.")
    ] = None,
    limit: Limit = 50,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """List a page, in order of address."""
    from postroom.cli.show import say, say_json, say_wrapped

    given = {"address": address, "after": after, "limit": limit}
    params = {name: value for name, value in given.items() if value is not None}
    with server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask("GET", "/v1/suppressions", params=params)
    if json:
        say_json(answer)
        return
    for one in answer["suppressions"]:
        scope = f"{one['class']} mail" if one["class"] else "all mail"
        say(f"{one['address']}: {scope}, {one['reason']}", style="bold")
        ends = f", ends {one['until']}" if one["until"] else ""
        say_wrapped(f"{one['note'] or 'no note'} ({one['author'] or 'automatic'}, {one['created_at']}{ends})")
    if not answer["suppressions"]:
        say("nothing is suppressed")
    if answer["next"]:
        say("more: postroom suppress list --after", answer["next"])


@app.command()
def remove(
    address: Address,
    *,
    note: Annotated[
        str, typer.Option("--note", metavar="TEXT", help="Why it may be sent to again; kept in the event.")
    ],
    mail_class: Scope = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Take an address off the list."""
    from postroom.cli.show import say, say_json

    params = {"note": note, **({"class": mail_class} if mail_class is not None else {})}
    with server_of(flags_of(data, config, env_file)) as server:
        server.ask("DELETE", f"/v1/suppressions/{quote(address, safe='')}", params=params)
    if json:
        say_json({"removed": address})
    else:
        say("removed", address)


@app.command("import")
def import_rows(
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="CSV in UTF-8; its first line names the columns.")
    ],
    *,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Put the addresses of a CSV file on the list; wrong rows are told and left out."""
    from postroom.cli.show import say, say_json, say_wrapped

    try:
        source = sys.stdin.buffer if file == "-" else Path(file).open("rb")  # noqa: SIM115 - closed below
    except OSError:
        raise CliError(Exit.USAGE, f"{file} cannot be read", fix="Check the name of the file.") from None
    with source, server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask(
            "POST",
            "/v1/suppressions/import",
            content=source,
            headers={"Content-Type": "text/csv"},
            timeout=IMPORT_TIMEOUT_S,
        )
    if json:
        say_json(answer)
    else:
        say(f"{answer['stored']} of {answer['rows']} rows stored")
        for problem in answer["problems"]:
            say_wrapped(f"row {problem['row']}: {problem['field']}: {problem['cause']} {problem['fix']}")
    raise typer.Exit(Exit.FAILED if answer["refused"] else Exit.OK)


@app.command()
def export(*, data: Data = None, config: Config = None, env_file: EnvFile = None) -> None:
    """Print the whole list as CSV."""
    with server_of(flags_of(data, config, env_file)) as server:
        sys.stdout.buffer.write(server.read("/v1/suppressions.csv"))
        sys.stdout.buffer.flush()

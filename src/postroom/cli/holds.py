"""``postroom hold``: mail that waits for a person, by filter."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once
# ruff: noqa: PLR0913 - the options of a command

from typing import Annotated
from urllib.parse import quote

import typer

from postroom.cli.options import (
    ClassFilter,
    Config,
    Data,
    End,
    EnvFile,
    Json,
    Reason,
    RecipientFilter,
    SenderFilter,
    TagFilter,
    TransportFilter,
    flags_of,
    server_of,
)

app = typer.Typer(help="Hold mail by filter, and let it go.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def add(
    *,
    reason: Reason,
    mail_class: ClassFilter = None,
    tag: TagFilter = None,
    sender: SenderFilter = None,
    recipient: RecipientFilter = None,
    transport: TransportFilter = None,
    until: End = None,
    then: Annotated[
        str,
        typer.Option("--then", metavar="WHAT", help="When it ends by itself: expire (default) or release."),
    ] = "expire",
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Hold what waits and what comes and matches, until a person or the end comes."""
    from postroom.cli.show import say, say_json

    given = {
        "class": mail_class,
        "tag": tag,
        "sender": sender,
        "recipient": recipient,
        "transport": transport,
    }
    body = {
        "filter": {name: value for name, value in given.items() if value is not None},
        "reason": reason,
        "then": then,
        **({"until": until} if until is not None else {}),
    }
    with server_of(flags_of(data, config, env_file)) as server:
        made = server.ask("POST", "/v1/holds", json=body)
    if json:
        say_json(made)
    else:
        say(made["id"], "holds", made["held"], f"recipient{'s' * (made['held'] != 1)} now")


@app.command("list")
def list_holds(
    *,
    ended: Annotated[bool, typer.Option("--ended", help="Those that have ended.")] = False,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """List the holds that stand, newest first."""
    from postroom.cli.show import say, say_json, say_wrapped

    with server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask("GET", "/v1/holds", params={"state": "ended" if ended else "open"})
    if json:
        say_json(answer)
        return
    for hold in answer["holds"]:
        wanted = ", ".join(f"{name} {value}" for name, value in hold["filter"].items() if value)
        say(f"{hold['id']}: {hold['held']} held", style="bold")
        say_wrapped(f"mail of {wanted}: {hold['reason']} ({hold['author']}, {hold['created_at']})")
        if hold["ended_at"]:
            say(f"  ended {hold['ended_at']}", f"by {hold['ended_by']}" if hold["ended_by"] else "")
        elif hold["until"]:
            say(f"  ends {hold['until']}, then {hold['then']}")
    if not answer["holds"]:
        say("there is no such hold")


@app.command()
def end(
    hold_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the hold.")],
    *,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """End a hold and release what it holds."""
    from postroom.cli.show import say, say_json

    with server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask("DELETE", f"/v1/holds/{quote(hold_id, safe='')}")
    if json:
        say_json(answer)
    else:
        say(hold_id, "ended,", answer["recipients"], f"recipient{'s' * (answer['recipients'] != 1)} released")

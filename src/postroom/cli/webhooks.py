"""``postroom webhooks``: endpoints that are told of events."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

from typing import Annotated, Any
from urllib.parse import quote

import typer

from postroom.cli.exits import Exit
from postroom.cli.options import Config, Data, EnvFile, Json, Limit, flags_of, server_of

app = typer.Typer(help="Endpoints that are told of events.", no_args_is_help=True, rich_markup_mode=None)
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the endpoint.")]
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", metavar="KIND", help="Kind of events, default every kind; repeat for more."),
]


@app.command()
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where events are posted to.")],
    *,
    kind: Kinds = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Tell an endpoint of events; its secret is shown this once."""
    from postroom.cli.show import say, say_json

    with server_of(flags_of(data, config, env_file)) as server:
        made = server.ask("POST", "/v1/webhooks", json={"url": url, "kinds": kind or []})
    if json:
        say_json(made)
        return
    say(f"webhook {made['id']}; its secret, shown this once:")
    typer.echo(made["secret"])


@app.command("list")
def list_webhooks(
    *, data: Data = None, config: Config = None, env_file: EnvFile = None, json: Json = False
) -> None:
    """List the endpoints, oldest first."""
    from postroom.cli.show import say, say_json, say_wrapped

    with server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask("GET", "/v1/webhooks")
    if json:
        say_json(answer)
        return
    for hook in answer["webhooks"]:
        say(hook["id"], hook["url"], style="bold")
        say_wrapped(f"told of {', '.join(hook['kinds']) or 'every kind'}, up to event {hook['told_up_to']}")
        if not hook["enabled"]:
            say_wrapped(f"disabled {hook['disabled_at']}: {hook['disabled_why']}", style="yellow")
        if hook.get("problem"):
            say_wrapped(f"told of nothing, its secret cannot be read: {hook['problem']}", style="yellow")
    if not answer["webhooks"]:
        say("no endpoint is told")


@app.command()
def change(
    hook_id: Id,
    *,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="A new URL.")] = None,
    kind: Kinds = None,
    enable: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Tell it again, or no more.")
    ] = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Change an endpoint, or switch it off and on."""
    from postroom.cli.show import say, say_json

    given: dict[str, Any] = {"url": url, "kinds": kind, "enabled": enable}
    body = {name: value for name, value in given.items() if value is not None}
    with server_of(flags_of(data, config, env_file)) as server:
        hook = server.ask("PATCH", f"/v1/webhooks/{quote(hook_id, safe='')}", json=body)
    if json:
        say_json(hook)
    else:
        say(hook["id"], hook["url"], "enabled" if hook["enabled"] else "disabled")


@app.command()
def remove(
    hook_id: Id, *, data: Data = None, config: Config = None, env_file: EnvFile = None, json: Json = False
) -> None:
    """Remove an endpoint with the log of its deliveries."""
    from postroom.cli.show import say, say_json

    with server_of(flags_of(data, config, env_file)) as server:
        server.ask("DELETE", f"/v1/webhooks/{quote(hook_id, safe='')}")
    if json:
        say_json({"removed": hook_id})
    else:
        say("removed", hook_id)


@app.command()
def rotate(
    hook_id: Id, *, data: Data = None, config: Config = None, env_file: EnvFile = None, json: Json = False
) -> None:
    """Make a new secret; the one before signs too for 24 hours."""
    from postroom.cli.show import say, say_json

    with server_of(flags_of(data, config, env_file)) as server:
        hook = server.ask("POST", f"/v1/webhooks/{quote(hook_id, safe='')}/rotate")
    if json:
        say_json(hook)
        return
    say(f"the one before signs too until {hook['old_secret_until']}; the new secret, shown this once:")
    typer.echo(hook["secret"])


@app.command("test")
def post_test(
    hook_id: Id, *, data: Data = None, config: Config = None, env_file: EnvFile = None, json: Json = False
) -> None:
    """Post a test to an endpoint now."""
    from postroom.cli.show import say, say_json, say_wrapped

    with server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask("POST", f"/v1/webhooks/{quote(hook_id, safe='')}/test")
    if json:
        say_json(answer)
    else:
        say("delivered" if answer["delivered"] else "not delivered:", answer["status"] or "no answer")
        say_wrapped(answer["text"])
    raise typer.Exit(Exit.OK if answer["delivered"] else Exit.FAILED)


@app.command()
def deliveries(
    hook_id: Id,
    *,
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help="pending, delivered or failed.")
    ] = None,
    limit: Limit = 50,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """List what became of deliveries, newest event first."""
    from postroom.cli.show import say, say_json, say_wrapped

    params: dict[str, Any] = {"limit": limit, **({"state": state} if state is not None else {})}
    with server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask("GET", f"/v1/webhooks/{quote(hook_id, safe='')}/deliveries", params=params)
    if json:
        say_json(answer)
        return
    for one in answer["deliveries"]:
        when = one["last_at"] or one["created_at"]
        say(f"event {one['event']}: {one['state']} after {one['tries']} tries, {when}")
        if one["text"]:
            say_wrapped(f"{one['status'] or 'no answer'}: {one['text']}")
    if not answer["deliveries"]:
        say("nothing was delivered yet")


@app.command()
def replay(
    hook_id: Id,
    *,
    event: Annotated[int | None, typer.Option("--event", metavar="N", help="One event.")] = None,
    first: Annotated[int | None, typer.Option("--first", metavar="N", help="First event of a range.")] = None,
    last: Annotated[int | None, typer.Option("--last", metavar="N", help="Last event of a range.")] = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Tell an endpoint of one event or of a range again."""
    from postroom.cli.show import say, say_json

    given = {"event": event, "first": first, "last": last}
    body = {name: value for name, value in given.items() if value is not None}
    with server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask("POST", f"/v1/webhooks/{quote(hook_id, safe='')}/deliveries/replay", json=body)
    if json:
        say_json(answer)
    else:
        say(answer["deliveries"], "deliveries are due again")

"""``postroom keys``: make, list and revoke the keys callers use."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

from typing import Annotated

import typer

from postroom.cli.options import (
    Config,
    Data,
    EnvFile,
    Json,
    KeyName,
    Networks,
    Scopes,
    Senders,
    flags_of,
    server_of,
)

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def create(
    name: KeyName,
    *,
    scope: Scopes = None,
    sender: Senders = None,
    network: Networks = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Make a key and show it this once."""
    from postroom.cli.show import say, say_json

    body = {"name": name, "scopes": scope or ["send"], "senders": sender or [], "networks": network or []}
    with server_of(flags_of(data, config, env_file)) as server:
        made = server.ask("POST", "/v1/keys", json=body)
    if json:
        say_json(made)
        return
    say(f"key {made['id']} ({', '.join(made['scopes'])}), shown this once:")
    typer.echo(made["key"])


@app.command("list")
def list_keys(
    *, data: Data = None, config: Config = None, env_file: EnvFile = None, json: Json = False
) -> None:
    """List every key, revoked ones included."""
    from postroom.cli.show import say_json, show_table

    with server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask("GET", "/v1/keys")
    if json:
        say_json(answer)
        return
    rows = [
        (
            key["id"],
            key["name"],
            " ".join(key["scopes"]),
            " ".join(key["senders"]) or "any",
            " ".join(key["networks"]) or "any",
            key["created_at"],
            key["revoked_at"],
        )
        for key in answer["keys"]
    ]
    show_table(("id", "name", "scopes", "senders", "networks", "created", "revoked"), rows)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Id or name of the key.")],
    *,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Revoke a key; it stops working at once."""
    from urllib.parse import quote

    from postroom.cli.show import say, say_json

    with server_of(flags_of(data, config, env_file)) as server:
        server.ask("DELETE", f"/v1/keys/{quote(key_id, safe='')}")
    if json:
        say_json({"revoked": key_id})
    else:
        say("revoked", key_id)

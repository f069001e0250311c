"""``postroom transports create``, ``update``, ``remove`` and ``import``.

A secret is asked for without being shown, or read from a file or standard input; it is never an argument,
which others on the machine could read.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once
# ruff: noqa: PLR0913 - the options of a command

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.options import (
    Config,
    Data,
    Encryption,
    EnvFile,
    Json,
    PasswordFile,
    Port,
    ProviderId,
    Yes,
    flags_of,
    server_of,
)
from postroom.cli.transports import Name, app, show_settings

__all__ = ["app"]

_SECRETS = frozenset({"password", "secret_access_key", "oauth.secret", "oauth.client_secret"})
_URLS = frozenset({"url", "proxy"})
"""Settings that may hold a secret."""

Server = Annotated[
    str | None, typer.Option("--host", metavar="HOST", help="Name or address of the mail server.")
]
Login = Annotated[str | None, typer.Option("--user", metavar="NAME", help="Login; its secret is asked for.")]
Sender = Annotated[
    str | None, typer.Option("--from", metavar="ADDRESS", help="Sender of messages that name none.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Another setting, such as rate=100/h; repeat for more."),
]
Unsets = Annotated[
    list[str] | None,
    typer.Option("--unset", metavar="KEY", help="Setting that takes its default again; repeat for more."),
]
AskPassword = Annotated[bool, typer.Option("--password", help="Ask for a new secret.")]
MoveTo = Annotated[
    str | None, typer.Option("--move-to", metavar="NAME", help="Transport that takes what waits.")
]
NewName = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Name of the one transport in the file.")
]
ImportFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="JSON or TOML, of Postroom or of another program.")
]


@app.command()
def create(
    name: Name,
    *,
    provider: ProviderId = None,
    host: Server = None,
    port: Port = None,
    encryption: Encryption = None,
    user: Login = None,
    sender: Sender = None,
    set_: Sets = None,
    password_file: PasswordFile = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Make a transport; it is in use at once."""
    from postroom.cli.account import read_secret

    body = {"name": name, **_fields(provider, host, port, encryption, user, sender), **_sets(set_)}
    needs_login = password_file is not None or user is not None or provider is not None
    if needs_login and (secret := read_secret(password_file).reveal()):
        body["password"] = secret
    _ask("POST", "/v1/transports", body, (data, config, env_file), json=json)


@app.command()
def update(
    name: Name,
    *,
    provider: ProviderId = None,
    host: Server = None,
    port: Port = None,
    encryption: Encryption = None,
    user: Login = None,
    sender: Sender = None,
    set_: Sets = None,
    unset: Unsets = None,
    password: AskPassword = False,
    password_file: PasswordFile = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Change a stored transport; mail that waits for it is tried at once."""
    from postroom.cli.account import read_secret

    body = {**_fields(provider, host, port, encryption, user, sender), **_sets(set_)}
    for key in unset or ():
        _place(body, key, None)
    if password or password_file is not None:
        body["password"] = read_secret(password_file).reveal()
    if not body:
        fix = "Give an option, such as --host, --password or --set KEY=VALUE."
        raise CliError(Exit.USAGE, "nothing to change", fix=fix)
    _ask("PATCH", f"/v1/transports/{quote(name, safe='')}", body, (data, config, env_file), json=json)


@app.command()
def remove(
    name: Name,
    *,
    move_to: MoveTo = None,
    yes: Yes = False,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
) -> None:
    """Remove a stored transport; mail that waits for it goes by the one of --move-to."""
    from postroom.cli.show import say

    if not yes and not typer.confirm(f"remove {name}?"):
        raise CliError(Exit.FAILED, "nothing was changed")
    query = "" if move_to is None else f"?move_to={quote(move_to, safe='')}"
    with server_of(flags_of(data, config, env_file)) as server:
        server.ask("DELETE", f"/v1/transports/{quote(name, safe='')}{query}")
    say(f"{name} is removed")


@app.command("import")
def import_transports(
    file: ImportFile,
    *,
    name: NewName = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Make the transports that a file describes, also in the forms of other programs."""
    from postroom.cli.show import say_json
    from postroom.schema.transport_import import read_import

    try:
        content = file.read_bytes()
    except OSError as error:
        why = (error.strerror or "unknown reason").lower()
        raise CliError(Exit.USAGE, f"{file} cannot be read: {why}") from None
    found: Sequence[Mapping[str, Any]] = read_import(content, name=file.name)
    if name is not None:
        if len(found) > 1:
            raise CliError(Exit.USAGE, f"--name is for one transport, and {file} has {len(found)}")
        found = [{**found[0], "name": name}]
    with server_of(flags_of(data, config, env_file)) as server:
        answers = [server.ask("POST", "/v1/transports", json=dict(body)) for body in found]
    if json:
        say_json({"transports": answers})
        return
    for answer in answers:
        show_settings(answer)


def _fields(*values: Any) -> dict[str, Any]:
    """Return the fields of these options, in their order."""
    names = ("provider", "host", "port", "encryption", "username", "from")
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _sets(texts: Sequence[str] | None) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for text in texts or ():
        key, found, value = text.partition("=")
        if not found:
            raise CliError(Exit.USAGE, "--set is not KEY=VALUE", fix="Write --set max_connections=3.")
        if key in _SECRETS or (key in _URLS and "@" in value):
            fix = "Give --password-file FILE, or `postroom transports import FILE` for the rest."
            raise CliError(Exit.USAGE, f"{key} holds a secret, which is no argument", fix=fix)
        _place(body, key, value)
    return body


def _place(body: dict[str, Any], key: str, value: str | None) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        body = body.setdefault(parent, {})
    body[last] = value


def _ask(
    method: str, path: str, body: Mapping[str, Any], where: tuple[Data, Config, EnvFile], *, json: bool
) -> None:
    from postroom.cli.show import say_json

    with server_of(flags_of(*where)) as server:
        answer = server.ask(method, path, json=dict(body))
    (say_json if json else show_settings)(answer)

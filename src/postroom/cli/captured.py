"""``postroom captured``: look into the capture inbox."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

import sys
from enum import StrEnum
from typing import Annotated

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.options import Config, Data, EnvFile, Json, flags_of, server_of

app = typer.Typer(help="Look into the capture inbox.", rich_markup_mode=None)


class Part(StrEnum):
    """What a person reads of a mail."""

    HTML = "html"
    TEXT = "text"


@app.callback(invoke_without_command=True)
def list_captured(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many to list.")] = 50,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """List captured mails, newest first; `captured show N` shows one."""
    from postroom.cli.show import say, say_json, show_table

    if context.invoked_subcommand is not None:
        return
    with server_of(flags_of(data, config, env_file)) as server:
        answer = server.ask("GET", "/v1/captured", params={"limit": limit})
    if json:
        say_json(answer)
        return
    rows = [
        (mail["number"], mail["captured_at"], mail["from"], " ".join(mail["recipients"]), mail["subject"])
        for mail in answer["captured"]
    ]
    if rows:
        show_table(("number", "captured", "from", "to", "subject"), rows)
    else:
        say("nothing was captured")


@app.command()
def show(
    number: Annotated[int, typer.Argument(metavar="N", min=1, help="Number of the mail.")],
    *,
    source: Annotated[
        bool, typer.Option("--source", help="Print the mail itself, byte for byte as it would be sent.")
    ] = False,
    part: Annotated[Part | None, typer.Option("--part", help="Print its HTML or its text alone.")] = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Show one captured mail."""
    from postroom.cli.show import say, say_json

    with server_of(flags_of(data, config, env_file)) as server:
        if source or part is not None:
            whole = server.read(f"/v1/captured/{number}/source")
            sys.stdout.buffer.write(whole if part is None else _part(whole, part, number))
            sys.stdout.buffer.flush()
            return
        mail = server.ask("GET", f"/v1/captured/{number}")
    if json:
        say_json(mail)
        return
    for name in (
        "number",
        "message_id",
        "captured_at",
        "from",
        "reverse_path",
        "recipients",
        "subject",
        "size",
    ):
        value = mail.get(name)
        say(f"{name}:", " ".join(value) if isinstance(value, list) else value)


def _part(mail: bytes, part: Part, number: int) -> bytes:
    """Return one text of a mail. Raises CliError: it has none."""
    from postroom.mime.reading import read_mail

    head, _, body = mail.partition(b"\r\n\r\n")
    read = read_mail(head, body)
    text = read.html if part is Part.HTML else read.text
    if text is None:
        raise CliError(
            Exit.FAILED, f"mail {number} has no {part} part", fix="Leave --part out to see what it is."
        )
    return text.encode() + b"\n" * (not text.endswith("\n"))

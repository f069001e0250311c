"""``postroom diagnose``: what a reply, a line of a log, a bounce or an error text means."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

import os
import sys
from typing import Annotated

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.language import Lang, language_for
from postroom.cli.options import Json

MAX_READ = 1024 * 1024
"""Characters that are taken from standard input."""

Text = Annotated[
    str | None, typer.Argument(metavar="[TEXT]", help="What was said; without it standard input is read.")
]
At = Annotated[str, typer.Option("--host", metavar="HOST", help="The server that said it.")]


def diagnose(text: Text = None, *, host: At = "", lang: Lang = None, json: Json = False) -> None:
    """Say what a text means that a server, a log or another program wrote; needs no server."""
    from postroom.cli.show import say, say_json, say_wrapped
    from postroom.policy.diagnosing import diagnose as meaning_of
    from postroom.providers.words import phrase
    from postroom.schema.diagnosed import diagnosis

    language = language_for(lang, os.environ)
    if text is None and sys.stdin.isatty():
        fix = "Give it in quotes, or pipe it in."
        raise CliError(Exit.USAGE, "there is no text to be diagnosed", fix=fix)
    said = sys.stdin.read(MAX_READ) if text is None else text
    answer = diagnosis(meaning_of(said, host=host), language=language)
    if json:
        say_json(answer)
    elif answer["cause"] == "unknown":
        say(answer["meaning"])
    else:
        say(answer["cause"], style="bold")
        for label in ("meaning", "remedy"):
            say_wrapped(f"{phrase(f'label.{label}', language)}: {answer[label]}")
        if answer["reply"]:
            say_wrapped(f"{phrase('label.evidence', language)}: {answer['code'] or ''} {answer['reply']}")
    raise typer.Exit(Exit.FAILED if answer["cause"] == "unknown" else Exit.OK)

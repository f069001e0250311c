"""The language in which a command speaks to a person."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

import re
from collections.abc import Mapping
from typing import Annotated

import typer

from postroom.cli.exits import CliError, Exit

Lang = Annotated[
    str | None,
    typer.Option("--lang", metavar="LANGUAGE", help="en, zh, ko, de or fr; default that of the environment."),
]


def language_for(wish: str | None, environ: Mapping[str, str]) -> str:
    """Return the language: the wish of the command line, else ``LC_ALL``, ``LC_MESSAGES``, ``LANG``.

    Of the three the first that is not empty counts (POSIX.1-2017 section 8.2).

    Raises:
        CliError: for a wish that is no language of ours.
    """
    from postroom.providers.words import LANGUAGES, language_of

    if wish is None:
        return language_of(_of_environment(environ))
    language = language_of(wish)
    if not wish.lower().startswith(language):
        raise CliError(Exit.USAGE, f"no such language: {wish}", fix=f"Take one of {', '.join(LANGUAGES)}.")
    return language


def wish_of(wish: str | None, environ: Mapping[str, str]) -> str:
    """Return what a server is asked to speak; empty where nobody wishes anything.

    Nothing is loaded for the environment's word: the server reads ``zh_CN.UTF-8`` as well.

    Raises:
        CliError: for a wish that is no language of ours.
    """
    if wish is not None:
        return language_for(wish, environ)
    return re.sub(r"[^A-Za-z_-].*", "", _of_environment(environ))[:20].replace("_", "-")


def _of_environment(environ: Mapping[str, str]) -> str:
    names = (environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return next(filter(None, names), "")

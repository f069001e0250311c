"""``postroom providers``: what is known about other people's servers, in the reader's language.

It needs no server. Files of one's own (``docs/providers.md``) are those of the settings and those of
``--file``; settings that are wrong are told and not used.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.language import Lang, language_for
from postroom.cli.options import Config, Data, EnvFile, Json, flags_of, settings_of
from postroom.errors import ConfigError

app = typer.Typer(help="Mail providers: servers, logins, limits, set-up.", rich_markup_mode=None)
Files = Annotated[
    list[Path] | None,
    typer.Option("--file", metavar="FILE", help="Try a file of your own with providers; repeat for more."),
]
Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[WORD]...", help="Parts of a name, domain or server; all of them must fit."),
]


@app.callback(invoke_without_command=True)
def providers(
    context: typer.Context,
    *,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """List every provider; `providers show ID` shows one."""
    if context.invoked_subcommand is None:
        _load((data, config, env_file), ())
        _list((), json=json)


@app.command("list")
def list_providers(
    wanted: Words = None,
    *,
    file: Files = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """List the providers that fit every word."""
    _load((data, config, env_file), file or ())
    _list(wanted or (), json=json)


@app.command()
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="Id of the provider.")],  # noqa: A002 - its word
    *,
    lang: Lang = None,
    file: Files = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Show one provider: servers, login, sender, limits, and set-up step by step."""
    from postroom.cli.show import say_json
    from postroom.providers import catalogue
    from postroom.schema.provider_answers import found, shown

    language = language_for(lang, os.environ)
    _load((data, config, env_file), file or ())
    one = catalogue.provider(id)
    if one is None:
        near = ", ".join(each.id for each in found([id])[:5])
        fix = f"Perhaps one of: {near}." if near else "`postroom providers` lists them."
        raise CliError(Exit.FAILED, f"there is no provider {id!r}", fix=fix)
    answer = shown(one, language)
    if json:
        say_json(answer)
    else:
        _show(answer)


def _list(wanted: Sequence[str], *, json: bool) -> None:
    from postroom.cli.show import say, say_json, show_table
    from postroom.schema.provider_answers import found, listed

    answer = listed(found(wanted))
    if json:
        say_json(answer)
        return
    rows = [
        (
            one["id"],
            f"{one['name']} ({one['name_local']})" if one["name_local"] else one["name"],
            f"{one['host']}:{one['port']} ({one['encryption']})" if one["host"] else None,
            " ".join(one["domains"]) or None,
        )
        for one in answer["providers"]
    ]
    if rows:
        show_table(("id", "name", "server", "domains"), rows)
    else:
        say("no provider fits")


def _load(where: tuple[Data, Config, EnvFile], files: Sequence[Path]) -> None:
    """Put in the files of the settings and those to try."""
    from postroom.cli.show import say_error
    from postroom.providers.files import load_overrides

    configured: Sequence[Path] = ()
    try:
        configured = settings_of(flags_of(*where)).provider_files
    except ConfigError as error:  # what is known of providers helps to mend them
        told = CliError(Exit.USAGE, "the settings are wrong and not used", problems=error.problems)
        say_error(told, as_json=False)
    problems = load_overrides([*configured, *files])
    if problems:
        raise CliError(Exit.USAGE, "the file of providers is wrong", problems=problems)


def _show(one: Mapping[str, Any]) -> None:
    from postroom.cli.show import say, say_wrapped
    from postroom.providers.words import phrase

    language = one["language"]
    name = f"{one['name']} ({one['name_local']})" if one["name_local"] else one["name"]
    say(f"{one['id']}: {name}", style="bold")
    either = f" {phrase('label.or', language)} "
    first, *others = one["ports"]
    lines = [
        ("server", f"{one['host']}:{first['port']}, {first['text']}" if one["host"] else ""),
        ("other-ports", "; ".join(f"{each['port']} {each['text']}" for each in others)),
        ("other-servers", "; ".join(f"{key}: {host}" for key, host in one["hosts"].items())),
        ("other-servers", one["host_template"]),
        ("login", either.join(each["text"] for each in one["login"])),
        ("secret", either.join(each["text"] for each in one["secrets"])),
        ("from", one["from_rule"]["text"]),
        ("from", one["from_note"]),
        ("limits", "; ".join(f"{n} {phrase(f'limit.{key}', language)}" for key, n in one["limits"].items())),
        ("limits", one["limits_note"]),
        ("note", one["note"] if language == "en" else ""),  # notes have no translation
        ("docs", one["docs"]),
    ]
    for label, text in lines:
        if text:
            say_wrapped(f"{phrase(f'label.{label}', language)}: {text}")
    if one["steps"]:
        say(f"  {phrase('label.steps', language)}:")
    for number, step in enumerate(one["steps"], 1):
        say_wrapped(f"{number}. {step}", indent="    ")

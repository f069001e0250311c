"""``postroom templates diff``: two versions of a stored template, or one of them and the directory.

Variants are compared by locale: their sources, or with ``--rendered`` the texts and the HTML that mail with
the example values has.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

from collections.abc import Iterator, Mapping
from difflib import unified_diff
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from postroom.cli.exits import Exit
from postroom.cli.options import Config, Data, EnvFile, flags_of, server_of, settings_of
from postroom.cli.templates_place import Directory, as_cli_error, directory_workshop, templates_directory

if TYPE_CHECKING:
    from postroom.cli.server import Server
    from postroom.ingress.preview.workshop import Workshop

Version = Annotated[
    int | None,
    typer.Argument(metavar="[VERSION]", min=1, help="Of the stored template; default that in use."),
]
Texts = dict[str, str]
"""What is compared, by what it is."""


def diff(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a template.")],
    old: Version = None,
    new: Version = None,
    *,
    rendered: Annotated[
        bool, typer.Option("--rendered", help="Compare mail with the example values instead of sources.")
    ] = False,
    directory: Directory = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
) -> None:
    """Show what changes from a stored version to another, or to the directory; the exit code is 1 then."""
    flags = flags_of(data, config, env_file)
    with server_of(flags) as server:
        before = _stored(server, name, old, is_rendered=rendered)
        if new is not None:
            after = _stored(server, name, new, is_rendered=rendered)
        else:
            settings = settings_of(flags)
            place = directory or templates_directory(settings)
            workshop = None if place is None else directory_workshop(place, settings)
            if workshop is not None and name in workshop.look().sources:
                after = _here(workshop, name, is_rendered=rendered)
            else:
                newest = server.ask("GET", _path(name))["versions"][0]["number"]
                after = _stored(server, name, newest, is_rendered=rendered)
    lines = list(_differences(before, after))
    for line in lines:
        typer.echo(line)
    if lines:
        raise typer.Exit(Exit.FAILED)


def _differences(before: Texts, after: Texts) -> Iterator[str]:
    for what in dict.fromkeys((*before, *after)):
        old, new = before.get(what, ""), after.get(what, "")
        yield from unified_diff(
            old.splitlines(), new.splitlines(), f"stored/{what}", f"changed/{what}", lineterm=""
        )


def _path(name: str) -> str:
    return f"/v1/templates/{quote(name, safe='')}"


def _stored(server: "Server", name: str, number: int | None, *, is_rendered: bool) -> Texts:
    shown = server.ask("GET", _path(name) if number is None else f"{_path(name)}/versions/{number}")
    found: Texts = {}
    for index, (variant, locale) in enumerate(zip(shown["variants"], shown["locales"], strict=False)):
        if not is_rendered:
            found |= _sources(locale, variant["text"], variant["text_part"])
            continue
        body: dict[str, Any] = {"template": name if number is None else f"{name}@{number}", "examples": True}
        body |= {"locale": locale} if index else {}
        found |= _rendered(locale, server.ask("POST", "/v1/templates/preview", json=body))
    return found


def _here(workshop: "Workshop", name: str, *, is_rendered: bool) -> Texts:
    from dataclasses import asdict

    from postroom.errors import InputError
    from postroom.schema.template_bodies import with_examples
    from postroom.template.errors import SourceError

    found: Texts = {}
    for worked in workshop.variants(name):
        if not is_rendered:
            found |= _sources(worked.locale, worked.source.text, worked.source.text_part)
            continue
        try:
            values = with_examples(worked.usable().schema, {})
            found |= _rendered(worked.locale, asdict(workshop.rendered(worked, values)))
        except (SourceError, InputError) as error:
            raise as_cli_error(error, f"{worked.source.file} cannot be rendered with its examples") from None
    return found


def _sources(locale: str, text: str, text_part: str | None) -> Texts:
    return {f"{locale}/source": text, f"{locale}/text_part": text_part or ""}


def _rendered(locale: str, mail: Mapping[str, Any]) -> Texts:
    return {f"{locale}/{part}": str(mail[part]) for part in ("subject", "preheader", "text", "html")}

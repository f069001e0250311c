"""``postroom templates preview`` and ``test``: what a mail would be, on standard output or in a mailbox.

What this process can read (files, packages) is compiled and rendered here; what only the server has is
rendered there, by the same functions.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once
# ruff: noqa: PLR0913 - the options of a command

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.options import Config, Data, EnvFile, Json, flags_of, server_of, settings_of
from postroom.cli.templates_place import Directory, Here, as_cli_error, here
from postroom.cli.templates_values import read_values, read_variables

if TYPE_CHECKING:
    from postroom.model.template import CompiledTemplate, Rendered


class Part(StrEnum):
    """What is printed."""

    HTML = "html"
    TEXT = "text"
    SUBJECT = "subject"
    PREHEADER = "preheader"
    SOURCE = "source"
    """As its author wrote it."""
    COMPILED = "compiled"
    """The HTML before the variables are put in."""
    EML = "eml"
    """The whole mail, as bytes."""


Target = Annotated[
    str,
    typer.Argument(metavar="NAME|FILE", help="A name, PACKAGE:NAME, postroom:NAME, NAME@VERSION, or a file."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A variable; NAME:=JSON for lists; repeat for more."),
]
Vars = Annotated[
    str | None, typer.Option("--vars", metavar="FILE|-", help="File with an object of variables, as JSON.")
]
Locale = Annotated[str, typer.Option("--locale", metavar="TAG", help="Language, for example fr-CA.")]
Examples = Annotated[bool, typer.Option("--examples", help="Take examples where nothing is given.")]
SEND_TO = "recipient@example.com"


def preview(
    target: Target,
    *,
    set_: Set = None,
    vars_: Vars = None,
    locale: Locale = "",
    part: Annotated[
        Part,
        typer.Option("--part", help="What to print; source and compiled need no variables."),
    ] = Part.HTML,
    examples: Examples = False,
    directory: Directory = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
) -> None:
    """Print one part of the mail that a template makes, and nothing else."""
    flags = flags_of(data, config, env_file)
    found = here(target, locale=locale, directory=directory, settings=settings_of(flags))
    given = _given(vars_)
    if found is not None:
        _print(_local(found, part, given, set_ or (), has_examples=examples))
        return
    with server_of(flags) as server:
        if part in {Part.SOURCE, Part.COMPILED}:
            _print(_stored_source(server.ask("GET", _path(target)), part, locale))
            return
        body = {"template": target, "variables": read_values(set_ or (), given), "examples": examples}
        body |= {"locale": locale} if locale else {}
        if part is Part.EML:
            _print(server.post_for("/v1/templates/preview", body, "message/rfc822"))
            return
        _print(server.ask("POST", "/v1/templates/preview", json=body)[part.value])


def _given(file: str | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise CliError(Exit.USAGE, f"{file} cannot be read", fix="Check --vars.") from None
    return read_variables(text, "standard input" if file == "-" else file)


def _local(
    found: Here,
    part: Part,
    given: Mapping[str, Any],
    more: list[str] | tuple[str, ...],
    *,
    has_examples: bool,
) -> str | bytes:
    from postroom.errors import InputError
    from postroom.template.errors import SourceError

    if part is Part.SOURCE:
        return found.worked.source.text
    name = found.worked.source.file or found.worked.source.name
    try:
        compiled = found.worked.usable()
        if part is Part.COMPILED:
            return compiled.html
        values = values_for(compiled, given, more, has_examples=has_examples)
        rendered = found.workshop.rendered(found.worked, values)
    except SourceError as error:
        raise as_cli_error(error, f"{name} does not compile") from None
    except InputError as error:
        raise as_cli_error(error, f"{name} cannot be rendered with these variables") from None
    if part is Part.EML:
        return _written(rendered)
    text: str = getattr(rendered, part.value)
    return text


def values_for(
    compiled: "CompiledTemplate",
    given: Mapping[str, Any],
    more: list[str] | tuple[str, ...],
    *,
    has_examples: bool,
) -> dict[str, Any]:
    """Return the variables a command line gives. Raises CliError."""
    from postroom.schema.template_bodies import with_examples

    start = with_examples(compiled.schema, given) if has_examples else given
    return read_values(more, start, compiled.schema)


def _written(rendered: "Rendered") -> bytes:
    """Return the mail as it would go out, between two addresses of nobody."""
    from datetime import UTC, datetime

    from postroom.mime.rendered import BlobSegment, RawSegment
    from postroom.mime.writer import render
    from postroom.model.address import parse_mailbox
    from postroom.model.message import Content

    made = render(
        Content(
            message_id="preview@example.com",
            date=datetime(2030, 1, 31, 8, tzinfo=UTC),
            boundary="preview-0",
            from_=parse_mailbox("sender@example.com"),
            to=(parse_mailbox(SEND_TO),),
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
        )
    )
    return b"".join(one for one in made.segments if not isinstance(one, BlobSegment | RawSegment))


def _stored_source(shown: Mapping[str, Any], part: Part, locale: str) -> str:
    if part is Part.COMPILED:
        fix = "Print --part source, or --part html with --examples."
        raise CliError(Exit.USAGE, "the server does not tell what a template compiled to", fix=fix)
    wanted = [one for one in shown["variants"] if one["locale"].lower() == locale.lower()] if locale else []
    text: str = (wanted or shown["variants"])[0]["text"]
    return text


def _path(target: str) -> str:
    from urllib.parse import quote

    name, at, number = target.partition("@")
    return f"/v1/templates/{quote(name, safe='')}" + (f"/versions/{quote(number, safe='')}" if at else "")


def _print(what: str | bytes) -> None:
    """Write exactly this; a terminal gets the line end it needs."""
    text = what if isinstance(what, bytes) else what.encode("utf-8", "surrogatepass")
    sys.stdout.flush()
    sys.stdout.buffer.write(text)
    if sys.stdout.isatty() and not text.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def send_test(
    target: Target,
    *,
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="Who gets it.")],
    set_: Set = None,
    vars_: Vars = None,
    locale: Locale = "",
    examples: Examples = False,
    wait: Annotated[
        int, typer.Option("--wait", metavar="N", min=0, max=30, help="Seconds to wait for the first attempt.")
    ] = 10,
    directory: Directory = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Let the server send the mail that a template makes to one address."""
    from postroom.cli.sending import exit_of
    from postroom.cli.show import say_json, show_message

    flags = flags_of(data, config, env_file)
    found = here(target, locale=locale, directory=directory, settings=settings_of(flags))
    body: dict[str, Any] = {"to": to, "examples": examples}
    given = _given(vars_)
    if found is None:
        body |= {"template": target, "variables": read_values(set_ or (), given)}
        body |= {"locale": locale} if locale else {}
    else:
        from postroom.template.errors import SourceError

        try:
            compiled = found.worked.usable()
        except SourceError as error:
            raise as_cli_error(error, f"{target} does not compile") from None
        body |= {"source": as_source(compiled), "variables": read_values(set_ or (), given, compiled.schema)}
    with server_of(flags) as server:
        answer = server.ask("POST", "/v1/templates/test", json=body, headers={"Prefer": f"wait={wait}"})
    (say_json if json else show_message)(answer)
    raise typer.Exit(exit_of(answer) if wait else Exit.OK)


def as_source(compiled: "CompiledTemplate") -> dict[str, Any]:
    """Return a compiled template as a source that needs no components, so that any server can take it."""
    import json

    variables = {}
    required = compiled.schema.get("required", ())
    for name, told in compiled.schema.get("properties", {}).items():
        known = {key: told[key] for key in ("description", "default") if key in told}
        if isinstance(told.get("type"), str) and told.get("format") != "int64":  # else it is inferred again
            known["type"] = told["type"]
        known |= {"example": told["examples"][0]} if told.get("examples") else {}
        variables[name] = {**known, "required": name in required}
    front = {
        "subject": compiled.subject,
        "preheader": compiled.preheader,
        "language": compiled.locale,
        "variables": variables,
    }
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in front.items() if value]
    return {"form": "jinja", "text": f"---\n{''.join(lines)}---\n{compiled.html}", "text_part": compiled.text}

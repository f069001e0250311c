"""``postroom templates``: what the author of templates works with; here the group itself, and ``list``.

Everything that looks at files compiles and renders in this process, with the functions of the server.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from postroom.cli import templates_diff, templates_lint, templates_look, templates_package, templates_push
from postroom.cli.exits import CliError, Exit
from postroom.cli.options import Config, Data, EnvFile, Json, flags_of, server_of, settings_of
from postroom.cli.templates_place import (
    SHIPPED,
    Directory,
    directory_workshop,
    package_workshop,
    templates_directory,
)

if TYPE_CHECKING:
    from postroom.config.sources import Flags
    from postroom.ingress.preview.workshop import Workshop
    from postroom.model.template import Finding

app = typer.Typer(
    help="Write, look at, check and pack templates.", no_args_is_help=True, rich_markup_mode=None
)
app.command("preview")(templates_look.preview)
app.command("diff")(templates_diff.diff)
app.command("test")(templates_look.send_test)
app.command("lint")(templates_lint.lint)
app.command("push")(templates_push.push)
app.command("build")(templates_package.build)
app.command("dev")(templates_package.dev)


@app.callback()
def group() -> None:
    """Write, look at, check and pack templates."""


@app.command("list")
def list_templates(
    *,
    directory: Directory = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """List the templates of the directory, the packages, the shipped ones and those a server has stored."""
    from postroom.cli.show import say_json

    flags = flags_of(data, config, env_file)
    settings = settings_of(flags)
    place = directory or templates_directory(settings)
    listed: list[dict[str, Any]] = []
    if place is not None:
        workshop = directory_workshop(place, settings)
        listed += _listed(workshop, "", "directory")
    stored, server = ([], None) if directory is not None else _stored(flags)
    listed += stored
    for package in () if directory is not None else (*settings.templates.packages, SHIPPED):
        listed += _listed(package_workshop(package, settings), f"{package}:", "package")
    unused = () if place is None else workshop.look().findings
    if json:
        findings = [_finding(one) for one in unused]
        where = None if place is None else str(place)
        say_json({"directory": where, "server": server, "templates": listed, "findings": findings})
    else:
        _show(listed, place, server, unused)
    if any(one["state"] == "broken" for one in listed):
        raise typer.Exit(Exit.FAILED)


def _listed(workshop: "Workshop", prefix: str, origin: str) -> Iterator[dict[str, Any]]:
    for name, sources in workshop.look().sources.items():
        # Compiling takes a while, and whoever lists does not look at all languages of what others wrote.
        variants = (workshop.variant(name),) if prefix else workshop.variants(name)
        first = next((one.compiled for one in variants if one.compiled is not None), None)
        is_sound = all(one.compiled is not None for one in variants)
        yield {
            "template": prefix + name,
            "origin": origin,
            "state": "published" if is_sound else "broken",
            "version": "" if first is None else first.digest[:12],
            "locales": [variants[0].locale, *(source.locale for source in sources[1:])],
            "variables": {} if first is None else dict(first.schema),
            "globals": [] if first is None else list(first.globals),
            "findings": [_finding(finding) for one in variants for finding in one.findings],
        }


def _finding(one: "Finding") -> dict[str, Any]:
    from postroom.schema.template_answers import finding

    return dict(finding(one))


def _stored(flags: "Flags") -> tuple[list[dict[str, Any]], str | None]:
    """Return what a server has stored, and its URL; nothing when none can be asked."""
    try:
        with server_of(flags) as server:
            answer = server.ask("GET", "/v1/templates")
            url = server.target.url
    except CliError as error:
        if error.exit_code in {Exit.UNREACHABLE, Exit.UNAUTHORISED}:
            return [], None
        raise
    names = ("template", "origin", "state", "version", "locales", "variables", "globals", "findings")
    found = [{name: one[name] for name in names} for one in answer["templates"] if one["origin"] == "store"]
    return found, url


def _show(
    listed: Sequence[Mapping[str, Any]], place: Path | None, server: str | None, unused: "Iterable[Finding]"
) -> None:
    from postroom.cli.show import say, show_table
    from postroom.cli.templates_place import place_of

    rows = [
        (
            one["template"],
            one["state"] if one["origin"] != "store" else f"{one['state']} {one['version']}",
            " ".join(one["locales"]),
            " ".join(one["variables"].get("properties", {})) or "-",
            _counted(one["findings"]),
        )
        for one in listed
    ]
    show_table(("template", "state", "locales", "variables", "findings"), rows)
    for finding in unused:
        say(f"{place_of(finding)}: {finding.cause}", style="yellow")
    say("directory:", place or "none; name one with --dir, or in [templates] of the settings")
    say("server:", server or "none was asked")


def _counted(findings: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(str(one["severity"]) for one in findings)
    return (
        ", ".join(f"{count} {severity}{'s' if count > 1 else ''}" for severity, count in counts.items())
        or "-"
    )

"""``postroom templates push``: store every template of a directory on a server, unless it is there as it is.

What is stored is what the templates compile to here, so that the server needs no components or styles of
theirs. Whether one is there already is told by a digest of that.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

import hashlib
import json as json_
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.options import Config, Data, EnvFile, Json, flags_of, server_of, settings_of
from postroom.cli.templates_look import as_source
from postroom.cli.templates_package import Place
from postroom.cli.templates_place import directory_workshop, place_of
from postroom.errors import Problem

if TYPE_CHECKING:
    from postroom.cli.server import Server
    from postroom.ingress.preview.workshop import Worked


def push(
    directory: Place,
    *,
    publish: Annotated[
        bool, typer.Option("--publish", help="Put into use what is stored; else it is a draft.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")
    ] = False,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Store every template of a directory on the server, as a new version where it is another."""
    from postroom.cli.show import say_json

    flags = flags_of(data, config, env_file)
    workshop = directory_workshop(directory, settings_of(flags))
    with server_of(flags) as server:
        listed = server.ask("GET", "/v1/templates")["templates"]
        stored = {one["template"] for one in listed if one["origin"] == "store"}
        done = [
            _pushed(server, name, workshop.variants(name), name in stored, publish=publish, is_dry=dry_run)
            for name in workshop.look().sources
        ]
        url = server.target.url
    if json:
        say_json({"server": url, "dry_run": dry_run, "templates": done})
    else:
        _show(done, url, is_dry=dry_run)
    if any(one["problems"] for one in done):
        raise typer.Exit(Exit.FAILED)


def _pushed(
    server: "Server",
    name: str,
    variants: "Sequence[Worked]",
    is_stored: bool,
    *,
    publish: bool,
    is_dry: bool,
) -> dict[str, Any]:
    """Store one template if need be. Raises CliError when no server can be asked."""
    errors = [
        Problem(code=found.code, field=place_of(found), cause=found.cause, fix=found.fix)
        for one in variants
        if one.compiled is None
        for found in one.findings
        if found.severity == "error"
    ]
    if errors:
        return _told(name, "broken", problems=errors)
    sources = {one.locale: as_source(one.usable()) for one in variants}
    newest = _newest(server, name) if is_stored else None
    try:
        if newest is not None and _digest(newest["variants"]) == _digest(_rows(sources)):
            version = newest["versions"][0]
            if not publish or version["state"] == "published":
                return _told(name, "unchanged", version)
            if not is_dry:
                version = server.ask("POST", f"/v1/templates/{name}/versions/{version['number']}/publish")
            return _told(name, "published", version)
        version = {"number": 1 if newest is None else newest["versions"][0]["number"] + 1}
        if not is_dry:
            body = {"name": name, "variants": sources, "publish": publish}
            version = server.ask("POST", "/v1/templates", json=body)
        return _told(name, "new" if newest is None else "changed", version)
    except CliError as error:
        if error.exit_code in {Exit.UNREACHABLE, Exit.UNAUTHORISED}:
            raise
        problem = Problem(code="refused", field=name, cause=error.cause, fix=error.fix)
        return _told(name, "refused", problems=error.problems or [problem])


def _newest(server: "Server", name: str) -> dict[str, Any]:
    """Return the newest version with its sources, in use or not."""
    number = server.ask("GET", f"/v1/templates/{name}/versions")["versions"][0]["number"]
    return server.ask("GET", f"/v1/templates/{name}/versions/{number}")


def _rows(sources: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"locale": locale, **one} for locale, one in sources.items()]


def _digest(variants: Sequence[Mapping[str, Any]]) -> str:
    said = [[one[key] for key in ("locale", "form", "text", "text_part")] for one in variants]
    return hashlib.sha256(json_.dumps(said).encode()).hexdigest()


def _told(
    name: str, what: str, version: Mapping[str, Any] | None = None, *, problems: Sequence[Problem] = ()
) -> dict[str, Any]:
    shown = [{"code": one.code, "field": one.field, "cause": one.cause, "fix": one.fix} for one in problems]
    return {
        "template": name,
        "result": what,
        "version": None if version is None else version["number"],
        "problems": shown,
    }


def _show(done: Sequence[Mapping[str, Any]], url: str, *, is_dry: bool) -> None:
    from postroom.cli.show import say, show_table

    show_table(
        ("template", "would be" if is_dry else "result", "version"),
        [(one["template"], one["result"], one["version"] or "-") for one in done],
    )
    for one in done:
        for problem in one["problems"]:
            say(f"{problem['field']}: {problem['cause']}", style="red")
            if problem["fix"]:
                say(f"  {problem['fix']}")
    say("server:", url)

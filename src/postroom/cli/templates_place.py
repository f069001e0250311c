"""What an author means: a file, a name in a directory, one that is shipped or in a package, or a stored one.

A file needs no directory around it: the nearest one above it that has components or layouts lends them.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from postroom.cli.exits import CliError, Exit
from postroom.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postroom.config.settings import Settings
    from postroom.ingress.preview.workshop import Worked, Workshop
    from postroom.model.template import Finding

SUFFIXES = frozenset({".html", ".mjml", ".jinja"})
SHIPPED = "postroom"
"""The package name of what comes with Postroom."""
_MARKS = ("components", "layouts", "theme.toml")
"""What the root of a directory of templates has."""

Directory = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        help="Directory of templates; default that of the settings, else this one if it has some.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """A template that this process can read."""

    workshop: "Workshop"
    worked: "Worked"


def here(target: str, *, locale: str, directory: Path | None, settings: "Settings") -> Here | None:
    """Return the template that is meant; ``None``: only a server may know it.

    Raises CliError for a file or a package that is not there.
    """
    path = Path(target)
    if path.suffix in SUFFIXES or "/" in target:
        return _file(path, locale, settings)
    package, colon, name = target.rpartition(":")
    if colon:
        workshop = package_workshop(package, settings)
    else:
        place = directory or templates_directory(settings)
        if place is None or "@" in name:
            return None
        workshop = directory_workshop(place, settings)
        if directory is None and name not in workshop.look().sources:
            return None
    return Here(workshop=workshop, worked=_variant(workshop, name, target, locale))


def _variant(workshop: "Workshop", name: str, target: str, locale: str) -> "Worked":
    from difflib import get_close_matches

    from postroom.errors import NotFoundError

    try:
        return workshop.variant(name, locale)
    except NotFoundError as error:
        near = get_close_matches(name, list(workshop.look().sources), 1)
        fix = "`postroom templates list` shows them."
        if near:
            fix = f"Did you mean {target.removesuffix(name)}{near[0]}?"
        raise CliError(Exit.USAGE, str(error), fix=fix) from None


def _file(path: Path, locale: str, settings: "Settings") -> Here:
    from postroom.model.template import TEMPLATE_NAME, TemplateSource
    from postroom.renderer.layout import FORMS

    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror.lower() if isinstance(error, OSError) and error.strerror else "it is not UTF-8"
        raise CliError(Exit.USAGE, f"{path} cannot be read: {why}") from None
    if path.suffix not in SUFFIXES:
        fix = "A template ends in .html, .mjml or .jinja."
        raise CliError(Exit.USAGE, f"{path} is not a template", fix=fix)
    full = path.resolve()
    root = root_of(full.parent)
    workshop = directory_workshop(root, settings)
    beside = {one.file: one for sources in workshop.look().sources.values() for one in sources}
    source = beside.get(full.relative_to(root).as_posix())
    if source is not None:
        worked = workshop.variant(source.name, locale) if locale else workshop.work(source)
        return Here(workshop=workshop, worked=worked)
    name = path.stem.partition(".")[0].lower().replace(" ", "-")
    source = TemplateSource(
        name=name if TEMPLATE_NAME.match(name) else "file",
        locale=locale,
        form=FORMS[path.suffix[1:]],
        text=text.replace("\r\n", "\n"),
        file=str(path),
    )
    return Here(workshop=workshop, worked=workshop.work(source))


def root_of(folder: Path) -> Path:
    """Return the nearest directory, this one or one above, that has components or layouts; else this one."""
    for one in (folder, *folder.parents):
        if any((one / mark).exists() for mark in _MARKS):
            return one
        if (one / ".git").exists():
            break
    return folder


def templates_directory(settings: "Settings") -> Path | None:
    """Return the directory of the settings, else this one when it looks like one of templates."""
    if settings.templates.directory is not None:
        return settings.templates.directory
    cwd = Path.cwd()
    is_one = any((cwd / mark).exists() for mark in _MARKS)
    return cwd if is_one else None


def directory_workshop(place: Path, settings: "Settings") -> "Workshop":
    """Return a workshop over a directory. Raises CliError when there is none."""
    from postroom.clock import SystemClock
    from postroom.ingress.preview.workshop import Workshop
    from postroom.renderer.directory import Directory as Files

    if not place.is_dir():
        raise CliError(Exit.USAGE, f"there is no directory {place}", fix="Check the path.")
    clock = SystemClock()
    return Workshop(Files(place, clock=clock).read, clock=clock, names=settings.templates.globals)


def package_workshop(package: str, settings: "Settings") -> "Workshop":
    """Return a workshop over what is shipped, or over an installed package. Raises CliError."""
    import asyncio

    from postroom.bootstrap.templates import places_of
    from postroom.clock import SystemClock
    from postroom.ingress.preview.workshop import Workshop
    from postroom.renderer.packages import Package, package_folder

    clock, names = SystemClock(), dict(settings.templates.globals)
    if package == SHIPPED:
        collection = asyncio.run(places_of(settings.templates, clock=clock)[SHIPPED].look())
        return Workshop(lambda: collection, clock=clock, names=names)
    folder = package_folder(package)
    if folder is None:
        fix = f"Install it beside Postroom: pip install {package}."
        raise CliError(Exit.USAGE, f"there is no package {package[:80]!r} of templates", fix=fix)
    collection = Package(folder).read()
    return Workshop(lambda: collection, clock=clock, names=names)


def as_cli_error(error: Exception, cause: str) -> CliError:
    """Put a source that does not compile, or variables that do not fit, into the words of a command."""
    from postroom.errors import InputError
    from postroom.template.errors import SourceError

    if isinstance(error, SourceError):
        return CliError(Exit.FAILED, cause, problems=problems_of(error.findings))
    if isinstance(error, InputError):
        return CliError(Exit.USAGE, cause, problems=error.problems)
    raise error


def problems_of(findings: "Iterable[Finding]") -> "list[Problem]":
    """Return findings as problems; the field is ``FILE:LINE:COLUMN``."""
    return [Problem(code=one.code, field=place_of(one), cause=one.cause, fix=one.fix) for one in findings]


def place_of(finding: "Finding") -> str:
    """Return where a finding is, as editors understand it."""
    numbers = [str(number) for number in (finding.line, finding.column) if number]
    return ":".join([finding.file, *numbers])

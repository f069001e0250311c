"""``postroom templates lint``: check templates before anybody gets them, also in CI.

Files are compiled and rendered with their examples in this process, with the functions of the server. The
findings go to standard output or to a file; the exit code says whether something must be mended.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.options import Config, Data, EnvFile, flags_of, server_of, settings_of

if TYPE_CHECKING:
    from postroom.config.settings import Settings
    from postroom.config.sources import Flags
    from postroom.model.template import Collection, Finding, TemplateSource
    from postroom.template.lint.case import Checked
    from postroom.template.lint.getters import Getters

_ALL = "*"
_MANY = 16
"""Templates from which on a second process is faster than none; each takes about a sixth of a second."""
_MAX_PROCESSES = 4
_AT_ONCE = 4
"""Templates a process is given at a time."""
_STYLES = {"error": "red", "warning": "yellow", "note": "cyan"}


class Format(StrEnum):
    """How findings are written."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    JUNIT = "junit"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Set:
    """Templates that are checked together."""

    collection: "Collection"
    wanted: frozenset[str] = frozenset()
    """Files; empty: all."""
    getters: "Getters | None" = None
    stored: str = ""
    """The name of a stored template: a server has checked it, and its findings are the collection's."""
    prefix: str
    """Before the names of files in findings."""


What = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH|NAME]...",
        help="Directories, files, or names; default the settings' directory, else this one.",
    ),
]
How = Annotated[Format, typer.Option("--format", help="How to write the findings.")]
Output = Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write them to a file.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 for warnings too.")]
Clients = Annotated[
    list[str] | None,
    typer.Option("--clients", metavar="NAME", help="Mail programs to ask about, or all; repeat, or commas."),
]
Packages = Annotated[
    list[str] | None,
    typer.Option("--package", metavar="NAME", help="An installed package of templates; repeat for more."),
]


def lint(  # noqa: PLR0913 - its flags
    what: What = None,
    *,
    package: Packages = None,
    format: How = Format.TEXT,  # noqa: A002 - its word
    output: Output = None,
    strict: Strict = False,
    clients: Clients = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
) -> None:
    """Check templates: what breaks, what cannot be read, what filters distrust."""
    from postroom.template.lint.linting import lint_all

    asked = _clients(clients)
    flags = flags_of(data, config, env_file)
    settings = settings_of(flags)
    found: list[Finding] = []
    files: list[str] = []
    for one in _sets(what or (), package or (), settings, flags, clients=asked):
        checked = _checked(one, settings)
        own = () if one.wanted else one.collection.findings
        said = (*own, *lint_all(checked, clients=asked, getters=one.getters))
        above = _lines_above(checked)
        found += (_placed(finding, one, above) for finding in said if _is_wanted(finding, one, checked))
        files += [one.stored] if one.stored else []
        files += [one.prefix + item.file for item in checked if not one.wanted or item.file in one.wanted]
    if not files and not found:
        raise CliError(Exit.USAGE, "there are no templates", fix="Name a directory, a file or a package.")
    _write(found, files, format, output, strict=strict)
    raise typer.Exit(_exit(found, strict=strict))


def _clients(names: Sequence[str] | None) -> "frozenset[str] | None":
    from postroom.template.lint.clients import chosen

    wished = [part.strip() for name in names or () for part in name.split(",") if part.strip()]
    try:
        return chosen(wished) if wished else None
    except ValueError as error:
        raise CliError(Exit.USAGE, str(error), fix="Correct --clients.") from error


def _sets(
    what: Sequence[str],
    packages: Sequence[str],
    settings: "Settings",
    flags: "Flags",
    *,
    clients: frozenset[str] | None,
) -> Iterator[_Set]:
    """Read what was named. Raises CliError for what is not there."""
    from postroom.cli.templates_place import templates_directory

    for name in packages:
        yield _package(name)
    directory = templates_directory(settings) or Path.cwd()
    if not what and not packages:
        yield _directory(directory)
    names: dict[str, list[str]] = {}
    for one in what:
        path = Path(one)
        if path.is_dir():
            yield _directory(path)
        elif path.is_file():
            yield _file(path)
        else:
            place, _, name = one.rpartition(":")
            names.setdefault(place, []).append(name)
    for place, wished in names.items():
        yield from _named(place, wished, directory, flags, clients=clients)


def _directory(root: Path) -> _Set:
    from postroom.clock import SystemClock
    from postroom.renderer.directory import Directory

    prefix = "" if root.absolute() == Path.cwd() else f"{root.as_posix().rstrip('/')}/"
    return _Set(collection=Directory(root, clock=SystemClock()).read(), prefix=prefix)


def _file(path: Path) -> _Set:
    """Return one file with the directory that lends it components, languages and styles."""
    from postroom.cli.templates_place import root_of

    root = root_of(path.absolute().parent)
    own = path.absolute().relative_to(root).as_posix()
    near = path.as_posix().removesuffix(own)
    whole = replace(_directory(root), wanted=frozenset({own}), prefix=near)
    if any(one.file == own for variants in whole.collection.sources.values() for one in variants):
        return whole
    return replace(whole, collection=replace(whole.collection, sources={path.stem: (_lone(path, own),)}))


def _lone(path: Path, file: str) -> "TemplateSource":
    """Read a template that stands where a directory of templates would not look."""
    from postroom.model.template import TemplateSource
    from postroom.renderer.layout import FORMS, SHELF_FOLDERS

    form = FORMS.get(path.suffix[1:])
    if form is None or file.partition("/")[0] in SHELF_FOLDERS:
        fix = "Templates end in .html, .mjml or .jinja; components are checked with what uses them."
        raise CliError(Exit.USAGE, f"{path} is no template", fix=fix)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(Exit.USAGE, f"{path} cannot be read as UTF-8") from error
    return TemplateSource(name=path.stem, form=form, text=text, file=file)


def _package(name: str) -> _Set:
    from postroom.renderer.packages import FOLDER, Package, package_folder
    from postroom.template.lint.getters import read_getters

    folder = package_folder(name)
    if folder is None:
        raise CliError(Exit.USAGE, f"no package {name} with a folder {FOLDER} is installed")
    sources = [file.read_text(encoding="utf-8", errors="replace") for file in sorted(folder.glob("*.py"))]
    return _Set(collection=Package(folder).read(), getters=read_getters(*sources), prefix=f"{name}/")


def _named(
    place: str, wished: Sequence[str], directory: Path, flags: "Flags", *, clients: frozenset[str] | None
) -> Iterator[_Set]:
    """Find names as a mail would name them: of the directory, ``postroom:NAME``, ``PACKAGE:NAME``, stored."""
    from postroom.cli.templates_place import SHIPPED

    whole = _shipped() if place == SHIPPED else _package(place) if place else _directory(directory)
    sources = whole.collection.sources
    if _ALL in wished:
        yield whole
        return
    here = frozenset(one.file for name in wished for one in sources.get(name, ()))
    if here:
        yield replace(whole, wanted=here)
    for name in wished:
        if name not in sources:
            stored = None if place else _stored(name, flags, clients)
            if stored is None:
                near = get_close_matches(name, sources, 1)
                fix = f"Did you mean {near[0]}?" if near else "`postroom templates list` shows them."
                raise CliError(Exit.USAGE, f"there is no template {name}", fix=fix)
            yield stored


def _stored(name: str, flags: "Flags", clients: frozenset[str] | None) -> _Set | None:
    """Let a server check what it has stored; ``None`` when none can be asked."""
    from postroom.model.template import Collection, Finding, Severity

    body: dict[str, Any] = {"template": name}
    if clients is not None:
        body["clients"] = sorted(clients)
    try:
        with server_of(flags) as server:
            answer = server.ask("POST", "/v1/templates/lint", json=body)
    except CliError as error:
        if error.exit_code in {Exit.UNREACHABLE, Exit.UNAUTHORISED}:
            return None
        raise
    told = tuple(Finding(**{**one, "severity": Severity(one["severity"])}) for one in answer["findings"])
    return _Set(collection=Collection(sources={}, findings=told), stored=name, prefix="")


def _shipped() -> _Set:
    from postroom.model.template import Collection
    from postroom.template.shelves import shipped_sources

    sources: dict[str, tuple[TemplateSource, ...]] = {}
    for one in shipped_sources():
        sources[one.name] = (*sources.get(one.name, ()), one)
    return _Set(collection=Collection(sources=sources), prefix="postroom:")


def _checked(one: _Set, settings: "Settings") -> "list[Checked]":
    """Compile what is wanted, and the other languages of it, for they are compared."""
    from concurrent.futures import ProcessPoolExecutor

    from postroom.clock import SystemClock
    from postroom.renderer.checking import checked

    names, at = settings.templates.globals, SystemClock().now()
    compiled = partial(checked, shelf=one.collection.shelf, names=names, at=at)
    sources = [
        source
        for variants in one.collection.sources.values()
        if not one.wanted or any(variant.file in one.wanted for variant in variants)
        for source in variants
    ]
    processes = min(os.cpu_count() or 1, _MAX_PROCESSES)
    if len(sources) < _MANY or processes == 1:
        return [compiled(source) for source in sources]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(compiled, sources, chunksize=_AT_ONCE))


def _lines_above(checked: "Sequence[Checked]") -> dict[str, int]:
    """Return how many lines of front matter each source has; those of a package are not in its files."""
    from postroom.template.lint.case import front_matter_end, line_of

    return {one.file: line_of(one.source.text, front_matter_end(one.source.text))[0] - 1 for one in checked}


def _is_wanted(finding: "Finding", one: _Set, checked: "Sequence[Checked]") -> bool:
    """Say whether to tell: of single files, what is about them and the components that they use."""
    others = {item.file for item in checked} - one.wanted
    return not one.wanted or finding.file not in others


def _placed(finding: "Finding", one: _Set, above: Mapping[str, int]) -> "Finding":
    """Return a finding with the place of the file on the disk; ``above`` are lines that are not in it."""
    line = finding.line - above.get(finding.file, 0) if one.getters else finding.line
    is_there = line > 0
    return replace(
        finding,
        file=one.prefix + finding.file,
        line=line if is_there else 0,
        column=finding.column if is_there else 0,
    )


def _write(
    found: Sequence["Finding"], files: Sequence[str], how: Format, output: Path | None, *, strict: bool
) -> None:
    from importlib.metadata import version

    from postroom.template.lint.reports import as_json, as_junit, as_sarif, counts, line_of

    match how:
        case Format.JSON:
            text = as_json(found, files)
        case Format.SARIF:
            text = as_sarif(found, version=version("postroom"))
        case Format.JUNIT:
            text = as_junit(found, files, strict=strict)
        case Format.TEXT:
            if output is None:
                _say(found, files)
                return
            text = "\n".join([*map(line_of, found), _sum(counts(found), len(files))])
    if output is None:
        sys.stdout.write(text + "\n")
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise CliError(Exit.USAGE, f"{output} cannot be written: {error.strerror}") from error


def _say(found: Iterable["Finding"], files: Sequence[str]) -> None:
    from rich.text import Text

    from postroom.cli.show import out, printable
    from postroom.template.lint.reports import counts, place

    console = out()
    told = list(found)
    alike = Counter((one.code, one.cause) for one in told)
    for one in told:
        severity = one.severity.value
        again = alike.pop((one.code, one.cause), 0) if severity == "note" else 1
        if not again:  # the first of its kind has told it
            continue
        line = Text(printable(place(one)), style="bold")
        line.append(": ", style="not bold")
        line.append(severity, style=f"not bold {_STYLES[severity]}")
        line.append(f": {printable(one.cause)} [{one.code}] {printable(one.fix)}", style="not bold")
        if again > 1:
            line.append(f" ({again} times)", style="not bold")
        console.print(line)
    console.print(_sum(counts(told), len(files)))


def _sum(counts: Mapping[str, int], files: int) -> str:
    said = ", ".join(f"{number} {name}{'' if number == 1 else 's'}" for name, number in counts.items())
    return f"{files} template{'' if files == 1 else 's'}: {said}"


def _exit(found: Iterable["Finding"], *, strict: bool) -> Exit:
    failing = {"error", "warning"} if strict else {"error"}
    return Exit.FAILED if any(one.severity.value in failing for one in found) else Exit.OK

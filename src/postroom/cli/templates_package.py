"""``postroom templates build``, a Python package of a directory, and ``dev``, pages that show it."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.options import Config, Data, EnvFile, flags_of, settings_of
from postroom.cli.templates_place import as_cli_error, directory_workshop

if TYPE_CHECKING:
    from postroom.ingress.preview.workshop import Workshop
    from postroom.template.getters import Packable

Place = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of templates.")]


def build(  # noqa: PLR0913 - each is a flag
    directory: Place,
    *,
    package: Annotated[
        str,
        typer.Option("--package", metavar="NAME", help="What it is installed as; imported with underscores."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="OUT", help="New directory for it, default the package's name here."
        ),
    ] = None,
    version: Annotated[str, typer.Option("--version", metavar="VERSION", help="Its version.")] = "0.1.0",
    class_name: Annotated[
        str, typer.Option("--class", metavar="NAME", help="Name of the class with the getters.")
    ] = "MailTemplates",
    logo: Annotated[
        str,
        typer.Option(
            "--logo", metavar="PATH", help="Path of the logo behind api_base_url, default NAME/logo.png."
        ),
    ] = "",
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
) -> None:
    """Write an installable Python package with a typed getter for each template."""
    from postroom.cli.show import say
    from postroom.errors import InputError
    from postroom.renderer.package_builder import PackageSpec, package_files, write_package
    from postroom.template.errors import SourceError

    workshop = directory_workshop(directory, settings_of(flags_of(data, config, env_file)))
    spec = PackageSpec(package=package, version=version, class_name=class_name, logo=logo)
    target = output or Path.cwd() / package
    try:
        made = package_files(_packables(workshop), spec)
        write_package(made, target)
    except (SourceError, InputError) as error:
        raise as_cli_error(error, f"no package can be made of {directory}") from None
    except OSError as error:
        why = (error.strerror or "unknown reason").lower()
        raise CliError(Exit.FAILED, f"{target} cannot be written: {why}") from None
    names = workshop.look().sources
    say(f"wrote {target}: {spec.module}.{class_name}, templates: {len(names)}")
    say(f"  install it: pip install {target}")


def _packables(workshop: "Workshop") -> "list[Packable]":
    """Return every template. Raises SourceError with the findings of all that do not compile."""
    from postroom.model.template import Severity
    from postroom.template.errors import SourceError
    from postroom.template.getters import Packable
    from postroom.template.language.front_matter import read_front_matter

    found, findings = [], []
    for name in workshop.look().sources:
        variants = workshop.variants(name)
        findings += [one for worked in variants if worked.compiled is None for one in worked.findings]
        compiled = tuple(worked.compiled for worked in variants if worked.compiled is not None)
        if len(compiled) < len(variants):
            continue
        source = variants[0].source
        page = read_front_matter(source.text, file=source.file)[0].page
        found.append(
            Packable(
                name=name,
                variants=compiled,
                getter=str(page.get("getter") or ""),
                description=str(page.get("description") or ""),
                file=source.file,
            )
        )
    if findings:
        raise SourceError([one for one in findings if one.severity is Severity.ERROR] or findings)
    return found


def dev(
    directory: Place,
    *,
    port: Annotated[
        int,
        typer.Option("--port", metavar="PORT", min=0, max=65535, help="On 127.0.0.1; 0: any that is free."),
    ] = 8588,
    open_: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
) -> None:
    """Serve pages on this machine that show the templates of a directory, and follow its files."""
    from postroom.bootstrap.preview import run_preview
    from postroom.cli.show import say
    from postroom.errors import ConfigError

    settings = settings_of(flags_of(data, config, env_file))
    workshop = directory_workshop(directory, settings)

    def announce(url: str) -> None:
        say("templates of", directory, "at", url, style="bold")
        say("  Ctrl-C ends it")
        sys.stdout.flush()  # who reads it through a pipe waits for it
        if open_:
            import webbrowser

            webbrowser.open(url)

    try:
        run_preview(workshop, title=str(directory.resolve()), port=port, announce=announce)
    except ConfigError as error:
        cause = error.problems[0].cause
        raise CliError(Exit.USAGE, cause, fix="Choose another --port, or 0 for any that is free.") from None

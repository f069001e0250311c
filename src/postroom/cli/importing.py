"""``postroom import``: another program's configuration as a ``postroom.toml``, on standard output.

A secret is never printed unless asked: it goes into a file of its own that only its owner may read, in the
data directory, and the settings name that file. What could not be carried over stands in comments.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.options import Data

if TYPE_CHECKING:
    from postroom.schema.import_result import Imported

app = typer.Typer(
    help="Print another program's configuration as postroom.toml.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

SECRETS = "import-secrets"
"""In the data directory."""

File = Annotated[Path, typer.Argument(metavar="FILE", help="The configuration as the program has it.")]
Secrets = Annotated[
    Path | None,
    typer.Option("--secrets", metavar="DIR", help="Directory for the files with secrets."),
]
ShowSecrets = Annotated[
    bool, typer.Option("--show-secrets", help="Print the secrets in the settings and write no file.")
]


@app.command()
def nexus(
    file: File, *, secrets: Secrets = None, show_secrets: ShowSecrets = False, data: Data = None
) -> None:
    """The INI file of a Nexus mail API."""
    from postroom.config.nexus_import import import_nexus

    _show(import_nexus(_content(file), file.name), file, _Place("nexus", secrets, data, show=show_secrets))


@app.command()
def hap(file: File, *, secrets: Secrets = None, show_secrets: ShowSecrets = False, data: Data = None) -> None:
    """The mail service of HAP: its seven keys as JSON, or its appextensions.json."""
    from postroom.config.hap_import import import_hap

    _show(import_hap(_content(file), file), file, _Place("hap", secrets, data, show=show_secrets))


@app.command()
def tapdata(
    file: File, *, secrets: Secrets = None, show_secrets: ShowSecrets = False, data: Data = None
) -> None:
    """The settings of TapData: its list of settings, or the keys as JSON or properties."""
    from postroom.schema.import_tapdata import import_tapdata

    _show(
        import_tapdata(_content(file), file.name), file, _Place("tapdata", secrets, data, show=show_secrets)
    )


@app.command()
def appbuilder(
    file: File, *, secrets: Secrets = None, show_secrets: ShowSecrets = False, data: Data = None
) -> None:
    """The endpoint of App Builder: its table as text, JSON or INI."""
    from postroom.schema.import_plain import import_app_builder

    found = import_app_builder(_content(file), file.name)
    _show(found, file, _Place("appbuilder", secrets, data, show=show_secrets))


@app.command()
def hyperion(
    file: File, *, secrets: Secrets = None, show_secrets: ShowSecrets = False, data: Data = None
) -> None:
    """The settings of Hyperion: .env or .env.yaml."""
    from postroom.schema.import_plain import import_hyperion

    found = import_hyperion(_content(file), file.name)
    _show(found, file, _Place("hyperion", secrets, data, show=show_secrets))


@app.command()
def alertmanager(
    file: File, *, secrets: Secrets = None, show_secrets: ShowSecrets = False, data: Data = None
) -> None:
    """The configuration of Alertmanager: account, routes, receivers, times and inhibitions."""
    from postroom.schema.import_alertmanager import import_alertmanager

    found = import_alertmanager(_content(file), file.name)
    _show(found, file, _Place("alertmanager", secrets, data, show=show_secrets))


class _Place:
    """Where the secrets of an import go."""

    def __init__(self, system: str, directory: Path | None, data: Path | None, *, show: bool) -> None:
        self.system = system
        self._directory = directory
        self._data = data
        self._is_shown = show
        self.files: list[Path] = []

    def keep(self, key: str, secret: str | None, name: str) -> dict[str, str]:
        """Return the setting that stands for a secret; ``None`` is one that a person has to write."""
        if self._is_shown and secret is not None:
            return {key: secret}
        path = self._place() / f"{name}.{key}"
        if secret is not None:
            _write(path, secret)
        self.files.append(path)
        return {f"{key}_file": str(path)}

    def _place(self) -> Path:
        from postroom.config.sources import Flags, data_directory, read_sources

        cwd = Path.cwd()
        if self._directory is not None:
            return cwd / self._directory
        return data_directory(read_sources(Flags(data=self._data), os.environ, cwd), cwd) / SECRETS


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        why = (error.strerror or "unknown reason").lower()
        raise CliError(Exit.USAGE, f"{file} cannot be read: {why}") from None


def _write(path: Path, secret: str) -> None:
    """Write a file that only its owner may read; one with another content is never replaced."""
    data = secret.encode()
    try:
        for directory in (path.parent.parent, path.parent):  # the first is the data directory, or may be
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if path.read_bytes() != data:
            fix = "Remove it when it is not used any more, or give --secrets DIR."
            raise CliError(Exit.FAILED, f"{path} exists with another secret", fix=fix) from None
        if path.stat().st_mode & 0o077:
            fix = f"Run `chmod 600 {path}`."
            raise CliError(Exit.FAILED, f"{path} may be read by others", fix=fix) from None
        return
    except OSError as error:
        why = (error.strerror or "unknown reason").lower()
        raise CliError(Exit.FAILED, f"{path} cannot be written: {why}", fix="Give --secrets DIR.") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _show(found: "Imported", file: Path, place: _Place) -> None:
    from postroom.schema.toml_text import toml_text

    transport = _without_secrets(found.transport, place)
    document = {**found.sections, **({"transports": [transport]} if transport else {})}
    told = [f"Made by `postroom import {place.system} {file.name}`."]
    told += [f"Secret in a file: {path}" for path in place.files]
    told += [f"Note: {note}" for note in found.notes]
    told += [f"Not carried over: {line}: {reason}" for line, reason in found.left]
    for sentence in map(_one_line, told):
        typer.echo(f"# {sentence}")
    typer.echo()
    typer.echo(toml_text(document), nl=False)
    for line, reason in found.left:
        typer.echo(f"not carried over: {_one_line(line)}: {_one_line(reason)}", err=True)


def _without_secrets(transport: dict[str, Any], place: _Place) -> dict[str, Any]:
    from postroom.schema.credentials import HIDDEN

    kept: dict[str, Any] = {}
    for key, value in transport.items():
        if key == "password" or (key == "url" and "@" in value):
            secret = None if value == HIDDEN else str(value)
            kept |= place.keep(key, secret, str(transport["name"]))
        else:
            kept[key] = value
    return kept


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)

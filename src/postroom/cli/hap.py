"""``postroom hap``: what Mingdao HAP needs to know to hand its mail to this server."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.options import Config, Data, EnvFile, Json, flags_of, settings_of

if TYPE_CHECKING:
    from postroom.config.settings import HapSettings, Settings

app = typer.Typer(help="Mingdao HAP.", no_args_is_help=True, rich_markup_mode=None)

DOOR = "/email/webhook"
"""The path of HAP's own example."""
VOLUME = "- ./volume/email/appextensions.json:/usr/local/MDPrivateDeployment/email/appextensions.json"
"""The line of HAP's documentation."""


@app.callback()
def hap() -> None:
    """Mingdao HAP."""


@app.command("config")
def hap_config(
    *,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="How HAP reaches this server.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option("--write", metavar="PATH", help="Write the file instead of printing it.")
    ] = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Print the appextensions.json that makes HAP post its mail here; the secret is in it."""
    from json import dumps

    from postroom.cli.show import say, say_json

    settings = settings_of(flags_of(data, config, env_file))
    root = (url or settings.public_url or settings.listeners[0].local_url).rstrip("/")
    document = {"WebhookUrl": f"{root}{DOOR}", "WebhookHeaders": _headers(settings.hap)}
    text = dumps(document, indent=4, ensure_ascii=False)
    if write is not None:
        _write(write, text)
    if json:
        say_json(document)
        return
    if write is None:
        typer.echo(text)
    else:
        say("written to", write)
    say("1. Put it beside HAP's docker-compose.yaml as volume/email/appextensions.json, for example")
    say("   /data/hap/script/volume/email/appextensions.json")
    say("2. Add to docker-compose.yaml, below `volumes` of the service `app`:")
    say("  ", VOLUME)
    say("3. Restart the service: HAP reads the file only then.")
    for warning in _warnings(settings, url):
        say("warning:", warning, style="yellow")


def _headers(hap: "HapSettings") -> dict[str, str]:
    if hap.secret is None:
        return {}
    return {"-".join(part.capitalize() for part in hap.header.split("-")): hap.secret.reveal()}


def _warnings(settings: "Settings", url: str | None) -> list[str]:
    """Return what would keep HAP from posting."""
    found = []
    if settings.hap.secret is None:
        fix = "set hap.secret, and run this again"
        found.append(
            f"there is no secret, so only programs on this machine and in hap.networks may post; {fix}"
        )
    if url is None and settings.public_url is None:
        where = (
            "HAP's containers do not reach this machine by that address"
            if (settings.listeners[0].is_loopback)
            else "this is the address the server listens on"
        )
        found.append(f"{where}; give --url, or set http.public_url")
    return found


def _write(path: Path, text: str) -> None:
    """Write the file for its owner alone; one that is there is left as it is."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        fix = "Name another file, or put the two members into the one that is there."
        raise CliError(Exit.FAILED, f"{path} exists", fix=fix) from None
    except OSError as error:
        cause = f"{path} cannot be written: {(error.strerror or 'unknown reason').lower()}"
        raise CliError(Exit.FAILED, cause, fix="Check the directory.") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{text}\n")

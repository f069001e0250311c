"""``postroom webhook test``: what a webhook transport would post, and a post on request, with its answer.

The target is a transport of the settings, ``appextensions.json``, or a mapping file with ``--url``. A stored
transport has its secrets in the server, so its test goes by ``postroom transports`` and ``check --send-to``.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.language import Lang, language_for
from postroom.cli.options import Config, Data, EnvFile, Json, flags_of, settings_of

if TYPE_CHECKING:
    from postroom.bootstrap.hook_trial import Trial
    from postroom.config.settings import Settings
    from postroom.model.transport import TransportSpec

app = typer.Typer(help="Webhooks that mail is posted to.", no_args_is_help=True, rich_markup_mode=None)
SAMPLE = "to@example.net"
MAX_SHOWN = 4000
"""Characters of a body that are printed."""


@app.callback()
def group() -> None:
    """Webhooks that mail is posted to."""


@app.command("test")
def try_it(
    target: Annotated[
        str,
        typer.Argument(metavar="TRANSPORT|FILE", help="A transport, appextensions.json, or a mapping file."),
    ],
    *,
    to: Annotated[
        str | None, typer.Option("--to", metavar="ADDRESS", help="Post a test mail to this recipient.")
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Where to post, with a mapping file.")
    ] = None,
    lang: Lang = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Show what a webhook transport posts of a test mail; with --to post it and show the answer."""
    from postroom.bootstrap.hook_trial import try_webhook
    from postroom.cli.show import say_json
    from postroom.model.address import AddressError, parse_address

    settings = settings_of(flags_of(data, config, env_file))
    spec = _spec(target, url, settings)
    try:
        recipient = parse_address(to or SAMPLE)
    except AddressError as error:
        raise CliError(Exit.USAGE, f"--to: {error}") from None
    trial = try_webhook(spec, to=recipient, public_url=settings.public_url, is_posted=to is not None)
    answer = _as_json(spec, trial, language_for(lang, os.environ))
    if json:
        say_json(answer)
    else:
        _show(answer)
    if answer.get("outcome", "accepted") != "accepted":
        raise typer.Exit(Exit.FAILED)


def _spec(target: str, url: str | None, settings: "Settings") -> "TransportSpec":
    from postroom.schema.transport_body import read_body
    from postroom.schema.transport_spec import Setting

    named = next((one for one in settings.transports if one.name == target), None)
    if named is not None and url is None:
        if named.hook is None:
            fix = f"`postroom check {target}` looks at it."
            raise CliError(Exit.USAGE, f"{target} is not a webhook", fix=fix)
        return named
    path = Path(target)
    if not path.is_file():
        fix = (
            "Name one of the settings, or a file; `postroom check NAME --send-to ADDRESS` tests a stored one."
        )
        raise CliError(Exit.USAGE, f"there is no transport and no file {target}", fix=fix)
    document = _described(path, url)
    read = read_body({"name": "test", **document}, setting=Setting(default_from=settings.default_from))
    if read.spec is None:
        raise CliError(Exit.USAGE, f"{path} cannot be used", problems=read.problems)
    return read.spec


def _described(path: Path, url: str | None) -> Mapping[str, Any]:
    from postroom.config.hap_config import read_hap_config
    from postroom.schema.hook_mapping import MAX_MAPPING, read_mapping

    if url is None:
        found = read_hap_config(path)
        return {
            "kind": "webhook",
            "url": found.url.reveal(),
            "headers": {name: value.reveal() for name, value in found.headers.items()},
            "verify": found.verify,
        }
    with path.open("rb") as file:
        mapping, problems = read_mapping(file.read(MAX_MAPPING + 1), name=path.name, field=path.name)
    if problems:
        raise CliError(Exit.USAGE, f"{path} is not a mapping", problems=problems)
    return {"kind": "webhook", "url": url, "mapping": dict(mapping)}


def _as_json(spec: "TransportSpec", trial: "Trial", language: str) -> dict[str, Any]:
    from postroom.bootstrap.hook_trial import shown_headers
    from postroom.policy.settling import evidence_text
    from postroom.providers import replies

    answer: dict[str, Any] = {
        "url": "" if spec.hook is None else spec.hook.url,
        "headers": shown_headers(spec, trial.headers),
        "body": trial.body.data.decode("utf-8", "replace"),
    }
    if trial.evidence is not None and trial.verdict is not None:
        cause = trial.verdict.cause
        meaning, remedy = replies.words(cause, language) if cause else ("", "")
        answer |= {
            "outcome": trial.verdict.outcome.value,
            "answer": evidence_text(trial.evidence),
            "cause": cause,
            "meaning": meaning,
            "remedy": remedy,
        }
    return answer


def _show(answer: Mapping[str, Any]) -> None:
    from postroom.cli.show import say, say_wrapped

    say(f"POST {answer['url']}", style="bold")
    for name, value in answer["headers"].items():
        say(f"{name}: {value}")
    say("")
    typer.echo(answer["body"][:MAX_SHOWN])
    if "outcome" not in answer:
        say_wrapped("Nothing was posted; --to ADDRESS posts it.", indent="")
        return
    is_good = answer["outcome"] == "accepted"
    say(f"{answer['outcome']}: {answer['answer']}", style="green" if is_good else "red")
    for name in ("meaning", "remedy"):
        if answer[name]:
            say_wrapped(answer[name])

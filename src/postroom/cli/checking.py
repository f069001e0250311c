"""``postroom check``: look at an account stage by stage, and mend it where that takes one change.

A name is a transport of the running server, or of the settings while none runs. A URL, an address or a host
needs neither; a secret is asked for without being shown, and without one only the way to the server is
looked at. No mail is sent but by ``--send-to``.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once
# ruff: noqa: PLR0913 - the options of a command

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.language import Lang, language_for
from postroom.cli.options import Config, Data, EnvFile, Json, Yes, flags_of, server_of
from postroom.cli.subjects import (
    Configured,
    Described,
    Known,
    Subject,
    asked_if_there,
    asked_secret,
    ground_of,
)
from postroom.model.checkup import Checkup, Fix

if TYPE_CHECKING:
    from postroom.cli.server import Server
    from postroom.config.settings import Settings

Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TARGET]...",
        help="Name of a transport, a URL, an address, HOST PORT or HOST; default the default transport.",
    ),
]
All = Annotated[bool, typer.Option("--all", help="Every transport; for cron.")]
Share = Annotated[bool, typer.Option("--share", help="Without logins and names, to be shown to others.")]
SendTo = Annotated[
    str | None,
    typer.Option("--send-to", metavar="ADDRESS", help="After a good check send a test mail there."),
]
DoFix = Annotated[bool, typer.Option("--fix", help="Ask for each change that mends something, and make it.")]

MAX_FIXES = 5
"""Changes in a row; after them something else is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How to look and to show."""

    language: str
    json: bool
    share: bool
    fix: bool
    yes: bool


def check(
    target: Targets = None,
    *,
    all_: All = False,
    share: Share = False,
    send_to: SendTo = None,
    fix: DoFix = False,
    yes: Yes = False,
    lang: Lang = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Look at a mail account stage by stage and name what is wrong; no mail is sent."""
    wishes = Wishes(language=language_for(lang, os.environ), json=json, share=share, fix=fix, yes=yes)
    words = target or []
    if len(words) > 2 or (all_ and words):
        fix_text = "Give a name, a URL, an address, HOST PORT or HOST; or --all alone."
        raise CliError(Exit.USAGE, "these targets do not go together", fix=fix_text)
    with ExitStack() as stack:
        flags = flags_of(data, config, env_file)
        settings = ground_of(flags)
        server = stack.enter_context(server_of(flags))
        if all_:
            raise typer.Exit(_check_all(list(_all(server, settings, wishes)), wishes))
        if (place := _place(words)) is not None:
            raise typer.Exit(_knock(*place, settings, wishes))
        subject = _subject(words, server, settings, wishes)
        if subject is None:
            host, ports = _without_login(words[0], settings, wishes)
            raise typer.Exit(_knock(host, ports, settings, wishes))
        raise typer.Exit(_check_one(subject, send_to, wishes))


def _check_one(subject: Subject, send_to: str | None, wishes: Wishes) -> int:
    from postroom.cli.show import say_json

    found = mended(subject, wishes) if wishes.fix else subject.check()
    if not (wishes.fix or wishes.json):
        show(found, wishes)
    sent = subject.send(send_to) if found.ok and send_to is not None else None
    if wishes.json:
        say_json({**_as_json(found, wishes), **({} if sent is None else {"test": sent})})
    elif sent is not None:
        show_sent(sent)
    return Exit.OK if found.ok and (sent is None or sent["success"]) else Exit.FAILED


def mended(subject: Subject, wishes: Wishes) -> Checkup:
    """Look, change what may be changed, and look again."""
    from postroom.cli.show import say
    from postroom.providers.words import fix_sentence, phrase

    found = subject.check()
    for _ in range(MAX_FIXES):
        if not wishes.json:
            show(found, wishes)
        fix = next((one for one in fixes(found) if one.patch), None)
        if fix is None:
            break
        if not wishes.json:
            say(fix_sentence(fix.id, wishes.language))
        if not wishes.yes and not typer.confirm(phrase("ask.fix", wishes.language), default=True):
            break
        if lines := subject.apply(fix):
            typer.echo(lines, err=wishes.json)
            break
        found = subject.check()
    return found


def fixes(found: Checkup) -> Iterator[Fix]:
    """Yield the fixes of a check, that of what failed first."""
    for stage in sorted(found.stages, key=lambda one: one is not found.headline):
        if stage.fix is not None:
            yield stage.fix


def _as_json(found: Checkup, wishes: Wishes) -> dict[str, Any]:
    from postroom.schema.checkup_answers import checkup
    from postroom.schema.checkup_text import shareable

    return checkup(shareable(found) if wishes.share else found, language=wishes.language)


def show(found: Checkup, wishes: Wishes) -> None:
    """Print a check for people."""
    from postroom.cli.show import say
    from postroom.schema.checkup_text import shareable, text_of

    one = shareable(found) if wishes.share else found
    for line in text_of(one, language=wishes.language).splitlines():
        say(line)


def show_sent(sent: Any) -> None:
    """Print what became of a test mail."""
    from postroom.cli.show import say, say_wrapped

    say_wrapped(sent["message"], indent="", style="green" if sent["success"] else "red")
    if not sent["success"]:
        say(" ", sent["stack"])
        if sent["remedy"]:
            say_wrapped(sent["remedy"])


# ---------------------------------------------------------------------- many


def _check_all(subjects: Sequence[tuple[str, Subject]], wishes: Wishes) -> int:
    """Look at each; all are named, and one that fails makes the whole fail."""
    from postroom.cli.show import say, say_json

    if not subjects:
        raise CliError(Exit.FAILED, "there is no transport", fix="`postroom setup` makes one.")
    found = [(name, mended(one, wishes) if wishes.fix else one.check()) for name, one in subjects]
    is_ok = all(one.ok for _, one in found)
    if wishes.json:
        checks = [{"name": name, **_as_json(one, wishes)} for name, one in found]
        say_json({"ok": is_ok, "checks": checks})
    else:
        for name, one in found:
            say(f"{name}:", style="bold")
            show(one, wishes)
    return Exit.OK if is_ok else Exit.FAILED


def _all(server: "Server", settings: "Settings", wishes: Wishes) -> Iterator[tuple[str, Subject]]:
    listed = _listed(server)
    if listed is None:
        for spec in settings.transports:
            yield spec.name, Configured(spec=spec, settings=settings, language=wishes.language)
        return
    for one in listed:
        if one["origin"] != "none":
            yield one["name"], Known(server=server, name=one["name"], language=wishes.language)


def _listed(server: "Server") -> Sequence[dict[str, Any]] | None:
    """Return the transports of the running server; ``None`` when none of ours answers."""
    answer = asked_if_there(server, "/v1/transports")
    return None if answer is None else answer["transports"]


# ---------------------------------------------------------------------- targets


def _place(words: Sequence[str]) -> tuple[str, Sequence[int]] | None:
    """Return host and ports, when that is what is meant."""
    from postroom.ports.doctor import ESCAPE_PORTS

    if len(words) == 2:
        host, port = words
        if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
            raise CliError(
                Exit.USAGE, f"{port} is no port", fix="Write HOST PORT, for example mx.example.com 465."
            )
        return host, (int(port),)
    word = words[0] if words else ""
    if "://" in word or "@" in word or not word:
        return None
    if "." in word or ":" in word or word == "localhost":
        host, colon, port = word.rpartition(":")
        if colon and ":" not in host and port.isdigit():
            return host, (int(port),)
        return word.strip("[]"), ESCAPE_PORTS
    return None


def _subject(words: Sequence[str], server: "Server", settings: "Settings", wishes: Wishes) -> Subject | None:
    """Return what is meant; ``None`` for an address without a secret."""
    word = words[0] if words else ""
    if "://" in word:
        return Described(body={"url": word}, language=wishes.language, settings=settings)
    if "@" in word:
        return _account(word, settings, wishes)
    listed = _listed(server)
    if listed is not None:
        name = word or next(one["name"] for one in listed if one["default"])
        return Known(server=server, name=name, language=wishes.language)
    spec = next((one for one in settings.transports if word in {"", one.name}), None)
    if spec is None:
        what = f"no transport {word!r}" if word else "no transport"
        fix = "Stored ones need the server: `postroom serve`. A URL, an address or a host need neither."
        raise CliError(Exit.FAILED, f"no server answers, and the settings have {what}", fix=fix)
    return Configured(spec=spec, settings=settings, language=wishes.language)


def _account(address: str, settings: "Settings", wishes: Wishes) -> Subject | None:
    from postroom.cli.finding import body_of, found_server

    secret = ""
    proposal = found_server(address, settings, language=wishes.language, asks=sys.stdin.isatty())
    if sys.stdin.isatty():
        secret = asked_secret(wishes.language)
    if not secret:
        return None
    body = body_of(address, proposal, secret)
    return Described(body=body, language=wishes.language, settings=settings)


def _without_login(address: str, settings: "Settings", wishes: Wishes) -> tuple[str, Sequence[int]]:
    from postroom.cli.finding import found_server

    proposal = found_server(address, settings, language=wishes.language, asks=False)
    return proposal.host, (proposal.port,)


def _knock(host: str, ports: Sequence[int], settings: "Settings", wishes: Wishes) -> int:
    """Look at ports of a host without a login."""
    from postroom.bootstrap.doctor import build_doctor
    from postroom.cli.show import say, say_json, say_wrapped
    from postroom.clock import SystemClock
    from postroom.providers.replies import words

    if tuple(ports) == (25,) and not wishes.json:
        for text in words("port-25", wishes.language):
            say_wrapped(text, indent="", style="yellow")
    doctor = build_doctor(SystemClock(), allowed_networks=settings.allowed_networks)
    found = asyncio.run(doctor.knock(host, ports))
    if wishes.json:
        checks = [_as_json(one, wishes) for one in found]
        is_ok = any(one.ok for one in found)
        say_json(checks[0] if len(checks) == 1 else {"ok": is_ok, "checks": checks})
    else:
        for number, one in enumerate(found):
            if number:
                say()
            show(one, wishes)
    return Exit.OK if any(one.ok for one in found) else Exit.FAILED

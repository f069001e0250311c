"""``postroom alert``: report an event from a shell, from cron or for a unit that failed.

With a command after ``--`` it runs that and reports what became of it: firing when it ends with another code
than 0, with the end of its output, else resolved. Its output and its exit code are its own.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from math import inf
from typing import Annotated, Any

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.options import Config, Data, EnvFile, Json, flags_of, server_of
from postroom.errors import Problem

TAIL = 8192
"""Bytes of a command's output that are reported."""
_NOT_FOUND = 127
_NOT_RUN = 126
"""As a shell says it."""


def _one(flag: str, text: str, metavar: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=text)


Key = Annotated[str, typer.Argument(metavar="KEY", help="What kind of thing happened: a type's name.")]
Command = Annotated[
    list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="Run this and report its end.")
]
Severity = Annotated[str | None, _one("--severity", "emergency, critical, error, warning or info.", "WORD")]
State = Annotated[
    str | None, _one("--state", "firing or resolved; without it the event is over at once.", "STATE")
]
Source = Annotated[str | None, _one("--source", "Who reports, default this host.", "NAME")]
Object = Annotated[str | None, _one("--object", "What it is about: a task, a disk.", "NAME")]
Node = Annotated[str | None, _one("--node", "Which part of it.", "NAME")]
Title = Annotated[str | None, _one("--title", "A line for people.", "TEXT")]
Sentences = Annotated[str | None, _one("--text", "Sentences for people, - for standard input.", "TEXT|-")]
Labels = Annotated[list[str] | None, _one("--label", "For rules; repeat for more.", "NAME=TEXT")]
Values = Annotated[list[str] | None, _one("--value", "A number or text; repeat for more.", "NAME=VALUE")]
Dedup = Annotated[str | None, _one("--dedup", "An identity of your own.", "TEXT")]
Link = Annotated[str | None, _one("--link", "Where to look closer.", "URL")]
Told = Annotated[
    list[str] | None, _one("--to", "Told instead of the receiver's addresses; repeat.", "ADDRESS")
]


def alert(  # noqa: PLR0913 - each is a flag
    key: Key,
    command: Command = None,
    *,
    severity: Severity = None,
    state: State = None,
    source: Source = None,
    object_: Object = None,
    node: Node = None,
    title: Title = None,
    text: Sentences = None,
    label: Labels = None,
    value: Values = None,
    dedup: Dedup = None,
    link: Link = None,
    to: Told = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Report an event; with a command, run it and report how it ended."""
    given: dict[str, Any] = {
        "key": key,
        "severity": severity,
        "state": state,
        "source": source or socket.gethostname(),
        "object": object_,
        "node": node,
        "title": title,
        "text": _words(text),
        "labels": dict(_pairs(label, "--label")),
        "values": {name: _number(one) for name, one in _pairs(value, "--value")},
        "dedup": dedup,
        "link": link,
        "receivers": to,
    }
    code = 0
    if command:
        code, told = _run(command)
        given = {**told, **{name: one for name, one in given.items() if one}}
        given["values"] = {**told["values"], **given.get("values", {})}
    event = {name: one for name, one in given.items() if one}
    try:
        with server_of(flags_of(data, config, env_file)) as server:
            answer = server.ask("POST", "/v1/alerts", json=event)
    except CliError as error:
        if not code:
            raise
        from postroom.cli.show import say_error

        say_error(error, as_json=json)
    else:
        _show(answer, is_command=bool(command), as_json=json)
    if code:
        raise typer.Exit(code)


def _show(answer: dict[str, Any], *, is_command: bool, as_json: bool) -> None:
    from postroom.cli.show import say, say_json

    if as_json:
        say_json(answer)
    elif not is_command:  # a command's output stays its own
        (one,) = answer["alerts"]
        say(one["alert"], "event", one["event"])


def _run(command: list[str]) -> tuple[int, dict[str, Any]]:
    """Run a command, passing its output on; return its exit code and what to report."""
    from postroom.clock import SystemClock

    clock = SystemClock()
    began, tail = clock.monotonic(), bytearray()
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # noqa: S603 - the caller's own command
    except OSError as error:
        code = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_RUN
        tail += f"{command[0]}: {error.strerror}\n".encode()
        sys.stderr.write(tail.decode())
    else:
        with process:
            output = process.stdout.fileno() if process.stdout else -1
            while piece := os.read(output, 65536):
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
                tail = (tail + piece)[-TAIL:]
        code = process.returncode
    ended = f"ended with {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
    said = {
        "state": "firing" if code else "resolved",
        "severity": "error",
        "title": f"{command[0]} {ended}",
        "text": _readable(bytes(tail)),
        "values": {"exit_code": code, "seconds": round(clock.monotonic() - began, 1)},
    }
    return code if code >= 0 else 128 - code, said


def _words(text: str | None) -> str | None:
    return _readable(sys.stdin.buffer.read()) if text == "-" else text


def _readable(output: bytes) -> str:
    """Return what a program wrote, with marks for what is no text."""
    return output.decode("utf-8", "replace").replace("\0", "\ufffd")


def _pairs(written: Iterable[str] | None, flag: str) -> Iterable[tuple[str, str]]:
    for one in written or ():
        name, equals, value = one.partition("=")
        if not equals or not name:
            problem = Problem(
                code="not-a-pair", field=flag, cause=f"{one!r} has no name", fix="Write NAME=VALUE."
            )
            raise CliError(Exit.USAGE, "the event cannot be reported as it is", problems=[problem])
        yield name, value


def _number(text: str) -> str | int | float:
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return text if number != number or number in (inf, -inf) else number  # noqa: PLR0124 - JSON has none of these
    return text

"""``postroom alerts test``: what would become of a report, and of nothing that is stored.

Without a server it reads the settings, so a route can be tried before anybody depends on it; the rules that
calls stored are known to the server alone.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.options import Config, Data, EnvFile, Json, flags_of, server_of, settings_of
from postroom.errors import Problem

if TYPE_CHECKING:
    from postroom.config.settings import Settings
    from postroom.policy.alerting.trying import Trial

_FIELDS = ("key", "category", "severity", "source", "object", "node")
"""What a report names, and matchers see as labels."""
_TEXTS = ("title", "text", "link")
"""What only the mail shows."""


def try_report(
    *,
    set_: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A field (key, severity, object, ...), label.NAME or value.NAME; any other name is a label; "
            "repeat for more.",
        ),
    ],
    preview: Annotated[bool, typer.Option("--preview", help="Show the mails that would be sent.")] = False,
    at_server: Annotated[
        bool, typer.Option("--server", help="Ask the server, which knows stored rules and silences.")
    ] = False,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
    json: Json = False,
) -> None:
    """Say whom a report would reach; nothing is stored or sent."""
    from postroom.cli.alerts_trial_shown import show_mails, show_trial
    from postroom.cli.show import say, say_json

    labels, others = _read(set_)
    flags = flags_of(data, config, env_file)
    mails: list[dict[str, Any]] = []
    if at_server:
        if preview or others:
            name = "--preview" if preview else f"--set {next(iter(others))}"
            _refuse(name, "the server says the way, not the words", "Leave out --server, or this.")
        with server_of(flags) as server:
            answer = server.ask("POST", "/v1/alerts/test", json={"labels": labels})
    else:
        settings = settings_of(flags)
        trial = _tried(settings, labels, others)
        answer = _answer(trial)
        mails = _mails(settings, trial) if preview else []
    if json:
        say_json({**answer, "mails": mails} if preview else answer)
    else:
        show_trial(answer)
        show_mails(mails)
        if not at_server:
            say("by the settings alone: rules that were stored at a server are seen with --server")
    raise typer.Exit(Exit.OK if answer["told"] else Exit.FAILED)


def _read(given: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the labels, and what only the mail shows. Raises CliError."""
    from postroom.model.alert import Severity

    labels: dict[str, str] = {}
    others: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or name in ("", "label.", "value."):
            _refuse("--set", f"{one!r} has no name", "Write NAME=VALUE.")
        is_label = name.startswith("label.") or not (name in _TEXTS or name.startswith("value."))
        own = name.removeprefix("label.") if is_label else name
        into = labels if is_label else others
        if own in into:
            _refuse("--set", f"{own} is given twice", "Give it once.")
        if name == "severity" and value not in list(Severity):
            fix = f"Give {', '.join(Severity)}; label.severity={value} is a label of somebody else."
            _refuse("--set severity", f"there is no severity {value!r}", fix)
        into[own] = value
    return labels, others


def _tried(settings: "Settings", labels: dict[str, str], others: dict[str, str]) -> "Trial":
    from dataclasses import replace

    from postroom.clock import SystemClock
    from postroom.policy.alerting.trying import event_of, tried

    event = replace(
        event_of(labels),
        title=others.get("title", ""),
        text=others.get("text", ""),
        link=others.get("link", ""),
        values={
            name.removeprefix("value."): value for name, value in others.items() if name.startswith("value.")
        },
    )
    return tried(settings.alerts, event, SystemClock().now())


def _answer(trial: "Trial") -> dict[str, Any]:
    from postroom.schema.alert_trial_answers import trial as written

    return written(trial, "offline")


def _mails(settings: "Settings", trial: "Trial") -> list[dict[str, Any]]:
    from postroom.bootstrap.alert_mail import letters_alone
    from postroom.clock import SystemClock
    from postroom.policy.alerting.trying import sample_letters

    letters = sample_letters(trial, SystemClock().now())
    return [
        {
            "receiver": letter.receiver,
            "recipients": list(letter.recipients),
            "language": letter.language,
            "subject": mail.subject,
            "text": mail.text,
        }
        for letter, mail in zip(letters, letters_alone(settings, letters), strict=True)
    ]


def _refuse(field: str, cause: str, fix: str) -> None:
    problem = Problem(code="alert-value", field=field, cause=cause, fix=fix)
    raise CliError(Exit.USAGE, "this cannot be tried as it is", problems=[problem])

"""What a person is told to do next: the worst first, one piece for each trouble, commands that exist."""

import shlex
from datetime import UTC, datetime
from typing import Any

import pytest
import typer

from postroom.cli.app import app
from postroom.model.lifecycle import RecipientState
from postroom.model.view import PauseKind, TransportPause
from postroom.policy.advice import Advice, advice

NOW = datetime(2030, 1, 31, tzinfo=UTC)


def pause(kind: PauseKind, name: str = "main") -> TransportPause:
    return TransportPause(
        transport=name,
        kind=kind,
        since=NOW,
        until=NOW,
        cause="c",
        step="auth",
        text="535 no",
        host="h",
        failures=1,
        author="ann",
    )


LOCKED = pause(PauseKind.SECRETS, "sealed")
EVERYTHING = advice(
    counts={RecipientState.UNCERTAIN: 3, RecipientState.HELD: 1, RecipientState.QUEUED: 9},
    pauses=[pause(PauseKind.THROTTLE), pause(PauseKind.SUSPENDED, "other"), pause(PauseKind.LOGIN), LOCKED],
    is_intake_stopped=True,
)


def test_nothing_to_do_is_no_advice() -> None:
    """Mail that waits in order and a server's patience need nobody."""
    counts = {RecipientState.QUEUED: 5, RecipientState.REFUSED: 2}

    assert () == advice(counts=counts, pauses=[pause(PauseKind.THROTTLE)], is_intake_stopped=False)


def test_the_worst_comes_first() -> None:
    """The store, then what cannot be read, logins, what a person stopped, what nobody knows, what is held."""
    words = (
        "disk",
        "sealed: 535 no: put their key back",
        "main refuses the login",
        "other is suspended by ann",
        "3 recipients are uncertain",
        "1 recipient is held",
    )

    assert len(words) == len(EVERYTHING)
    for word, one in zip(words, EVERYTHING, strict=True):
        assert word in one.text


@pytest.mark.parametrize("one", EVERYTHING, ids=lambda one: one.command)
def test_every_command_can_be_typed_as_it_is_told(one: Advice) -> None:
    """The command line takes each command with its options."""
    program, *words = shlex.split(one.command)
    if program != "postroom":
        assert one.command == "df -h"
        return
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context("postroom", words)

"""Exit codes, and the one exception by which a command fails."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

from postroom.errors import PostroomError, Problem


class Exit(IntEnum):
    """What the exit code says; the table in ``docs/cli.md`` is tested against it."""

    OK = 0
    """Done; of a mail: accepted by the next server, or captured, or, without ``--wait``, stored."""
    FAILED = 1
    """The thing failed: a mail was refused, an id is unknown, the store is unusable."""
    USAGE = 2
    """The command, its input or the settings are wrong."""
    UNREACHABLE = 3
    """No server answered, or it takes nothing now."""
    UNAUTHORISED = 4
    """The server wants a key, or another one."""
    UNFINISHED = 5
    """The outcome is not known yet: a mail still waits, or the answer was lost."""


class CliError(PostroomError):
    """A command cannot go on: what happened, in words, and the code to exit with."""

    def __init__(
        self,
        exit_code: Exit,
        cause: str,
        *,
        fix: str = "",
        problems: Sequence[Problem] = (),
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the code, a phrase, what to do, the single problems, and what else a server said with them."""
        super().__init__(cause)
        self.exit_code = exit_code
        self.cause = cause
        self.fix = fix
        self.problems = tuple(problems)
        self.details = details or {}

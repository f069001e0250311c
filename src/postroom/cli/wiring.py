"""What the command line asks of ``bootstrap`` when it works without a running server.

A protocol, so that a command can be tested by itself; the module ``postroom.bootstrap`` is the one
implementation. It is imported late: it loads the whole program.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from postroom.config.settings import Settings


class Started(Protocol):
    """What a person is told when the server is up."""

    @property
    def urls(self) -> tuple[str, ...]:
        """The doors."""
        ...

    @property
    def data(self) -> Path:
        """The data directory, absolute."""
        ...

    @property
    def mode(self) -> str:
        """``live`` or ``capture``."""
        ...

    @property
    def durability(self) -> str:
        """What an acceptance means on this store."""
        ...

    @property
    def targets(self) -> tuple[str, ...]:
        """One line for each way out, without secrets."""
        ...

    @property
    def first_key(self) -> str | None:
        """The secret of the key made at the very first start."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was understood otherwise than written, or is dangerous."""
        ...


class Wiring(Protocol):
    """The verbs of ``postroom.bootstrap``; they raise what ``errors`` draws."""

    def run_server(self, settings: Settings, announce: Callable[[Started], None]) -> int:
        """Serve until told to stop; return the exit code."""
        ...

    def send_direct(
        self, settings: Settings, message: Mapping[str, Any], files: Mapping[str, Path], *, wait_s: float
    ) -> Mapping[str, Any]:
        """Store one message in the data directory, attempt it for up to ``wait_s`` seconds, and stop.

        ``message`` has the form of ``POST /v1/messages``, ``files`` the path of each part named by
        ``upload``. Returns the message in the form of ``GET /v1/messages/{id}``; what is still open stays
        in the store for the next start. Raises StoreError when a server already uses the directory.
        """
        ...

    def backup_offline(self, settings: Settings, target: Path) -> None:
        """Copy the store of a stopped server to ``target``, which must not exist."""
        ...


def wiring() -> Wiring:
    """Return ``postroom.bootstrap``."""
    return cast("Wiring", import_module("postroom.bootstrap"))

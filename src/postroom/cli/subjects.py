"""What ``check`` and ``setup`` look at: an account at a server, or one that is only described here.

Each is checked, changed by a fix and sent a test mail by in the same words, whoever does the work: the
running server (its network counts), or this process when there is none.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from postroom.cli.exits import CliError, Exit
from postroom.cli.options import settings_of
from postroom.model.checkup import Checkup, Fix

if TYPE_CHECKING:
    from postroom.cli.server import Server
    from postroom.config.settings import Settings
    from postroom.config.sources import Flags
    from postroom.model.transport import TransportSpec
    from postroom.schema.transport_body import ReadBody

WAIT_S = 30.0
"""Seconds a test mail without a server may take."""


class Subject(Protocol):
    """An account to look at."""

    def check(self) -> Checkup:
        """Look at it; no mail is sent."""
        ...

    def apply(self, fix: Fix) -> str:
        """Change it; return what a person must do instead where calls change nothing, else nothing."""
        ...

    def send(self, to: str) -> Mapping[str, Any]:
        """Send a test mail; return the answer of ``POST /v1/transports/{name}/test``."""
        ...


@dataclass(slots=True, kw_only=True)
class Known:
    """A transport of a running server."""

    server: "Server"
    name: str
    language: str

    def check(self) -> Checkup:
        """Let the server look at it."""
        from postroom.schema.checkup_answers import read_checkup

        return read_checkup(self._ask("POST", "/check", {}))

    def apply(self, fix: Fix) -> str:
        """Change it there; what the settings configure is changed by the lines that the refusal has."""
        try:
            self._ask("PATCH", "", dict(fix.patch))
        except CliError as error:
            if lines := error.details.get("patch"):
                return str(lines)
            raise
        return ""

    def send(self, to: str) -> Mapping[str, Any]:
        """Let the server send a test mail."""
        return self._ask("POST", "/test", {"to": to} if to else {})

    def _ask(self, method: str, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
        path = f"/v1/transports/{quote(self.name, safe='')}{verb}"
        return self.server.ask(method, path, json=dict(body), headers={"Accept-Language": self.language})


@dataclass(slots=True, kw_only=True)
class Described:
    """An account that is stored nowhere: a body of ``POST /v1/transports``."""

    body: Mapping[str, Any]
    language: str
    settings: "Settings"
    server: "Server | None" = None
    """Looks at it where one is given, else this process does."""
    _read: "ReadBody" = field(init=False)

    def __post_init__(self) -> None:
        """Understand the body. Raises CliError with every problem."""
        self._read = _understood(self.body)

    @property
    def spec(self) -> "TransportSpec":
        """What it comes to."""
        assert self._read.spec is not None  # noqa: S101 - ``_understood`` raised otherwise
        return self._read.spec

    def check(self) -> Checkup:
        """Look at it."""
        from postroom.schema.checkup_answers import read_checkup

        if self.server is None:
            return check_here(self.spec, self.settings)
        headers = {"Accept-Language": self.language}
        answer = self.server.ask("POST", "/v1/transports/check", json=dict(self.body), headers=headers)
        return read_checkup(answer)

    def apply(self, fix: Fix) -> str:
        """Change the description."""
        self.change(fix.patch)
        return ""

    def change(self, patch: Mapping[str, Any]) -> None:
        """Lay a patch over the description. Raises CliError."""
        from postroom.clock import SystemClock
        from postroom.model.transport import StoredTransport
        from postroom.schema.transport_changes import merged
        from postroom.schema.transport_secrets import join_secrets

        now, read = SystemClock().now(), self._read
        record = StoredTransport(
            name=self.spec.name, fields=read.fields, secrets=read.secrets, created_at=now, changed_at=now
        )
        body = join_secrets(merged(record, self.spec.account, patch), read.secrets)
        self._read, self.body = _understood(body), body

    def send(self, to: str) -> Mapping[str, Any]:
        """Send a test mail from a data directory of its own."""
        return send_here(self.spec, self.settings, to, self.language)


@dataclass(slots=True, kw_only=True)
class Configured:
    """A transport of the settings while no server runs."""

    spec: "TransportSpec"
    settings: "Settings"
    language: str

    def check(self) -> Checkup:
        """Look at it."""
        return check_here(self.spec, self.settings)

    def apply(self, fix: Fix) -> str:
        """Return the lines that make the change in the settings."""
        from postroom.schema.transport_changes import patch_of

        return patch_of(self.spec, fix.patch)

    def send(self, to: str) -> Mapping[str, Any]:
        """Send a test mail from a data directory of its own."""
        return send_here(self.spec, self.settings, to, self.language)


def check_here(spec: "TransportSpec", settings: "Settings") -> Checkup:
    """Look at an account from this process."""
    from postroom.bootstrap.doctor import build_doctor
    from postroom.clock import SystemClock

    doctor = build_doctor(SystemClock(), allowed_networks=settings.allowed_networks)
    return asyncio.run(doctor.check(spec))


def send_here(spec: "TransportSpec", settings: "Settings", to: str, language: str) -> Mapping[str, Any]:
    """Send a test mail from this process, with a store that is gone afterwards."""
    from pathlib import Path

    from postroom.bootstrap.direct import send_direct
    from postroom.schema.checking import TestMailBody, shortened, test_mail

    sender = to if spec.identity is None else None  # a server without a login: to oneself
    body = TestMailBody.model_validate({"to": [to] if to else (), "from": sender})
    with TemporaryDirectory(prefix="postroom-test-") as directory:
        alone = replace(
            settings,
            data=Path(directory),
            transports=(spec,),
            routes=(),
            default_route=None,
            capture=False,
            sender_process=False,
        )
        answer = send_direct(alone, test_mail(body, spec, spec.name, language), {}, wait_s=WAIT_S)
    return shortened(answer, language)


def ground_of(flags: "Flags") -> "Settings":
    """Return the settings; those that are wrong are told and not used, because a check helps to mend them."""
    from pathlib import Path

    from postroom.cli.show import say_error
    from postroom.config.load import load
    from postroom.config.sources import Flags
    from postroom.errors import ConfigError
    from postroom.providers.files import load_overrides

    try:
        settings = settings_of(flags)
    except ConfigError as error:
        cause = "the settings are wrong and not used"
        say_error(CliError(Exit.USAGE, cause, problems=error.problems), as_json=False)
        with TemporaryDirectory(prefix="postroom-none-") as nowhere:
            settings = load(Flags(), {}, Path(nowhere))
    load_overrides(settings.provider_files)
    return settings


def _understood(body: Mapping[str, Any]) -> "ReadBody":
    from postroom.schema.transport_body import read_body

    read = read_body(body)
    if read.spec is None:
        raise CliError(Exit.USAGE, "the account cannot be understood", problems=read.problems)
    return read


def asked_if_there(server: "Server", path: str) -> dict[str, Any] | None:
    """Return what the server shows; ``None`` when none answers, or only one that nobody named."""
    try:
        return server.ask("GET", path)
    except CliError as error:
        if error.exit_code is Exit.UNREACHABLE or server.target.is_guess:
            return None
        raise


def asked_secret(language: str) -> str:
    """Ask for a secret; the terminal echoes nothing from before the question is shown."""
    from getpass import getpass

    from postroom.providers.words import phrase

    return getpass(f"{phrase('ask.secret', language)}: ").strip()


def refuse_without_terminal(what: str, fix: str) -> None:
    """Refuse to ask where nobody can answer. Raises CliError."""
    import sys

    if not sys.stdin.isatty():
        raise CliError(Exit.USAGE, f"{what} asks questions and this is no terminal", fix=fix)

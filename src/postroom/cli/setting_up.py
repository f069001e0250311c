"""``postroom setup``: from an address to an account that works.

A person types the address and the code; the rest is looked up, checked, and mended with a yes. The account is
stored at the running server and in use at once. Nothing is stored before the check, and nothing at all when
it is broken off; the secret is never shown, and it is no argument, which shells and others would keep.
"""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postroom.cli.checking import Wishes, fixes, show, show_sent
from postroom.cli.exits import CliError, Exit
from postroom.cli.language import Lang, language_for
from postroom.cli.options import Config, Data, EnvFile, Yes, flags_of, server_of
from postroom.cli.subjects import Described, asked_if_there, asked_secret, ground_of, refuse_without_terminal
from postroom.model.checkup import Checkup, Fix, Stage, StageStatus

if TYPE_CHECKING:
    from postroom.cli.server import Server
    from postroom.config.settings import Settings
    from postroom.providers.detection import Proposal

Address = Annotated[
    str | None, typer.Argument(metavar="[ADDRESS]", help="The mail address; else it is asked for.")
]
Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Name of the transport, default the provider's.")
]
Write = Annotated[
    Path | None,
    typer.Option("--write", metavar="FILE", help="Without a server: write it there; the secret is inside."),
]
MAX_ROUNDS = 20
"""Looks at an account in one sitting."""


def setup(
    address: Address = None,
    *,
    name: Name = None,
    write: Write = None,
    yes: Yes = False,
    lang: Lang = None,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
) -> None:
    """Set up a mail account: asks for the address and the code, checks, mends, sends a test mail."""
    language = language_for(lang, os.environ)
    fix = "Use `postroom transports create NAME --provider ID --password-file -`."
    refuse_without_terminal("setup", fix)
    if write is not None and write.exists():
        raise CliError(Exit.USAGE, f"{write} exists", fix="Name a file that does not exist yet.")
    with ExitStack() as stack:
        flags = flags_of(data, config, env_file)
        settings = ground_of(flags)
        server = stack.enter_context(server_of(flags))
        sitting = Sitting(
            settings=settings,
            server=None if asked_if_there(server, "/v1/transports") is None else server,
            language=language,
            yes=yes,
        )
        raise typer.Exit(sitting.run(address, name, write))


@dataclass(slots=True, kw_only=True)
class Sitting:
    """One conversation with a person."""

    settings: "Settings"
    server: "Server | None"
    language: str
    yes: bool
    offered: set[str] = field(default_factory=set)
    """Fixes that were offered for the secret that is tried."""

    def run(self, address: str | None, name: str | None, write: Path | None) -> int:
        """Talk; return the exit code."""
        from postroom.cli.finding import body_of, parsed
        from postroom.cli.show import say

        given = address or typer.prompt(self._phrase("ask.address"))
        address = parsed(given).spec
        proposal = self._proposal(address)
        self._tell_steps(proposal)
        body = {"name": name or self._name(proposal, address), **body_of(address, proposal, self._secret())}
        subject = Described(body=body, language=self.language, settings=self.settings, server=self.server)
        found = self._worked_on(subject)
        if not found.ok and not self._agrees("ask.store-anyway", default=False, counts_yes=False):
            say(self._phrase("told.not-stored"), style="yellow")
            return Exit.FAILED
        return self._keep(subject, address, write) if found.ok else self._keep(subject, "", write)

    # ------------------------------------------------------------------ asking

    def _phrase(self, key: str, **values: Any) -> str:
        from postroom.providers.words import phrase

        return phrase(key, self.language).format(**values)

    def _agrees(self, key: str, *, default: bool = True, counts_yes: bool = True, **values: Any) -> bool:
        return (self.yes and counts_yes) or typer.confirm(self._phrase(key, **values), default=default)

    def _secret(self) -> str:
        while not (secret := asked_secret(self.language)):
            pass
        return secret

    # ------------------------------------------------------------------ the way to an account

    def _proposal(self, address: str) -> "Proposal":
        from postroom.cli.finding import found_server
        from postroom.cli.show import say

        domain = address.rpartition("@")[2]
        say(self._phrase("told.looking", domain=domain))
        try:
            return found_server(address, self.settings, language=self.language, asks=True)
        except CliError as error:
            if error.exit_code is not Exit.FAILED:
                raise
            say(error.cause, style="yellow")
            return self._open_place(typer.prompt(self._phrase("ask.host")))

    def _open_place(self, host: str) -> "Proposal":
        """Return the port of a server that answers, encrypted from the first byte before STARTTLS."""
        import asyncio

        from postroom.bootstrap.doctor import build_doctor
        from postroom.clock import SystemClock
        from postroom.policy.doctor_fixes import SUBMISSION_PORTS, mode_of_port
        from postroom.providers import catalogue
        from postroom.providers.detection import FoundBy, Proposal
        from postroom.providers.provider import UsernameRule

        doctor = build_doctor(SystemClock(), allowed_networks=self.settings.allowed_networks)
        found = asyncio.run(doctor.knock(host, SUBMISSION_PORTS))
        port = next(
            (at for at, one in zip(SUBMISSION_PORTS, found, strict=True) if one.ok), SUBMISSION_PORTS[0]
        )
        return Proposal(
            host=host,
            port=port,
            mode=mode_of_port(port),
            username=UsernameRule.FULL_ADDRESS,
            provider=catalogue.by_host(host),
            found_by=FoundBy.DOMAIN,
            must_ask=False,
        )

    def _tell_steps(self, proposal: "Proposal") -> None:
        from postroom.cli.show import say, say_wrapped
        from postroom.providers.provider import SecretKind
        from postroom.providers.words import name_of, phrase, steps

        one = proposal.provider
        if one is None:
            return
        name = name_of(one, self.language)
        say(self._phrase("told.provider", name=name), style="bold")
        if set(one.secrets) == {SecretKind.OAUTH2}:
            raise CliError(Exit.FAILED, self._phrase("told.tokens-only", name=name), fix=one.docs)
        for number, step in enumerate(steps(one.id, self.language), 1):
            say_wrapped(f"{number}. {step}")
        if one.docs:
            say(f"{phrase('label.docs', self.language)}: {one.docs}")

    def _worked_on(self, subject: Described) -> Checkup:
        """Look, mend and ask again until it works or the person has had enough."""
        from postroom.cli.show import say
        from postroom.providers.words import fix_sentence

        wishes = Wishes(language=self.language, json=False, share=False, fix=True, yes=self.yes)
        found = self._look(subject, wishes)
        for _ in range(MAX_ROUNDS):
            fix = self._fix_of(found)
            if fix is not None:
                self.offered.add(fix.id)
                say(fix_sentence(fix.id, self.language), style="bold")
                if self._agrees("ask.fix"):
                    subject.apply(fix)
                    found = self._look(subject, wishes)
                    continue
            if found.ok or not _is_refused_login(found):
                break
            if not self._agrees("ask.again", counts_yes=False):
                break
            self.offered.clear()
            subject.change({"password": self._secret()})
            found = self._look(subject, wishes)
        return found

    def _look(self, subject: Described, wishes: Wishes) -> Checkup:
        from postroom.cli.show import say
        from postroom.model.transport import redacted_url

        account = subject.spec.account
        target = redacted_url(account) if account is not None else ""
        say(self._phrase("told.checking", target=target))
        found = subject.check()
        show(found, wishes)
        return found

    def _fix_of(self, found: Checkup) -> Fix | None:
        return next((fix for fix in fixes(found) if fix.patch and fix.id not in self.offered), None)

    # ------------------------------------------------------------------ keeping

    def _keep(self, subject: Described, to: str, write: Path | None) -> int:
        from postroom.cli.show import say

        if self.server is None:
            return self._write(subject, to, write)
        name = self._stored(subject)
        say(self._phrase("told.stored", name=name), style="green")
        if not to or not self._agrees("ask.send", to=to):
            return Exit.OK
        headers = {"Accept-Language": self.language}
        sent = self.server.ask("POST", f"/v1/transports/{name}/test", json={"to": to}, headers=headers)
        show_sent(sent)
        return Exit.OK if sent["success"] else Exit.FAILED

    def _stored(self, subject: Described) -> str:
        """Store it under its name, or with a number behind it where that is taken."""
        assert self.server is not None  # noqa: S101 - ``_keep`` looked
        first = subject.spec.name
        for number in range(1, 100):
            name = first if number == 1 else f"{first[:36]}-{number}"
            try:
                self.server.ask("POST", "/v1/transports", json={**subject.body, "name": name})
            except CliError as error:
                if any(one.code in {"transport-exists", "transport-read-only"} for one in error.problems):
                    continue
                raise
            return name
        raise CliError(Exit.FAILED, f"{first} and all its numbers are taken", fix="Give --name.")

    def _write(self, subject: Described, to: str, write: Path | None) -> int:
        from postroom.cli.show import say

        if to and self._agrees("ask.send", to=to):
            sent = subject.send(to)
            show_sent(sent)
            if not sent["success"]:
                return Exit.FAILED
        if write is None:
            say(self._phrase("told.not-stored"), style="yellow")
            fix = "Start it with `postroom serve` and run setup again, or give --write FILE."
            raise CliError(Exit.UNREACHABLE, "no server runs that could keep the account", fix=fix)
        descriptor = os.open(write, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(_toml(subject.body))
        say(self._phrase("told.written", name=write), style="green")
        return Exit.OK

    def _name(self, proposal: "Proposal", address: str) -> str:
        if proposal.provider is not None:
            return proposal.provider.id
        domain = address.rpartition("@")[2]
        return "".join(char if char.isalnum() and char.isascii() else "-" for char in domain).strip("-")[:40]


def _is_refused_login(found: Checkup) -> bool:
    return any(one.stage is Stage.AUTH and one.status is StageStatus.FAILED for one in found.stages)


def _toml(body: Mapping[str, Any]) -> str:
    lines = ["[[transports]]"]
    lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in body.items()]
    return "\n".join(lines) + "\n"

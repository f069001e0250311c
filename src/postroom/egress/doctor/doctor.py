"""The doctor: one check is the dialogue and, beside it, the records of the sender's domain.

Rules: a check ends within its time whatever the peer or a name server does, and raises for nothing they do;
no secret of the account is in any result, even when a server repeats it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from importlib import import_module

from postroom.clock import Clock
from postroom.egress.doctor.chart import DIALOGUE, Chart, CheckLimits
from postroom.egress.doctor.dialogue import Dialogue
from postroom.egress.doctor.domain import look_at_domain
from postroom.egress.doctor.names import Names
from postroom.egress.doctor.webhook import look_at_webhook
from postroom.egress.tokens import Tokens
from postroom.model.address import Address
from postroom.model.checkup import Checkup, Stage, StageResult
from postroom.model.transport import (
    SmtpAccount,
    TlsMode,
    TransportKind,
    TransportSpec,
    redacted_url,
)
from postroom.net.guard import Guard
from postroom.policy.doctor_case import Case, case_of
from postroom.policy.doctor_fixes import mode_of_port
from postroom.policy.doctor_records import RECORDS
from postroom.policy.doctor_settings import knocked, settings, settled
from postroom.policy.doctoring import passed
from postroom.ports.doctor import ESCAPE_PORTS
from postroom.ports.transport import TokenSource
from postroom.smtp.blanking import Blanking
from postroom.smtp.parser import inert

GUARD_S = 0.5
"""Seconds after the end of a check's time at which whatever still waits is ended."""
MAX_FOUND = 2000
"""Characters of a fact: records and replies can have a hundred times as many (security limit)."""

TokensOf = Callable[[TransportSpec], TokenSource | None]


class AccountDoctor:
    """``ports.Doctor`` over the network."""

    def __init__(
        self,
        *,
        clock: Clock,
        names: Names | None = None,
        limits: CheckLimits | None = None,
        tokens_of: TokensOf | None = None,
        guard: Guard | None = None,
    ) -> None:
        """Take what a check needs; each has a default.

        Args:
            clock: Time.
            names: Name servers for records; the machine's own.
            limits: Seconds.
            tokens_of: Where a transport that is in use gets its tokens, ``None`` for any other.
            guard: For asking identity servers about the others; keeps to public addresses.
        """
        self._clock = clock
        self._tokens_of = tokens_of
        self._guard = guard or Guard()
        self._limits = limits or CheckLimits()
        self._names = names or Names()

    async def check(
        self,
        spec: TransportSpec,
        *,
        recipient: Address | None = None,
        worked_until: datetime | None = None,
        with_records: bool = True,
    ) -> Checkup:
        """Look at an account: name to RSET, then the sender's domain. No body is sent."""
        account = spec.account
        if spec.hook is not None:
            return await look_at_webhook(spec.hook, clock=self._clock)
        if account is None:
            result = passed(Stage.NAME, "the capture inbox: nothing leaves this machine")
            return Checkup(target=TransportKind.CAPTURE.value, stages=(result,))
        await asyncio.to_thread(_load)
        case = case_of(spec, account, recipient=recipient, worked_until=worked_until)
        chart = Chart(self._clock, self._limits.total)
        with chart.timing(Stage.NAME):
            chart.note(settings(case))
        shown = (*DIALOGUE, *RECORDS) if with_records else DIALOGUE
        blanking = _blanking_of(account)
        await self._look(case, chart, blanking, with_records=with_records)
        stages = [_blanked(stage, blanking) for stage in settled(case, chart.stages(shown))]
        return Checkup(target=redacted_url(account), stages=tuple(stages))

    async def knock(self, host: str, ports: Sequence[int] = ESCAPE_PORTS) -> Sequence[Checkup]:
        """Look at ports of a host without credentials, side by side."""
        await asyncio.to_thread(_load)
        return await asyncio.gather(*(self._knock(host, port) for port in ports))

    async def _knock(self, host: str, port: int) -> Checkup:
        mode = mode_of_port(port)
        tls = mode if mode is TlsMode.IMPLICIT else TlsMode.OPPORTUNISTIC
        account = SmtpAccount(host=host, port=port, tls=tls)
        case = case_of(TransportSpec(name="knock", kind=TransportKind.SMTP, account=account), account)
        chart = Chart(self._clock, self._limits.total)
        chart.note(knocked(case))
        await self._look(case, chart, Blanking(), with_records=False, has_envelope=False)
        shown = DIALOGUE[: DIALOGUE.index(Stage.AUTH)]
        stages = [_blanked(stage, Blanking()) for stage in chart.stages(shown)]
        return Checkup(target=case.endpoint, stages=tuple(stages))

    async def _look(
        self,
        case: Case,
        chart: Chart,
        blanking: Blanking,
        *,
        with_records: bool,
        has_envelope: bool = True,
    ) -> None:
        own: Tokens | None = None
        tokens = self._tokens_of(case.spec) if self._tokens_of is not None else None
        if tokens is None and case.account.oauth is not None:
            tokens = own = Tokens(self._guard, clock=self._clock)
            own.keep(case.spec.name, case.account)
        dialogue = Dialogue(
            case,
            chart,
            limits=self._limits,
            clock=self._clock,
            blanking=blanking,
            tokens=tokens,
            has_envelope=has_envelope,
        )
        try:
            async with asyncio.timeout(self._limits.total + GUARD_S), asyncio.TaskGroup() as group:
                group.create_task(dialogue.run(), name="dialogue")
                if with_records:
                    names = self._names.renewed(self._limits.names)
                    group.create_task(look_at_domain(case, chart, names), name="records")
        except TimeoutError:
            chart.note_cut()
        finally:
            if own is not None:
                await own.stop()


def _load() -> None:
    """Import what only a check needs, while others go on: 100 ms the first time."""
    import_module("dns.asyncresolver")
    import_module("postroom.net.certificates")


def _blanking_of(account: SmtpAccount) -> Blanking:
    """Return what finds every secret of an account in a text."""
    blanking = Blanking()
    held = [account.password]
    if account.proxy is not None:
        held.append(account.proxy.password)
    if account.oauth is not None:
        held += [account.oauth.secret, account.oauth.client_secret]
    for secret in held:
        if secret:
            blanking.add_secret(secret.reveal())
    return blanking


def _blanked(stage: StageResult, blanking: Blanking) -> StageResult:
    """Return a result without what a server repeated of the login, inert in terminals and pages."""
    found: Mapping[str, str] = {
        name: inert(blanking.text(value[: 2 * MAX_FOUND]))[:MAX_FOUND] for name, value in stage.found.items()
    }
    return replace(stage, evidence=inert(blanking.text(stage.evidence)), found=found)

"""The doctor: one check is the dialogue and, beside it, the records of the sender's domain.

Rules: a check ends within its time whatever the peer or a name server does, and raises for nothing they do;
no secret of the account is in any result, even when a server repeats it.
"""

import asyncio
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote

from postroom.clock import Clock
from postroom.egress.doctor.chart import DIALOGUE, Chart, CheckLimits
from postroom.egress.doctor.dialogue import Dialogue
from postroom.egress.doctor.domain import look_at_domain
from postroom.egress.doctor.names import Names
from postroom.model.address import Address
from postroom.model.checkup import Checkup, Stage, StageResult
from postroom.model.transport import (
    SmtpAccount,
    TlsMode,
    TransportKind,
    TransportSpec,
    redacted_url,
)
from postroom.policy.doctor_case import Case, case_of
from postroom.policy.doctor_fixes import mode_of_port
from postroom.policy.doctor_records import RECORDS
from postroom.policy.doctor_settings import knocked, settings, settled
from postroom.policy.doctoring import passed
from postroom.ports.doctor import ESCAPE_PORTS
from postroom.telemetry.redaction import MASK, MIN_LENGTH

GUARD_S = 0.5
"""Seconds after the end of a check's time at which whatever still waits is ended."""


class AccountDoctor:
    """``ports.Doctor`` over the network."""

    def __init__(
        self, *, clock: Clock, names: Names | None = None, limits: CheckLimits | None = None
    ) -> None:
        """Take the name servers (the machine's own by default) and the time limits."""
        self._clock = clock
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
        if account is None:
            result = passed(Stage.NAME, "the capture inbox: nothing leaves this machine")
            return Checkup(target=TransportKind.CAPTURE.value, stages=(result,))
        case = case_of(spec, account, recipient=recipient, worked_until=worked_until)
        chart = Chart(self._clock, self._limits.total)
        with chart.timing(Stage.NAME):
            chart.note(settings(case))
        shown = (*DIALOGUE, *RECORDS) if with_records else DIALOGUE
        await self._look(case, chart, with_records=with_records)
        stages = settled(case, chart.stages(shown))
        return _without_secrets(Checkup(target=redacted_url(account), stages=stages), account)

    async def knock(self, host: str, ports: Sequence[int] = ESCAPE_PORTS) -> Sequence[Checkup]:
        """Look at ports of a host without credentials, side by side."""
        return await asyncio.gather(*(self._knock(host, port) for port in ports))

    async def _knock(self, host: str, port: int) -> Checkup:
        mode = mode_of_port(port)
        tls = mode if mode is TlsMode.IMPLICIT else TlsMode.OPPORTUNISTIC
        account = SmtpAccount(host=host, port=port, tls=tls)
        case = case_of(TransportSpec(name="knock", kind=TransportKind.SMTP, account=account), account)
        chart = Chart(self._clock, self._limits.total)
        chart.note(knocked(case))
        await self._look(case, chart, with_records=False, has_envelope=False)
        stages = chart.stages(DIALOGUE[: DIALOGUE.index(Stage.AUTH)])
        return Checkup(target=case.endpoint, stages=tuple(stages))

    async def _look(self, case: Case, chart: Chart, *, with_records: bool, has_envelope: bool = True) -> None:
        dialogue = Dialogue(case, chart, limits=self._limits, clock=self._clock, has_envelope=has_envelope)
        try:
            async with asyncio.timeout(self._limits.total + GUARD_S), asyncio.TaskGroup() as group:
                group.create_task(dialogue.run(), name="dialogue")
                if with_records:
                    names = self._names.renewed(self._limits.names)
                    group.create_task(look_at_domain(case, chart, names), name="records")
        except TimeoutError:
            chart.note_cut()


def _without_secrets(checkup: Checkup, account: SmtpAccount) -> Checkup:
    """Mask what a server repeats of the login, as it was sent or in base64."""
    forms = _forms(account)

    def blank(text: str) -> str:
        for form in forms:
            text = text.replace(form, MASK)
        return text

    def blanked(stage: StageResult) -> StageResult:
        found: Mapping[str, str] = {name: blank(value) for name, value in stage.found.items()}
        return replace(stage, evidence=blank(stage.evidence), found=found)

    return replace(checkup, stages=tuple(map(blanked, checkup.stages)))


def _forms(account: SmtpAccount) -> Sequence[str]:
    """Return every form in which a secret of the account may come back, the longest first."""
    held = [account.password]
    if account.proxy is not None:
        held.append(account.proxy.password)
    if account.oauth is not None:
        held += [account.oauth.secret, account.oauth.client_secret]
    secrets = [secret.reveal() for secret in held if secret]
    plain = f"\0{account.username}\0"
    forms = {
        form
        for secret in secrets
        for form in (
            secret,
            quote(secret, safe=""),
            b64encode(secret.encode()).decode(),
            b64encode((plain + secret).encode()).decode(),
        )
        if len(form) >= MIN_LENGTH
    }
    return sorted(forms, key=len, reverse=True)

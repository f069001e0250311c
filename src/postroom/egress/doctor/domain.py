"""The records of the sender's domain, looked at beside the dialogue."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from postroom.egress.doctor.chart import Chart
from postroom.egress.doctor.names import Names, SilentNamesError
from postroom.model.checkup import Stage
from postroom.policy import doctor_records as means
from postroom.policy.doctor_case import Case
from postroom.policy.doctoring import skipped
from postroom.policy.records import Answer, DmarcWalk, Question, SpfWalk


class _Walk(Protocol):
    def question(self) -> Question | None: ...

    def take(self, question: Question, answer: Answer) -> None: ...


async def look_at_domain(case: Case, chart: Chart, names: Names) -> None:
    """Note MX, SPF, DKIM and DMARC of the sender's domain. Never raises for what a name server does."""
    domain = means.domain_of(case)
    if not domain:
        for stage in means.RECORDS:
            chart.note(skipped(stage, "the sender has no domain that the public DNS knows"))
        return
    try:
        with chart.timing(Stage.MX):
            await _ask_for_existence(domain, names)
    except SilentNamesError as error:
        for stage in means.RECORDS:
            chart.note(skipped(stage, str(error), "resolver-silent"))
        return
    spf_walk, dmarc_walk = SpfWalk(domain), DmarcWalk(domain)

    async def mx() -> None:
        answer = await names.ask((domain, "MX"))
        addresses = Answer() if answer.records else await names.ask((domain, "A"))
        chart.note(means.owned(case, means.mx(case, answer, addresses)))

    async def spf() -> None:
        await _follow(spf_walk, names)
        chart.note(means.owned(case, means.spf(case, spf_walk)))

    async def dkim() -> None:
        selectors = means.relay_of(case).selectors
        questions = [(f"{one}._domainkey.{domain}", "TXT") for one in selectors]
        answers = await asyncio.gather(*map(names.ask, questions))
        chart.note(means.dkim(case, dict(zip(selectors, answers, strict=True))))

    async def dmarc() -> None:
        await _follow(dmarc_walk, names)
        exists = (await names.ask((domain, "MX"))).exists
        result = means.dmarc(case, dmarc_walk, spf_walk if spf_walk.record else None, exists=exists)
        chart.note(means.owned(case, result))

    async def first_spf_then_dmarc() -> None:
        await _noted(Stage.SPF, spf, chart)
        await _noted(Stage.DMARC, dmarc, chart)

    async with asyncio.TaskGroup() as group:
        group.create_task(_noted(Stage.MX, mx, chart), name="mx")
        group.create_task(_noted(Stage.DKIM, dkim, chart), name="dkim")
        group.create_task(first_spf_then_dmarc(), name="spf and dmarc")


async def _ask_for_existence(domain: str, names: Names) -> None:
    """Raise SilentNamesError when the name servers do not even know the top domain: a closed network."""
    top = domain.rpartition(".")[2]
    if not (await names.ask((domain, "MX"))).exists and not (await names.ask((top, "NS"))).exists:
        raise SilentNamesError(f"the name servers of this machine do not know .{top}")


async def _follow(walk: _Walk, names: Names) -> None:
    while (question := walk.question()) is not None:
        walk.take(question, await names.ask(question))


async def _noted(stage: Stage, look: Callable[[], Awaitable[None]], chart: Chart) -> None:
    try:
        with chart.timing(stage):
            await look()
    except SilentNamesError as error:
        chart.note(skipped(stage, str(error), "resolver-silent"))

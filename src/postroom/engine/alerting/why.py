"""The story of an alert: every decision as a sentence, with its report, its letter and that one's message."""

from postroom.engine.alerting.forms import Step, Why, WhyFilter
from postroom.model.alert import (
    AlertEvent,
    AlertId,
    AlertView,
    DecisionFilter,
    StoredLetter,
)
from postroom.model.ids import TenantId
from postroom.model.lifecycle import message_state
from postroom.policy.alerting.reasons import reason
from postroom.ports import AlertRecords, Spool


async def why(
    alert_id: AlertId,
    alert: AlertView | None,
    wanted: WhyFilter,
    *,
    records: AlertRecords,
    spool: Spool,
) -> Why:
    """Return one page of the story; no steps where there is none of this alert. Raises OverloadError."""
    decisions = await records.decisions(
        DecisionFilter(
            tenant=wanted.tenant,
            alert=alert_id,
            event=wanted.event,
            after=wanted.after,
            before=wanted.before,
            limit=wanted.limit,
        )
    )
    events: dict[int, AlertEvent | None] = {}
    letters: dict[int, tuple[StoredLetter | None, str]] = {}
    steps = []
    for decision in decisions:
        if (number := decision.event) is not None and number not in events:
            events[number] = await records.event(number, tenant=wanted.tenant)
        if (number := decision.letter) is not None and number not in letters:
            letter = await records.letter(number, tenant=wanted.tenant)
            letters[number] = letter, await _state(letter, wanted.tenant, spool)
        letter, state = letters[decision.letter] if decision.letter is not None else (None, "")
        steps.append(
            Step(
                decision=decision,
                sentence=reason(decision, wanted.language),
                event=events[decision.event] if decision.event is not None else None,
                letter=letter,
                message_state=state,
            )
        )
    return Why(id=alert_id, alert=alert, steps=tuple(steps))


async def _state(letter: StoredLetter | None, tenant: TenantId, spool: Spool) -> str:
    """Return the state of a letter's message."""
    if letter is None or letter.message_id is None:
        return ""
    view = await spool.view(letter.message_id, tenant=tenant)
    return "" if view is None else message_state(recipient.state for recipient in view.recipients)

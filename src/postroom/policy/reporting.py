"""When the sender of a mail is told what became of it, and of which recipients (RFC 3461, RFC 3464).

The rules:

    refused, expired, bounced, suppressed    failed, when the wish for the recipient names failures (it does
                                             when the sender said nothing)
    accepted                                 relayed, when it names successes and the next server was not told
                                             of the wish; one that takes wishes reports itself
    cancelled                                nothing: a person ended it, and is no failure of the mail
    captured                                 nothing: the mail never left this machine
    uncertain, waiting for a person          nothing, and nobody waits for that person: nothing is known

One report when no recipient waits any more, whatever it has to say, and at most one before it of recipients
that wait for long and whose wish names delays; what is long a BY in mode N says, else the settings. A mail
without a wish, with the null reverse path or of Postroom itself is never reported; neither is one twice,
whatever a person does with it afterwards.

Pure: the store's pictures and the time are arguments.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from postroom.model.attempt import Stage
from postroom.model.event import Event, EventKind
from postroom.model.ids import MessageId, TenantId
from postroom.model.lifecycle import OPEN_STATES, RecipientState
from postroom.model.message import Door, Message, Notify, ReportWish
from postroom.model.reply import EnhancedCode
from postroom.model.report import ReportAction, ReportedRecipient
from postroom.model.view import AttemptView, MessageView, RecipientView

S = RecipientState

FAILED_STATES = frozenset({S.REFUSED, S.EXPIRED, S.BOUNCED, S.SUPPRESSED})
"""What a sender is told of as a failure."""
LOST = (
    EventKind.RECIPIENT_REFUSED,
    EventKind.RECIPIENT_EXPIRED,
    EventKind.RECIPIENT_BOUNCED,
    EventKind.RECIPIENT_SUPPRESSED,
)
"""The events of those states."""
CALLS = (*LOST, EventKind.MESSAGE_REPORT_WISHED)
"""Events after which a mail may have to be reported."""
DONE = (EventKind.MESSAGE_REPORTED, EventKind.MESSAGE_REPORT_PASSED_ON)
"""Events that tell what was reported."""
WHAT = "what"
"""The extra of ``MESSAGE_REPORTED`` that says which report it was."""

LOOK_AGAIN = timedelta(seconds=10)
"""After the next attempt: it takes a while."""
LOOK_RARELY = timedelta(hours=1)
"""For what is tried at no known time."""
_USUAL = frozenset({Notify.FAILURE})
"""The wish of who wishes nothing (RFC 3461 section 4.1)."""

_STATUS_OF_CAUSE = {
    "size": "5.3.4",
    "smtputf8-needed": "5.6.7",
    "from-not-account": "5.7.1",
}
"""RFC 3463 and RFC 5248 for what we find without a server's word."""
_STATUS_OF_STATE = {
    S.REFUSED: "5.0.0",
    S.EXPIRED: "4.4.7",
    S.BOUNCED: "5.0.0",
    S.SUPPRESSED: "5.7.1",
    S.ACCEPTED: "2.0.0",
}
"""4.4.7, delivery time expired, is of class 4: sent again later it may arrive (RFC 3463 section 2)."""
_LIMIT_OVER = "5.4.7"
"""The sender's own limit (RFC 2852): later it is not wanted any more."""
_DELAYED_STATUS = "4.0.0"
_DECIDED_ELSEWHERE = frozenset({S.SUPPRESSED, S.BOUNCED})
_UNDER_WAY = frozenset({Stage.OPEN.value, Stage.COMMITTING.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was reported of a mail before."""

    is_over: bool = False
    """Its one report was made."""
    is_delay_told: bool = False
    passed_on: frozenset[int] = frozenset()
    """Recipients whose wish a server took over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is to be reported now, and when to look again."""

    recipients: tuple[ReportedRecipient, ...] = ()
    """Of one report; empty: nothing is to be told now."""
    look_at: datetime | None = None
    """``None``: never again, unless something happens to it."""


NOTHING = Finding()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPlace:
    """How far the reporting has come; kept in the store."""

    after: int
    """Number of the last event that was looked at."""
    waiting: tuple[tuple[MessageId, TenantId], ...] = ()
    """Mails up to there of which something may still be told."""

    def __str__(self) -> str:
        """Return the stored form."""
        return json.dumps({"after": self.after, "waiting": self.waiting})

    @classmethod
    def parse(cls, text: str) -> "ReportPlace":
        """Read the stored form."""
        stored = json.loads(text)
        waiting = tuple((MessageId(name), TenantId(tenant)) for name, tenant in stored["waiting"])
        return cls(after=stored["after"], waiting=waiting)


def told(events: Iterable[Event]) -> Told:
    """Return what the events of a mail say was reported."""
    made: set[str] = set()
    passed_on: set[int] = set()
    for event in events:
        if event.kind is EventKind.MESSAGE_REPORTED:
            made.add(event.data.get(WHAT, ""))
        elif event.kind is EventKind.MESSAGE_REPORT_PASSED_ON:
            passed_on.update(event.recipients)
    delayed = ReportAction.DELAYED.value
    return Told(is_over=bool(made - {delayed}), is_delay_told=delayed in made, passed_on=frozenset(passed_on))


def finding(
    message: Message, view: MessageView, *, before: Told, delayed_after: timedelta, now: datetime
) -> Finding:
    """Return what is to be reported of a mail now.

    Args:
        message: The mail as stored.
        view: Its recipients with their attempts.
        before: What was reported of it.
        delayed_after: How long a mail may wait before that is told, unless its sender said it.
        now: The wall time.
    """
    wish = message.reports
    if wish is None or message.door is Door.POSTROOM or before.is_over:
        return NOTHING
    waiting = [one for one in view.recipients if _waits(one)]
    if not waiting:
        return Finding(recipients=_ended(message, wish, view.recipients, before.passed_on))
    look_at: list[datetime] = []
    if not before.is_delay_told and (late := [one for one in waiting if _wants(message, one, Notify.DELAY)]):
        due_at = wish.late_at or message.send_at + delayed_after
        if now >= due_at:
            delayed = tuple(_reported(message, one, ReportAction.DELAYED) for one in late)
            return Finding(recipients=delayed, look_at=now)
        look_at.append(due_at)
    if any(_wants(message, one, Notify.SUCCESS) for one in view.recipients) or _ended(
        message, wish, view.recipients, before.passed_on
    ):
        look_at.append(_next_look(view, now))
    return Finding(look_at=min(look_at, default=None))


def taken_over(message: Message, accepted: Collection[int]) -> tuple[int, ...]:
    """Return those of the accepted recipients whose success the next server now reports.

    The caller knows that the wishes were passed on with them.
    """
    if message.reports is None:
        return ()
    recipients = message.envelope.recipients
    return tuple(
        number
        for number in sorted(accepted)
        if Notify.SUCCESS in message.reports.notify.get(recipients[number], _USUAL)
    )


def _waits(recipient: RecipientView) -> bool:
    if recipient.state is S.UNCERTAIN:
        return recipient.due_at is not None
    return recipient.state in OPEN_STATES


def _next_look(view: MessageView, now: datetime) -> datetime:
    at = view.next_attempt_at
    if at is None:
        return min(now + LOOK_RARELY, max(view.expires_at, now) + LOOK_AGAIN)
    return min(max(at, now) + LOOK_AGAIN, now + LOOK_RARELY)


def _wants(message: Message, recipient: RecipientView, what: Notify) -> bool:
    wish = message.reports
    address = message.envelope.recipients[recipient.number]
    return wish is not None and what in wish.notify.get(address, _USUAL)


def _ended(
    message: Message,
    wish: ReportWish,
    recipients: Sequence[RecipientView],
    passed_on: frozenset[int],
) -> tuple[ReportedRecipient, ...]:
    """Return what is to be said of the recipients that do not wait any more."""
    found = []
    for one in recipients:
        wanted = wish.notify.get(message.envelope.recipients[one.number], _USUAL)
        if one.state in FAILED_STATES and Notify.FAILURE in wanted:
            found.append(_reported(message, one, ReportAction.FAILED))
        elif one.state is S.ACCEPTED and Notify.SUCCESS in wanted and one.number not in passed_on:
            found.append(_reported(message, one, ReportAction.RELAYED))
    return tuple(found)


def _reported(message: Message, recipient: RecipientView, action: ReportAction) -> ReportedRecipient:
    address = message.envelope.recipients[recipient.number]
    wish = message.reports
    attempt = _telling(recipient)
    is_said = attempt is not None and action is not ReportAction.RELAYED
    return ReportedRecipient(
        number=recipient.number,
        address=address,
        original="" if wish is None else wish.original.get(address, ""),
        state=recipient.state,
        action=action,
        status=_status(recipient, attempt, action, is_limited=wish is not None and wish.is_limited),
        cause=recipient.cause or (attempt.cause if attempt is not None and is_said else ""),
        code=None if attempt is None else attempt.code,
        text="" if attempt is None else attempt.text,
        host="" if attempt is None else attempt.host,
        last_attempt_at=None if attempt is None else attempt.at,
    )


def _telling(recipient: RecipientView) -> AttemptView | None:
    """Return the attempt that tells why: the last one that ended, unless no attempt decided."""
    if recipient.state in _DECIDED_ELSEWHERE:
        return None
    ended = [attempt for attempt in recipient.attempts if attempt.outcome not in _UNDER_WAY]
    return ended[-1] if ended else None


def _status(
    recipient: RecipientView, attempt: AttemptView | None, action: ReportAction, *, is_limited: bool
) -> str:
    """Return the server's enhanced code where it fits what is reported, else our own."""
    if recipient.state is S.EXPIRED and is_limited:
        return _LIMIT_OVER
    if action is ReportAction.RELAYED or recipient.state is S.EXPIRED:
        return _STATUS_OF_STATE[recipient.state]
    klass = 4 if action is ReportAction.DELAYED else 5
    said = None if attempt is None or attempt.enhanced is None else EnhancedCode.at_start_of(attempt.enhanced)
    if said is not None and said.klass == klass:
        return str(said)
    if action is ReportAction.DELAYED:
        return _DELAYED_STATUS
    return _STATUS_OF_CAUSE.get(recipient.cause, _STATUS_OF_STATE[recipient.state])

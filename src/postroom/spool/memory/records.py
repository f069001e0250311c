"""What the memory spool keeps, and the pictures it gives of it. Instants are microseconds."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from postroom.model.attempt import Stage
from postroom.model.lifecycle import RecipientState
from postroom.model.message import Message
from postroom.model.outcome import RecipientResult
from postroom.model.view import AttemptView, MessageFilter, MessageSummary, MessageView, RecipientView
from postroom.spool.codec import instant, instant_or_none, micros
from postroom.spool.groups import Standing, standing_of


@dataclass(slots=True, kw_only=True)
class Group:
    """Recipients that wait together; under a lease ``due_at`` is the lease's end."""

    transport: str
    state: RecipientState
    due_at: int | None
    members: tuple[int, ...]
    lease: int | None = None
    tries: int = 0
    crashes: int = 0
    digest: str | None = None
    maybe_duplicate: bool = False
    route: str = ""
    hold: str | None = None

    @property
    def standing(self) -> Standing:
        """Which of its lanes it waits in."""
        return standing_of(self.state, crashes=self.crashes)


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One try of a transport for some recipients."""

    transport: str
    members: tuple[int, ...]
    opened_at: int
    stage: Stage = Stage.OPEN
    digest: str | None = None
    committing_at: int | None = None
    settled_at: int = 0
    results: tuple[RecipientResult, ...] = ()


@dataclass(slots=True, kw_only=True)
class Record:
    """One message with everything that belongs to it."""

    seq: int
    message: Message
    transport: str
    route: str
    states: list[RecipientState]
    causes: list[str]
    changed_at: int
    groups: dict[int, Group] = field(default_factory=dict)
    attempts: dict[int, Attempt] = field(default_factory=dict)
    has_content: bool = True
    send_at: int = 0
    """Not before this instant."""

    @property
    def expires_at(self) -> int:
        """When nothing of it is claimed any more."""
        return micros(self.message.expires_at)

    def next_group(self) -> int:
        """Return the first free group number."""
        return max(self.groups, default=-1) + 1

    def move(self, member: int, state: RecipientState, cause: str | None = None) -> None:
        """Give a recipient its new state; without ``cause`` its last one stays."""
        self.states[member] = state
        if cause is not None:
            self.causes[member] = cause

    def shown_states(self) -> list[RecipientState]:
        """Return the recipients' states, leased ones as sending."""
        shown = list(self.states)
        for group in self.groups.values():
            if group.lease is not None:
                for member in group.members:
                    shown[member] = RecipientState.SENDING
        return shown

    def last_change(self) -> int:
        """Return when anything last happened to it."""
        return max([self.changed_at, *(attempt.settled_at for attempt in self.attempts.values())])


def _due(record: Record) -> Mapping[int, int]:
    return {
        member: group.due_at
        for group in record.groups.values()
        if group.lease is None and group.due_at is not None
        for member in group.members
    }


def view_of(record: Record) -> MessageView:
    """Return the picture of one message."""
    message, due = record.message, _due(record)
    attempts = _attempts(record)
    return MessageView(
        id=message.id,
        tenant=message.tenant,
        door=message.door,
        mail_class=message.mail_class,
        transport=record.transport,
        route=record.route,
        created_at=message.created_at,
        expires_at=message.expires_at,
        next_attempt_at=instant_or_none(min(due.values(), default=None)),
        sender=message.content.from_.address.spec,
        subject=message.content.subject,
        tags=message.tags,
        metadata=dict(message.metadata),
        template=message.template,
        recipients=tuple(
            RecipientView(
                number=number,
                address=address.spec,
                state=state,
                cause=record.causes[number],
                due_at=instant_or_none(due.get(number)),
                attempts=tuple(attempts.get(number, ())),
            )
            for number, (address, state) in enumerate(
                zip(message.envelope.recipients, record.shown_states(), strict=True)
            )
        ),
    )


def _attempts(record: Record) -> Mapping[int, list[AttemptView]]:
    found: dict[int, list[AttemptView]] = {}
    ordered = [record.attempts[number] for number in sorted(record.attempts)]
    for attempt in ordered:
        for result in attempt.results:
            found.setdefault(result.recipient, []).append(_line(attempt, result))
    for attempt in ordered:
        if attempt.stage is not Stage.SETTLED:
            for member in attempt.members:
                found.setdefault(member, []).append(_under_way(attempt))
    return found


def _line(attempt: Attempt, result: RecipientResult) -> AttemptView:
    reply, fault = result.evidence.reply, result.evidence.fault
    enhanced = reply.enhanced if reply is not None else None
    return AttemptView(
        at=result.at,
        transport=attempt.transport,
        step=result.evidence.step.value,
        code=reply.code if reply is not None else None,
        enhanced=str(enhanced) if enhanced is not None else None,
        text=reply.text if reply is not None else fault.text if fault is not None else "",
        outcome=result.verdict.outcome.value,
        duration_ms=result.duration_ms,
        cause=result.verdict.cause,
        host=result.evidence.host,
    )


def _under_way(attempt: Attempt) -> AttemptView:
    return AttemptView(
        at=instant(attempt.committing_at or attempt.opened_at),
        transport=attempt.transport,
        step="",
        code=None,
        enhanced=None,
        text="",
        outcome=attempt.stage.value,
        duration_ms=0,
        cause="",
        host="",
    )


def summary_of(record: Record) -> MessageSummary:
    """Return one line of a list."""
    message = record.message
    return MessageSummary(
        id=message.id,
        mail_class=message.mail_class,
        transport=record.transport,
        route=record.route,
        created_at=message.created_at,
        next_attempt_at=instant_or_none(min(_due(record).values(), default=None)),
        sender=message.content.from_.address.spec,
        subject=message.content.subject,
        tags=message.tags,
        counts=Counter(record.shown_states()),
    )


def is_wanted(record: Record, wanted: MessageFilter) -> bool:
    """Say whether a message passes a filter; the cursor is the caller's business."""
    message = record.message
    recipients = [address.spec.lower() for address in message.envelope.recipients]
    return (
        message.tenant == wanted.tenant
        and wanted.state in (None, *record.shown_states())
        and wanted.mail_class in (None, message.mail_class)
        and wanted.tag in (None, *message.tags)
        and (wanted.sender or "").lower() in ("", message.content.from_.address.spec.lower())
        and (wanted.recipient or "").lower() in ("", *recipients)
        and wanted.transport in (None, record.transport)
        and (wanted.since is None or message.created_at >= wanted.since)
        and (wanted.until is None or message.created_at < wanted.until)
    )

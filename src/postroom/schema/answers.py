"""Answers of the HTTP API: models for the OpenAPI document, and the functions that write them.

The functions build plain dictionaries, because a read must stay cheap; a test validates each of them
against its model. Every answer says in which ``mode`` the server works; instants are ISO 8601 in UTC.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from postroom.model.lifecycle import OPEN_STATES, RecipientState, message_state
from postroom.model.template import TemplatePin
from postroom.model.view import ApiKey, CapturedMail, MessageSummary, MessageView, RecipientView

Mode = Literal["live", "capture"]
Json = dict[str, Any]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AttemptAnswer(_Answer):
    """One attempt as one recipient saw it."""

    at: str
    transport: str
    step: str
    code: int | None
    enhanced: str | None
    text: str
    outcome: str
    duration_ms: int


class RecipientAnswer(_Answer):
    """One recipient: its state, why, and what to do about it."""

    address: str
    state: RecipientState
    cause: str
    meaning: str
    remedy: str
    attempts: list[AttemptAnswer]


class TemplateAnswer(_Answer):
    """What a mail was rendered from. `locale` is that of the variant that was taken."""

    name: str
    version: str
    locale: str


class MessageAnswer(_Answer):
    """One message with the truth about each recipient. ``accepted`` is never said to be delivered."""

    id: str
    mode: Mode
    state: str
    open: bool
    mail_class: str = Field(alias="class")
    counts: dict[RecipientState, int]
    transport: str
    route: str
    created_at: str
    next_attempt_at: str | None
    expires_at: str
    from_: str = Field(alias="from")
    subject: str
    tags: list[str]
    metadata: dict[str, str]
    template: TemplateAnswer | None = None
    recipients: list[RecipientAnswer]


class AcceptedAnswer(_Answer):
    """The message is on stable storage; nothing is known yet about its recipients."""

    id: str
    mode: Mode
    state: str


class BatchItemAnswer(_Answer):
    """One item: accepted with ``id`` and ``state``, or refused with ``problem``."""

    status: int
    id: str | None = None
    state: str | None = None
    problem: dict[str, Any] | None = None


class BatchAnswer(_Answer):
    """One result for each message, in their order."""

    mode: Mode
    accepted: int
    refused: int
    messages: list[BatchItemAnswer]


class SummaryAnswer(_Answer):
    """One line of a list."""

    id: str
    state: str
    open: bool
    mail_class: str = Field(alias="class")
    counts: dict[RecipientState, int]
    transport: str
    route: str
    created_at: str
    next_attempt_at: str | None
    from_: str = Field(alias="from")
    subject: str
    tags: list[str]


class ListAnswer(_Answer):
    """One page, newest first; ``next`` is the cursor of the page after it."""

    mode: Mode
    messages: list[SummaryAnswer]
    next: str | None


class CapturedAnswer(_Answer):
    """One mail the capture inbox took; ``source`` is where its bytes are."""

    number: int
    message_id: str
    captured_at: str
    from_: str = Field(alias="from")
    reverse_path: str
    recipients: list[str]
    subject: str
    size: int
    source: str


class CapturedOneAnswer(CapturedAnswer):
    """One captured mail, asked for by number."""

    mode: Mode


class CapturedListAnswer(_Answer):
    """One page of captured mails, newest first."""

    mode: Mode
    captured: list[CapturedAnswer]
    next: int | None


class KeyAnswer(_Answer):
    """A key; its secret is shown once, when it is created."""

    id: str
    name: str
    scopes: list[str]
    senders: list[str]
    networks: list[str]
    created_at: str
    revoked_at: str | None


class NewKeyAnswer(KeyAnswer):
    """A new key with its secret."""

    mode: Mode
    key: str


class KeyListAnswer(_Answer):
    """Every key, revoked ones included."""

    mode: Mode
    keys: list[KeyAnswer]


class AliveAnswer(_Answer):
    """The process answers."""

    status: str


class BackupAnswer(_Answer):
    """The copy is complete."""

    mode: Mode
    path: str


class ProblemItem(_Answer):
    """One wrong field."""

    code: str
    field: str
    cause: str
    fix: str


class ProblemAnswer(BaseModel):
    """A refusal (RFC 9457); codes are explained in ``docs/errors.md``."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[ProblemItem]


class Wording(Protocol):
    """Meaning and remedy of a cause."""

    @property
    def meaning(self) -> str:
        """What the cause means."""
        ...

    @property
    def remedy(self) -> str:
        """What to do about it."""
        ...


def instant(at: datetime) -> str:
    """Write an instant in UTC with ``Z``."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def or_null(at: datetime | None) -> str | None:
    """Write an instant that may lack."""
    return None if at is None else instant(at)


def message(view: MessageView, mode: str, words: Callable[[str], Wording]) -> Json:
    """Write one message."""
    states = [recipient.state for recipient in view.recipients]
    return {
        "id": view.id,
        "mode": mode,
        "state": message_state(states),
        "open": any(state in OPEN_STATES for state in states),
        "class": view.mail_class,
        "counts": {state: states.count(state) for state in dict.fromkeys(states)},
        "transport": view.transport,
        "route": view.route or view.transport,
        "created_at": instant(view.created_at),
        "next_attempt_at": or_null(view.next_attempt_at),
        "expires_at": instant(view.expires_at),
        "from": view.sender,
        "subject": view.subject,
        "tags": list(view.tags),
        "metadata": dict(view.metadata),
        "template": None if view.template is None else pinned(view.template),
        "recipients": [_recipient(one, words) for one in view.recipients],
    }


def pinned(pin: TemplatePin) -> Json:
    """Write what a mail was rendered from."""
    return {"name": pin.name, "version": pin.version, "locale": pin.locale}


def _recipient(view: RecipientView, words: Callable[[str], Wording]) -> Json:
    wording = words(view.cause)
    return {
        "address": view.address,
        "state": view.state,
        "cause": view.cause,
        "meaning": wording.meaning,
        "remedy": wording.remedy,
        "attempts": [
            {
                "at": instant(attempt.at),
                "transport": attempt.transport,
                "step": attempt.step,
                "code": attempt.code,
                "enhanced": attempt.enhanced,
                "text": attempt.text,
                "outcome": attempt.outcome,
                "duration_ms": attempt.duration_ms,
            }
            for attempt in view.attempts
        ],
    }


def summary(view: MessageSummary) -> Json:
    """Write one line of a list."""
    counts: Mapping[RecipientState, int] = {state: count for state, count in view.counts.items() if count}
    return {
        "id": view.id,
        "state": message_state(counts),
        "open": any(state in OPEN_STATES for state in counts),
        "class": view.mail_class,
        "counts": counts,
        "transport": view.transport,
        "route": view.route or view.transport,
        "created_at": instant(view.created_at),
        "next_attempt_at": or_null(view.next_attempt_at),
        "from": view.sender,
        "subject": view.subject,
        "tags": list(view.tags),
    }


def page(views: Sequence[MessageSummary], mode: str, limit: int) -> Json:
    """Write one page of messages with the cursor of the next."""
    return {
        "mode": mode,
        "messages": [summary(view) for view in views],
        "next": views[-1].id if len(views) == limit else None,
    }


def captured(mail: CapturedMail) -> Json:
    """Write one captured mail."""
    return {
        "number": mail.number,
        "message_id": mail.message_id,
        "captured_at": instant(mail.captured_at),
        "from": mail.sender,
        "reverse_path": mail.reverse_path,
        "recipients": list(mail.recipients),
        "subject": mail.subject,
        "size": mail.source.size,
        "source": f"/v1/captured/{mail.number}/source",
    }


def key(stored: ApiKey) -> Json:
    """Write a key, never its secret or hash."""
    return {
        "id": stored.id,
        "name": stored.name,
        "scopes": sorted(stored.scopes),
        "senders": list(stored.senders),
        "networks": list(stored.networks),
        "created_at": instant(stored.created_at),
        "revoked_at": or_null(stored.revoked_at),
    }

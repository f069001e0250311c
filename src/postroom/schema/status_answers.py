"""Answers about the whole: models for the OpenAPI document, and the functions that write them."""

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from postroom.engine.alerting.forms import AlertCounts
from postroom.engine.standing import Status
from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass
from postroom.ports.gauge import StoreReading
from postroom.schema.answers import Json, Mode, Wording, instant
from postroom.schema.transport_answers import TransportDetails, transport

Word = Literal["ready", "degraded", "not-ready"]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AdviceAnswer(_Answer):
    """What is so, and the command that shows more or mends it."""

    text: str
    command: str


class UncertainAnswer(_Answer):
    """Recipients of whom nobody knows whether they have the mail."""

    recipients: int
    oldest_accepted_at: str | None


class StoreAnswer(_Answer):
    """The store; sizes in bytes."""

    disk_free: int
    disk_reserve: int
    intake_stopped: bool
    wal: int
    waiting_operations: int


class AlertCountsAnswer(_Answer):
    """Alerts: those that are active, reports nobody looked at yet, letters that are not handed in."""

    active: int
    events_waiting: int
    letters_waiting: int
    oldest_letter_at: str | None


class StatusAnswer(_Answer):
    """How everything stands; ``next`` says what to do, the worst first."""

    status: Word
    mode: Mode
    ready: bool
    version: str
    started_at: str | None
    uptime_s: int
    durability: str
    problems: list[str]
    next: list[AdviceAnswer]
    counts: dict[RecipientState, int]
    oldest_open_at: str | None
    oldest_due_at: dict[MailClass, str]
    uncertain: UncertainAnswer
    store: StoreAnswer | None
    alerts: AlertCountsAnswer | None
    transports: list[TransportDetails]


class ReadyAnswer(_Answer):
    """Whether new mail is taken, and what an acceptance means on this store.

    ``degraded`` takes mail of which some cannot leave now.
    """

    status: Word
    mode: Mode
    ready: bool
    durability: str
    smtp: list[str]
    problems: list[str]


def word(status: Status) -> Word:
    """Return the one word for how everything stands."""
    if not status.ready:
        return "not-ready"
    return "degraded" if status.is_degraded else "ready"


def ready(status: Status, *, is_shown: bool) -> Json:
    """Write whether new mail is taken; what is wrong only where it ``is_shown``."""
    return {
        "status": word(status),
        "mode": status.mode,
        "ready": status.ready,
        "durability": status.durability,
        "smtp": list(status.smtp_urls),
        "problems": list(status.problems) if is_shown else [],
    }


def status(status: Status, *, version: str, words: Callable[[str], Wording]) -> Json:
    """Write how everything stands."""
    store, started_at, now = status.store, status.started_at, status.seen_at
    oldest = status.queue.oldest_open_at
    uncertain_since = None if store is None else store.uncertain_since
    return {
        "status": word(status),
        "mode": status.mode,
        "ready": status.ready,
        "version": version,
        "started_at": None if started_at is None else instant(started_at),
        "uptime_s": 0 if started_at is None else int((now - started_at).total_seconds()),
        "durability": status.durability,
        "problems": list(status.problems),
        "next": [{"text": one.text, "command": one.command} for one in status.advice],
        "counts": {state: status.queue.by_state.get(state, 0) for state in RecipientState},
        "oldest_open_at": None if oldest is None else instant(oldest),
        "oldest_due_at": {mail_class: instant(at) for mail_class, at in status.oldest_due_at.items()},
        "uncertain": {
            "recipients": status.queue.by_state.get(RecipientState.UNCERTAIN, 0),
            "oldest_accepted_at": None if uncertain_since is None else instant(uncertain_since),
        },
        "store": None if store is None else _store(store),
        "alerts": None if status.alerts is None else _alerts(status.alerts),
        "transports": [
            transport(
                one.name,
                target=one.target,
                is_default=number == 0,
                pauses=one.pauses,
                limits=one.limits,
                level=one.connections,
                quota_ends_at=one.quota_ends_at,
                now=now,
                words=words,
            )
            for number, one in enumerate(status.transports)
        ],
    }


def _alerts(counts: AlertCounts) -> Json:
    oldest = counts.oldest_letter_at
    return {
        "active": counts.active,
        "events_waiting": counts.events_waiting,
        "letters_waiting": counts.letters_waiting,
        "oldest_letter_at": None if oldest is None else instant(oldest),
    }


def _store(store: StoreReading) -> Json:
    return {
        "disk_free": store.disk_free,
        "disk_reserve": store.disk_reserve,
        "intake_stopped": store.is_intake_stopped,
        "wal": store.wal_bytes,
        "waiting_operations": store.waiting_operations,
    }

"""Answers about ways out: models for the OpenAPI document, and the function that writes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from postroom.model.transport import StoredTransport, TransportSpec
from postroom.model.view import FOREVER, PauseKind, TransportPause
from postroom.policy.pacing import Used
from postroom.schema.answers import Json, Mode, Wording, instant
from postroom.schema.transport_secrets import shown_transport


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PauseAnswer(_Answer):
    """What a transport waits for, and what to do about it; ``open`` says that it is an outage."""

    kind: PauseKind
    open: bool
    over: bool
    since: str
    until: str | None
    cause: str
    meaning: str
    remedy: str
    evidence: str
    step: str
    host: str
    author: str
    failures: int


class LearntAnswer(_Answer):
    """What a server taught, with what it said."""

    allowed: int
    seen: int
    learnt_at: str
    evidence: str


class PaceAnswer(_Answer):
    """Messages in a window: how many may go, how many went."""

    window_s: int
    allowed: int
    used: int
    configured: int | None
    learnt: LearntAnswer | None
    ends_in_s: int | None


class TransportDetails(_Answer):
    """One way out: its target without the secret, how it is and why."""

    name: str
    target: str
    default: bool
    state: Literal["working", "waiting", "probing", "down", "suspended", "unused"]
    level: int
    pauses: list[PauseAnswer]
    pace: list[PaceAnswer]
    quota_ends_at: str | None


class DescribedTransport(TransportDetails):
    """One way out: how it is, what it is and where that is configured."""

    origin: Literal["file", "environment", "stored", "none"]
    """Where it is configured; only a stored one may be changed by calls. ``none``: the capture inbox that
    stands in while there is no transport."""
    used: bool
    """Mail may go by it in this run."""
    provider: str | None
    settings: dict[str, Any]
    """In the form of ``POST /v1/transports``, ``*****`` for its secrets."""
    version: str | None
    """Of a stored one; another after each change."""
    created_at: str | None
    changed_at: str | None
    author: str | None


class OneTransportAnswer(DescribedTransport):
    """One way out, asked for by name."""

    mode: Mode


class ChangedTransportAnswer(OneTransportAnswer):
    """A transport after a change, with what a person should know about what was understood."""

    warnings: list[str]


class TransportListAnswer(_Answer):
    """Every way out, in configured order."""

    mode: Mode
    transports: list[DescribedTransport]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a transport is, beside how it does."""

    spec: TransportSpec | None = None
    """``None`` for one that cannot be understood, and for the capture inbox."""
    record: StoredTransport | None = None
    """Of a stored one."""
    version: str | None = None
    is_used: bool = True

    def members(self) -> Json:
        """Write it."""
        spec, record = self.spec, self.record
        account = None if spec is None else spec.account
        if spec is not None:
            settings = shown_transport(spec)
        else:
            settings = {} if record is None else dict(record.fields)
        origin = "stored" if record is not None else "none" if spec is None else spec.origin.value
        return {
            "origin": origin,
            "used": self.is_used,
            "provider": None if account is None else account.provider,
            "settings": settings,
            "version": self.version,
            "created_at": None if record is None else instant(record.created_at),
            "changed_at": None if record is None else instant(record.changed_at),
            "author": None if record is None else record.author,
        }


def unused(name: str, target: str, described: Described) -> Json:
    """Write a transport that takes no part in this run."""
    return {
        "name": name,
        "target": target,
        "default": False,
        "state": "unused",
        "level": 0,
        "pauses": [],
        "pace": [],
        "quota_ends_at": None,
        **described.members(),
    }


def transport(  # noqa: PLR0913 - the facts of a transport
    name: str,
    *,
    target: str,
    is_default: bool,
    pauses: Sequence[TransportPause],
    limits: Sequence[Used],
    level: int,
    quota_ends_at: datetime | None,
    now: datetime,
    words: Callable[[str], Wording],
) -> Json:
    """Write one transport."""
    return {
        "name": name,
        "target": target,
        "default": is_default,
        "state": state_of(pauses, now),
        "level": level,
        "pauses": [_pause(one, now, words) for one in pauses],
        "pace": [_pace(one) for one in limits],
        "quota_ends_at": None if quota_ends_at is None else instant(quota_ends_at),
    }


def state_of(pauses: Sequence[TransportPause], now: datetime) -> str:
    """Name the worst of what it waits for: a person, an outage, a moment, the message that probes."""
    waiting = [pause for pause in pauses if pause.until > now]
    if any(pause.kind is PauseKind.SUSPENDED for pause in waiting):
        return "suspended"
    if waiting:
        return "down" if any(pause.is_open for pause in waiting) else "waiting"
    return "probing" if pauses else "working"


def _pause(one: TransportPause, now: datetime, words: Callable[[str], Wording]) -> Json:
    wording = words(one.cause)
    return {
        "kind": one.kind,
        "open": one.is_open,
        "over": one.until <= now,
        "since": instant(one.since),
        "until": None if one.until >= FOREVER else instant(one.until),
        "cause": one.cause,
        "meaning": wording.meaning,
        "remedy": wording.remedy,
        "evidence": one.text,
        "step": one.step,
        "host": one.host,
        "author": one.author,
        "failures": one.failures,
    }


def _pace(one: Used) -> Json:
    learnt = one.learnt
    return {
        "window_s": one.window_s,
        "allowed": one.allowed,
        "used": one.used,
        "configured": one.configured,
        "learnt": None
        if learnt is None
        else {
            "allowed": learnt.allowed,
            "seen": learnt.seen,
            "learnt_at": instant(learnt.learnt_at),
            "evidence": learnt.text,
        },
        "ends_in_s": None if one.ends_in_s is None else int(one.ends_in_s),
    }

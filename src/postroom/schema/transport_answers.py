"""Answers about ways out: models for the OpenAPI document, and the function that writes them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from postroom.model.view import FOREVER, PauseKind, TransportPause
from postroom.policy.pacing import Used
from postroom.schema.answers import Json, Mode, Wording, instant


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
    state: Literal["working", "waiting", "probing", "down", "suspended"]
    level: int
    pauses: list[PauseAnswer]
    pace: list[PaceAnswer]
    quota_ends_at: str | None


class OneTransportAnswer(TransportDetails):
    """One way out, asked for by name."""

    mode: Mode


class TransportListAnswer(_Answer):
    """Every way out, in configured order."""

    mode: Mode
    transports: list[TransportDetails]


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

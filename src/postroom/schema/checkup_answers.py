"""The answer of a check: the model for the OpenAPI document, and the function that writes it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from postroom.model.checkup import Checkup, Fix, Stage, StageResult, StageStatus
from postroom.providers.replies import words
from postroom.providers.words import fix_sentence, stage_word
from postroom.schema.answers import Json, instant


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FixAnswer(_Answer):
    """A change of settings that mends a stage: ``patch`` is a body of ``PATCH /v1/transports/{name}``.

    ``strip-secret`` has an empty one: whoever has the secret stores it again without blanks.
    """

    id: str
    sentence: str
    patch: dict[str, Any]


class StageAnswer(_Answer):
    """One stage: what was seen, and what to do. ``cause`` is empty when all is well."""

    stage: Stage
    title: str
    status: StageStatus
    ms: int
    evidence: str
    cause: str
    meaning: str
    remedy: str
    fix: FixAnswer | None
    docs: str
    found: dict[str, str]
    worked_until: str | None


class CheckupAnswer(_Answer):
    """One check: ``cause`` is that of the first failure, else of the first warning."""

    ok: bool
    cause: str
    target: str
    stages: list[StageAnswer]


def checkup(one: Checkup, *, language: str = "en") -> Json:
    """Write a check with its words in ``language``."""
    return {
        "ok": one.ok,
        "cause": one.cause,
        "target": one.target,
        "stages": [_stage(stage, language) for stage in one.stages],
    }


def read_checkup(answer: Mapping[str, Any]) -> Checkup:
    """Read a check that a server wrote; its words are looked up again where it is shown."""
    return Checkup(target=answer["target"], stages=tuple(map(_read_stage, answer["stages"])))


def _read_stage(answer: Mapping[str, Any]) -> StageResult:
    fix, worked_until = answer["fix"], answer["worked_until"]
    return StageResult(
        stage=Stage(answer["stage"]),
        status=StageStatus(answer["status"]),
        ms=answer["ms"],
        evidence=answer["evidence"],
        cause=answer["cause"],
        fix=None if fix is None else Fix(id=fix["id"], patch=fix["patch"]),
        docs=answer["docs"],
        worked_until=None if worked_until is None else datetime.fromisoformat(worked_until),
        found=answer["found"],
    )


def _stage(one: StageResult, language: str) -> Json:
    meaning, remedy = words(one.cause, language)
    return {
        "stage": one.stage,
        "title": stage_word(one.stage, language),
        "status": one.status,
        "ms": one.ms,
        "evidence": one.evidence,
        "cause": one.cause,
        "meaning": meaning,
        "remedy": remedy,
        "fix": None if one.fix is None else _fix(one.fix, language),
        "docs": one.docs,
        "found": dict(one.found),
        "worked_until": None if one.worked_until is None else instant(one.worked_until),
    }


def _fix(one: Fix, language: str) -> Json:
    return {"id": one.id, "sentence": fix_sentence(one.id, language), "patch": dict(one.patch)}

"""A pasted text and what it means: the body, the answer, and the text for people."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from postroom.model.step import Step
from postroom.policy.diagnosing import Confidence, Diagnosis
from postroom.providers.replies import words
from postroom.providers.words import phrase
from postroom.schema.answers import Json
from postroom.schema.bodies import Body

Language = Literal["en", "zh", "ko", "de", "fr"]


class DiagnoseBody(Body):
    """A text that a server, a log, a bounce or another program wrote."""

    text: str = Field(description="As it was pasted; of a very long one only the beginning counts.")
    host: str = Field("", max_length=255, description="The server that spoke, when it is known.")
    provider: str = Field("", max_length=40, description="Id of its provider, when it is known.")
    step: (
        Literal["connect", "tls", "greeting", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "body_end"]
        | None
    ) = Field(None, description="Where in the dialogue, when it is known.")
    language: Language | None = Field(None, description="Instead of the header Accept-Language.")


class DiagnosisAnswer(BaseModel):
    """What a text means. ``cause`` is ``unknown`` when nothing that is known was found: never a guess."""

    model_config = ConfigDict(extra="forbid")

    cause: str
    meaning: str
    remedy: str
    action: str | None
    """What Postroom does about it by itself."""
    confidence: Confidence
    code: int | None
    reply: str
    """What of the text it was found by, when that was a reply."""
    host: str
    stage: str


def diagnosis(found: Diagnosis, *, language: str = "en") -> Json:
    """Write a diagnosis with its words in ``language``."""
    meaning, remedy = words(found.cause, language)
    return {
        "cause": found.cause or "unknown",
        "meaning": meaning or phrase("told.unknown", language),
        "remedy": remedy,
        "action": None if found.action is None else found.action.value,
        "confidence": found.confidence.value,
        "code": found.code,
        "reply": found.text,
        "host": found.host,
        "stage": found.stage,
    }


def step_of(name: str | None) -> Step | None:
    """Return the step of a body."""
    return None if name is None else Step(name)

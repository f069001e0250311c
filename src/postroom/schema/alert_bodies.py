"""The small bodies by which people act on alerts: acknowledge, silence, test the rules."""

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field, WithJsonSchema

from postroom.errors import InputError, Problem
from postroom.schema.alert_parts import MAX_NAME, MAX_PAIRS, MAX_VALUE
from postroom.schema.bodies import Body
from postroom.schema.operating import Instant, Phrase, judged
from postroom.schema.quantities import parse_span
from postroom.schema.submission import Problems

MAX_MATCHERS = 20
"""Of one silence (security limit)."""
MAX_SILENCE = timedelta(days=366)
"""Longer than a year is a rule, not a silence."""


def _span(text: str, name: str, problems: Problems) -> timedelta | None:
    try:
        span = parse_span(text)
    except ValueError as error:
        problems.add("duration-syntax", name, str(error), "Write for example 30 min, 1 h or 2 d.")
        return None
    if not timedelta() < span <= MAX_SILENCE:
        problems.add("duration-syntax", name, "not above nothing and up to a year", "Write for example 1 h.")
        return None
    return span


Span = Annotated[timedelta, judged(_span), WithJsonSchema({"type": "string", "examples": ["1 h", "2 d"]})]
LabelText = Annotated[str, Field(max_length=MAX_VALUE)]
LabelName = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class AcknowledgeBody(Body):
    """Somebody works on it."""

    by: Phrase | None = Field(None, description="Who; default the name of the key.")
    until: Instant | None = Field(None, description="Default: until it is over, or gets worse.")
    duration: Span | None = Field(None, description="How long from now, in place of `until`.")

    def end(self, now: datetime) -> datetime | None:
        """Return when it ends; ``None``: with the alert. Raises InputError when it is said twice."""
        if self.duration is None:
            return self.until
        if self.until is not None:
            cause = "give until or duration, one of the two"
            problem = Problem(code="given-twice", field="until", cause=cause, fix="Give one of them.")
            raise InputError([problem])
        return now + self.duration


class QuietBody(Body):
    """How long nobody is told."""

    ends_at: Instant | None = Field(None, description="Its end; or `duration`, one of the two.")
    duration: Span | None = Field(None, description="How long from now.")
    author: Phrase | None = Field(None, description="Who; default the name of the key.")
    reason: Phrase | None = None

    def end(self, now: datetime) -> datetime:
        """Return when it ends. Raises InputError unless one of the two is given."""
        if (self.ends_at is None) == (self.duration is None):
            cause = "give ends_at or duration, one of the two"
            problem = Problem(code="missing-field", field="ends_at", cause=cause, fix="Give one of them.")
            raise InputError([problem])
        return self.ends_at or now + (self.duration or timedelta())


class SilenceBody(QuietBody):
    """Nobody is told of alerts that match."""

    matchers: list[Annotated[str, Field(max_length=MAX_VALUE)]] = Field(
        min_length=1,
        max_length=MAX_MATCHERS,
        description="All must match, written as in Alertmanager.",
        examples=[['key="disk-low"', 'object=~"/dev/.*"']],
    )
    starts_at: Instant | None = Field(None, description="Default now.")


class RhythmBody(Body):
    """How often it is told again while it is active."""

    every: Span = Field(description="At least a minute.")
    by: Phrase | None = Field(None, description="Who; default the name of the key.")


class LabelsBody(Body):
    """Labels whose way through the rules is wanted."""

    labels: Annotated[dict[LabelName, LabelText], Field(max_length=MAX_PAIRS)] = Field(
        examples=[{"key": "disk-low", "severity": "critical"}]
    )

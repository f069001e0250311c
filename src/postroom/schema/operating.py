"""Bodies by which an operator acts: on mail, by holds and suppressions, on transports, for webhooks.

Every value is judged while the shape is read, so that one answer names everything that is wrong. Texts that
people write (reasons, notes) are one line without control characters: they are shown in terminals and logs.

Not here: what needs a clock or the store, such as an end that has passed (``engine.desk``).
"""

import difflib
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar, cast

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from postroom.grammar import BIDI_CONTROL, CONTROL, SURROGATE
from postroom.model.address import AddressError, parse_address
from postroom.model.event import EventKind
from postroom.model.hold import HoldEnd, HoldFilter, SuppressionReason
from postroom.model.ids import TenantId
from postroom.model.lifecycle import RecipientState
from postroom.model.message import MailClass
from postroom.model.selection import Resolution, Selection
from postroom.schema.bodies import Body
from postroom.schema.submission import MAX_TAG, Problems, read_instant

MAX_PHRASE = 500
"""Characters of a reason or a note."""
MAX_NAME = 100
"""Characters of a transport's name or an id."""
MAX_URL = 2000
"""Characters of a webhook's URL."""
MAX_NUMBER = 2**53
"""Largest number of a cursor: what every JSON reader holds exactly."""
MAX_CHOSEN = 1000
"""Recipients named in one body: as many as a message may have."""

_Enum = TypeVar("_Enum", bound=StrEnum)
Judge = Callable[[str, str, Problems], Any]


def _refuse(code: str, cause: str, fix: str) -> PydanticCustomError:
    return PydanticCustomError(cast("Any", code), "{cause}", {"cause": cause, "fix": fix})


def judged(judge: Judge) -> PlainValidator:
    """Return a validator of texts that raises the first problem ``judge`` finds."""

    def validated(value: object) -> Any:
        if not isinstance(value, str):
            raise _refuse("wrong-type", "must be text", "Send text.")
        problems = Problems()
        result = judge(value, "", problems)
        for problem in problems.found:
            raise _refuse(problem.code, problem.cause, problem.fix)
        return result

    return PlainValidator(validated)


def read_choice(kinds: type[_Enum], text: str, name: str, problems: Problems) -> _Enum | None:
    """Read one of the values of an enumeration."""
    known = [one.value for one in kinds]
    if text in known:
        return kinds(text)
    near = difflib.get_close_matches(text[:MAX_NAME], known, 1)
    hint = f"Did you mean {near[0]}?" if near else f"Use one of {', '.join(known)}."
    problems.add("unknown-value", name, "not a known value", hint)
    return None


def read_phrase(text: str, name: str, problems: Problems, most: int = MAX_PHRASE) -> str:
    """Check a line that a person wrote."""
    if not text.strip():
        problems.add("empty", name, "empty", "Write a few words.")
    elif len(text) > most:
        problems.add("too-long", name, f"{len(text)} characters, at most {most}", "Shorten it.")
    elif CONTROL.search(text) or SURROGATE.search(text) or BIDI_CONTROL.search(text):
        cause = "contains a line end, a bidi override or another control character"
        problems.add("control-character", name, cause, "Write one plain line.")
    return text


def read_pattern(text: str, name: str, problems: Problems) -> str:
    """Read an address or ``@domain``; return it with its domain as A-label in lower case."""
    is_domain = text.startswith("@")
    try:
        spec = parse_address(f"x{text}" if is_domain else text).spec
    except AddressError as error:
        problems.add("address-invalid", name, error.cause, "Write one address, or @domain.")
        return text
    return spec[1:] if is_domain else spec


def _short(most: int) -> Judge:
    return lambda text, name, problems: read_phrase(text, name, problems, most)


def _chosen(value: object) -> str | int:
    """Take a recipient of a message by address or number."""
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise _refuse("wrong-type", "must be an address or a number", "Send the address, or its number.")


def _one_of(kinds: type[StrEnum]) -> tuple[PlainValidator, WithJsonSchema]:
    def judge(text: str, name: str, problems: Problems) -> StrEnum | None:
        return read_choice(kinds, text, name, problems)

    return judged(judge), WithJsonSchema({"type": "string", "enum": [one.value for one in kinds]})


_TEXT = WithJsonSchema({"type": "string", "minLength": 1})
Instant = Annotated[datetime, judged(read_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
Phrase = Annotated[str, judged(read_phrase), _TEXT]
Name = Annotated[str, judged(_short(MAX_NAME)), _TEXT]
Tag = Annotated[str, judged(_short(MAX_TAG)), _TEXT]
Url = Annotated[str, judged(_short(MAX_URL)), WithJsonSchema({"type": "string", "format": "uri"})]
Token = Annotated[str, judged(_short(MAX_PHRASE)), _TEXT]
Pattern = Annotated[
    str,
    judged(read_pattern),
    WithJsonSchema({"type": "string", "examples": ["a@example.com", "@example.com"]}),
]
Chosen = Annotated[
    str | int,
    PlainValidator(_chosen),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]}),
]
State = Annotated[RecipientState, *_one_of(RecipientState)]
Class = Annotated[MailClass, *_one_of(MailClass)]
How = Annotated[Resolution, *_one_of(Resolution)]
Then = Annotated[HoldEnd, *_one_of(HoldEnd)]
Why = Annotated[SuppressionReason, *_one_of(SuppressionReason)]
Kind = Annotated[EventKind, *_one_of(EventKind)]


# --------------------------------------------------------------------------- one message


class RecipientsBody(Body):
    """Which recipients of the message; none named means every one the verb fits."""

    recipients: list[Chosen] = Field(
        [], max_length=MAX_CHOSEN, description="Addresses, or numbers in the order of the answer from 0."
    )


class RetryBody(RecipientsBody):
    """Send again what was refused, expired, suppressed, deferred or held."""

    at: Instant | None = Field(None, description="When; default now.")
    confirm_duplicate: bool = Field(
        False, description="Uncertain recipients too, although they may get a second copy."
    )


class ReleaseBody(RecipientsBody):
    """Let held recipients go."""


class ResolveBody(RecipientsBody):
    """What a person found out about uncertain recipients."""

    resolution: How
    note: Phrase = Field(description="How you know; kept in the event.")


class RescheduleBody(Body):
    """New times of a message that nobody has begun to send."""

    send_at: Instant | None = None
    expires_at: Instant | None = None


# --------------------------------------------------------------------------- many messages


class FilterBody(Body):
    """Which recipients are meant; every given member must hold, and at least one must be given."""

    state: State | None = None
    mail_class: Class | None = Field(None, alias="class")
    tag: Tag | None = None
    sender: Pattern | None = Field(None, description="From's address, or @domain.")
    recipient: Pattern | None = Field(None, description="An address, or @domain.")
    transport: Name | None = None
    since: Instant | None = Field(None, description="Accepted at or after this instant.")
    until: Instant | None = Field(None, description="Accepted before this instant; default the dry run.")

    @property
    def is_empty(self) -> bool:
        """Say whether no member is given."""
        return not self.model_fields_set or all(getattr(self, name) is None for name in self.model_fields_set)

    def selection(self, tenant: TenantId) -> Selection:
        """Return what is meant within a tenant."""
        return Selection(
            tenant=tenant,
            state=self.state,
            mail_class=self.mail_class,
            tag=self.tag,
            sender=self.sender,
            recipient=self.recipient,
            transport=self.transport,
            since=self.since,
            until=self.until,
        )


class BulkBody(Body):
    """Many messages: first without a token, which counts and gives one, then the same with it."""

    filter: FilterBody
    token: Token | None = Field(None, description="Of the dry run; without it nothing is changed.")


class BulkRetryBody(BulkBody):
    """Retry many; uncertain recipients are resolved instead."""

    at: Instant | None = Field(None, description="When; default now.")


class BulkResolveBody(BulkBody):
    """Resolve many uncertain recipients."""

    resolution: How
    note: Phrase


# --------------------------------------------------------------------------- standing orders


class HoldFilterBody(Body):
    """Whom a hold concerns; at least one member must be given."""

    mail_class: Class | None = Field(None, alias="class")
    tag: Tag | None = None
    sender: Pattern | None = Field(None, description="From's address, or @domain.")
    recipient: Pattern | None = Field(None, description="An address, or @domain.")
    transport: Name | None = None

    def as_filter(self) -> HoldFilter:
        """Return the filter."""
        return HoldFilter(
            mail_class=self.mail_class,
            tag=self.tag,
            sender=self.sender,
            recipient=self.recipient,
            transport=self.transport,
        )


class HoldBody(Body):
    """Hold what waits and what comes, until a person or ``until`` ends it."""

    filter: HoldFilterBody
    reason: Phrase
    until: Instant | None = Field(None, description="When it ends by itself; default never.")
    then: Then = Field(HoldEnd.EXPIRE, description="What becomes of held mail when it ends by itself.")


class SuppressionBody(Body):
    """An address, or a whole @domain, that mail does not go to."""

    address: Pattern
    reason: Why = SuppressionReason.MANUAL
    mail_class: Class | None = Field(None, alias="class", description="Only mail of this class.")
    note: Phrase | None = None
    until: Instant | None = Field(None, description="When it ends by itself; default never.")


class SuspendBody(Body):
    """Send nothing by a transport until a person resumes it or ``until`` has come."""

    reason: Phrase
    until: Instant | None = None


# --------------------------------------------------------------------------- webhooks


class HookBody(Body):
    """An endpoint that is told of events."""

    url: Url
    kinds: list[Kind] = Field([], description="Kinds of events; none means every kind.")


class HookChangeBody(Body):
    """What changes about an endpoint."""

    url: Url | None = None
    kinds: list[Kind] | None = None
    enabled: bool | None = None


class ReplayBody(Body):
    """Tell events again: one by ``event``, or a range by ``first`` and ``last``."""

    event: int | None = Field(None, ge=1, le=MAX_NUMBER)
    first: int | None = Field(None, ge=1, le=MAX_NUMBER)
    last: int | None = Field(None, ge=1, le=MAX_NUMBER)

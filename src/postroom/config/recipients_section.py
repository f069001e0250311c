"""``[recipients]`` of the settings file: who is never sent to."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from postroom.model.address import parse_address
from postroom.policy.blocking import MAX_ENTRIES, MAX_PATTERNS, PREFIX
from postroom.policy.patterns import Pattern
from postroom.schema.written import Section


def _one_or_more(value: object) -> object:
    """One entry is a list too; a comma may belong to a pattern."""
    return [value] if isinstance(value, str) else value


def _blocked(text: str) -> str:
    """Return an entry in the form that is compared. Raises ValueError."""
    text = text.strip()
    if text.startswith(PREFIX):
        Pattern(text.removeprefix(PREFIX))
        return text
    if text.startswith("@"):
        return f"@{parse_address(f'x{text}').domain}"
    return parse_address(text).spec


def _few_patterns(entries: tuple[str, ...]) -> tuple[str, ...]:
    if sum(one.startswith(PREFIX) for one in entries) > MAX_PATTERNS:
        msg = f"more than {MAX_PATTERNS} patterns; several can be one, with | between them"
        raise ValueError(msg)
    return entries


Blocked = Annotated[
    tuple[Annotated[str, AfterValidator(_blocked)], ...],
    Field(max_length=MAX_ENTRIES),
    BeforeValidator(_one_or_more),
    AfterValidator(_few_patterns),
]


class RecipientsSection(Section):
    """Recipients of all mail, by whatever door it comes."""

    blocked: Blocked = ()
    """Never sent to: addresses, `@domain`, and `re:` with a regular expression for the whole address."""

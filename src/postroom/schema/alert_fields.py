"""Values in the rules of alerts, as people write them: types that read them.

Parsing only; whether a name is one that exists is for ``alert_rules``. Error texts never contain the value.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from postroom.model.address import parse_address, parse_mailbox
from postroom.model.alert_rules import Matcher, MatchKind, WeekWindow
from postroom.model.template import LOCALE_TAG
from postroom.net.destination import DestinationError, parse_url
from postroom.policy.alerting.matching import parse_matchers
from postroom.policy.alerting.times import is_zone, next_cron
from postroom.schema.mailbox_lists import mailbox_texts
from postroom.schema.quantities import nearest, parse_span
from postroom.schema.written import listed, one_line

MAX_LIST = 1000
"""Entries of one list (security limit)."""
MAX_MATCHERS = 100
"""Conditions of one entry (security limit)."""
MIN_REPEAT = timedelta(minutes=1)

_SOME_INSTANT = datetime(2026, 1, 1, tzinfo=UTC)
_DAYS = {name: number for number, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), 1)}
_DAYS |= {
    name: number
    for number, name in enumerate(
        ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"), 1
    )
}
_CLOCKS = re.compile(r"([0-9]{1,2}:[0-9]{2})\s*-\s*([0-9]{1,2}:[0-9]{2})\Z")
_WINDOW = 'not times of the week, such as "mon-fri 09:00-17:30", "22:00-07:00" or "sat,sun"'


def parse_window(text: object) -> WeekWindow:
    """Read times of the week, such as ``mon-fri 09:00-17:30``. Raises ValueError."""
    if isinstance(text, WeekWindow):
        return text
    if not isinstance(text, str) or len(text) > 200:
        raise ValueError(_WINDOW)
    match = _CLOCKS.search(text)
    begins, ends = (_clock(match[1]), _clock(match[2])) if match else (None, None)
    days_text = (text[: match.start()] if match else text).strip()
    days: set[int] = set()
    for part in days_text.split(",") if days_text else ():
        first, dash, last = (word.strip().lower() for word in part.partition("-"))
        if first not in _DAYS or (dash and last not in _DAYS):
            raise ValueError(_WINDOW)
        begin, end = _DAYS[first], _DAYS[last or first]
        days |= {(begin - 1 + step) % 7 + 1 for step in range((end - begin) % 7 + 1)}
    if not days and not match:
        raise ValueError(_WINDOW)
    return WeekWindow(days=frozenset(days), begins=begins, ends=ends)


def window_text(window: WeekWindow) -> str:
    """Return times of the week as text that reads as the same."""
    names = [name for name in _DAYS if len(name) == 3]
    days = ",".join(names[day - 1] for day in sorted(window.days))
    if window.begins is None or window.ends is None:
        return days or "mon-sun"
    return f"{days} {window.begins:%H:%M}-{window.ends:%H:%M}".strip()


def _clock(text: str) -> time:
    hour, minute = map(int, text.split(":"))
    if (hour, minute) == (24, 0):
        return time()
    try:
        return time(hour, minute)
    except ValueError:
        raise ValueError(_WINDOW) from None


def _matchers(value: object) -> tuple[Matcher, ...]:
    """Read one text of matchers, several, or a table of labels and their values."""
    if isinstance(value, Mapping):
        if not all(isinstance(text, str) for text in value.values()):
            msg = "the value of a label is text"
            raise ValueError(msg)
        found = [Matcher(str(name), MatchKind.EQUAL, text) for name, text in value.items()]
    else:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list | tuple) or not all(isinstance(one, str | Matcher) for one in texts):
            msg = "not text, a list of texts or a table"
            raise ValueError(msg)
        found = []
        for one in texts:
            found += [one] if isinstance(one, Matcher) else parse_matchers(one)
    if len(found) > MAX_MATCHERS:
        msg = f"more than {MAX_MATCHERS} matchers"
        raise ValueError(msg)
    return tuple(found)


def _repeat(value: object) -> tuple[timedelta, ...]:
    """Read one span, several with commas, a list, or ``never``."""
    if isinstance(value, str):
        value = [] if value.strip().lower() == "never" else value.split(",")
    found = tuple(map(parse_span, value if isinstance(value, list | tuple) else [value]))
    if any(one < MIN_REPEAT for one in found):
        msg = "shorter than a minute"
        raise ValueError(msg)
    if sorted(set(found)) != list(found):
        msg = "not rising"
        raise ValueError(msg)
    return found


def _zone(name: str) -> str:
    if is_zone(name):
        return name
    from zoneinfo import available_timezones  # noqa: PLC0415 - reads a directory tree, only for the hint

    near = nearest(name, available_timezones())
    msg = f"not a time zone such as Europe/Berlin{f'; did you mean {near}?' if near else ''}"
    raise ValueError(msg)


def _cron(text: str) -> str:
    next_cron(text, "UTC", _SOME_INSTANT)
    return " ".join(text.split())


def _language(text: str) -> str:
    if not LOCALE_TAG.match(text):
        msg = "not a language tag such as en or zh-Hans"
        raise ValueError(msg)
    return text


def _address(text: object) -> str:
    if not isinstance(text, str):
        msg = "not text"
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects value errors only
    return parse_mailbox(text).address.spec if "<" in text else parse_address(text).spec


def _some_lines(text: str) -> str:
    """Return text without control characters but line ends and tabs."""
    one_line(text.replace("\r\n", " ").replace("\n", " ").replace("\t", " "))
    return text


_SPAN = WithJsonSchema(
    {"anyOf": [{"type": "number"}, {"type": "string", "examples": ["30 s", "15 min", "12 HOUR", "1 w"]}]}
)
_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}

Span = Annotated[timedelta, BeforeValidator(parse_span), _SPAN]
RepeatList = Annotated[tuple[timedelta, ...], BeforeValidator(_repeat), WithJsonSchema(_TEXTS)]
Matchers = Annotated[tuple[Matcher, ...], BeforeValidator(_matchers), WithJsonSchema(_TEXTS)]
Window = Annotated[WeekWindow, BeforeValidator(parse_window), WithJsonSchema({"type": "string"})]
Windows = Annotated[
    tuple[Window, ...],
    Field(max_length=100),
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
]
"""One text is one window: a comma may part its days."""
Names = Annotated[tuple[str, ...], Field(max_length=MAX_LIST), BeforeValidator(listed)]
Zone = Annotated[str, AfterValidator(_zone)]
Cron = Annotated[str, AfterValidator(_cron)]
Language = Annotated[str, AfterValidator(_language)]
AddressText = Annotated[str, BeforeValidator(_address), WithJsonSchema({"type": "string"})]
AddressTexts = Annotated[
    tuple[AddressText, ...],
    Field(max_length=MAX_LIST),
    BeforeValidator(mailbox_texts),
    WithJsonSchema(_TEXTS),
]
Line = Annotated[str, Field(max_length=500), AfterValidator(one_line)]
Lines = Annotated[str, Field(max_length=64 * 1024), AfterValidator(_some_lines)]
EntryName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(one_line)]
TypeKey = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(one_line)]


def _fallback(value: str) -> str:
    if value in ("journal", "sendmail"):
        return value
    scheme, _, url = value.partition(":")
    if scheme != "webhook" or not url.isascii() or not url.isprintable():
        raise ValueError('none of "webhook:URL", "sendmail", "journal"')
    try:
        parse_url(url)
    except DestinationError:
        raise ValueError("not the URL of a webhook, such as webhook:https://chat.example.com/hook") from None
    return value


FallbackWay = Annotated[str, Field(max_length=2000), AfterValidator(_fallback)]
"""A way for alerts that needs no mail."""

"""What a field of a row may hold, for rows that people wrote (``files``).

A check returns what is wanted instead of a value, empty when all is well. No reading and no merging here.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from postroom.model.outcome import Action
from postroom.providers import replies
from postroom.providers.provider import (
    FIELDS,
    LITERAL,
    MODES,
    FromRule,
    Grade,
    Limits,
    SecretKind,
    UsernameRule,
)

MAX_PATTERN = 200
"""Characters of a pattern (security limit)."""
MAX_REPEATS = 2
"""Repetitions in a pattern: two of them over ``replies.MAX_OWN_TEXT`` characters take milliseconds, a third
one seconds (security limit)."""
MAX_CHOICES = 2
"""Optional characters and groups in a pattern together; any number of ``|`` outside (security limit)."""

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_CODE = re.compile(r"[45](?:xx|\d\d)")
_SPARED = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
"""An escaped character or a set of characters: in a pattern one character."""

Check = Callable[[Any], str]
"""Returns what is wanted instead, empty when all is well."""


def pattern_problem(pattern: str) -> str:
    """Return why a pattern is not taken, empty when it is.

    Taken are characters, sets, ``|`` and groups; at most two of ``* + {m,n}``, and none behind a group: such
    a pattern cannot make the search take long, whatever a server says (security rule).
    """
    if len(pattern) > MAX_PATTERN:
        return f"{len(pattern)} characters, at most {MAX_PATTERN}"
    try:
        re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        return f"no regular expression: {error}"
    if re.search(r"\\\d", pattern):
        return "refers back to a group"
    plain = _SPARED.sub("x", pattern)
    if re.search(r"\(\?(?!:)", plain):
        return "has a group of a special kind; only (...) and (?:...) are taken"
    if re.search(r"\)[*+?{]", plain):
        return "repeats a group"
    if len(re.findall(r"[*+{]", plain)) > MAX_REPEATS:
        return f"more than {MAX_REPEATS} repetitions"
    if plain.replace("(?:", "(").count("?") + plain.count("(") > MAX_CHOICES:
        return f"more than {MAX_CHOICES} optional characters or groups"
    return ""


def _text(value: Any) -> str:
    is_line = isinstance(value, str) and all(char.isprintable() for char in value)
    return "" if is_line else "a text of one line"


def _words(value: Any) -> str:
    return _text(value) or ("" if value.strip() else "a text that is not empty")


def _matching(pattern: re.Pattern[str], wanted: str) -> Check:
    return lambda value: "" if isinstance(value, str) and pattern.fullmatch(value) else wanted


def _one_of(names: Iterable[str]) -> Check:
    known = tuple(map(str, names))
    return lambda value: "" if value in known else "one of " + ", ".join(known)


def list_of(check: Check) -> Check:
    """Return the check of a list from that of its members."""

    def checked(value: Any) -> str:
        wrong = [check(each) for each in value] if isinstance(value, list) else ["any"]
        return f"a list, each {next(filter(None, wrong), 'as wanted')}" if any(wrong) else ""

    return checked


def _some(check: Check) -> Check:
    return lambda value: check(value) or ("" if value else "at least one")


def table_of(check: Check, keys: Sequence[str] | None = None) -> Check:
    """Return the check of a table from that of its values; ``None`` takes any keys."""

    def checked(value: Any) -> str:
        if not isinstance(value, dict):
            return "a table"
        if keys is not None and set(value) - set(keys):
            return "a table with no other keys than " + ", ".join(keys)
        wrong = next(filter(None, map(check, value.values())), "")
        return f"a table, each {wrong}" if wrong else ""

    return checked


def _number(least: int, most: int) -> Check:
    def checked(value: Any) -> str:
        fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return "" if fits else f"a whole number from {least} to {most}"

    return checked


def _boolean(value: Any) -> str:
    return "" if isinstance(value, bool) else "true or false"


def _prefer(value: Any) -> str:
    fits = isinstance(value, list) and len(value) == 2 and not _PORT(value[0]) and value[1] in tuple(MODES)
    return "" if fits else '[port, "tls"], [port, "starttls"] or [port, "plain"]'


def _username(value: Any) -> str:
    names = [each for each in UsernameRule if each is not UsernameRule.LITERAL]
    is_word = isinstance(value, str) and value.startswith(LITERAL) and bool(value[len(LITERAL) :].strip())
    return "" if is_word or value in names else f"one of {', '.join(names)}, or {LITERAL} and the word"


def suffix(value: Any) -> str:
    """Check the end of a host name."""
    fits = isinstance(value, str) and _HOST.fullmatch(value.removeprefix("."))
    return "" if fits else "a host name in small letters, with a leading dot for everything below it"


def _docs(value: Any) -> str:
    return _text(value) or (
        "" if value.startswith(("https://", "http://")) else "an address of a page, https://..."
    )


def _pattern(value: Any) -> str:
    if not isinstance(value, str):
        return "a pattern in single quotes"
    problem = pattern_problem(value)
    return f"another pattern: this one has {problem}" if problem else ""


_PORT = _number(1, 65535)
_HOST_NAME = _matching(re.compile(f"(?:{_HOST.pattern})?"), "a host name in small letters")
_ID = _matching(_NAME, "small letters and digits, with dashes between")
_MX = _matching(re.compile(rf"\.{_HOST.pattern}"), "a host name in small letters with a leading dot")
_TEMPLATE = _matching(re.compile(r"[a-z0-9.-]*\{region\}[a-z0-9.-]*"), "a host name with {region} in it")
_POSITIVE = _number(1, 10**9)

FIELD_CHECKS: Mapping[str, Check] = {
    **dict.fromkeys(FIELDS, _text),
    **dict.fromkeys(("auth", "ehlo", "regions", "regions_smtp", "sources"), list_of(_words)),
    **dict.fromkeys(("tls", "starttls", "plain"), list_of(_PORT)),
    "id": _ID,
    "name": _words,
    "reference": _boolean,
    "domains": list_of(_HOST_NAME),
    "mx_suffix": list_of(_MX),
    "host": _HOST_NAME,
    "hosts": table_of(_HOST_NAME),
    "host_template": _TEMPLATE,
    "prefer": _prefer,
    "username": _username,
    "username_alt": _one_of((UsernameRule.FULL_ADDRESS, UsernameRule.LOCAL_PART)),
    "secret": _some(list_of(_one_of(SecretKind))),
    "from": _one_of(FromRule),
    "limits": table_of(_POSITIVE, tuple(Limits.__dataclass_fields__)),
    "ehlo_year": _number(1982, 9999),
    "grade": table_of(_one_of(Grade)),
    "docs": _docs,
    "steps": list_of(_words),
}
RULE_CHECKS: Mapping[str, Check] = {
    **dict.fromkeys(("sample", "grade"), _text),
    **dict.fromkeys(("meaning", "remedy"), _words),
    "id": _ID,
    "provider": _ID,
    "stage": list_of(_one_of(sorted(replies.STAGES))),
    "code": list_of(_matching(_CODE, '"4xx", "5xx" or a code such as "550"')),
    "port": list_of(_PORT),
    "match": _pattern,
    "action": _one_of(Action),
    "min_delay_s": _number(0, 86400),
    "final": _boolean,
    "sources": list_of(_words),
}

"""Renders the mails of a package of templates, from the table and the files beside it.

This file is copied into every package that is built, so it imports nothing of the program that built it.
It is as strict as that program: a name that is missing raises jinja2's ``UndefinedError``, and ``None``, true
or false, or a list where a text is printed raises TypeError.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from jinja2 import StrictUndefined, Template, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

_BLANK_LINES = re.compile(r"\n{3,}")
_LINE_TAILS = re.compile(r"[ \t]+(?=\n)")
FiltersFor = Callable[[str], Mapping[str, Callable[..., Any]]]
"""From a language to the filters that speak it."""


class Mails:
    """The mails of one package, with what all of them are given."""

    def __init__(
        self,
        names: Mapping[str, object],
        *,
        filters_for: FiltersFor | None = None,
        place: Traversable | None = None,
    ) -> None:
        """Take the values that every mail may read; the files are those of this package."""
        self._names = names
        self._place = place or files(__package__ or __name__)
        table = json.loads(self._place.joinpath("templates.json").read_text("utf-8"))
        self._templates: dict[str, Any] = table["templates"]
        self._filters_for = filters_for
        self._load = cache(self._loaded)

    def rendered(self, name: str, part: str, locale: str, given: Mapping[str, object]) -> str:
        """Return one part of a mail: ``html``, ``subject`` or ``text``."""
        taken = self._locale(name, locale)
        variables = self._templates[name]["locales"][taken]["schema"].get("properties", {})
        values = {
            "_locale": taken,
            "_year": datetime.now(tz=UTC).year,  # noqa: TID251 - it runs in other programs
            **self._names,
            **{name: one["default"] for name, one in variables.items() if "default" in one},
            **{name: value for name, value in given.items() if value is not None},
        }
        text = self._load(name, part, taken).render(values)
        if part == "subject":
            return " ".join(text.split())
        return _tidy(text) if part == "text" else text

    def _loaded(self, name: str, part: str, locale: str) -> Template:
        variant = self._templates[name]["locales"][locale]
        if part == "html":
            source = self._place.joinpath("mail_templates", variant["file"]).read_text("utf-8")
        else:
            source = variant[part]
        filters = {} if self._filters_for is None else self._filters_for(locale)
        return _environment(filters, is_escaped=part == "html").from_string(source)

    def _locale(self, name: str, asked: str) -> str:
        """Return the locale to take: ``fr-CA``, else ``fr``, else the default."""
        here: Mapping[str, Any] = self._templates[name]["locales"]
        by_lower = {locale.lower(): locale for locale in here}
        tag = asked.replace("_", "-").lower()
        while tag:
            if tag in by_lower:
                return by_lower[tag]
            tag = tag.rpartition("-")[0]
        default: str = self._templates[name]["default"]
        return default


def _tidy(text: str) -> str:
    """Collapse the blank lines that conditions leave behind."""
    return _BLANK_LINES.sub("\n\n", _LINE_TAILS.sub("", text)).strip("\n ")


class _Missing(StrictUndefined):
    """A value that is not there: false when it is tested, an error when it is used."""

    __slots__ = ()

    def __bool__(self) -> bool:  # type: ignore[override] # Jinja's own raises
        return False


def _environment(
    filters: Mapping[str, Callable[..., Any]], *, is_escaped: bool
) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        autoescape=is_escaped, undefined=_Missing, finalize=_printed, keep_trailing_newline=True
    )
    environment.filters["default"] = environment.filters["d"] = _default
    if not is_escaped:
        environment.filters["safe"] = environment.filters["striptags"]
        environment.filters.update(dict.fromkeys(("e", "escape", "forceescape"), str))
    environment.filters.update(filters)
    return environment


def _default(value: object, other: object = "", boolean: bool = False) -> object:
    """As Jinja's, and ``None`` counts as missing."""
    if value is None or isinstance(value, Undefined) or (boolean and not value):
        return other
    return value


def _printed(value: object) -> object:
    if value is None or value.__class__ in {bool, dict, list, tuple}:
        raise TypeError(f"{value!r} stands where a text or a number is printed")
    return value

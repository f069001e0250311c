"""Renders the mails of a package of templates, from the table and the files beside it.

This file is copied into every package that is built, so it imports nothing of the program that built it.
What a mail reads has to be given: a name that is missing raises jinja2's ``UndefinedError``, and ``None``
where a text is printed raises TypeError.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Mails:
    """The mails of one package, with what all of them are given."""

    def __init__(
        self,
        names: Mapping[str, object],
        *,
        filters: Mapping[str, Callable[..., Any]] | None = None,
        place: Traversable | None = None,
    ) -> None:
        """Take the values that every mail may read; the files are those of this package."""
        self._names = names
        self._place = place or files(__package__ or __name__)
        table = json.loads(self._place.joinpath("templates.json").read_text("utf-8"))
        self._templates: dict[str, Any] = table["templates"]
        self._escaped, self._plain = (_environment(filters, is_escaped=is_html) for is_html in (True, False))
        self._loaded: dict[tuple[str, str, str], Template] = {}

    def rendered(self, name: str, part: str, locale: str, values: Mapping[str, object]) -> str:
        """Return one part of a mail: ``html``, ``subject`` or ``text``."""
        taken = self._locale(name, locale)
        key = (name, part, taken)
        template = self._loaded.get(key)
        if template is None:
            template = self._loaded[key] = self._load(*key)
        always = {"_locale": taken, "_year": datetime.now(tz=UTC).year}  # noqa: TID251 - it runs in other programs
        text = template.render({**always, **self._names, **values})
        return " ".join(text.split()) if part == "subject" else text

    def _load(self, name: str, part: str, locale: str) -> Template:
        variant = self._templates[name]["locales"][locale]
        if part != "html":
            return self._plain.from_string(variant[part])
        file = self._place.joinpath("mail_templates", variant["file"])
        return self._escaped.from_string(file.read_text("utf-8"))

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


def _environment(
    filters: Mapping[str, Callable[..., Any]] | None, *, is_escaped: bool
) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        autoescape=is_escaped, undefined=StrictUndefined, finalize=_printed, keep_trailing_newline=True
    )
    environment.filters.update(filters or {})
    return environment


def _printed(value: object) -> object:
    if value is None:
        raise TypeError("None stands where a text is printed")
    return value

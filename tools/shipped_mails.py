"""The shipped templates rendered with the sample data in their front matter: for pictures and tests."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from postroom.mime.html import html_to_text
from postroom.model.template import CompiledTemplate, Rendered, Shelf, TemplateSource
from postroom.renderer.compiling import compile_source
from postroom.template.jinja.rendering import load
from postroom.template.shelves import shipped_sources

LANGUAGES = ("en", "fr", "de", "zh", "ko")
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
GLOBALS = {
    "_product_name": "Example",
    "_entity_name": "Example Cooperative",
    "_entity_site_url": "https://www.example.com/",
    "_logo_url": "https://www.example.com/logo.png",
}


def names() -> list[str]:
    """Return the names of the shipped templates."""
    return sorted({source.name for source in shipped_sources()})


@cache
def compiled(name: str, language: str) -> CompiledTemplate:
    """Compile one variant; the next call returns the same."""
    return compile_source(_source(name, language), Shelf())


def samples(template: CompiledTemplate) -> dict[str, Any]:
    """Return the example of every variable."""
    properties: Mapping[str, Any] = template.schema["properties"]
    return {name: schema["examples"][0] for name, schema in properties.items()}


def mail(name: str, language: str, **values: Any) -> Rendered:
    """Render one variant with its examples; ``values`` go before them and before the globals."""
    template = compiled(name, language)
    given = {key: value for key, value in values.items() if not key.startswith("_")}
    own = {key: value for key, value in values.items() if key.startswith("_")}
    return load(template, html_to_text).render({**samples(template), **given}, {**GLOBALS, **own}, AT)


def _source(name: str, language: str) -> TemplateSource:
    wanted = (name, "" if language == "en" else language)
    return next(source for source in shipped_sources() if (source.name, source.locale) == wanted)

"""What comes with Postroom: layouts and components, and ready templates.

The files are data of this package; they are read once, when they are first asked for, and nothing else is.
"""

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from postroom.model.template import Shelf, TemplateSource

DEFAULT_PRIMARY = "#4338ca"
"""The colour ``primary`` of a shelf whose theme names none: white on it has a contrast of 7.8 to 1."""


@cache
def shipped_shelf() -> Shelf:
    """Return the layouts and components that come with Postroom, and the theme's own colour."""
    components = {
        f"{folder}/{entry.name.removesuffix('.html')}": entry.read_text(encoding="utf-8")
        for folder in ("components", "layouts")
        for entry in _html(folder)
    }
    return Shelf(components=components, theme={"colors": {"primary": DEFAULT_PRIMARY}})


@cache
def shipped_sources() -> tuple[TemplateSource, ...]:
    """Return every variant of the ready templates by name, the default variant (without a locale) first."""
    return tuple(_source(entry) for entry in _html("templates"))


def with_shipped(shelf: Shelf) -> Shelf:
    """Lay a shelf over the shipped one: its components, styles and theme's names go first."""
    below = shipped_shelf()
    theme = dict(below.theme)
    for key, value in shelf.theme.items():
        under = theme.get(key)
        theme[key] = {**under, **value} if isinstance(under, dict) and isinstance(value, dict) else value
    return Shelf(
        components={**below.components, **shelf.components},
        styles={**below.styles, **shelf.styles},
        theme=theme,
    )


def _html(folder: str) -> list[Traversable]:
    root = files("postroom.template") / "shipped" / folder
    found = [entry for entry in root.iterdir() if entry.name.endswith(".html")]
    return sorted(found, key=lambda entry: entry.name.removesuffix(".html").partition("."))


def _source(entry: Traversable) -> TemplateSource:
    name, _, locale = entry.name.removesuffix(".html").partition(".")
    return TemplateSource(
        name=name,
        locale=locale,
        text=entry.read_text(encoding="utf-8"),
        file=f"templates/{entry.name}",
    )

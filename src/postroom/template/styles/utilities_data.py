"""The utility classes as data: families with their scales, and the theme of a project on top.

A *family* is what one prefix can say: ``p-$`` sets ``padding`` to a step of the scale ``padding``.
Families stand in the order of the cascade: a later one wins over an earlier one on the same element. A
project's theme adds steps and colours or changes them; everything that is built on a scale (``width`` on
``spacing``) follows.

Rules: data is read once per process and never changes; a theme is plain JSON values. Does not read
classes.

Sources: Tailwind CSS 3.4, configured by tailwindcss-preset-email 1.4.0 with tailwindcss-mso 2.0 (both
MIT).
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib import resources
from typing import Any

_FILES = ("layout", "flow", "boxes", "text", "mso")
_SETTINGS = frozenset({"scale", "extra", "negative", "types", "modifiers", "modified", "important"})
_LENGTHS = frozenset(
    {
        "spacing",
        "width",
        "height",
        "maxWidth",
        "maxHeight",
        "minWidth",
        "minHeight",
        "padding",
        "margin",
        "fontSize",
    }
    | {"borderRadius", "borderWidth", "letterSpacing"}
)
"""Scales whose numbers need a unit."""
DEFAULT_STEP = "DEFAULT"
"""The step of a class that names none, as ``rounded``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a class declares; in a family ``$`` stands for the value, ``$0`` for its transparent colour."""

    rank: int
    """Place in the cascade."""
    declared: tuple[tuple[str, str], ...]
    """Properties and values."""
    selector: str = "&"
    """``&`` is the class."""
    is_important: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One prefix and what it declares."""

    meaning: "Meaning"
    steps: Mapping[str, str]
    types: tuple[str, ...] = ()
    """Kinds of arbitrary values it takes; empty: every kind."""
    is_preferred: bool = False
    """Whether an arbitrary value that fits several families of the prefix is for this one."""
    is_negatable: bool = False
    modifiers: Mapping[str, str] = field(default_factory=dict)
    """Steps after a slash, where they are no opacities."""
    modified: "Meaning | None" = None
    """What is declared with such a modifier, ``$1``."""

    @property
    def is_color(self) -> bool:
        """Whether an opacity may stand after a slash."""
        return "color" in self.types


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Catalogue:
    """All utility classes under one theme."""

    fixed: Mapping[str, Meaning]
    """By name."""
    families: Mapping[str, tuple[Family, ...]]
    """By prefix."""
    scales: Mapping[str, Mapping[str, str]]
    """Steps by the name of the scale; ``colors`` has flat names, ``slate-200``."""
    screens: Mapping[str, str]
    """Media queries by name, in the order of the cascade."""
    variables: Mapping[str, str]
    """Values of the variables families are composed with, where no class sets them."""


def catalogue(theme: Mapping[str, Any]) -> Catalogue:
    """Return the classes under a theme; the same object for an equal theme."""
    return _catalogue(json.dumps(theme, sort_keys=True, default=str))


@lru_cache(maxsize=64)
def _catalogue(theme_json: str) -> Catalogue:
    theme: dict[str, Any] = json.loads(theme_json)
    theme = _unwrapped(theme)
    scales = _scales(theme)
    fixed: dict[str, Meaning] = {}
    families: dict[str, list[Family]] = {}
    rank = 0
    for name in _FILES:
        for section in _data(f"utilities_{name}").values():
            rank += 1
            for key, css in section.items():
                if key in _SETTINGS:
                    continue
                if key.endswith("-$"):
                    families.setdefault(key[:-2], []).append(_family(section, css, rank, scales))
                else:
                    rank += 1
                    fixed[key] = _meaning(css, rank, section)
    return Catalogue(
        fixed=fixed,
        families={prefix: tuple(found) for prefix, found in families.items()},
        scales=scales,
        screens=_screens(theme.get("screens")),
        variables=_data("defaults"),
    )


def theme_fault(theme: Mapping[str, Any]) -> str:
    """Return what is wrong with a theme, the first thing; empty when nothing is."""
    theme = _unwrapped(theme)
    scales = {"colors", "screens", *_data("scales")}
    for name, table in theme.items():
        if not isinstance(table, dict):
            if name in scales:
                return f"{name} is no table; write [{name}]"
            continue
        if name not in scales:
            near = next(iter(get_close_matches(name, sorted(scales), 1, 0.6)), "")
            return f"there is no scale {name}" + (f"; is it {near}?" if near else "")
        if name != "screens" and (fault := _steps_fault(name, table)):
            return fault
    return ""


def _steps_fault(name: str, table: Mapping[str, Any]) -> str:
    for step, value in table.items():
        at = f"{name}.{step}"
        if isinstance(value, dict):
            if name.partition(".")[0] != "colors":
                return f"{at} is a table; write one value"
            if fault := _steps_fault(at, value):
                return fault
        elif isinstance(value, list) and (
            name == "fontSize" or not all(isinstance(one, str) for one in value)
        ):
            return f"{at} is a list; write one value, and the height of lines in lineHeight"
        elif name.partition(".")[0] == "colors" and not isinstance(value, str):
            return f"{at} is no colour in quotes"
        elif name in _LENGTHS and isinstance(value, (int, float)) and value != 0:
            return f'{at} has no unit; write "{value}px"'
    return ""


def _unwrapped(theme: Mapping[str, Any]) -> dict[str, Any]:
    """Return a theme whose parts stand in ``theme`` or ``extend``, as Tailwind has it, without them."""
    found = dict(theme)
    for name in ("theme", "extend"):
        if isinstance(inner := found.pop(name, None), dict):
            found.update(inner)
    return found


def _family(
    section: Mapping[str, Any], css: str, rank: int, scales: Mapping[str, Mapping[str, str]]
) -> Family:
    return Family(
        meaning=_meaning(css, rank, section),
        steps={**scales.get(section.get("scale", ""), {}), **section.get("extra", {})},
        types=tuple(kind.removesuffix("!") for kind in section.get("types", ())),
        is_preferred=any(kind.endswith("!") for kind in section.get("types", ())),
        is_negatable=section.get("negative", False),
        modifiers=scales.get(section.get("modifiers", ""), {}),
        modified=_meaning(section["modified"], rank, section) if "modified" in section else None,
    )


def _meaning(css: str, rank: int, section: Mapping[str, Any]) -> Meaning:
    """Read ``property: value; property: value``, perhaps in ``&::placeholder { }``."""
    selector, brace, inner = css.partition(" { ")
    declared = [part.partition(": ") for part in (inner.removesuffix(" }") if brace else css).split("; ")]
    return Meaning(
        rank=rank,
        declared=tuple((name, value) for name, _, value in declared),
        selector=selector if brace else "&",
        is_important=section.get("important", True),
    )


def _scales(theme: Mapping[str, Any]) -> dict[str, Mapping[str, str]]:
    """Return every scale with its steps, those of the theme on top."""
    source: dict[str, Any] = _data("scales")
    done: dict[str, Mapping[str, str]] = {
        "colors": _flat_colors({**_data("palette"), **_table(theme, "colors")})
    }

    def steps(name: str) -> Mapping[str, str]:
        if name not in done:
            found: dict[str, str] = {}
            for part in source.get(name, ()):
                found.update(steps(part) if isinstance(part, str) else part)
            for step, value in _table(theme, name).items():
                found[step] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            done[name] = found
        return done[name]

    for name in (*source, *theme):
        steps(name)
    return done


def _table(theme: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = theme.get(name)
    return value if isinstance(value, dict) else {}


def _flat_colors(colors: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return ``{"slate-200": "#e2e8f0"}`` for ``{"slate": {"200": "#e2e8f0"}}``."""
    found: dict[str, str] = {}
    for name, value in colors.items():
        path = prefix if name == DEFAULT_STEP else f"{prefix}-{name}".lstrip("-")
        if isinstance(value, dict):
            found.update(_flat_colors(value, path))
        else:
            found[path] = str(value)
    return found


def _screens(added: Any) -> dict[str, str]:
    """Return the media query of each screen: the widest ``max`` first, so that narrower ones win."""
    screens: dict[str, Any] = {"sm": {"max": "600px"}, "xs": {"max": "430px"}}
    if isinstance(added, dict):
        screens.update(added)
    return {name: _query(bounds) for name, bounds in sorted(screens.items(), key=_screen_order)}


def _screen_order(screen: tuple[str, Any]) -> tuple[int, float]:
    bounds = screen[1]
    if isinstance(bounds, dict) and "max" in bounds:
        return (1, -_pixels(bounds["max"]))
    return (0, _pixels(bounds.get("min", 0) if isinstance(bounds, dict) else bounds))


def _pixels(size: Any) -> float:
    digits = str(size).removesuffix("px").removesuffix("em")
    return float(digits) if digits.replace(".", "", 1).isdigit() else 0.0


def _query(bounds: Any) -> str:
    if not isinstance(bounds, dict):
        return f"(min-width: {bounds})"
    if "raw" in bounds:
        return str(bounds["raw"])
    return " and ".join(f"({edge}-width: {bounds[edge]})" for edge in ("min", "max") if edge in bounds)


@cache
def _data(name: str) -> dict[str, Any]:
    text = resources.files("postroom.template.styles").joinpath("data", f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)

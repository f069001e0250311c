"""Whether text can be read: contrast in light and dark mode, size, and what is hidden.

Colours are computed as a mail program does: declarations of the style sheet and of the element, inherited
from around, on the nearest background. Where a colour comes from an expression or a background is an image,
nothing is claimed.

Sources: WCAG 2.2, success criterion 1.4.3 and the definitions of contrast ratio, relative luminance and
large text; CSS Color Level 4 (tinycss2).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tinycss2 import color4

from postroom.model.template import Finding
from postroom.template.lint.case import Case
from postroom.template.lint.css import Cascade, Sheet
from postroom.template.lint.page import VARIABLE, Element, Text, mask

Rgb = tuple[float, float, float]
"""Red, green and blue from 0 to 1."""
MIN_RATIO = 4.5
MIN_RATIO_LARGE = 3.0
LARGE_PX = 24.0
"""18 pt."""
LARGE_BOLD_PX = 18.66
"""14 pt."""
MIN_PX = 12.0
BOLD = 700

_WHITE, _BLACK = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
_DARK_CANVAS = (0.071, 0.071, 0.071)
"""About what programs paint behind a page that says it knows dark mode."""
_LINK = (0.0, 0.0, 0.933)
_LENGTH = re.compile(r"([0-9]*\.?[0-9]+)(px|pt|em|rem|%)?\Z")
_PX = {"px": 1.0, "": 1.0, "pt": 4 / 3, "rem": 16.0}
_NAMED_PX = {
    "xx-small": 9.0,
    "x-small": 10.0,
    "small": 13.0,
    "medium": 16.0,
    "large": 18.0,
    "x-large": 24.0,
    "xx-large": 32.0,
}
_SIZES = {"h1": 2.0, "h2": 1.5, "h3": 1.17, "h5": 0.83, "h6": 0.67, "small": 0.83, "sub": 0.83, "sup": 0.83}
_BOLD = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "b", "strong", "th"})
_NO_TEXT = frozenset({"head", "style", "script", "title", "template", "svg", "object"})
_JOINER = "\u034f"
"""Printable, and nothing to see; preheaders are filled up with it."""
_ZERO = re.compile(r"0(?:px|pt|em|rem|%)?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What holds for the text of an element."""

    colour: Rgb | None = _BLACK
    """Red, green and blue from 0 to 1; ``None``: unknown."""
    background: Rgb | None = _WHITE
    px: float = 16.0
    bold: bool = False
    hidden: Element | None = None
    """The element around that is hidden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A run of text with how it looks."""

    text: Text
    look: _Look


def legibility(case: Case) -> Iterator[Finding]:
    """Yield what is said about contrast, size and hidden text."""
    sheet = case.sheet
    light = list(_words(case, Cascade.of(sheet, dark=False), _Look()))
    yield from _too_faint(case, light, "contrast")
    yield from _too_small(case, light)
    yield from _hidden(case, light, sheet)
    if any("prefers-color-scheme" in rule.condition for rule in sheet.rules):
        knows_dark = any(
            "dark" in meta.get("content")
            for meta in case.page.elements("meta")
            if meta.get("name") == "color-scheme"
        )
        start = _Look(colour=_WHITE, background=_DARK_CANVAS) if knows_dark else _Look()
        dark = list(_words(case, Cascade.of(sheet, dark=True), start))
        seen = {id(words.text) for words in _faint(light)}
        yield from _too_faint(case, [one for one in dark if id(one.text) not in seen], "contrast-dark")


def _words(case: Case, cascade: Cascade, start: _Look) -> Iterator[Words]:
    """Yield every run of text of the page that is more than blanks and fillers."""
    stack: list[tuple[Element | Text, _Look]] = [(case.page.root, start)]
    while stack:
        one, look = stack.pop()
        if isinstance(one, Text):
            if is_visible(one.value):
                gone = look.hidden or (one.parent if not look.px else None)
                yield Words(text=one, look=replace(look, hidden=gone))
        elif one.name not in _NO_TEXT:
            inner = _look_of(one, cascade.styles(one), look)
            stack += ((child, inner) for child in reversed(one.children))


def is_visible(text: str) -> bool:
    """Say whether there is anything to see: an expression, a letter, a sign."""
    return VARIABLE in mask(text)[0] or any(
        char.isprintable() and not char.isspace() and char != _JOINER for char in text
    )


def _look_of(element: Element, styles: Mapping[str, str], around: _Look) -> _Look:
    px = _px(styles.get("font-size"), around.px * _SIZES.get(element.name, 1.0), around.px)
    weight = styles.get("font-weight", "bold" if element.name in _BOLD else "")
    hidden = around.hidden or (element if _is_hidden(element, styles) else None)
    background = _background(element, styles, around.background)
    colour = around.colour
    named = styles.get("color") or (element.get("color") if element.name == "font" else "")
    if named:
        colour = _over(named, background, inherited=around.colour)
    elif element.name == "a" and element.get("href"):
        colour = _LINK
    return replace(
        around,
        colour=colour,
        background=background,
        px=px,
        bold=_is_bold(weight) if weight else around.bold,
        hidden=hidden,
    )


def _is_bold(weight: str) -> bool:
    return weight in {"bold", "bolder"} or (weight.isdecimal() and int(weight) >= BOLD)


def _is_hidden(element: Element, styles: Mapping[str, str]) -> bool:
    return (
        "hidden" in element.attributes
        or styles.get("display") == "none"
        or styles.get("visibility") == "hidden"
        or styles.get("mso-hide") == "all"
        or any(_ZERO.match(styles.get(name, "x")) for name in ("max-height", "opacity"))
    )


def _px(value: str | None, default: float, around: float) -> float:
    found = _LENGTH.match(value.lower()) if value else None
    if found is None:
        return _NAMED_PX.get(value or "", default)
    number, unit = float(found[1]), found[2] or ""
    if unit == "em":
        return number * around
    return number * around / 100 if unit == "%" else number * _PX[unit]


def _background(element: Element, styles: Mapping[str, str], around: Rgb | None) -> Rgb | None:
    if styles.get("background-image", "none") != "none" or "background" in element.attributes:
        return None
    value = styles.get("background-color") or element.get("bgcolor")
    return _over(value, around, inherited=around) if value else around


def _rgba(value: str) -> tuple[Rgb, float] | None:
    """Return a colour and its alpha; ``None`` when it is unknown."""
    parsed = color4.parse_color(value)
    if parsed is None or isinstance(parsed, str):
        return None
    try:
        red, green, blue = parsed.to("srgb").coordinates
    except NotImplementedError:  # a space tinycss2 does not convert
        return None
    return (float(red or 0), float(green or 0), float(blue or 0)), float(parsed.alpha)


def _over(
    value: str,
    below: Rgb | None,
    *,
    inherited: Rgb | None,
) -> Rgb | None:
    """Return a colour as it comes out over what is below it."""
    if value.lower() in {"inherit", "currentcolor", "unset"}:
        return inherited
    found = _rgba(value)
    if found is None:
        return None
    rgb, alpha = found
    if alpha >= 1:
        return rgb
    if below is None:
        return None
    mixed = [alpha * over + (1 - alpha) * under for over, under in zip(rgb, below, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def ratio(one: Rgb, other: Rgb) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(rgb: Rgb) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in rgb)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _wanted(look: _Look) -> float:
    large = look.px >= LARGE_PX or (look.bold and look.px >= LARGE_BOLD_PX)
    return MIN_RATIO_LARGE if large else MIN_RATIO


def _faint(words: list[Words]) -> Iterator[Words]:
    for one in words:
        look = one.look
        if look.hidden is not None or look.colour is None or look.background is None:
            continue
        if ratio(look.colour, look.background) < _wanted(look):
            yield one


def _too_faint(case: Case, words: list[Words], code: str) -> Iterator[Finding]:
    """Yield one finding for each pair of colours."""
    pairs: dict[tuple[str, str, float], list[Words]] = {}
    for one in _faint(words):
        if one.look.colour is not None and one.look.background is not None:
            key = _hex(one.look.colour), _hex(one.look.background), _wanted(one.look)
            pairs.setdefault(key, []).append(one)
    for (colour, background, wanted), all_of in pairs.items():
        look = all_of[0].look
        assert look.colour is not None  # noqa: S101 - for the type checker: _faint leaves out the rest
        assert look.background is not None  # noqa: S101 - as above
        found = ratio(look.colour, look.background)
        more = f" and {len(all_of) - 1} more" if len(all_of) > 1 else ""
        yield case.found(
            code,
            f"{shown(all_of[0].text.value)}{more}: {colour} on {background} is {found:.2f}:1, "
            f"less than {wanted:g}:1",
            at=all_of[0].text,
        )


def _too_small(case: Case, words: list[Words]) -> Iterator[Finding]:
    small = [one for one in words if one.look.hidden is None and one.look.px < MIN_PX]
    if small:
        more = f" and {len(small) - 1} more" if len(small) > 1 else ""
        yield case.found(
            "small-text",
            f"{shown(small[0].text.value)}{more}: {small[0].look.px:g} px, less than {MIN_PX:g} px",
            at=small[0].text,
        )


def _hidden(case: Case, words: list[Words], sheet: Sheet) -> Iterator[Finding]:
    """Yield hidden elements with text, but for the preheader and what a narrow screen shows."""
    shown_elsewhere = " ".join(
        rule.selectors
        for rule in sheet.rules
        if rule.condition and any(one.name in {"display", "max-height"} for one in rule.declarations)
    )
    begun = False
    told: set[int] = set()
    for one in words:
        element = one.look.hidden
        if element is None:
            begun = True
            continue
        classes = element.get("class").split()
        if begun and id(element) not in told and not any(f".{name}" in shown_elsewhere for name in classes):
            told.add(id(element))
            yield case.found("hidden-text", f"{shown(one.text.value)} is hidden", at=one.text)


def _hex(rgb: Rgb) -> str:
    return "#" + "".join(f"{round(max(0.0, min(1.0, part)) * 255):02x}" for part in rgb)


def shown(text: str, width: int = 40) -> str:
    """Return words of a text for a finding: quoted, on one line, cut off."""
    line = " ".join(text.split())
    return f'"{line}"' if len(line) <= width else f'"{line[: width - 1].rstrip()}…"'

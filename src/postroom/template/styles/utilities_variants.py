"""What stands before the colon of a utility class: states, screens, mail clients, arbitrary selectors.

A *variant* wraps the rule of a class: ``hover:`` adds to the selector, ``sm:`` puts it into a media
query, ``gmail:`` puts an ancestor before it, ``[&_p]:`` is a selector itself. Each has a place in the
cascade: rules with later variants come later.

Rules: pure, ``None`` for an unknown variant. Sources: Tailwind CSS 3.4 (order and selectors),
tailwindcss-email-variants 3.0 (mail clients).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from postroom.template.styles.utilities_values import arbitrary


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One wrapping of a rule."""

    order: int
    """Place in the cascade."""
    selector: str = "&"
    """``&`` is the selector so far."""
    at_rule: str = ""
    """``@media (max-width: 600px)``."""


_PSEUDO_ELEMENTS = {
    "first-letter": "&::first-letter",
    "first-line": "&::first-line",
    "marker": "&::marker",
    "selection": "&::selection",
    "file": "&::file-selector-button",
    "placeholder": "&::placeholder",
    "backdrop": "&::backdrop",
    "before": "&::before",
    "after": "&::after",
}
_STATES = {
    "first": "first-child",
    "last": "last-child",
    "only": "only-child",
    "odd": "nth-child(odd)",
    "even": "nth-child(even)",
    "first-of-type": "first-of-type",
    "last-of-type": "last-of-type",
    "only-of-type": "only-of-type",
    "visited": "visited",
    "target": "target",
    "open": "open",
    "default": "default",
    "checked": "checked",
    "indeterminate": "indeterminate",
    "placeholder-shown": "placeholder-shown",
    "autofill": "autofill",
    "optional": "optional",
    "required": "required",
    "valid": "valid",
    "invalid": "invalid",
    "in-range": "in-range",
    "out-of-range": "out-of-range",
    "read-only": "read-only",
    "empty": "empty",
    "focus-within": "focus-within",
    "hover": "hover",
    "focus": "focus",
    "focus-visible": "focus-visible",
    "active": "active",
    "enabled": "enabled",
    "disabled": "disabled",
}
_CLIENTS = {
    "ogsc": ("[data-ogsc] &", ""),
    "ogsb": ("[data-ogsb] &", ""),
    "gmail": ("u + .body &", ""),
    "gmail-android": ("div > u + .body &", ""),
    "apple-mail": (".Singleton &", ""),
    "ios": ("&", "@supports (-webkit-overflow-scrolling:touch) and (color:#ffff)"),
    "ios-15": ("&", "@supports (-webkit-overflow-scrolling:touch) and (aspect-ratio: 1 / 1)"),
    "ox": ('&[class^="ox-"]', ""),
}
_PREFERENCES = {
    "motion-safe": "@media (prefers-reduced-motion: no-preference)",
    "motion-reduce": "@media (prefers-reduced-motion: reduce)",
    "contrast-more": "@media (prefers-contrast: more)",
    "contrast-less": "@media (prefers-contrast: less)",
}
_ORIENTATIONS = {"portrait": "@media (orientation: portrait)", "landscape": "@media (orientation: landscape)"}
_DIRECTIONS = {
    "ltr": '&:where([dir="ltr"], [dir="ltr"] *)',
    "rtl": '&:where([dir="rtl"], [dir="rtl"] *)',
}
_LAST = {
    "dark": "@media (prefers-color-scheme: dark)",
    "forced-colors": "@media (forced-colors: active)",
    "print": "@media print",
}
_ELEMENT_ORDER, _STATE_ORDER, _GROUP_ORDER, _PEER_ORDER = 0, 16, 64, 112
_ATTRIBUTE_ORDER, _CLIENT_ORDER, _PREFERENCE_ORDER, _SCREEN_ORDER = 160, 164, 176, 184
_ORIENTATION_ORDER, _LAST_ORDER, _ARBITRARY_ORDER = 216, 222, 230
_BRACKETS = re.compile(r"(?P<name>[a-z-]+)-\[(?P<value>.+)\]", re.DOTALL)


def _fixed() -> dict[str, Variant]:
    """Return every variant that is a word."""
    found = {"*": Variant(order=_ELEMENT_ORDER, selector="& > *")}
    for place, (name, selector) in enumerate(_PSEUDO_ELEMENTS.items()):
        found[name] = Variant(order=_ELEMENT_ORDER + place, selector=selector)
    for place, (name, state) in enumerate(_STATES.items()):
        pseudo = "[open]" if state == "open" else f":{state}"
        found[name] = Variant(order=_STATE_ORDER + place, selector=f"&{pseudo}")
        found[f"group-{name}"] = Variant(order=_GROUP_ORDER + place, selector=f":merge(.group){pseudo} &")
        found[f"peer-{name}"] = Variant(order=_PEER_ORDER + place, selector=f":merge(.peer){pseudo} ~ &")
    for place, (name, (selector, at_rule)) in enumerate(_CLIENTS.items()):
        found[name] = Variant(order=_CLIENT_ORDER + place, selector=selector, at_rule=at_rule)
    for start, rules in (
        (_PREFERENCE_ORDER, _PREFERENCES),
        (_ORIENTATION_ORDER, _ORIENTATIONS),
        (_LAST_ORDER + 2, _LAST),
    ):
        for place, (name, at_rule) in enumerate(rules.items()):
            found[name] = Variant(order=start + place, at_rule=at_rule)
    for place, (name, selector) in enumerate(_DIRECTIONS.items()):
        found[name] = Variant(order=_LAST_ORDER + place, selector=selector)
    return {
        name: Variant(
            order=v.order, selector=re.sub(r":merge\((.*?)\)", r"\1", v.selector), at_rule=v.at_rule
        )
        for name, v in found.items()
    }


_FIXED = _fixed()


def variant_named(name: str, screens: Mapping[str, str]) -> Variant | None:
    """Return the variant of a name as it stands in a class; ``None`` when there is none."""
    if name in screens:
        place = list(screens).index(name)
        return Variant(order=_SCREEN_ORDER + 4 + min(place, 20), at_rule=f"@media {screens[name]}")
    if found := _FIXED.get(name):
        return found
    if name.startswith("[") and name.endswith("]"):
        return _arbitrary_variant(arbitrary(name[1:-1]))
    if match := _BRACKETS.fullmatch(name):
        return _with_value(match["name"], arbitrary(match["value"]))
    return None


def variant_names(screens: Mapping[str, str]) -> list[str]:
    """Return every variant that is a word, for proposals."""
    return [*screens, *_FIXED]


def _arbitrary_variant(text: str) -> Variant | None:
    if text.startswith("@"):
        return Variant(order=_ARBITRARY_ORDER, at_rule=re.sub(r"^@(media|supports)\s*\(", r"@\1 (", text))
    if "&" not in text or "{" in text or "}" in text:
        return None
    return Variant(order=_ARBITRARY_ORDER, selector=text)


def _with_value(name: str, value: str) -> Variant | None:
    """Return the variant of a name with a value in brackets."""
    if "{" in value or "}" in value:
        return None
    match name:
        case "min" | "max":
            order = _SCREEN_ORDER if name == "max" else _SCREEN_ORDER + 26
            return Variant(order=order, at_rule=f"@media ({name}-width: {value})")
        case "supports":
            condition = value if value.startswith("not ") or "(" in value else f"({_declared(value)})"
            return Variant(order=_PREFERENCE_ORDER - 1, at_rule=f"@supports {condition}")
        case "group":
            return Variant(order=_PEER_ORDER - 1, selector=_of_other(".group", value, " "))
        case "peer":
            return Variant(order=_ATTRIBUTE_ORDER - 1, selector=_of_other(".peer", value, " ~ "))
        case "has" | "aria" | "data":
            selector = f"&:has({value})" if name == "has" else f"&[{name}-{_quoted(value)}]"
            return Variant(order=_ATTRIBUTE_ORDER + ("has", "aria", "data").index(name), selector=selector)
        case _:
            return None


def _declared(value: str) -> str:
    return value if ":" in value else f"{value}: var(--tw)"


def _quoted(value: str) -> str:
    """Write ``expanded=true`` as attribute selectors want it."""
    name, equals, text = value.partition("=")
    return value if not equals or text[:1] in "\"'" else f'{name}="{text}"'


def _of_other(name: str, value: str, combinator: str) -> str:
    other = value.replace("&", name) if "&" in value else f"{name}{value}"
    return f"{other}{combinator}&"

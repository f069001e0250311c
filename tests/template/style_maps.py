"""Pages as maps that can be compared: the style of each element, and the rules of the head by selector."""

import re

import tinycss2
from selectolax.lexbor import LexborHTMLParser

Style = dict[str, str]
_SIDES = ("top", "right", "bottom", "left")
_CORNERS = ("top-left", "top-right", "bottom-right", "bottom-left")


def element_styles(page: str) -> list[tuple[str, str, Style]]:
    """Return name, classes and style of every element of the body, in order."""
    body = LexborHTMLParser(page).body
    assert body is not None
    return [
        (
            node.tag or "",
            " ".join(sorted((node.attributes.get("class") or "").split())),
            style_map(node.attributes.get("style") or ""),
        )
        for node in body.traverse()
    ]


def attributes(page: str) -> list[dict[str, str]]:
    """Return the other attributes of every element of the body, in order."""
    body = LexborHTMLParser(page).body
    assert body is not None
    return [
        {name: value or "" for name, value in node.attributes.items() if name not in ("style", "class")}
        for node in body.traverse()
    ]


def head_rules(page: str) -> dict[tuple[str, str], Style]:
    """Return what the rules of the head declare, by at-rule and selector."""
    found: dict[tuple[str, str], Style] = {}
    for node in LexborHTMLParser(page).css("style"):
        for at_rule, selector, style in css_rules(node.text()):
            found.setdefault((at_rule, selector), {}).update(style)
    return found


def css_rules(css: str) -> list[tuple[str, str, Style]]:
    """Return at-rule, selector and style of every rule."""
    found: list[tuple[str, str, Style]] = []
    for node in tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True):
        if node.type == "at-rule" and node.lower_at_keyword in ("media", "supports"):
            head = _squeezed(f"@{node.lower_at_keyword} {tinycss2.serialize(node.prelude)}")
            inner = tinycss2.serialize(node.content)
            found.extend((head, selector, style) for _, selector, style in css_rules(inner))
        elif node.type == "qualified-rule":
            style = style_map(tinycss2.serialize(node.content))
            found.extend(
                ("", _squeezed(selector), style) for selector in tinycss2.serialize(node.prelude).split(",")
            )
    return found


def style_map(css: str) -> Style:
    """Return what declarations end with, shorthands of boxes and borders taken apart."""
    found: Style = {}
    for node in tinycss2.parse_blocks_contents(css, skip_comments=True, skip_whitespace=True):
        if node.type == "declaration":
            value = _value(tinycss2.serialize(node.value))
            for name, part in _longhands(node.lower_name, value):
                found[name] = part + (" !" if node.important else "")
    return found


def _longhands(name: str, value: str) -> list[tuple[str, str]]:
    words = re.findall(r"(?:[^\s()]|\([^()]*\))+", value)
    if name in ("margin", "padding"):
        return [(f"{name}-{side}", part) for side, part in zip(_SIDES, _four(words), strict=True)]
    if name == "border-radius":
        return [(f"border-{at}-radius", part) for at, part in zip(_CORNERS, _four(words), strict=True)]
    if name in ("border-width", "border-style", "border-color"):
        part_name = name.removeprefix("border-")
        return [(f"border-{side}-{part_name}", part) for side, part in zip(_SIDES, _four(words), strict=True)]
    if name == "border" or re.fullmatch(r"border-(?:top|right|bottom|left)", name):
        sides = _SIDES if name == "border" else (name.removeprefix("border-"),)
        return [(f"border-{side}-{_border_part(word)}", word) for side in sides for word in words]
    return [(name, value)]


def _border_part(word: str) -> str:
    if word in ("solid", "dashed", "dotted", "double", "none", "hidden"):
        return "style"
    return "width" if re.match(r"[\d.]", word) else "color"


def _four(words: list[str]) -> list[str]:
    top = words[0]
    right = words[1] if len(words) > 1 else top
    bottom = words[2] if len(words) > 2 else top
    return [top, right, bottom, words[3] if len(words) > 3 else right]


def _value(value: str) -> str:
    text = re.sub(r"\s*,\s*", ", ", _squeezed(value)).replace('"', "'")
    return re.sub(r"(?<![\w.#])0(?:px|em|rem|deg)\b", "0", text)


def _squeezed(text: str) -> str:
    return re.sub(r"\s*([:>+~])\s*", r"\1", " ".join(text.split()))

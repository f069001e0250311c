"""Which declarations an element ends with: by importance, specificity and order; then written short.

Rules: pure. A later declaration replaces an earlier one of the same property, and a shorthand its
longhands; the same property twice in one rule stays twice (the first is for clients that do not read the
second). Variables are replaced by their values, calculations of one unit by their result. ``!important``
goes: in a style attribute it would win over the rules in the head that must win.

Sources: CSS Cascading and Inheritance Level 4 section 6, CSS Custom Properties Level 1, CSS Values Level
4 section 10 (``calc()``).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from postroom.template.styles.rules import Declaration

INLINE_SPECIFICITY = (1_000_000, 0, 0)
"""Of a style attribute."""
MAX_VALUE = 16 * 1024
"""Characters of a value while variables are replaced (security limit: they may name one another tenfold)."""
_SIDES = ("top", "right", "bottom", "left")
_BOXES = {name: tuple(f"{name}-{side}" for side in _SIDES) for name in ("margin", "padding")}
_SIDE_OF = {longhand: (name, place) for name, sides in _BOXES.items() for place, longhand in enumerate(sides)}
_LONGHANDS = {
    "background": ("background-",),
    "border": ("border-top", "border-right", "border-bottom", "border-left", "border-width", "border-style",
               "border-color", "border-image"),
    "border-radius": ("border-top-left-radius", "border-top-right-radius", "border-bottom-right-radius",
                      "border-bottom-left-radius"),
    "border-width": tuple(f"border-{side}-width" for side in _SIDES),
    "border-style": tuple(f"border-{side}-style" for side in _SIDES),
    "border-color": tuple(f"border-{side}-color" for side in _SIDES),
    **{f"border-{side}": (f"border-{side}-",) for side in _SIDES},
    "font": ("font-", "line-height"),
    "list-style": ("list-style-",),
    "text-decoration": ("text-decoration-",),
    "overflow": ("overflow-x", "overflow-y"),
    "outline": ("outline-width", "outline-style", "outline-color"),
    "flex": ("flex-grow", "flex-shrink", "flex-basis"),
    "gap": ("row-gap", "column-gap"),
    "inset": _SIDES,
}  # fmt: skip
_VARIABLE = re.compile(r"var\(\s*(--[\w-]+)\s*(?:,\s*([^()]*(?:\([^()]*\)[^()]*)*))?\)")
_ZERO = re.compile(r"(?<![\w.#-])0(?:px|r?em|vh|vw|vmin|vmax|in|cm|mm|pt|pc|ex|ch)\b", re.IGNORECASE)
_CALC = re.compile(r"calc\(([^()]*)\)")
_LOOSE = re.compile(r" ([),])")
_GROUP = re.compile(r"(?<=[( ])\(")
_PRODUCT = re.compile(r"(?<![\w.)])[\d.]+[a-z%]* [*/] [\d.]+[a-z%]*(?! ?[*/])", re.IGNORECASE)
_TERM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([a-z%]*)$", re.IGNORECASE)
_TOKEN = re.compile(
    r"\s*(?:(?P<term>(?:\d+\.?\d*|\.\d+)[a-z%]*)|(?P<sign>[-+*/])|(?P<other>\S))", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted:
    """A declaration and what it weighs."""

    declaration: Declaration
    specificity: tuple[int, int, int]
    rule: int
    """Number of its rule, in order."""

    @property
    def weight(self) -> tuple[bool, tuple[int, int, int], int]:
        """What decides: importance first."""
        return self.declaration.is_important, self.specificity, self.rule


def cascaded(weighted: Iterable[Weighted], variables: Mapping[str, str]) -> list[Declaration]:
    """Return what remains of all declarations of one element, in an order that keeps their meaning."""
    last_rule: dict[str, int] = {}
    found: dict[str, list[str]] = {}
    for each in sorted(weighted, key=lambda one: one.weight):
        name, value = each.declaration.name, each.declaration.value
        if name in found and last_rule[name] == each.rule:
            if value not in found[name]:
                found[name].append(value)
            continue
        found.pop(name, None)
        for longhand in _LONGHANDS.get(name, ()) if name not in _BOXES else _BOXES[name]:
            for other in [
                key for key in found if key == longhand or (longhand[-1] == "-" and key.startswith(longhand))
            ]:
                del found[other]
        found[name] = [value]
        last_rule[name] = each.rule
    own = {**variables, **{name: values[-1] for name, values in found.items() if name.startswith("--")}}
    return [
        Declaration(name=name, value=filled(value, own))
        for name, values in found.items()
        if not name.startswith("--")
        for value in values
    ]


def filled(value: str, variables: Mapping[str, str]) -> str:
    """Replace variables that have a value, then work out calculations; units of zeros go."""
    if "var(" in value:
        for _ in range(8):
            text = _VARIABLE.sub(lambda match: _variable(match, variables), value)
            if text == value or len(text) > MAX_VALUE:
                break
            value = text
        value = _LOOSE.sub(r"\1", " ".join(value.split()))
    if "calc(" in value:
        value = _calculated(value)
    return _ZERO.sub("0", value) if "0" in value and "(" not in value else value


def shortened(declarations: Sequence[Declaration]) -> list[Declaration]:
    """Write margins, paddings and borders with as few declarations as can be."""
    boxes: dict[str, list[str | None]] = {}
    names = [each.name for each in declarations]
    for name, sides in _BOXES.items():
        relevant = [each for each in declarations if each.name == name or each.name in sides]
        if len(relevant) < 2 or len({each.name for each in relevant}) < len(relevant):
            continue
        box: list[str | None] = [None] * 4
        for each in relevant:
            values = _words(each.value)
            if each.name == name:
                box = list(_four(values)) if len(values) in (1, 2, 3, 4) else [None] * 4
            else:
                box[_SIDE_OF[each.name][1]] = each.value if len(values) == 1 else None
        if all(box) and not any("!" in (value or "") for value in box):
            boxes[name] = box
    out: list[Declaration] = []
    done: set[str] = set()
    for each in declarations:
        box_name = _SIDE_OF.get(each.name, (each.name, 0))[0]
        if box_name not in boxes:
            out.append(each)
        elif box_name not in done:
            done.add(box_name)
            sides_ = [value or "" for value in boxes[box_name]]
            out.append(Declaration(name=box_name, value=" ".join(_fewest(sides_))))
    return _borders(out) if "border-width" in names else out


def _borders(declarations: list[Declaration]) -> list[Declaration]:
    """Write width, style and colour of a border as one, where all three are there and nothing else is."""
    parts = ("border-width", "border-style", "border-color")
    found = {each.name: each.value for each in declarations if each.name.startswith("border-")}
    others = [
        name
        for name in found
        if name not in parts and re.fullmatch(r"border-(?:top|right|bottom|left).*", name)
    ]
    if others or any(len(_words(found.get(part, ""))) != 1 for part in parts):
        return declarations
    if any(each.name == "border" for each in declarations) or len(found) != len(
        [each for each in declarations if each.name.startswith("border-")]
    ):
        return declarations
    whole = Declaration(name="border", value=" ".join(found[part] for part in parts))
    place = min(index for index, each in enumerate(declarations) if each.name in parts)
    kept = [each for each in declarations if each.name not in parts]
    return [*kept[:place], whole, *kept[place:]]


def _four(values: Sequence[str]) -> tuple[str, str, str, str]:
    top = values[0]
    right = values[1] if len(values) > 1 else top
    bottom = values[2] if len(values) > 2 else top
    return top, right, bottom, values[3] if len(values) > 3 else right


def _fewest(sides: Sequence[str]) -> Sequence[str]:
    top, right, bottom, left = sides
    if left != right:
        return sides
    if bottom != top:
        return sides[:3]
    return sides[:2] if right != top else sides[:1]


def _words(value: str) -> list[str]:
    """Split at blanks outside brackets."""
    return re.findall(r"(?:[^\s()]|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))+", value)


def _variable(match: re.Match[str], variables: Mapping[str, str]) -> str:
    found = variables.get(match[1])
    if found is not None:
        return found
    return match[2].strip() if match[2] is not None else match[0]


def _calculated(value: str) -> str:
    """Work out the calculations that have one unit, the innermost first; of others the products."""
    value = _GROUP.sub("calc(", value)
    for _ in range(8):
        text = _CALC.sub(lambda match: _result(match[1]) or f"\0({_multiplied(match[1])})", value)
        if text == value:
            break
        value = text
    return value.replace("\0", "calc")


def _multiplied(expression: str) -> str:
    return _PRODUCT.sub(lambda match: _result(match[0]) or match[0], expression)


def _result(expression: str) -> str | None:
    """Return the result of a calculation; ``None`` when it cannot be worked out before the mail is shown."""
    tokens = [(match["term"], match["sign"], match["other"]) for match in _TOKEN.finditer(expression)]
    if (
        not tokens
        or any(other for _, _, other in tokens)
        or any(sign in ("(", ")") for _, sign, _ in tokens if sign)
    ):
        return None
    total = _sum([term or sign for term, sign, _ in tokens])
    if total is None:
        return None
    number, unit = total
    text = f"{float(round(number, 2)):f}".rstrip("0").rstrip(".")
    return "0" if text in ("0", "-0") else text + unit


def _sum(parts: list[str]) -> tuple[Fraction, str] | None:
    terms: list[tuple[Fraction, str]] = []
    sign, operator = 1, ""
    for part in parts:
        if part in "+-":
            sign, operator = (-1 if part == "-" else 1), "+"
        elif part in "*/":
            operator = part
        else:
            match = _TERM.match(part)
            if match is None:
                return None
            number, unit = Fraction(match[1]), match[2]
            if operator in ("*", "/") and terms:
                before, before_unit = terms.pop()
                if (unit and before_unit) or (operator == "/" and (unit or not number)):
                    return None
                terms.append((before * number if operator == "*" else before / number, before_unit or unit))
            else:
                terms.append((sign * number, unit))
            sign, operator = 1, ""
    units = {unit for number, unit in terms if unit}
    if len(units) > 1 or (units and any(not unit and number for number, unit in terms)) or not terms:
        return None
    return sum((number for number, _ in terms), Fraction(0)), next(iter(units), "")

"""Utility classes: from the names that occur in a page to rules of CSS.

``sm:hover:-mt-4`` is a stack of variants, perhaps ``!``, and a utility: a fixed name (``hidden``), a
family with a step (``p-6``, ``w-1/2``, ``text-base/6``, ``bg-slate-50/90``) or with a value in brackets
(``w-[552px]``), or a property in brackets (``[border:1px_solid_theme(colors.slate.200)]``). Rules come
out in the order of the cascade, which is that of the original: by variants, then arbitrary properties
last, then families, then names.

Rules: pure; an unknown name gives no rule. Every declaration is important, so that what stays in the head
wins over what was inlined. Not here: ``animate-*`` (mail clients show no keyframes) and
``theme.plugins``.

Sources: Tailwind CSS 3.4 (syntax and order), tailwindcss-preset-email 1.4.0 (values).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache

from postroom.template.styles.rules import Declaration, escaped
from postroom.template.styles.utilities_data import DEFAULT_STEP, Catalogue, Family, Meaning
from postroom.template.styles.utilities_values import (
    arbitrary,
    is_kind,
    negated,
    resolved,
    split_hint,
    vanished,
    with_opacity,
)
from postroom.template.styles.utilities_variants import Variant, variant_named, variant_names

_PROPERTY = re.compile(r"\[(--[\w-]+|-?[a-z][a-z-]*):(.+)\]", re.DOTALL)
_LOOKS_LIKE = re.compile(
    r"-?!?[a-z]+(?:-[a-z]+)*-(?:\d[\d./]*|px|full|auto|none|\[.+\]|[a-z]+-\d{2,3}(?:/\S+)?)"
)
_VARIABLE = re.compile(r"var\((--tw-[\w-]+)(?:,\s*([^()]*))?\)")

ARBITRARY_RANK = -1
"""Of a property in brackets, which no family declares."""
OWN_RANK = -2
"""Of a class that an author's sheet defines."""
SortKey = tuple[int, bool, str, int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Utility:
    """The rule of one class."""

    name: str
    """As it stands in the page."""
    sort: SortKey
    own_selector: str
    """Of the class alone."""
    selector: str
    """With what variants add."""
    declarations: tuple[Declaration, ...]
    at_rules: tuple[str, ...] = ()
    """Around the rule, the outermost first."""


def utilities(names: Iterable[str], found_in: Catalogue) -> list[Utility]:
    """Return the rules of those names that are utility classes, in the order of the cascade."""
    found = [utility for name in set(names) for utility in utility_rules(name, found_in)]
    return sorted(found, key=lambda utility: utility.sort)


@lru_cache(maxsize=4096)
def utility_rules(name: str, found_in: Catalogue) -> tuple[Utility, ...]:
    """Return the rules of one class; none when it is no utility."""
    *variant_parts, utility = _split_variants(name)
    variants: list[Variant] = []
    for part in variant_parts:
        variant = variant_named(part, found_in.screens)
        if variant is None:
            return ()
        variants.append(variant)
    meanings = _meanings(utility.removeprefix("!"), found_in)
    return tuple(_rule(name, meaning, variants, found_in) for meaning in meanings)


def own_rule(name: str, declared: tuple[tuple[str, str], ...], found_in: Catalogue) -> Utility | None:
    """Return the rule of an author's class with variants before it, as ``sm:card``; ``None`` without any."""
    *parts, _ = _split_variants(name)
    variants = [variant for part in parts if (variant := variant_named(part, found_in.screens))]
    if not parts or len(variants) < len(parts):
        return None
    return _rule(name, Meaning(rank=OWN_RANK, declared=declared), variants, found_in)


def utility_declarations(name: str, found_in: Catalogue) -> list[Utility]:
    """Return the rules of a class as ``@apply`` takes them: important only with ``!``."""
    is_important = _split_variants(name)[-1].startswith("!")
    return [
        replace(
            utility,
            declarations=tuple(replace(each, is_important=is_important) for each in utility.declarations),
        )
        for utility in utility_rules(name, found_in)
    ]


def nearest_utility(name: str, found_in: Catalogue) -> str | None:
    """Return the known class most like this one.

    Empty when there is none; ``None`` when the name does not look as if it were meant to be a utility.
    """
    *variants, utility = _split_variants(name)
    if not variants and not _LOOKS_LIKE.fullmatch(utility):
        return None
    known_variants = variant_names(found_in.screens)
    mended = [
        part
        if variant_named(part, found_in.screens)
        else next(iter(get_close_matches(part, known_variants, 1, 0.5)), part)
        for part in variants
    ]
    nearest = utility if _meanings(utility, found_in) else _nearest_plain(utility, found_in)
    candidate = ":".join([*mended, nearest])
    return candidate if candidate != name and utility_rules(candidate, found_in) else ""


def _nearest_plain(utility: str, found_in: Catalogue) -> str:
    first = utility.lstrip("-").partition("-")[0]
    known = [name for name in found_in.fixed if name.startswith(f"{first}-")]
    for prefix, families in found_in.families.items():
        if utility.startswith(f"{prefix}-"):
            known.extend(f"{prefix}-{step}" for family in families for step in family.steps if step)
    if not known:
        known = [*found_in.fixed, *_all_names(found_in)]
    return next(iter(get_close_matches(utility, known, 1, 0.6)), utility)


def _all_names(found_in: Catalogue) -> Iterator[str]:
    for prefix, families in found_in.families.items():
        for family in families:
            if not family.is_color:
                yield from (f"{prefix}-{step}" for step in family.steps)


@lru_cache(maxsize=4096)
def _split_variants(name: str) -> tuple[str, ...]:
    """Split at colons outside brackets."""
    parts: list[str] = []
    depth, start = 0, 0
    for index, sign in enumerate(name):
        if sign in "[(":
            depth += 1
        elif sign in "])":
            depth -= 1
        elif sign == ":" and depth == 0:
            parts.append(name[start:index])
            start = index + 1
    return (*parts, name[start:])


def _meanings(utility: str, found_in: Catalogue) -> list[Meaning]:
    """Return everything a name without variants declares; mostly one thing."""
    if match := _PROPERTY.fullmatch(utility):
        value = _in_brackets(f"[{match[2]}]", found_in)
        return [Meaning(rank=ARBITRARY_RANK, declared=((match[1], value),))] if value is not None else []
    if fixed := found_in.fixed.get(utility):
        return [fixed]
    is_negative = utility.startswith("-")
    for prefix, step in _splits(utility.removeprefix("-")):
        sure: list[Meaning] = []
        preferred: list[Meaning] = []
        possible: list[Meaning] = []
        for family in found_in.families.get(prefix, ()):
            if is_negative and not family.is_negatable:
                continue
            meaning, is_sure = _of_family(family, step, found_in, is_negative=is_negative)
            if meaning is not None:
                (sure if is_sure else possible).append(meaning)
                if is_sure and family.is_preferred and step not in family.steps:
                    preferred.append(meaning)
        if sure:
            return preferred or sure
        if possible:
            return possible[:1]
    return []


def _splits(utility: str) -> Iterator[tuple[str, str]]:
    """Yield every prefix with the rest after it, the longest prefix first."""
    end = utility.find("[")
    if end < 0:
        yield utility, DEFAULT_STEP
        end = len(utility)
        if "/" in utility:
            yield utility[: utility.index("/")], DEFAULT_STEP + utility[utility.index("/") :]
    while (end := utility.rfind("-", 1, end)) > 0:
        yield utility[:end], utility[end + 1 :]


def _of_family(
    family: Family, step: str, found_in: Catalogue, *, is_negative: bool
) -> tuple[Meaning | None, bool]:
    """Return what a family declares for a step, and whether it asked for this very kind of value."""
    value, modifier, is_sure = family.steps.get(step), "", True
    if value is None:
        base, modifier = _split_modifier(step)
        value = family.steps.get(base)
        if value is None:
            value, is_sure = _bracketed(family, base, found_in)
    if value is not None and is_negative:
        value = negated(value)
    if value is None or not modifier:
        return (_with_value(family.meaning, value, ""), is_sure) if value is not None else (None, False)
    if family.modified is not None:
        second = family.modifiers.get(modifier) or _in_brackets(modifier, found_in)
        return (_with_value(family.modified, value, second), is_sure) if second is not None else (None, False)
    opacity = found_in.scales["opacity"].get(modifier) or _in_brackets(modifier, found_in)
    translucent = with_opacity(value, opacity) if family.is_color and opacity is not None else None
    return (
        (_with_value(family.meaning, translucent, ""), is_sure) if translucent is not None else (None, False)
    )


def _with_value(meaning: Meaning, value: str, second: str) -> Meaning:
    """Put a value into the place of ``$``."""

    def filled(text: str) -> str:
        if "$0" in text:
            text = text.replace("$0", vanished(value))
        return text.replace("$1", second).replace("$", value) if "$" in text else text

    return replace(meaning, declared=tuple((name, filled(text)) for name, text in meaning.declared))


def _split_modifier(step: str) -> tuple[str, str]:
    """Split ``slate-50/90`` at the slash outside brackets."""
    depth = 0
    for index in range(len(step) - 1, -1, -1):
        sign = step[index]
        depth += (sign in ")]") - (sign in "([")
        if sign == "/" and depth == 0:
            return step[:index], step[index + 1 :]
    return step, ""


def _in_brackets(text: str, found_in: Catalogue) -> str | None:
    if not (text.startswith("[") and text.endswith("]")) or len(text) < 3:
        return None
    value, missing = resolved(arbitrary(text[1:-1]), found_in.scales, found_in.screens)
    return value if not missing and _is_balanced(value) else None


def _bracketed(family: Family, step: str, found_in: Catalogue) -> tuple[str | None, bool]:
    """Return an arbitrary value this family takes, and whether it asked for this very kind."""
    value = _in_brackets(step, found_in)
    if value is None:
        return None, False
    kinds = family.types
    hint, rest = split_hint(value)
    if (
        hint
        and re.fullmatch(r"[a-z-]+", hint)
        and (hint in kinds or (not kinds and hint not in {"http", "https"}))
    ):
        return rest.strip() or None, True
    if hint and hint in _HINTS:
        return None, False
    if not kinds:
        return value, True
    if any(is_kind(kind, value) for kind in kinds):
        return value, True
    return (value, False) if "any" in kinds else (None, False)


_HINTS = frozenset(
    {
        *("color", "length", "percentage", "number", "url", "image", "position", "size", "family-name"),
        *("generic-name", "line-width", "absolute-size", "relative-size", "shadow", "lookup", "any"),
    }
)


def _is_balanced(value: str) -> bool:
    """Whether a value is whole: it cannot end the declaration or the rule it stands in."""
    stack: list[str] = []
    quote = ""
    for sign in value:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "([":
            stack.append(")" if sign == "(" else "]")
        elif sign in ")]":
            if not stack or stack.pop() != sign:
                return False
        elif sign in "{}" or (sign == ";" and not stack):
            return False
    return not stack and not quote and bool(value.strip())


def _rule(name: str, meaning: Meaning, variants: list[Variant], found_in: Catalogue) -> Utility:
    """Wrap what a utility declares into its selector, its variants and its at-rules."""
    own_selector = f".{escaped(name)}"
    selector = meaning.selector.replace("&", own_selector)
    declared = dict.fromkeys(meaning.declared)
    at_rules: list[str] = []
    order = 0
    for variant in reversed(variants):
        order |= 1 << variant.order
        selector = _wrapped(selector, variant.selector)
        if variant.at_rule:
            at_rules.insert(0, variant.at_rule)
        if variant.selector in ("&::before", "&::after") and all(key != "content" for key, _ in declared):
            declared = {("content", '""'): None, **declared}
    is_arbitrary = meaning.rank == ARBITRARY_RANK
    is_important = meaning.is_important or _split_variants(name)[-1].startswith("!")
    pairs = list(declared)
    if variants and any(key.startswith("--tw-") for key, _ in pairs):
        own = {**found_in.variables, **{key: value for key, value in pairs if key.startswith("--tw-")}}
        pairs = [(key, _filled(value, own)) for key, value in pairs if not key.startswith("--tw-")]
    return Utility(
        name=name,
        sort=(order, is_arbitrary, pairs[0][0] if is_arbitrary and pairs else "", meaning.rank, name),
        own_selector=own_selector,
        selector=selector,
        declarations=tuple(
            Declaration(name=key, value=value, is_important=is_important) for key, value in pairs
        ),
        at_rules=tuple(at_rules),
    )


def _wrapped(selector: str, pattern: str) -> str:
    """Put a selector into a variant; what a pseudo-element ends goes to the end."""
    base, mark, element = selector.partition("::")
    return pattern.replace("&", base) + mark + element if mark else pattern.replace("&", selector)


def _filled(value: str, variables: Mapping[str, str]) -> str:
    """Put the values of variables into a value; those of variables in turn, four deep."""
    for _ in range(4):
        value = _VARIABLE.sub(lambda match: variables.get(match[1], match[2] or ""), value)
    return " ".join(value.split())

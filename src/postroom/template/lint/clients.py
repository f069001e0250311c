"""Which mail programs do not support what a page uses, by the data of "Can I email".

Each feature is told once, with the programs that lack it. What carries the layout is a warning, what only
adorns is a note: mail is written so that it works without. "Supported in part" is not told.

Sources: ``data/client_support.json``, see ``client_support.LICENSE.txt`` and
``tools/derive_client_support.py``.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from postroom.model.template import Finding, Severity
from postroom.template.lint.case import Case
from postroom.template.lint.css import Declaration, declarations_of
from postroom.template.lint.page import Element

USUAL = ("apple-mail", "gmail", "outlook", "samsung-email", "thunderbird", "yahoo")
"""The families that are asked about unless others are chosen: together nearly all opened mail in the West."""
ALL = "all"
_LAYOUT = frozenset(
    [
        "css-display-flex",
        "css-display-grid",
        "css-position",
        "css-float",
        "css-grid-template",
        "css-flex-direction",
        "css-flex-wrap",
        "css-columns",
        "css-column-count",
        "css-variables",
        "css-function-clamp",
        "css-unit-calc",
        "css-transform",
        "html-svg",
        "html-picture",
        "css-modern-color",
        "css-function-light-dark",
        "css-at-supports",
        "css-gap",
        "css-align-items",
        "css-justify-content",
    ]
)
"""Without these a mail is not less pretty, but wrong."""
_FUNCTION = re.compile(r"([a-z-]+)\(")
_UNIT = re.compile(r"(?<![\w#.-])[0-9]*\.?[0-9]+([a-z]+|%)")
_SIMPLE = re.compile(r"\"[^\"]*\"|'[^']*'|url\([^)]*\)")
_PSEUDO = re.compile(r"::?([a-z-]+)")
_MEDIA = re.compile(r"\(\s*([a-z-]+)")
_EXTENSION = re.compile(r"\.([a-z0-9]{2,5})(?:[?#]|\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """The data, ready to be asked."""

    clients: Mapping[str, str]
    """``family.platform`` to the name to show."""
    titles: Mapping[str, str]
    """Of each feature."""
    letters: Mapping[str, str]
    """Of each feature: one for each client, in their order; ``n`` is not supported."""
    by_sign: Mapping[str, str]
    """``kind:name`` to the feature."""
    updated: str
    package: str


@cache
def support() -> Support:
    """Return the data, read once."""
    text = (files("postroom.template.lint") / "data" / "client_support.json").read_text(encoding="utf-8")
    data = json.loads(text)
    features = data["features"].items()
    return Support(
        clients=data["clients"],
        titles={slug: one["title"] for slug, one in features},
        letters={slug: one["support"] for slug, one in features},
        by_sign={sign: slug for slug, one in features for sign in one["signs"]},
        updated=data["updated"],
        package=data["package"],
    )


def chosen(names: Iterable[str]) -> frozenset[str]:
    """Return the clients that families, ``family.platform`` or ``all`` mean.

    Raises ValueError with the names there are.
    """
    known = support().clients
    found: set[str] = set()
    for name in names:
        fitting = [one for one in known if name in (ALL, one, one.partition(".")[0])]
        if not fitting:
            families = sorted({one.partition(".")[0] for one in known})
            msg = f"no mail program {name!r}; known are {', '.join(families)}, and {ALL}"
            raise ValueError(msg)
        found.update(fitting)
    return frozenset(found)


def client_support(case: Case, clients: Collection[str]) -> Iterator[Finding]:
    """Yield one finding for each feature that some of the clients lack."""
    data = support()
    first: dict[str, Element | int] = {}
    for sign, at in _signs(case):
        slug = data.by_sign.get(sign)
        if slug is not None:
            first.setdefault(slug, at)
    for slug, at in first.items():
        lacking = [
            client
            for client, letter in zip(data.clients, data.letters[slug], strict=True)
            if letter == "n" and client in clients
        ]
        if not lacking:
            continue
        one = case.found(_code(slug), f"{data.titles[slug]}: not in {_named(lacking)}", at=at)
        if one.line or one.severity is not Severity.NOTE:
            yield one  # the others come with layouts that are known to do without


def _code(slug: str) -> str:
    if slug in _LAYOUT:
        return "client-layout"
    return {"html": "client-html", "image": "client-image"}.get(slug.partition("-")[0], "client-css")


def _named(lacking: Sequence[str]) -> str:
    """Return names for people: the family alone when all of it lacks the feature."""
    names = support().clients
    told: dict[str, None] = {}
    for client in lacking:
        family = client.partition(".")[0] + "."
        whole = all(one in lacking for one in names if one.startswith(family))
        told[names[client].partition(" (")[0] if whole else names[client]] = None
    return ", ".join(told)


def _signs(case: Case) -> Iterator[tuple[str, Element | int]]:
    """Yield by what the page uses a feature, and where."""
    for one in case.page.elements():
        yield from ((sign, one) for sign in _element_signs(one))
    sheet = case.sheet
    for name, prelude, at in sheet.at_rules:
        yield f"at:{name}", at
        for feature in _MEDIA.findall(prelude):
            yield f"media:{feature}", at
    for rule in sheet.rules:
        yield from ((sign, rule.at) for sign in _selector_signs(rule.selectors))
        for declaration in rule.declarations:
            yield from ((sign, rule.at) for sign in _declaration_signs(declaration))


def _element_signs(one: Element) -> Iterator[str]:
    yield f"element:{one.name}"
    yield from (f"attribute:{name}" for name in one.attributes)
    match one.name:
        case "input" | "button":
            yield f"{one.name}:{one.get('type')}"
        case "meta":
            yield f"meta:{one.get('name')}"
        case "a":
            yield from _link_signs(one.get("href"))
        case "img":
            yield from _image_signs(one.get("src"))
    for declaration in declarations_of(one.get("style")):
        yield from _declaration_signs(declaration)


def _link_signs(address: str) -> Iterator[str]:
    if address.startswith("#"):
        yield "link:#"
    elif address.startswith("mailto:"):
        yield "link:mailto"


def _image_signs(address: str) -> Iterator[str]:
    if address.startswith("data:"):
        yield "image:data"
    elif found := _EXTENSION.search(address.lower()):
        yield f"image:{found[1]}"


def _declaration_signs(one: Declaration) -> Iterator[str]:
    value = _SIMPLE.sub("", one.value.lower())
    if not one.name.startswith(("-", "mso-")):
        yield f"property:{one.name}"
        yield f"pair:{one.name}:{value}"
    if one.important:
        yield "value:!important"
    yield f"value:{value}"
    yield from (f"function:{name}" for name in _FUNCTION.findall(value))
    yield from (f"unit:{name}" for name in _UNIT.findall(value))


def _selector_signs(selectors: str) -> Iterator[str]:
    for selector in selectors.split(","):
        plain = re.sub(r"\\.", "x", selector.strip())
        yield from (f"pseudo:{name}" for name in _PSEUDO.findall(plain))
        yield from (f"selector:{sign}" for sign in "+~>[#*" if sign in plain)
        if re.search(r"[\w\])]\s+[\w.#\[*:]", plain):
            yield "selector: "
        if re.search(r"\.[\w-]+\.[\w-]", plain):
            yield "selector:.."

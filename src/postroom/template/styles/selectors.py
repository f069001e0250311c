"""Selectors as the styling needs them: what they name, how specific they are, whether they can be inlined.

Rules: pure, never fails. Matching is not here. Sources: Selectors Level 4 sections 3 and 17.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

_DYNAMIC = re.compile(
    r":(?:hover|active|focus(?:-within|-visible)?|visited|link|any-link|target|checked|default|indeterminate"
    r"|placeholder-shown|autofill|optional|required|valid|invalid|in-range|out-of-range|read-only|read-write"
    r"|enabled|disabled|open|-[a-z]|:)|(?<!\\):(?:before|after|first-letter|first-line)\b",
    re.IGNORECASE,
)
"""What depends on the reader's doings, or is no element of the page."""
_PLACED = re.compile(r":(?:first|last|only|nth)-|[+~]|:empty|:has", re.IGNORECASE)
"""What depends on the neighbours of an element."""
_STRING = re.compile(r"(?<!\\)(?:\"[^\"]*\"|'[^']*')")
_NAME = r"(?:[\w-]|[^\x00-\x7f]|\\[0-9a-fA-F]{1,6}\s?|\\.)+"
_CLASS = re.compile(rf"\.({_NAME})")
_PLAIN = re.compile(rf"(?:\.{_NAME})+")
_ID = re.compile(rf"#({_NAME})")
_ATTRIBUTE = re.compile(r"\[\s*([\w-]+)")
_ESCAPE = re.compile(r"\\([0-9a-fA-F]{1,6})\s?|\\(.)")
_STEP = re.compile(
    rf"(?P<id>#{_NAME})|(?P<class>\.{_NAME}|\[[^\]]*\])|(?P<element>::{_NAME})"
    rf"|:(?P<inner>not|is|has|where|matches|any)\(|(?P<state>:{_NAME}(?:\([^)]*\))?)|(?P<type>{_NAME})"
)
_CLIENT = re.compile(
    r"\.(?:[\w-]*body|gmail|apple|ios|ox-|outlook|edo|lang)|\[data-ogs|\[class[~^*]=[\"']?ox-"
    r"|(?:\.(?:bloop_container|Singleton|unused|moz-text-html|mail-detail-content)|\#msgBody)(?![\w-])"
)
"""What mail clients put around or into a page: rules that name it always stay."""


@lru_cache(maxsize=4096)
def is_inlinable(selector: str) -> bool:
    """Whether what a selector declares can be put into a style attribute."""
    return _DYNAMIC.search(_unquoted(selector)) is None


def is_placed(selector: str) -> bool:
    """Whether a selector looks at the neighbours of an element, which a loop multiplies."""
    return _PLACED.search(_unquoted(selector)) is not None


def is_plain(selector: str) -> bool:
    """Whether a selector is made of classes alone."""
    return _PLAIN.fullmatch(selector) is not None


def names_client(selector: str) -> bool:
    """Whether a selector names something only a mail client adds."""
    return _CLIENT.search(selector) is not None


@lru_cache(maxsize=4096)
def classes_of(selector: str) -> frozenset[str]:
    """Return the class names a selector needs; those in ``:not()`` are not needed."""
    text = re.sub(r":not\([^)]*\)", "", _unquoted(selector))
    return frozenset(_plain(match[1]) for match in _CLASS.finditer(text))


@lru_cache(maxsize=4096)
def mentioned_classes(selector: str) -> frozenset[str]:
    """Return every class name in a selector."""
    return frozenset(_plain(match[1]) for match in _CLASS.finditer(_unquoted(selector)))


def ids_of(selector: str) -> frozenset[str]:
    """Return the ids a selector names."""
    return frozenset(_plain(match[1]) for match in _ID.finditer(_unquoted(selector)))


def attributes_of(selectors: Iterable[str]) -> frozenset[str]:
    """Return the names of attributes that selectors look at, but for the class."""
    return frozenset(
        name
        for selector in selectors
        for name in (
            *(match[1].lower() for match in _ATTRIBUTE.finditer(selector)),
            *(("id",) if ids_of(selector) else ()),
        )
    )


@lru_cache(maxsize=4096)
def specificity(selector: str) -> tuple[int, int, int]:
    """Return the specificity: ids, then classes and attributes, then types."""
    ids = classes = types = 0
    weightless = 0
    for match in _STEP.finditer(_unquoted(selector)):
        if match["inner"] == "where":
            weightless = selector.find(")", match.end())
        if match.start() < weightless:
            continue
        ids += bool(match["id"])
        classes += bool(match["class"] or match["state"])
        types += bool(match["element"] or match["type"])
    return ids, classes, types


def with_classes_renamed(selector: str, names: dict[str, str]) -> str:
    """Write a selector with other class names."""
    return _CLASS.sub(lambda match: "." + names.get(_plain(match[1]), match[1]), selector)


def _unquoted(selector: str) -> str:
    return _STRING.sub('""', selector) if '"' in selector or "'" in selector else selector


def _plain(name: str) -> str:
    return (
        _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else match[2], name)
        if "\\" in name
        else name
    )

"""What a mail says before it is opened, and what filters count: subject, preheader, words, size.

Sources: RFC 5322 section 2.1.1 (78 characters), RFC 2369 and RFC 8058 (List-Unsubscribe), the public rule
sets of mail filters for ``data/spam.toml``.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from postroom.model.template import Finding
from postroom.template.lint.case import Case
from postroom.template.lint.contrast import shown
from postroom.template.lint.page import STATEMENT, VARIABLE, Element, Text, mask

MAX_SUBJECT = 78
MAX_PREHEADER = 130
CLIP_BYTES = 102 * 1000
"""Gmail cuts there; it says 102 KB and does not say of which kind, so the smaller one."""
NEAR_CLIP_BYTES = CLIP_BYTES * 9 // 10
_VARIABLE_WIDTH = 12
"""Characters an expression is taken for, where there is no example."""
MIN_CAPITALS = 8
"""Letters of a subject from which on capitals alone are shouting: "OTP" and "ACME" are names."""
MIN_TEXT = 20
"""Characters of text below which a mail with images is one of images alone."""
MIN_TEXT_PER_IMAGE = 60
MIN_IMAGES = 3

_YEAR = re.compile(r"(?:©|\(c\)|copyright)\s*(?:©\s*)?(?:19|20)[0-9]{2}\b", re.IGNORECASE)
_UNSUBSCRIBE = re.compile(
    r"unsubscribe|opt[-_ ]?out|abbestell|abmelden|d[ée]sabonne|d[ée]sinscri|退订|取消订阅"
    r"|수신\s*거부|구독\s*(?:취소|해지)",
    re.IGNORECASE,
)
_EXCLAIMS = "!\uff01"
_EXCLAIMS = "!\uff01"
_BLANKS = re.compile(r"\s+")


@cache
def _data() -> dict[str, Any]:
    text = (files("postroom.template.lint") / "data" / "spam.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


SHORTENERS = frozenset(_data()["shorteners"])
"""Hosts of link shorteners."""


def words(case: Case) -> Iterator[Finding]:
    """Yield what is said about subject, preheader, phrases and size."""
    yield from _subject(case)
    yield from _preheader(case)
    yield from _phrases(case)
    yield from _size(case)
    yield from _unsubscribing(case)
    yield from _shares(case)


def _subject(case: Case) -> Iterator[Finding]:
    compiled, rendered = case.checked.compiled, case.checked.rendered
    if compiled is None:
        return
    subject = compiled.subject
    if not subject.strip():
        if case.is_components:
            yield case.found("missing-subject", "there is no subject")
        return
    length = _length(rendered.subject if rendered and rendered.subject else subject)
    if length > MAX_SUBJECT:
        yield case.found(
            "long-subject", f"the subject has {length} characters, more than {MAX_SUBJECT}", at=subject
        )
    plain = mask(subject)[0].replace(VARIABLE, "").replace(STATEMENT, "")
    letters = [char for char in plain if char.isalpha()]
    if len(letters) >= MIN_CAPITALS and all(char.isupper() for char in letters):
        yield case.found("spam-capitals", f"the subject {shown(subject)} is in capitals", at=subject)
    if len(re.findall(rf"[{_EXCLAIMS}]", plain)) > 1:
        yield case.found(
            "spam-exclamation", f"the subject {shown(subject)} exclaims more than once", at=subject
        )


def _preheader(case: Case) -> Iterator[Finding]:
    compiled, rendered = case.checked.compiled, case.checked.rendered
    if compiled is None:
        return
    if not compiled.preheader.strip():
        if case.is_components:
            yield case.found("missing-preheader", "there is no preheader")
        return
    length = _length(rendered.preheader if rendered and rendered.preheader else compiled.preheader)
    if length > MAX_PREHEADER:
        yield case.found(
            "long-preheader",
            f"the preheader has {length} characters, more than {MAX_PREHEADER}",
            at=compiled.preheader,
        )


def _length(text: str) -> int:
    """Return the length of a line, each expression taken for a word."""
    plain = re.sub(f"{VARIABLE}+", "x" * _VARIABLE_WIDTH, mask(text)[0].replace(STATEMENT, ""))
    return len(_BLANKS.sub(" ", plain).strip())


def _phrases(case: Case) -> Iterator[Finding]:
    compiled = case.checked.compiled
    if compiled is None:
        return
    text = _BLANKS.sub(" ", f"{compiled.subject}\n{case.body.text()}").lower()
    found = [
        phrase
        for phrases in _data()["phrases"].values()
        for phrase in phrases
        if re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)" if phrase.isascii() else re.escape(phrase), text)
    ]
    for phrase in found:
        yield case.found("spam-phrase", f'"{phrase}" is a phrase that filters count', at=_where(case, phrase))
    for one in re.finditer(rf"[{_EXCLAIMS}]{{2,}}", mask(case.body.text())[0]):
        yield case.found("spam-exclamation", f'the text has "{one[0][:10]}"', at=one[0])
        break
    year = _YEAR.search(_BLANKS.sub(" ", case.body.text()))
    if year:
        yield case.found("literal-year", f"{shown(year[0])} will be wrong next year", at=year[0][-4:])


def _where(case: Case, phrase: str) -> "Text | str":
    """Return the run of text that has a phrase."""
    stack: list[Element | Text] = [case.body]
    while stack:
        one = stack.pop()
        if isinstance(one, Text):
            if phrase in _BLANKS.sub(" ", one.value).lower():
                return one
        else:
            stack += reversed(one.children)
    return phrase


def _size(case: Case) -> Iterator[Finding]:
    compiled, rendered = case.checked.compiled, case.checked.rendered
    if compiled is None:
        return
    size = len((rendered.html if rendered else compiled.html).encode())
    if size > CLIP_BYTES:
        yield case.found("size-clipped", f"the HTML has {size:,} bytes, Gmail shows {CLIP_BYTES:,}")
    elif size > NEAR_CLIP_BYTES:
        yield case.found("size-near-clip", f"the HTML has {size:,} bytes, Gmail shows {CLIP_BYTES:,}")
    # Without an own text part an empty one is made from every rendered page.
    own = case.checked.source.text_part is not None or "text" in case.checked.front
    text = rendered.text if rendered else compiled.text if own else None
    if text is not None and not text.strip():
        yield case.found("text-empty", "the text part is empty")


def _unsubscribing(case: Case) -> Iterator[Finding]:
    if case.checked.compiled is None:
        return
    link = next(
        (
            one
            for one in case.page.elements("a")
            if _UNSUBSCRIBE.search(one.get("href")) or _UNSUBSCRIBE.search(one.text())
        ),
        None,
    )
    is_bulk = case.checked.front.get("class") == "bulk"
    if is_bulk and link is None:
        yield case.found("bulk-unsubscribe", "bulk mail without an unsubscribe link")
    if (is_bulk or link is not None) and not case.checked.front.get("listUnsubscribe"):
        what = "a mail of class bulk" if is_bulk else "a mail with an unsubscribe link"
        yield case.found(
            "list-unsubscribe", f"{what} that does not say it has List-Unsubscribe", at=link or "class: bulk"
        )


def _shares(case: Case) -> Iterator[Finding]:
    """Compare what is written with what is drawn."""
    images = [one for one in case.page.elements("img") if one.get("width") not in {"0", "1"}]
    length = _length("".join(char for char in case.body.text() if char.isprintable() or char.isspace()))
    if images and length < MIN_TEXT:
        yield case.found("image-only", f"{len(images)} images and {length} characters of text", at=images[0])
    elif len(images) >= MIN_IMAGES and length < MIN_TEXT_PER_IMAGE * len(images):
        yield case.found("image-share", f"{len(images)} images and {length} characters of text", at=images[0])

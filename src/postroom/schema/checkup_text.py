"""A check as text for people: the verdict and the first cause in sentences, then the stages, aligned.

``shareable`` takes out what names a person, so that a check may be shown to strangers; secrets are in none.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from unicodedata import east_asian_width

from postroom.model.checkup import Checkup, StageResult
from postroom.providers.replies import words
from postroom.providers.words import fix_sentence, phrase, stage_word, status_word
from postroom.schema.answers import instant

_LOGIN = re.compile(r"://(.+):\*{5}@")
"""The login in a target."""
_ADDRESS = re.compile(r"([^\s<>()\[\]:;,\"'/@*])[^\s<>()\[\]:;,\"'/@*]*@(?=[^\s@])")
"""The part of an address before the ``@``, its first character kept."""


def text_of(one: Checkup, *, language: str = "en") -> str:
    """Return a check as lines of text, the last one ended."""
    lines = [one.target, phrase(f"verdict.{_verdict(one)}", language)]
    if one.headline is not None:
        lines += ["", *_told(one.headline, language)]
    rows = [
        (status_word(stage.status, language), stage_word(stage.stage, language), f"{stage.ms} ms")
        for stage in one.stages
    ]
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines.append("")
    for (status, title, took), stage in zip(rows, one.stages, strict=True):
        cause = f"[{stage.cause}] " if stage.cause else ""
        head = "  ".join((_padded(status, widths[0]), _padded(title, widths[1]), took.rjust(widths[2])))
        lines.append(f"{head}  {cause}{stage.evidence}".rstrip())
        if expected := stage.found.get("expected"):
            lines.append(f"{' ' * (sum(widths) + 6)}{expected}")
    return "\n".join(lines) + "\n"


def shareable(one: Checkup) -> Checkup:
    """Return a check without the login and without the part of addresses before the ``@``."""
    login = _LOGIN.search(one.target)
    name = login[1] if login is not None else ""

    def masked(text: str) -> str:
        if name and "@" not in name:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", f"{name[0]}***", text)
        return _ADDRESS.sub(r"\1***@", text)

    def stage(result: StageResult) -> StageResult:
        found: Mapping[str, str] = {key: masked(value) for key, value in result.found.items()}
        fix = result.fix
        if fix is not None:
            patch = {
                key: masked(value) if isinstance(value, str) else value for key, value in fix.patch.items()
            }
            fix = replace(fix, patch=patch)
        return replace(result, evidence=masked(result.evidence), found=found, fix=fix)

    return Checkup(target=masked(one.target), stages=tuple(map(stage, one.stages)))


def _verdict(one: Checkup) -> str:
    if not one.ok:
        return "failed"
    return "works" if one.headline is None else "warned"


def _told(stage: StageResult, language: str) -> Sequence[str]:
    meaning, remedy = words(stage.cause, language)
    labelled = {
        "evidence": stage.evidence,
        "worked-until": instant(stage.worked_until) if stage.worked_until is not None else "",
        "meaning": meaning,
        "remedy": remedy,
        "fix": f"{fix_sentence(stage.fix.id, language)} ({stage.fix.id})" if stage.fix is not None else "",
        "docs": stage.docs,
    }
    title = f"{stage_word(stage.stage, language)}: {status_word(stage.status, language)} ({stage.cause})"
    told = [f"  {phrase(f'label.{label}', language)}: {text}" for label, text in labelled.items() if text]
    return [title, *told]


def _width(text: str) -> int:
    """Return the columns of a terminal that a text takes."""
    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))

"""What the page of the preview server shows of a workshop, as plain values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from postroom.errors import CallerError, InputError, Problem
from postroom.ingress.preview.workshop import Worked, Workshop, examples_of
from postroom.model.template import Finding, Rendered, Severity

MAX_SHOWN_WHOLE = 102 * 1024
"""Bytes of HTML that Gmail shows before it cuts a mail off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One variant, rendered as far as that goes."""

    worked: Worked
    values: Mapping[str, Any]
    """What it was rendered with."""
    rendered: Rendered | None
    """``None``: it does not compile, or ``problems`` say why."""
    problems: Sequence[Problem] = ()


def picture(workshop: Workshop, name: str, locale: str, variables: Mapping[str, Any] | None) -> Picture:
    """Render one variant; without variables with its examples. Raises NotFoundError, InputError."""
    worked = workshop.variant(name, locale)
    if worked.compiled is None:
        return Picture(worked=worked, values=variables or {}, rendered=None)
    values = examples_of(worked.compiled, has_stand_ins=True) if variables is None else variables
    try:
        rendered = workshop.rendered(worked, values)
    except InputError as error:
        return Picture(worked=worked, values=values, rendered=None, problems=error.problems)
    return Picture(worked=worked, values=values, rendered=rendered)


def state(workshop: Workshop, name: str, locale: str, variables: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return every template, and one of them rendered: the first when there is none of this name."""
    found = workshop.look()
    listed = [_listed(one, workshop.variants(one)) for one in found.sources]
    answer: dict[str, Any] = {
        "generation": workshop.generation,
        "templates": listed,
        "findings": _as_json(found.findings),
        "current": None,
    }
    if not listed:
        return answer
    is_there = name in found.sources
    taken = name if is_there else listed[0]["name"]
    try:
        shown = picture(workshop, taken, locale if is_there else "", variables if is_there else None)
    except CallerError:  # a locale that is none, or a file that went since
        shown = picture(workshop, listed[0]["name"], "", None)
    answer["current"] = _current(shown, workshop.variants(shown.worked.source.name))
    return answer


def _listed(name: str, variants: Sequence[Worked]) -> dict[str, Any]:
    findings = [finding for one in variants for finding in one.findings]
    return {
        "name": name,
        "locales": [one.locale for one in variants],
        "errors": _count(findings, Severity.ERROR),
        "warnings": _count(findings, Severity.WARNING),
    }


def _count(findings: Iterable[Finding], severity: Severity) -> int:
    return sum(one.severity is severity for one in findings)


def _current(shown: Picture, variants: Sequence[Worked]) -> dict[str, Any]:
    worked, rendered, compiled = shown.worked, shown.rendered, shown.worked.compiled
    schema: Mapping[str, Any] = {} if compiled is None else compiled.schema
    required = schema.get("required", ())
    return {
        "name": worked.source.name,
        "locale": worked.locale,
        "locales": [one.locale for one in variants],
        "file": worked.source.file or worked.source.name,
        "source": worked.source.text,
        "compiled": "" if compiled is None else compiled.html,
        "is_rendered": rendered is not None,
        "subject": "" if rendered is None else rendered.subject,
        "preheader": "" if rendered is None else rendered.preheader,
        "text": "" if rendered is None else rendered.text,
        "html": "" if rendered is None else rendered.html,
        "size": 0 if rendered is None else len(rendered.html.encode()),
        "max_size": MAX_SHOWN_WHOLE,
        "variables": [
            {
                "name": name,
                "type": one.get("type", "string"),
                "description": one.get("description", ""),
                "required": name in required,
                "has_example": bool(one.get("examples")) or "default" in one,
            }
            for name, one in schema.get("properties", {}).items()
        ],
        "values": shown.values,
        "findings": _as_json(worked.findings),
        "problems": [
            {"code": one.code, "field": one.field, "cause": one.cause, "fix": one.fix}
            for one in shown.problems
        ],
    }


def _as_json(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    return [
        {
            "severity": one.severity.value,
            "code": one.code,
            "file": one.file,
            "line": one.line,
            "column": one.column,
            "cause": one.cause,
            "fix": one.fix,
        }
        for one in findings
    ]

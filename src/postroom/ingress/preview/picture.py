"""What the page of the preview server shows of a workshop, as plain values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from postroom.errors import InputError, Problem
from postroom.ingress.preview.workshop import Worked, Workshop, has_example, shown_values
from postroom.model.template import CompiledTemplate, Finding, Rendered, TemplateSource
from postroom.template.getters import ALWAYS

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
    values = shown_values(worked.compiled, workshop.names) if variables is None else variables
    try:
        rendered = workshop.rendered(worked, values)
    except InputError as error:
        return Picture(worked=worked, values=values, rendered=None, problems=error.problems)
    return Picture(worked=worked, values=values, rendered=rendered)


def state(workshop: Workshop, name: str, locale: str, variables: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return every template, and one of them rendered: the first when there is none of this name."""
    found = workshop.look()
    first = next(iter(found.sources), "")
    is_there = name in found.sources
    taken = name if is_there else first
    current = None
    if first:
        current = _current(workshop, taken, locale if is_there else "", variables if is_there else None)
    return {
        "generation": workshop.generation,
        "templates": [_listed(one, sources, workshop.known(one)) for one, sources in found.sources.items()],
        "findings": _as_json(found.findings),
        "current": current,
    }


def _listed(name: str, sources: Sequence[TemplateSource], known: Sequence[Worked]) -> dict[str, Any]:
    locales = {one.source.file: one.locale for one in known}
    return {
        "name": name,
        "locales": [locales.get(source.file, source.locale) for source in sources],
        "is_broken": any(one.compiled is None for one in known),
    }


def _current(
    workshop: Workshop, name: str, locale: str, variables: Mapping[str, Any] | None
) -> dict[str, Any]:
    try:
        shown = picture(workshop, name, locale, variables)
    except InputError:  # a locale that is none
        shown = picture(workshop, name, "", None)
    worked, rendered, compiled = shown.worked, shown.rendered, shown.worked.compiled
    return {
        "name": worked.source.name,
        "locale": worked.locale,
        "locales": workshop.locales(name),
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
        "variables": [] if compiled is None else _variables(compiled),
        "globals": [] if compiled is None else [name for name in compiled.globals if name not in ALWAYS],
        "values": {**workshop.names, **shown.values},
        "findings": _as_json(workshop.said(worked)),
        "problems": [
            {"code": one.code, "field": one.field, "cause": one.cause, "fix": one.fix}
            for one in shown.problems
        ],
    }


def _variables(compiled: CompiledTemplate) -> list[dict[str, Any]]:
    required = compiled.schema.get("required", ())
    return [
        {
            "name": name,
            "type": one.get("type", "string"),
            "description": one.get("description", ""),
            "required": name in required,
            "has_example": has_example(one),
        }
        for name, one in compiled.schema.get("properties", {}).items()
    ]


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

"""Answers about templates: models for the OpenAPI document, and the functions that write them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from postroom.engine.templates import ListedTemplate, Preview, ShownTemplate, TemplateList
from postroom.model.message import Submission
from postroom.model.template import Finding, Severity, TemplateSource, TemplateVersion
from postroom.schema.answers import Json, Mode, TemplateAnswer, instant, or_null, pinned

State = Literal["draft", "published"]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FindingAnswer(_Answer):
    """One thing to say about a source; `line` and `column` count from 1, 0 is the whole."""

    code: str
    severity: Literal["error", "warning", "note"]
    file: str
    line: int
    column: int
    cause: str
    fix: str


class ListedTemplateAnswer(_Answer):
    """One template. An error in `findings`: the source as it stands is not what is used."""

    template: str = Field(description="What a mail writes in `template`.")
    origin: Literal["directory", "package", "store"]
    version: str = Field(description="In use; empty when the default variant was not compiled (yet).")
    state: State
    locales: list[str] = Field(description="The first is the default.")
    subject: str
    variables: dict[str, Any] = Field(description="JSON Schema (2020-12) of the object of variables.")
    globals: list[str]
    findings: list[FindingAnswer]


class TemplateListAnswer(_Answer):
    """Every template; `findings` tells what lies in the directory and is not used."""

    mode: Mode
    templates: list[ListedTemplateAnswer]
    findings: list[FindingAnswer]


class SourceAnswer(_Answer):
    """One variant as its author wrote it."""

    locale: str
    form: Literal["components", "mjml", "jinja"]
    text: str
    text_part: str | None
    file: str


class VersionAnswer(_Answer):
    """One version of a stored template."""

    number: int
    state: State
    locales: list[str]
    created_at: str
    published_at: str | None
    author: str
    note: str


class VersionListAnswer(_Answer):
    """Every version, newest first."""

    mode: Mode
    template: str
    versions: list[VersionAnswer]


class ShownTemplateAnswer(ListedTemplateAnswer):
    """A template with its sources."""

    mode: Mode
    variants: list[SourceAnswer]
    versions: list[VersionAnswer] = Field(description="Of a stored template, newest first.")


class StoredTemplateAnswer(VersionAnswer):
    """A version after it was stored or published."""

    mode: Mode
    template: str
    findings: list[FindingAnswer]


class PreviewAnswer(_Answer):
    """What a mail would be, by the same rendering that sends it."""

    mode: Mode
    template: TemplateAnswer
    chain: list[str] = Field(description="The locales that were tried; the last one was taken.")
    subject: str
    preheader: str
    html: str
    text: str
    size: int = Field(description="Bytes of the whole mail.")
    values: dict[str, Any] = Field(description="The variables it was rendered with, examples included.")
    variables: dict[str, Any] = Field(description="JSON Schema (2020-12) of the object of variables.")
    findings: list[FindingAnswer]


class LintAnswer(_Answer):
    """What is to be said about a template, in the order of its lines; the counts are by severity."""

    mode: Mode
    template: str
    errors: int
    warnings: int
    notes: int
    findings: list[FindingAnswer]


def finding(one: Finding) -> Json:
    """Write one finding."""
    return {
        "code": one.code,
        "severity": one.severity,
        "file": one.file,
        "line": one.line,
        "column": one.column,
        "cause": one.cause,
        "fix": one.fix,
    }


def listed(one: ListedTemplate) -> Json:
    """Write one line of the list."""
    return {
        "template": one.reference,
        "origin": one.origin,
        "version": one.version,
        "state": one.state,
        "locales": list(one.locales),
        "subject": one.subject,
        "variables": dict(one.schema),
        "globals": list(one.globals),
        "findings": [finding(each) for each in one.findings],
    }


def template_list(found: TemplateList, mode: str) -> Json:
    """Write the list."""
    return {
        "mode": mode,
        "templates": [listed(one) for one in found.templates],
        "findings": [finding(each) for each in found.findings],
    }


def shown(one: ShownTemplate, mode: str) -> Json:
    """Write one template with its sources."""
    return {
        "mode": mode,
        **listed(one.listed),
        "variants": [_source(source) for source in one.sources],
        "versions": [version(each) for each in one.versions],
    }


def version_list(name: str, versions: Sequence[TemplateVersion], mode: str) -> Json:
    """Write every version of a template."""
    return {"mode": mode, "template": name, "versions": [version(one) for one in versions]}


def version(one: TemplateVersion) -> Json:
    """Write one version without its sources."""
    return {
        "number": one.number,
        "state": one.state,
        "locales": list(one.variants),
        "created_at": instant(one.created_at),
        "published_at": or_null(one.published_at),
        "author": one.author,
        "note": one.note,
    }


def stored(one: TemplateVersion, mode: str) -> Json:
    """Write a version after it was stored or published."""
    findings = [each for variant in one.variants.values() for each in variant.compiled.findings]
    return {
        "mode": mode,
        "template": one.name,
        **version(one),
        "findings": [finding(each) for each in findings],
    }


def linted(template: str, found: Sequence[Finding], mode: str) -> Json:
    """Write what a check of a template found."""
    counts = {f"{kind}s": sum(one.severity is kind for one in found) for kind in Severity}
    return {"mode": mode, "template": template, **counts, "findings": [finding(one) for one in found]}


def preview(found: Preview, mail: Submission, values: Mapping[str, Any], *, size: int, mode: str) -> Json:
    """Write a preview: the texts are those of the mail. ``size`` in bytes."""
    return {
        "mode": mode,
        "template": pinned(found.pin),
        "chain": list(found.chain),
        "subject": mail.subject,
        "preheader": found.rendered.preheader,
        "html": mail.html,
        "text": mail.text,
        "size": size,
        "values": dict(values),
        "variables": dict(found.compiled.schema),
        "findings": [finding(each) for each in found.compiled.findings],
    }


def _source(one: TemplateSource) -> Json:
    return {
        "locale": one.locale,
        "form": one.form,
        "text": one.text,
        "text_part": one.text_part,
        "file": one.file,
    }

"""Stored templates as rows: what lists need as JSON, the texts apart and compressed.

Pure. A version of twenty locales may have some megabytes of texts, and lists never read them.
"""

import zlib
from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json, to_json

from postroom.errors import Problem, TooLargeError
from postroom.model.ids import TenantId
from postroom.model.template import (
    CompiledTemplate,
    Finding,
    Severity,
    SourceForm,
    TemplateSource,
    TemplateVersion,
    Variant,
    VersionState,
)
from postroom.spool.codec import instant, instant_or_none

MAX_TEMPLATES = 1000
"""Of one tenant (security limit)."""
MAX_VERSIONS = 200
"""Of one template; the oldest go first, never the one in use."""


def too_many() -> TooLargeError:
    """Return what to say when a tenant may store no further template."""
    return TooLargeError(
        Problem(
            code="too-many-templates",
            field="name",
            cause=f"{MAX_TEMPLATES} templates are stored already",
            fix="Remove some that are not used.",
        )
    )


def head_of(version: TemplateVersion) -> str:
    """Return the variants without their texts."""
    return to_json([_head(variant) for variant in version.variants.values()]).decode()


def _head(variant: Variant) -> dict[str, Any]:
    source, made = variant.source, variant.compiled
    return {
        "form": source.form.value,
        "file": source.file,
        "locale": made.locale,
        "subject": made.subject,
        "preheader": made.preheader,
        "schema": made.schema,
        "globals": made.globals,
        "digest": made.digest,
        "findings": [
            [one.code, one.severity.value, one.file, one.line, one.column, one.cause, one.fix]
            for one in made.findings
        ],
    }


def texts_of(version: TemplateVersion) -> bytes:
    """Return the texts of the variants. Takes some milliseconds for each megabyte."""
    return zlib.compress(
        to_json(
            [
                [one.source.text, one.source.text_part, one.compiled.html, one.compiled.text]
                for one in version.variants.values()
            ]
        )
    )


def version_of(tenant: TenantId, row: Sequence[Any]) -> TemplateVersion:
    """Return the version of a row; one without texts has empty ones."""
    name, number, created_at, author, note, published_at, head, *rest = row
    heads = from_json(head)
    texts = from_json(zlib.decompress(rest[0])) if rest else [["", None, "", ""]] * len(heads)
    return TemplateVersion(
        tenant=tenant,
        name=name,
        number=number,
        state=VersionState.DRAFT if published_at is None else VersionState.PUBLISHED,
        variants={one["locale"]: _variant(name, one, text) for one, text in zip(heads, texts, strict=True)},
        created_at=instant(created_at),
        author=author,
        note=note,
        published_at=instant_or_none(published_at),
    )


def _variant(name: str, head: dict[str, Any], texts: list[Any]) -> Variant:
    text, text_part, html, plain = texts
    return Variant(
        source=TemplateSource(
            name=name,
            locale=head["locale"],
            form=SourceForm(head["form"]),
            text=text,
            text_part=text_part,
            file=head["file"],
        ),
        compiled=CompiledTemplate(
            name=name,
            locale=head["locale"],
            subject=head["subject"],
            preheader=head["preheader"],
            html=html,
            text=plain,
            schema=head["schema"],
            globals=tuple(head["globals"]),
            digest=head["digest"],
            findings=tuple(_finding(*one) for one in head["findings"]),
        ),
    )


def _finding(code: str, severity: str, file: str, *rest: Any) -> Finding:
    line, column, cause, fix = rest
    return Finding(
        code=code,
        severity=Severity(severity),
        file=file,
        line=line,
        column=column,
        cause=cause,
        fix=fix,
    )

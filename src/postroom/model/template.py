"""Templates as values: a source, what it compiles to, what a rendering gives, what stands in the catalogue.

A *template* has a name and variants, one for each locale. A *version* of it never changes. Its *source*
is compiled once to four Jinja templates (subject, preheader, HTML, text); a message is rendered from these,
when it is accepted, and pins what it was made from.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from postroom.model.ids import DEFAULT_TENANT, TenantId

TEMPLATE_NAME = re.compile(r"[a-z0-9_-]{1,64}\Z")
"""What a template may be called; nothing of it means anything to a file system or to Jinja."""
LOCALE_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8}){0,7}\Z")
"""A BCP 47 tag, as far as its form goes (RFC 5646 section 2.1); no language has a longer subtag, so that
`english` is none."""
MAX_SOURCE = 256 * 1024
"""Bytes of one source in UTF-8 (security limit)."""
MAX_VARIANTS = 20
"""Locales of one version."""


class SourceForm(StrEnum):
    """The language of a source."""

    COMPONENTS = "components"
    """HTML with ``<x-NAME>`` tags and front matter; the suffix ``.html``."""
    MJML = "mjml"
    """The suffix ``.mjml``; needs the optional extra of this name."""
    JINJA = "jinja"
    """Finished HTML with Jinja expressions, taken as it is; the suffix ``.jinja``, and compiled packages."""


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """The template is not usable, or mail made from it would be wrong."""
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to say about a source."""

    code: str
    """Stable identifier in kebab case, for example ``unknown-component``."""
    severity: Severity
    file: str
    """As the reader knows it: a path below the directory, or the template's name."""
    line: int = 0
    """From 1; 0 when it is about the whole."""
    column: int = 0
    cause: str
    """A lower-case phrase: what is there and what is wrong with it."""
    fix: str
    """A sentence that says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSource:
    """One variant as its author wrote it."""

    name: str
    """1 to 64 of ``a-z 0-9 _ -``."""
    locale: str = ""
    """A BCP 47 tag; empty: the front matter's ``language``, else English."""
    form: SourceForm = SourceForm.COMPONENTS
    text: str
    """The source, front matter included; at most 256 KiB."""
    text_part: str | None = None
    """Jinja source of the text part; ``None``: derived from the HTML."""
    file: str = ""
    """The path to show in findings; empty: the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """What sources are made of beside themselves: components and layouts, style sheets, colours and sizes."""

    components: Mapping[str, str] = field(default_factory=dict)
    """Source by path below the directory, without suffix: ``components/button``, ``layouts/default``. They go
    before those that are shipped."""
    styles: Mapping[str, str] = field(default_factory=dict)
    """CSS by path: what ``@import`` in a layout may name."""
    theme: Mapping[str, Any] = field(default_factory=dict)
    """Additions to the utility classes' theme: ``{"colors": {"primary": "#f97316"}}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What a directory or a package holds at one look."""

    sources: Mapping[str, tuple[TemplateSource, ...]]
    """By name; the first is the default variant."""
    shelf: Shelf = field(default_factory=Shelf)
    findings: tuple[Finding, ...] = ()
    """What is not used, and why: junk, files too large, links that lead outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledTemplate:
    """One variant ready to be rendered: Jinja sources without includes, and what they read."""

    name: str
    locale: str
    """A BCP 47 tag."""
    subject: str = ""
    """Empty: the caller gives the subject."""
    preheader: str = ""
    html: str
    text: str
    schema: Mapping[str, Any] = field(default_factory=dict)
    """JSON Schema (2020-12) of the object of variables: ``properties`` with types, descriptions and examples,
    ``required``. Globals are not in it."""
    globals: tuple[str, ...] = ()
    """Names with an underscore in front that it reads."""
    digest: str
    """SHA-256 over all of the above in hex; equal digests render equally."""
    findings: tuple[Finding, ...] = ()
    """Warnings and notes of the compiler; errors raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What one rendering gives; these very texts are shown by a preview and put into a mail."""

    subject: str
    preheader: str
    html: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplatePin:
    """What a message was made from."""

    name: str
    """As the caller named it, with the package in front: ``calypsso:account-activation``."""
    version: str
    """The number of a stored version, else the first 12 hex digits of the digest."""
    locale: str
    """Of the variant that was taken."""


class VersionState(StrEnum):
    """Whether a version is used."""

    DRAFT = "draft"
    """Only where it is named with its number."""
    PUBLISHED = "published"
    """The latest published one is what the bare name means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One locale of a version: the source, and what it was compiled to when it was stored."""

    source: TemplateSource
    compiled: CompiledTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateVersion:
    """One version of a stored template: never changed, but for being published."""

    tenant: TenantId = DEFAULT_TENANT
    name: str
    number: int
    """From 1, given by the store."""
    state: VersionState
    variants: Mapping[str, Variant]
    """By locale; the first is the default."""
    created_at: datetime
    author: str = ""
    """Name of the key."""
    note: str = ""
    published_at: datetime | None = None

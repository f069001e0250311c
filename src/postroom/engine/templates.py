"""What a door may do with templates: list, show, store, publish, remove, preview, and render for a mail.

Rules: a preview and a mail come from the same call with the same arguments. Whatever is stored compiles, in
every variant, and all findings are told otherwise. A stored version never changes; a mail that was accepted
has its texts already, so nothing done here changes it. What belongs to another tenant does not exist.

What it does not do: compiling and rendering (``Renderer``), finding (``catalogue``).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from postroom.clock import Clock
from postroom.engine.catalogue import (
    DIRECTORY,
    Catalogue,
    Found,
    InPlace,
    chosen,
    parse_reference,
)
from postroom.errors import ConflictError, InputError, NotFoundError, OverloadError, Problem, TooLargeError
from postroom.model.ids import TenantId
from postroom.model.template import (
    LOCALE_TAG,
    MAX_SOURCE,
    MAX_VARIANTS,
    TEMPLATE_NAME,
    CompiledTemplate,
    Finding,
    Rendered,
    Severity,
    TemplatePin,
    TemplateSource,
    TemplateVersion,
    Variant,
    VersionState,
)
from postroom.ports import Renderer, TemplateRecords
from postroom.telemetry.catalogue import RENDER_REFUSED, RENDER_SECONDS

UNWRITABLE = re.compile("[\0\ud800-\udfff]")
"""What neither JSON nor a mail can hold."""
LIST_S = 0.8
"""How long a list may take to compile what nobody has used yet: a source takes some 40 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateOrder:
    """What a caller wants rendered."""

    template: str
    """``NAME``, ``NAME@VERSION`` or ``PACKAGE:NAME``."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON values."""
    locale: str = ""
    """A BCP 47 tag; empty: the default variant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a mail would be, and how that was found."""

    rendered: Rendered
    pin: TemplatePin
    chain: tuple[str, ...]
    """The locales that were tried; the last one was taken."""
    compiled: CompiledTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A version to be stored."""

    name: str
    sources: tuple[TemplateSource, ...]
    """One for each locale; the first is the default. Their names are ignored."""
    note: str = ""
    is_published: bool = True


class Origin(StrEnum):
    """Where a template is kept."""

    DIRECTORY = "directory"
    PACKAGE = "package"
    STORE = "store"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTemplate:
    """One line of a list, and the head of a picture."""

    reference: str
    """What a caller writes in ``template``."""
    origin: Origin
    version: str
    """In use: a number, or the first 12 digits of the default variant's digest; empty when that was not
    compiled."""
    state: VersionState = VersionState.PUBLISHED
    locales: tuple[str, ...] = ()
    """The first is the default."""
    subject: str = ""
    """Of the default variant, as Jinja; empty, as schema and globals are, when that was not compiled."""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """Of the default variant's variables."""
    globals: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    """An error among them: the source as it stands is not what is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTemplate:
    """Everything about one template, or about one version of it."""

    listed: ListedTemplate
    sources: tuple[TemplateSource, ...]
    compiled: tuple[CompiledTemplate, ...]
    versions: tuple[TemplateVersion, ...] = ()
    """Of a stored template, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateList:
    """What a tenant can use."""

    templates: tuple[ListedTemplate, ...]
    """Of the directory, stored ones, then packages."""
    findings: tuple[Finding, ...]
    """What lies in the directory and is not used."""


class Templating:
    """The verbs."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        records: TemplateRecords,
        renderer: Renderer,
        clock: Clock,
        names: Mapping[str, Any],
    ) -> None:
        """Take the parts, and the globals of the settings."""
        self.catalogue = catalogue
        self._records = records
        self._renderer = renderer
        self._clock = clock
        self._names = dict(names)

    # ------------------------------------------------------------------ rendering

    async def rendered(self, order: TemplateOrder, tenant: TenantId) -> tuple[Rendered, TemplatePin]:
        """Render one mail. Raises as ``preview``."""
        preview = await self.preview(order, tenant)
        return preview.rendered, preview.pin

    async def preview(self, order: TemplateOrder, tenant: TenantId) -> Preview:
        """Render one mail and say how.

        Raises NotFoundError: there is no such template for this tenant; InputError: name or locale are none,
        every missing or unknown variable, a bound that is crossed; OverloadError.
        """
        found = await self.find(order, tenant)
        return await self._shown(found, order.variables)

    async def find(self, order: TemplateOrder, tenant: TenantId) -> Found:
        """Return the variant an order means. Raises NotFoundError, InputError, OverloadError."""
        return await self.catalogue.find(parse_reference(order.template), order.locale, tenant)

    async def tried(self, draft: Draft, order: TemplateOrder) -> Preview:
        """Render a draft that is not stored; ``order.template`` is ignored.

        Raises InputError, TooLargeError, OverloadError.
        """
        _check(draft)
        index, chain = chosen([source.locale for source in draft.sources], order.locale)
        source = replace(draft.sources[index], name=draft.name)
        compiled = await self.catalogue.compiled(source)
        pin = TemplatePin(name=draft.name, version=compiled.digest[:12], locale=compiled.locale)
        if not chain or chain[-1].lower() != compiled.locale.lower():
            chain = (*chain, compiled.locale)
        return await self._shown(Found(compiled=compiled, pin=pin, chain=chain), order.variables)

    async def _shown(self, found: Found, variables: Mapping[str, Any]) -> Preview:
        began = self._clock.monotonic()
        try:
            rendered = await self._renderer.render(
                found.compiled, variables, names=self._names, at=self._clock.now()
            )
        except InputError as error:
            RENDER_REFUSED.count((error.problems[0].code,))
            raise
        except OverloadError:
            RENDER_REFUSED.count(("overload",))
            raise
        RENDER_SECONDS.observe(self._clock.monotonic() - began)
        return Preview(rendered=rendered, pin=found.pin, chain=found.chain, compiled=found.compiled)

    # ------------------------------------------------------------------ looking

    async def list(self, tenant: TenantId) -> TemplateList:
        """Return every template this tenant can use. Raises OverloadError.

        It takes no more time than ``LIST_S`` for compiling; of what was not compiled by then it has the name
        alone, and a further look goes on from there.
        """
        ends_at = self._clock.monotonic() + LIST_S
        found: list[ListedTemplate] = []
        stored = [_listed_version(version) for version in await self._records.names(tenant)]
        findings: list[Finding] = []
        for package in self.catalogue.packages:
            placed = [_listed_place(one) for one in await self._placed(package, ends_at)]
            findings += await self.catalogue.junk(package)
            if package == DIRECTORY:
                found[:0] = placed
            else:
                found += placed
        here = [one for one in found if one.origin is Origin.DIRECTORY]
        rest = [one for one in found if one.origin is not Origin.DIRECTORY]
        return TemplateList(templates=(*here, *stored, *rest), findings=tuple(findings))

    async def _placed(self, package: str, ends_at: float) -> Sequence[InPlace]:
        def is_wanted(index: int) -> bool:
            # Whoever lists does not look at all languages of what others wrote.
            return (index == 0 or package == DIRECTORY) and self._clock.monotonic() < ends_at

        return await self.catalogue.of_package(package, is_wanted=is_wanted)

    async def show(self, reference: str, tenant: TenantId) -> ShownTemplate:
        """Return one template with its sources. Raises NotFoundError, InputError, OverloadError."""
        wanted = parse_reference(reference)
        placed = await self.catalogue.in_place(wanted)
        if placed is not None:
            return ShownTemplate(
                listed=_listed_place(placed), sources=placed.sources, compiled=placed.compiled
            )
        if wanted.package:
            raise NotFoundError(f"there is no template {reference!r}")
        versions = await self._records.versions(tenant, wanted.name)
        version = await self._records.one(tenant, wanted.name, wanted.number)
        if version is None and wanted.number is None and versions:  # never published: the newest draft
            version = await self._records.one(tenant, wanted.name, versions[0].number)
        if version is None:
            raise NotFoundError(f"there is no template {reference!r}")
        return ShownTemplate(
            listed=_listed_version(version),
            sources=tuple(variant.source for variant in version.variants.values()),
            compiled=tuple(variant.compiled for variant in version.variants.values()),
            versions=tuple(versions),
        )

    async def check(self) -> tuple[Finding, ...]:
        """Compile what is in the directory and return every error. Raises OverloadError."""
        if DIRECTORY not in self.catalogue.packages:
            return ()
        found = [*await self.catalogue.junk(DIRECTORY)]
        for placed in await self.catalogue.of_package(DIRECTORY):
            found += placed.findings
        return tuple(finding for finding in found if finding.severity is Severity.ERROR)

    async def linted(
        self, asked: str | Draft, tenant: TenantId, *, clients: Sequence[str] = ()
    ) -> Sequence[Finding]:
        """Say what is to be said about a template or a source that is not stored; see the renderer's port.

        Raises NotFoundError, InputError, TooLargeError, OverloadError.
        """
        package = DIRECTORY
        if isinstance(asked, str):
            package, sources = parse_reference(asked).package, (await self.show(asked, tenant)).sources
        else:
            _check(asked)
            sources = asked.sources
        shelf, _ = await self.catalogue.shelf(package)
        return await self._renderer.check(
            sources, shelf, names=self._names, at=self._clock.now(), clients=clients
        )

    # ------------------------------------------------------------------ changing

    async def save(self, draft: Draft, tenant: TenantId, *, author: str) -> TemplateVersion:
        """Compile every variant and store a new version.

        Raises InputError with every finding of every variant; TooLargeError: too many templates;
        ConflictError: the directory has one of this name; OverloadError.
        """
        _check(draft)
        if await self.catalogue.has(draft.name):
            raise ConflictError(
                Problem(
                    code="template-in-directory",
                    field="name",
                    cause=f"the directory has a template {draft.name!r}, which goes before a stored one",
                    fix="Choose another name, or change the file.",
                )
            )
        variants: dict[str, Variant] = {}
        problems: list[Problem] = []
        for given in draft.sources:
            source = replace(given, name=draft.name, file=given.file or _file(draft.name, given))
            try:
                compiled = await self.catalogue.compiled(source)
            except InputError as error:
                problems += error.problems
                continue
            if compiled.locale in variants:
                problems.append(_twice(compiled.locale))
            variants[compiled.locale] = Variant(
                source=replace(source, locale=compiled.locale), compiled=compiled
            )
        if problems:
            raise InputError(problems)
        version = TemplateVersion(
            tenant=tenant,
            name=draft.name,
            number=0,
            state=VersionState.PUBLISHED if draft.is_published else VersionState.DRAFT,
            variants=variants,
            created_at=(now := self._clock.now()),
            author=author,
            note=draft.note,
            published_at=now if draft.is_published else None,
        )
        number = await self._records.add(version)
        self.catalogue.forget(draft.name, tenant)
        return replace(version, number=number)

    async def publish(self, name: str, number: int, tenant: TenantId) -> TemplateVersion:
        """Make a version the one in use, an older one too. Raises NotFoundError, InputError."""
        wanted = parse_reference(f"{name}@{number}")
        is_there = await self._records.publish(tenant, wanted.name, number, at=self._clock.now())
        self.catalogue.forget(wanted.name, tenant)
        version = await self._records.one(tenant, wanted.name, number) if is_there else None
        if version is None:
            raise NotFoundError(f"there is no template {str(wanted)!r}")
        return version

    async def remove(self, name: str, tenant: TenantId) -> None:
        """Remove a stored template with all versions. Raises NotFoundError, ConflictError, InputError."""
        wanted = parse_reference(name)
        if wanted.package or wanted.number is not None or await self.catalogue.has(wanted.name):
            raise ConflictError(
                Problem(
                    code="template-not-stored",
                    field="name",
                    cause=f"{name!r} is not a template of the store",
                    fix="Templates of the directory and of packages are changed in their files.",
                )
            )
        is_gone = await self._records.remove(tenant, wanted.name)
        self.catalogue.forget(wanted.name, tenant)
        if not is_gone:
            raise NotFoundError(f"there is no template {name!r}")


def _check(draft: Draft) -> None:
    """Refuse what no compiler needs to see. Raises InputError, TooLargeError."""
    problems = []
    if TEMPLATE_NAME.match(draft.name) is None:
        problems.append(
            Problem(
                code="template-name",
                field="name",
                cause=f"{draft.name[:80]!r} is not the name of a template",
                fix="A name has 1 to 64 of a-z, 0-9, _ and -.",
            )
        )
    if not 0 < len(draft.sources) <= MAX_VARIANTS:
        problems.append(
            Problem(
                code="template-variants",
                field="variants",
                cause=f"{len(draft.sources)} variants; 1 to {MAX_VARIANTS} are allowed",
                fix="Give one variant for each locale.",
            )
        )
    seen: set[str] = set()
    for source in draft.sources:
        tag = source.locale.lower()
        if tag and LOCALE_TAG.match(source.locale) is None:
            problems.append(
                Problem(
                    code="locale",
                    field="locale",
                    cause=f"{source.locale[:80]!r} is not a language tag",
                    fix="Write a BCP 47 tag, for example fr or pt-BR.",
                )
            )
        elif tag in seen:
            problems.append(_twice(source.locale))
        seen.add(tag)
        for text in (source.text, source.text_part or ""):
            if UNWRITABLE.search(text) is not None:
                problems.append(
                    Problem(
                        code="source-characters",
                        field="source",
                        cause="a NUL or half of a character",
                        fix="Remove it; no mail can have it.",
                    )
                )
            if len(text.encode("utf-8", "surrogatepass")) > MAX_SOURCE:
                raise TooLargeError(
                    Problem(
                        code="template-too-large",
                        field="source",
                        cause=f"a source of more than {MAX_SOURCE} bytes",
                        fix="Move what repeats into components.",
                    )
                )
    if problems:
        raise InputError(problems)


def _twice(locale: str) -> Problem:
    return Problem(
        code="locale-twice",
        field="variants",
        cause=f"two variants are for {locale or 'the default locale'}",
        fix="Give each variant a locale of its own, here or as `language` in its front matter.",
    )


def _file(name: str, source: TemplateSource) -> str:
    suffix = "html" if source.form == "components" else source.form.value
    return f"{name}.{source.locale}.{suffix}" if source.locale else f"{name}.{suffix}"


def _listed_version(version: TemplateVersion) -> ListedTemplate:
    default = next(iter(version.variants.values())).compiled
    return ListedTemplate(
        reference=version.name,
        origin=Origin.STORE,
        version=str(version.number),
        state=version.state,
        locales=tuple(version.variants),
        subject=default.subject,
        schema=default.schema,
        globals=default.globals,
        findings=tuple(
            finding for variant in version.variants.values() for finding in variant.compiled.findings
        ),
    )


def _listed_place(placed: InPlace) -> ListedTemplate:
    first = placed.compiled[0] if placed.compiled else None
    default = first if first is not None and placed.locales[:1] == (first.locale,) else None
    return ListedTemplate(
        reference=str(placed.reference),
        origin=Origin.PACKAGE if placed.reference.package else Origin.DIRECTORY,
        version="" if default is None else default.digest[:12],
        locales=placed.locales,
        subject="" if default is None else default.subject,
        schema={} if default is None else default.schema,
        globals=() if default is None else default.globals,
        findings=placed.findings,
    )

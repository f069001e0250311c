"""Which template is meant: references, the chain of locales, and compiling each thing once.

Rules: a bare name is looked for in the directory and then among the tenant's own stored templates; a package
is named before a colon. What has been compiled is kept by its content, so that a change of one file compiles
what depends on it and nothing else. A source that cannot be compiled any more leaves its last good form in
use, and that is told. A stored version is compiled when it is stored and never again.

What it does not do: rendering, storing, reading files.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pydantic_core import to_json

from postroom.engine.keeping import Kept
from postroom.errors import InputError, NotFoundError, Problem
from postroom.model.ids import TenantId
from postroom.model.template import (
    LOCALE_TAG,
    TEMPLATE_NAME,
    Collection,
    CompiledTemplate,
    Finding,
    Severity,
    Shelf,
    TemplatePin,
    TemplateSource,
    TemplateVersion,
)
from postroom.ports import Collections, Renderer, TemplateRecords
from postroom.telemetry import logger
from postroom.telemetry.catalogue import COMPILED

MAX_COMPILED = 64 * 1024 * 1024
"""Characters of compiled sources that are kept beside those in use; one has some 30,000 (security limit)."""
MAX_STORED = 32 * 1024 * 1024
"""Characters of stored versions in use that are kept in memory (security limit)."""
MAX_NAMES = 20_000
"""Names of stored templates that are kept to name the nearest ones."""
MAX_TOLD = 1000
"""Troubles of one place that are remembered, so that the log has each once."""
DIRECTORY = ""
"""The package of what stands in the directory."""
SHIPPED = "postroom"
"""The package of what comes with Postroom."""
_PACKAGE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}\Z")

log = logger("templates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """How a caller names a template."""

    package: str = DIRECTORY
    """Empty: the directory, else the store."""
    name: str
    number: int | None = None
    """Of a stored version; ``None``: the one in use."""

    def __str__(self) -> str:
        head = f"{self.package}:{self.name}" if self.package else self.name
        return head if self.number is None else f"{head}@{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The variant that is meant."""

    compiled: CompiledTemplate
    pin: TemplatePin
    chain: tuple[str, ...]
    """The locales that were tried, in order; the last one is that of the variant."""


@lru_cache(maxsize=1024)
def parse_reference(text: str) -> Reference:
    """Read ``NAME``, ``NAME@VERSION`` or ``PACKAGE:NAME``. Raises InputError."""
    package, colon, rest = text.rpartition(":")
    name, at, number = rest.partition("@")
    is_sound = TEMPLATE_NAME.match(name) is not None
    if colon:
        is_sound = is_sound and not at and _PACKAGE.match(package) is not None
    if at:
        is_sound = is_sound and number.isascii() and number.isdigit() and 0 < len(number) < 10
    if not is_sound:
        raise InputError(
            [
                Problem(
                    code="template-name",
                    field="template",
                    cause=f"{text[:80]!r} is not the name of a template",
                    fix="Write NAME, NAME@VERSION or PACKAGE:NAME; a name has 1 to 64 of a-z, 0-9, _ and -.",
                )
            ]
        )
    return Reference(package=package, name=name, number=int(number) if at else None)


@lru_cache(maxsize=1024)
def locale_chain(locale: str) -> tuple[str, ...]:
    """Return the tags to look for, most special first (RFC 4647 section 3.4). Raises InputError."""
    if not locale:
        return ()
    tag = locale.replace("_", "-")
    if LOCALE_TAG.match(tag) is None:
        raise InputError(
            [
                Problem(
                    code="locale",
                    field="locale",
                    cause=f"{locale[:80]!r} is not a language tag",
                    fix="Write a BCP 47 tag, for example fr or pt-BR.",
                )
            ]
        )
    parts = tag.split("-")
    found = []
    while parts:
        found.append("-".join(parts))
        parts.pop()
        if parts and len(parts[-1]) == 1:  # a singleton introduces what was just left out
            parts.pop()
    return tuple(found)


def chosen(locales: Sequence[str], asked: str) -> tuple[int, tuple[str, ...]]:
    """Return which of these locales is taken, and what was tried; the first one is the default."""
    known = {locale.lower(): index for index, locale in reversed(list(enumerate(locales)))}
    tried: list[str] = []
    for tag in locale_chain(asked):
        tried.append(tag)
        if (index := known.get(tag.lower())) is not None and tag:
            return index, tuple(tried)
    return 0, tuple(tried)


class _Shop:
    """Compiles, and keeps what came of it, good or bad, by content."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._kept: Kept[str, CompiledTemplate | InputError] = Kept(MAX_COMPILED, _size)
        self._running: dict[str, asyncio.Task[CompiledTemplate]] = {}

    async def compiled(self, source: TemplateSource, shelf: Shelf, tag: str) -> CompiledTemplate:
        """Return the compiled form. Raises InputError, OverloadError."""
        key = _digest(source, tag)
        kept = self._kept.find(key)
        if kept is None:
            task = self._running.get(key)
            if task is None:
                task = asyncio.create_task(self._compile(key, source, shelf), name="compile a template")
                self._running[key] = task
                task.add_done_callback(lambda done: self._ended(key, done))
            # One caller that gives up does not take it from the others.
            return await asyncio.shield(task)
        if isinstance(kept, InputError):
            raise InputError(kept.problems)
        return kept

    def _ended(self, key: str, task: asyncio.Task[CompiledTemplate]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # looked at, in case everybody who waited has given up

    async def _compile(self, key: str, source: TemplateSource, shelf: Shelf) -> CompiledTemplate:
        try:
            kept = await self._renderer.compile(source, shelf)
        except InputError as error:
            COMPILED.count(("refused",))
            if _is_lasting(error):
                self._kept.keep(key, error)
            raise
        COMPILED.count(("good",))
        self._kept.keep(key, kept)
        return kept


@dataclass(slots=True, kw_only=True, eq=False)
class _Place:
    """A directory or a package, with what its variants compiled to."""

    package: str
    collections: Collections
    seen: Collection | None = None
    tag: str = ""
    """Digest of the shelf of ``seen``."""
    ready: dict[tuple[str, str], CompiledTemplate] = field(default_factory=dict)
    """What is in use, by name and locale, as of ``seen``."""
    good: dict[tuple[str, str], CompiledTemplate] = field(default_factory=dict)
    """The last that compiled."""
    broken: dict[tuple[str, str], InputError] = field(default_factory=dict)
    """Why a variant is not what its source says."""
    told: dict[str, str] = field(default_factory=dict)
    """Troubles that were logged, by what they are about."""

    async def look(self) -> Collection:
        now = await self.collections.look()
        if now is not self.seen:
            self.seen = now
            self.tag = _shelf_digest(now.shelf)
            self.ready = {}
            self.broken = {}
            there = {(name, source.locale) for name, sources in now.sources.items() for source in sources}
            self.good = {key: one for key, one in self.good.items() if key in there}
            files = {finding.file for finding in now.findings}
            known = {f"{name}.{locale}" for name, locale in there}
            self.told = {what: told for what, told in self.told.items() if what in files or what in known}
            for finding in now.findings:
                self.tell(finding.file, f"{finding.file}: {finding.cause}")
        return now

    def tell(self, what: str, trouble: str) -> None:
        """Log a trouble once, and again when it has changed or was mended meanwhile."""
        if self.told.get(what) != trouble and (what in self.told or len(self.told) < MAX_TOLD):
            self.told[what] = trouble
            log.warning("a template is not used as it stands", package=self.package, trouble=trouble[:500])


class Catalogue:
    """Finds templates."""

    def __init__(
        self,
        *,
        renderer: Renderer,
        records: TemplateRecords,
        places: Mapping[str, Collections],
    ) -> None:
        """Take who compiles, the stored templates, and the places by package (``""`` is the directory)."""
        self._shop = _Shop(renderer)
        self._records = records
        self._places = {
            package: _Place(package=package, collections=collections)
            for package, collections in places.items()
        }
        self._stored: Kept[tuple[TenantId, str], TemplateVersion] = Kept(MAX_STORED, _version_size)
        self._names: Kept[TenantId, tuple[str, ...]] = Kept(MAX_NAMES, len)
        self._changes = 0
        """Counts changes of stored templates: what was read before one may be what it was before."""

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is known not to be used as it stands, without looking again."""
        return tuple(
            f"template {trouble}" for place in self._places.values() for trouble in place.told.values()
        )

    @property
    def packages(self) -> tuple[str, ...]:
        """The places, in the order of the settings."""
        return tuple(self._places)

    async def find(self, reference: Reference, locale: str, tenant: TenantId) -> Found:
        """Return the variant that is meant.

        Raises NotFoundError: there is none, or not for this tenant; InputError: the locale is no tag, or the
        source has never compiled; OverloadError.
        """
        place = self._places.get(reference.package)
        if place is not None and reference.number is None:
            collection = await place.look()
            sources = collection.sources.get(reference.name)
            if sources is not None:
                return await self._of_place(place, reference, sources, locale)
        if not reference.package:
            version = await self.version(reference.name, reference.number, tenant)
            if version is not None:
                return of_version(version, locale)
        raise NotFoundError(f"there is no template {str(reference)!r}")

    async def version(self, name: str, number: int | None, tenant: TenantId) -> TemplateVersion | None:
        """Return a stored version, without a number the one in use."""
        if number is not None:
            return await self._records.one(tenant, name, number)
        kept = self._stored.find((tenant, name))
        if kept is not None:
            return kept
        changes = self._changes
        version = await self._records.one(tenant, name)
        if version is not None and changes == self._changes:
            self._stored.keep((tenant, name), version)
        return version

    async def names(self, tenant: TenantId) -> Sequence[str]:
        """Return what this tenant may write as a reference, without compiling anything."""
        names = [*await self._stored_names(tenant)]
        for package, place in self._places.items():
            sources = (await place.look()).sources
            names += [str(Reference(package=package, name=name)) for name in sorted(sources)]
        return names

    async def _stored_names(self, tenant: TenantId) -> tuple[str, ...]:
        kept = self._names.find(tenant)
        if kept is not None:
            return kept
        changes = self._changes
        names = tuple(version.name for version in await self._records.names(tenant))
        if changes == self._changes:
            self._names.keep(tenant, names)
        return names

    def forget(self, name: str, tenant: TenantId) -> None:
        """Read a stored template again: it was changed."""
        self._changes += 1
        self._stored.drop((tenant, name))
        self._names.drop(tenant)

    async def shelf(self, package: str = DIRECTORY) -> tuple[Shelf, str]:
        """Return what a place keeps for all its templates, and its digest."""
        place = self._places.get(package)
        if place is None:
            return Shelf(), ""
        return (await place.look()).shelf, place.tag

    async def compiled(self, source: TemplateSource) -> CompiledTemplate:
        """Compile a source with the directory's components. Raises InputError, OverloadError."""
        shelf, tag = await self.shelf()
        return await self._shop.compiled(source, shelf, tag)

    async def has(self, name: str) -> bool:
        """Say whether the directory has a template of this name."""
        place = self._places.get(DIRECTORY)
        return place is not None and name in (await place.look()).sources

    async def of_package(
        self, package: str, *, is_wanted: Callable[[int], bool] = lambda _: True
    ) -> Sequence["InPlace"]:
        """Return every template of a place, compiled as far as that goes. Raises OverloadError.

        ``is_wanted`` says whether to wait for a variant that nobody has used yet, by its number.
        """
        place = self._places[package]
        sources = (await place.look()).sources
        return [await self._in_place(place, name, sources[name], is_wanted) for name in sorted(sources)]

    async def in_place(self, reference: Reference) -> "InPlace | None":
        """Return one template of a place. Raises OverloadError."""
        place = self._places.get(reference.package)
        if place is None or reference.number is not None:
            return None
        sources = (await place.look()).sources.get(reference.name)
        return (
            None if sources is None else await self._in_place(place, reference.name, sources, lambda _: True)
        )

    async def junk(self, package: str) -> tuple[Finding, ...]:
        """Return what a place holds that is not used."""
        return (await self._places[package].look()).findings

    async def _in_place(
        self, place: _Place, name: str, sources: Sequence[TemplateSource], is_wanted: Callable[[int], bool]
    ) -> "InPlace":
        compiled: list[CompiledTemplate] = []
        locales: list[str] = []
        findings: list[Finding] = []
        for index, source in enumerate(sources):
            if (name, source.locale) not in place.ready and not is_wanted(index):
                locales.append(source.locale)
                continue
            try:
                found = await self._variant(place, name, source)
            except InputError as error:
                findings += _as_findings(error, source)
                continue
            compiled.append(found)
            locales.append(found.locale)
            findings += found.findings
            if (error_now := place.broken.get((name, source.locale))) is not None:
                findings += _as_findings(error_now, source)
        return InPlace(
            reference=Reference(package=place.package, name=name),
            sources=tuple(sources),
            compiled=tuple(compiled),
            locales=() if "" in locales else tuple(locales),
            findings=tuple(findings),
        )

    async def _of_place(
        self, place: _Place, reference: Reference, sources: Sequence[TemplateSource], locale: str
    ) -> Found:
        index, tried = chosen([source.locale for source in sources], locale)
        compiled = await self._variant(place, reference.name, sources[index])
        return _found(compiled, reference, compiled.digest[:12], tried)

    async def _variant(self, place: _Place, name: str, source: TemplateSource) -> CompiledTemplate:
        key = (name, source.locale)
        ready = place.ready.get(key)
        if ready is not None:
            return ready
        seen, tag = place.seen, place.tag
        try:
            compiled = await self._shop.compiled(source, seen.shelf if seen else Shelf(), tag)
        except InputError as error:
            good = place.good.get(key)
            place.tell(".".join(key), str(error))
            if good is None:
                raise
            if seen is place.seen:
                place.broken[key] = error
            if not _is_lasting(error):
                return good
            compiled = good
        else:
            place.broken.pop(key, None)
            place.told.pop(".".join(key), None)
        if seen is place.seen:
            place.ready[key] = place.good[key] = compiled
        return compiled


@dataclass(frozen=True, slots=True, kw_only=True)
class InPlace:
    """One template of a directory or a package."""

    reference: Reference
    sources: tuple[TemplateSource, ...]
    """The first is the default variant."""
    compiled: tuple[CompiledTemplate, ...]
    """What is in use, in the same order; a variant that has never compiled is left out."""
    locales: tuple[str, ...]
    """Of what is in use or may be; empty while that of the default variant is not known."""
    findings: tuple[Finding, ...]
    """An error among them: what is in use is not what the source says."""


def of_version(version: TemplateVersion, locale: str) -> Found:
    """Return the variant of a stored version that is meant. Raises InputError."""
    locales = list(version.variants)
    index, tried = chosen(locales, locale)
    compiled = version.variants[locales[index]].compiled
    return _found(compiled, Reference(name=version.name), str(version.number), tried)


def _found(compiled: CompiledTemplate, reference: Reference, version: str, tried: tuple[str, ...]) -> Found:
    if not tried or tried[-1].lower() != compiled.locale.lower():
        tried = (*tried, compiled.locale)
    return Found(
        compiled=compiled,
        pin=TemplatePin(name=str(reference), version=version, locale=compiled.locale),
        chain=tried,
    )


def _is_lasting(error: InputError) -> bool:
    """Say whether it is about a place in the source; a busy machine may cross a bound of time once."""
    return all(":" in problem.field for problem in error.problems)


def _as_findings(error: InputError, source: TemplateSource) -> list[Finding]:
    """Return what the compiler said; its fields are ``FILE:LINE``."""
    found = []
    for problem in error.problems:
        file, _, line = problem.field.rpartition(":")
        found.append(
            Finding(
                code=problem.code,
                severity=Severity.ERROR,
                file=file or source.file or source.name,
                line=int(line) if line.isdigit() else 0,
                cause=problem.cause,
                fix=problem.fix,
            )
        )
    return found


def _size(kept: CompiledTemplate | InputError) -> int:
    """Return the characters of a compiled source; what could not be compiled weighs something too."""
    if isinstance(kept, InputError):
        return sum(1000 + len(problem.cause) for problem in kept.problems)
    return len(kept.html) + len(kept.text) + 1000


def _version_size(version: TemplateVersion) -> int:
    return sum(_size(one.compiled) + len(one.source.text) for one in version.variants.values())


def _digest(source: TemplateSource, tag: str) -> str:
    parts: Any = [source.name, source.locale, source.form, source.text, source.text_part, source.file, tag]
    return hashlib.sha256(to_json(parts)).hexdigest()


def _shelf_digest(shelf: Shelf) -> str:
    return hashlib.sha256(
        to_json([dict(shelf.components), dict(shelf.styles), dict(shelf.theme)])
    ).hexdigest()

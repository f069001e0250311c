"""Templates of a run: the places they are in, and who compiles and renders them."""

import asyncio
import logging

from postroom.bootstrap.seeing import begin_log
from postroom.clock import Clock, SystemClock
from postroom.config.settings import Settings, TemplateSettings
from postroom.engine.catalogue import DIRECTORY, SHIPPED, Catalogue
from postroom.engine.templates import Templating
from postroom.errors import OverloadError
from postroom.model.template import Finding
from postroom.ports import Collections, Renderer, TemplateRecords
from postroom.renderer.directory import Directory
from postroom.renderer.packages import Package
from postroom.renderer.pool import PoolSettings, RendererPool
from postroom.renderer.shipped import Shipped
from postroom.spool.memory.templates import MemoryTemplates

CHECK_S = 5.0
"""How long a start waits for the look at the templates, to tell what is wrong with them; the look goes on."""


def renderer_of(settings: TemplateSettings, *, clock: Clock) -> RendererPool:
    """Return who compiles and renders; no process is started before it is needed."""
    return RendererPool(
        PoolSettings(
            workers=settings.workers,
            time_limit_s=settings.time_limit_s,
            memory_bytes=settings.memory_bytes,
        ),
        clock=clock,
    )


def templating_of(
    settings: TemplateSettings, renderer: Renderer, records: TemplateRecords, *, clock: Clock
) -> Templating:
    """Return what the doors use."""
    return Templating(
        catalogue=Catalogue(renderer=renderer, records=records, places=places_of(settings, clock=clock)),
        records=records,
        renderer=renderer,
        clock=clock,
        names=settings.globals,
    )


def places_of(settings: TemplateSettings, *, clock: Clock) -> dict[str, Collections]:
    """Return every place that is searched, by the name before the colon."""
    directory = None if settings.directory is None else Directory(settings.directory, clock=clock)
    places: dict[str, Collections] = {} if directory is None else {DIRECTORY: directory}
    places |= {name: Package(folder) for name, folder in settings.packages.items()}
    return {**places, SHIPPED: Shipped(directory)}


def checked_alone(settings: Settings) -> tuple[str, ...]:
    """Return what is wrong with the templates of a directory, looked at without a server."""
    begin_log(settings, level=logging.CRITICAL)  # what is wrong is in the answer

    async def check() -> tuple[str, ...]:
        clock, section = SystemClock(), settings.templates
        renderer = renderer_of(section, clock=clock)
        try:
            return await troubles(templating_of(section, renderer, MemoryTemplates(), clock=clock))
        finally:
            await renderer.close()

    return () if settings.templates.directory is None else asyncio.run(check())


async def troubles(templating: Templating) -> tuple[str, ...]:
    """Compile what is in the directory, if there is one; return what is wrong, in sentences."""
    try:
        return tuple(map(sentence, await templating.check()))
    except OverloadError as error:
        return (f"the templates could not be looked at: {error}",)


async def troubles_at_start(looking: asyncio.Task[tuple[str, ...]]) -> tuple[str, ...]:
    """Wait a while for ``troubles``; what it finds later stands in the log and in the status."""
    await asyncio.wait({looking}, timeout=CHECK_S)
    return looking.result() if looking.done() else ("the templates are still being looked at",)


def sentence(finding: Finding) -> str:
    """Return a finding on one line."""
    line = f":{finding.line}" if finding.line else ""
    return f"template {finding.file}{line}: {finding.cause}"

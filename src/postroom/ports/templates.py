"""Rendering, and the templates that are stored."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from postroom.model.ids import TenantId
from postroom.model.template import (
    Collection,
    CompiledTemplate,
    Finding,
    Rendered,
    Shelf,
    TemplateSource,
    TemplateVersion,
)


class Renderer(Protocol):
    """Compiles and renders, with bounds on time, memory, size and loops, beside the event loop."""

    async def compile(self, source: TemplateSource, shelf: Shelf) -> CompiledTemplate:
        """Compile one source. Raises InputError with every error found (``field``: ``file:line``)."""
        ...

    async def check(
        self,
        sources: Sequence[TemplateSource],
        shelf: Shelf,
        *,
        names: Mapping[str, Any],
        at: datetime,
        clients: Sequence[str] = (),
    ) -> Sequence[Finding]:
        """Say what is to be said about the variants of one template, the default first.

        They are compiled, and rendered with their examples. ``clients`` are the mail programs to ask about,
        by their names in the data; none: the usual ones. Raises InputError: a bound is crossed, a mail
        program is not known; OverloadError.
        """
        ...

    async def render(
        self,
        template: CompiledTemplate,
        variables: Mapping[str, Any],
        *,
        names: Mapping[str, Any],
        at: datetime,
    ) -> Rendered:
        """Render one mail from plain JSON values; ``names`` are the globals, ``at`` gives the year.

        Raises InputError: every missing variable (``field``: ``variables.NAME``, code ``variable-missing``),
        an expression that fails, a bound that is crossed. Raises OverloadError when no worker can be had.
        """
        ...


class Collections(Protocol):
    """A place with templates that others write: a directory, an installed package."""

    async def look(self) -> Collection:
        """Return what is there: the very same object as before while nothing has changed. Never raises."""
        ...


class TemplateRecords(Protocol):
    """Stored templates, per tenant."""

    async def add(self, version: TemplateVersion) -> int:
        """Store a version and return the number it got; its own ``number`` is ignored.

        A number is never used again, not even when a removed template is stored anew. Of more versions than
        are kept the oldest go, never the one in use. Raises TooLargeError: the tenant
        has too many templates.
        """
        ...

    async def names(self, tenant: TenantId) -> Sequence[TemplateVersion]:
        """Return, by name, the version in use of every template, else its newest draft; texts are empty."""
        ...

    async def one(self, tenant: TenantId, name: str, number: int | None = None) -> TemplateVersion | None:
        """Return a version; without a number the one that was published last."""
        ...

    async def versions(self, tenant: TenantId, name: str) -> Sequence[TemplateVersion]:
        """Return every version of a template, newest first; texts are empty."""
        ...

    async def publish(self, tenant: TenantId, name: str, number: int, *, at: datetime) -> bool:
        """Make a version the one in use; ``False`` when there is none."""
        ...

    async def remove(self, tenant: TenantId, name: str) -> bool:
        """Remove a template with all versions; ``False`` when there is none. Messages keep what they are."""
        ...

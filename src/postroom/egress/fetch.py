"""Fetching a file that a mail names by URL: through the egress guard, and bounded in time and bytes.

The HTTP itself is ``egress.fetch_calls``, loaded at the first file: with the authorities it trusts it costs a
tenth of a start, and most servers never need it.
"""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from postroom.model.outcome import Fault, FaultKind
from postroom.net.destination import DestinationError, parse_url
from postroom.net.guard import Guard
from postroom.policy.fetching import REFUSED
from postroom.ports import Download, StagedBlob

if TYPE_CHECKING:
    from postroom.egress.fetch_calls import FetchCalls

MAX_URL = 8192
"""Characters (security limit): links that object stores sign with a session token pass 2,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRules:
    """How files are fetched."""

    timeout_s: float = 120.0
    """For one file, redirects included."""
    max_redirects: int = 0
    """Each one passes the guard again."""
    ca_file: str | None = None
    """PEM file of authorities that are trusted besides the system's."""


@dataclass(slots=True, kw_only=True, eq=False)
class GuardedFetcher:
    """The port ``Fetcher``. ``stop`` closes what is idle."""

    guard: Guard
    rules: FetchRules = field(default_factory=FetchRules)
    _calls: "FetchCalls | None" = None
    _loading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def fetch(self, url: str, *, into: StagedBlob, max_bytes: int) -> Download:
        """Fetch a file into a staged blob."""
        try:
            destination = parse_url(url, most=MAX_URL)
        except DestinationError as error:
            return Download(fault=Fault(kind=FaultKind.LOCAL, text=str(error), cause=REFUSED))
        calls = self._calls or await self._loaded()
        return await calls.fetch(destination, into=into, max_bytes=max_bytes)

    async def _loaded(self) -> "FetchCalls":
        async with self._loading:
            if self._calls is None:
                self._calls = await asyncio.to_thread(self._load)
            return self._calls

    def _load(self) -> "FetchCalls":
        from postroom.egress.fetch_calls import FetchCalls  # noqa: PLC0415 - see above

        return FetchCalls(self.guard, self.rules)

    async def stop(self) -> None:
        """Close every connection."""
        if self._calls is not None:
            await self._calls.stop()

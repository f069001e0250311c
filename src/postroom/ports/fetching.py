"""Files that a mail names by URL: fetched into a staged blob, or the fact of why not."""

from dataclasses import dataclass
from typing import Protocol

from postroom.model.outcome import Fault
from postroom.ports.stores import StagedBlob


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """What came of fetching one file."""

    fault: Fault | None = None
    """Why the file is not there; ``None``: the staged blob holds all of it. Names no more of the URL than its
    host, because the rest may be a credential."""
    content_type: str = ""
    """As the file server said: ``type/subtype`` in lower case, empty without one."""
    host: str = ""
    port: int = 0


class Fetcher(Protocol):
    """The way to a file server. Each call makes at most a few requests, within a time of its own."""

    async def fetch(self, url: str, *, into: StagedBlob, max_bytes: int) -> Download:
        """Fetch a file into a staged blob, which the caller commits or discards.

        Never raises for what a peer does; raises what ``StagedBlob.write`` raises.
        """
        ...

"""One POST to a URL that a caller supplied: through the egress guard, and bounded in every direction.

A status that came counts even when the rest of the answer does not come in time. The HTTP itself is
``egress.calls``, loaded at the first post: with the authorities it trusts it costs a tenth of a start, and
most servers never need it.
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from postroom.clock import Clock
from postroom.net.destination import DestinationError, parse_url
from postroom.net.guard import Guard
from postroom.policy.hooking import retry_after_s
from postroom.ports import HookAnswer

if TYPE_CHECKING:
    from postroom.egress.calls import Calls


class GuardedPoster:
    """The port ``HookPoster``. ``stop`` closes what is idle."""

    def __init__(self, guard: Guard, *, clock: Clock, ca_file: str | None = None) -> None:
        """Take the guard; ``ca_file`` is a PEM file of authorities to trust instead of the system's."""
        self._guard = guard
        self._clock = clock
        self._ca_file = ca_file
        self._calls: Calls | None = None
        self._loading = asyncio.Lock()

    def problem_with(self, url: str) -> str:
        """Return why this URL may never be called, ``""`` when it may."""
        return self._guard.problem_with(url)

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> HookAnswer:
        """Make one POST and return what it brought."""
        try:
            destination = parse_url(url)
        except DestinationError as error:
            return HookAnswer(status=None, text=str(error), retry_after_s=None, duration_ms=0)
        calls = self._calls or await self._loaded()
        begun = self._clock.monotonic()
        answer = await calls.post(destination, headers=headers, body=body, timeout_s=timeout_s)
        return HookAnswer(
            status=answer.status,
            text=answer.text,
            retry_after_s=retry_after_s(answer.fields.get(b"retry-after", ""), self._clock.now()),
            duration_ms=round((self._clock.monotonic() - begun) * 1000),
        )

    async def _loaded(self) -> "Calls":
        async with self._loading:
            if self._calls is None:
                self._calls = await asyncio.to_thread(self._load)
            return self._calls

    def _load(self) -> "Calls":
        from postroom.egress.calls import Calls  # noqa: PLC0415 - see above

        return Calls(self._guard, ca_file=self._ca_file)

    async def stop(self) -> None:
        """Close every connection."""
        if self._calls is not None:
            await self._calls.stop()

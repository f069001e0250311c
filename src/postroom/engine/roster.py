"""The lines at work, and how a way out comes, is replaced and goes while mail is on its way.

Rules:

* A line that leaves claims nothing more. Attempts past their dot get their reply, all others go back, and
  what went back or came meanwhile is for the line that took its place, or for the way that inherits it.
* A way in the place of another of its name begins without what that one waited for and a person may have
  mended; what its server asked for stays while it is the same account.
* What waits for a way that is gone is given away as it is at a start: uncertain mail waits for a person then.
* A guest comes and goes without all that: it takes no other's place, has no heir, and leaves when nothing
  waits.
* A process that dies in between is healed by the next start, which gives away what waits for nobody.

Not here: who may change a way, and where it is recorded (``engine.accounts``).
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from postroom.clock import Clock
from postroom.engine.health import Health
from postroom.engine.lines import Line
from postroom.engine.ways import Way, Ways
from postroom.errors import DiskFullError, OverloadError, StoreError, UnknownOutcomeError
from postroom.ports import Spool
from postroom.telemetry import logger

PART_GRACE_S = 3600.0
"""How long attempts past their dot may wait for the reply of a server that is left: nothing hurries them, and
one that is cut may make a second copy. A server's own patience ends long before; a stop shortens this."""
AGAIN_S = 5.0
"""What could not be given away now, for want of room in the store, is tried again after this."""

log = logger("roster")


class Roster:
    """Every line, by the name of its way."""

    def __init__(
        self,
        *,
        ways: Ways,
        spool: Spool,
        health: Health,
        clock: Clock,
        serve: Callable[[Line], Coroutine[Any, Any, None]],
        fatal: Callable[[BaseException], None],
    ) -> None:
        """Take the parts; ``serve`` works a line until it leaves, ``fatal`` is told that the store failed."""
        self._ways = ways
        self._spool = spool
        self._health = health
        self._clock = clock
        self._serve = serve
        self._fatal = fatal
        self._lines = {way.name: Line(way) for way in ways}
        self._servers: dict[Line, asyncio.Task[None]] = {}
        """Every line that was begun and has not ended."""
        self._heirs: dict[str, str] = {}
        """Who gets what waits for a name that is gone."""
        self._errands: set[asyncio.Task[None]] = set()
        self._is_ended = False

    def __iter__(self) -> Iterator[Line]:
        return iter(tuple(self._lines.values()))

    def named(self, name: str) -> Line | None:
        """Return the line of a way that is not leaving."""
        return self._lines.get(name)

    # ------------------------------------------------------------------ the whole

    def start(self) -> None:
        """Let every line work."""
        for line in self:
            self._begin(line)

    async def stop(self, *, grace_s: float) -> None:
        """Let every line leave, and wait for that; attempts past their dot may take ``grace_s``."""
        self._is_ended = True
        for line in self._servers:
            line.leave()
        await self.cut(grace_s=grace_s)
        await asyncio.gather(*self._servers.values(), *(line.gone() for line in self._servers))
        await asyncio.gather(*self._errands)

    async def cut(self, *, grace_s: float) -> None:
        """Stop every transport; called again it shortens the patience of the first call."""
        await asyncio.gather(*(line.way.transport.stop(grace_s=grace_s) for line in list(self._servers)))

    # ------------------------------------------------------------------ changes

    async def join(self, way: Way) -> None:
        """Let a way work: a new one, last of all, or one in the place of that of its name.

        When the store has no room or no time for it, the old one goes on and the error is passed on.
        """
        old = self._lines.get(way.name)
        await self._health.take_over(way, None if old is None else old.way)
        if self._is_ended:  # the next start makes it of its record
            await way.transport.stop(grace_s=0)
            return
        way.transport.allow(way.concurrency.level)
        self._heirs.pop(way.name, None)
        self._ways.put(way)
        line = self._lines[way.name] = Line(way)
        self._begin(line)
        if old is not None:
            old.leave()
            self._send_off(old)
            await self._hurry(line)
        self._health.changed()

    async def leave(self, name: str, *, to: str) -> int:
        """Let a way go whose mail waits for ``to`` from now on; return how many groups of recipients moved.

        Attempts that are under way end later; what is left of them moves then.
        """
        line = self._lines.pop(name)
        self._ways.remove(name)
        line.leave()
        self._heirs[name] = to
        self._send_off(line)
        self._health.changed()
        try:
            moved = await self._spool.reroute(known=self._ways.names, to=to)
        except (OverloadError, DiskFullError) as error:  # whoever sees the line off comes back to it
            log.warning("nothing given away yet", transport=name, to=to, error=str(error))
            return 0
        self._wake(to)
        return moved

    def admit(self, guest: Way) -> None:
        """Let a guest work."""
        guest.transport.allow(guest.concurrency.level)
        self._ways.admit(guest)
        line = self._lines[guest.name] = Line(guest)
        self._begin(line)

    async def dismiss(self, name: str) -> None:
        """Let a guest go for which nothing waits, and wait until its connections are closed."""
        line = self._lines.pop(name)
        self._ways.dismiss(name)
        line.leave()
        server = self._servers[line]
        await line.way.transport.stop(grace_s=0)
        await asyncio.wait({server})  # who is told to stop waiting does not end the line
        await line.gone()
        self._servers.pop(line, None)

    def give_away(self, name: str) -> None:
        """Say that something was stored for a way that went meanwhile."""
        self._run(self._give_away(name))

    # ------------------------------------------------------------------ parts

    def _begin(self, line: Line) -> None:
        task = asyncio.create_task(self._serve(line), name=f"line {line.way.name}")
        self._servers[line] = task

    async def _hurry(self, line: Line) -> None:
        """Let what was queued until the end of a pause be due now."""
        try:
            await self._spool.hurry(line.way.name, now=self._clock.now())
        except (OverloadError, DiskFullError) as error:
            log.warning("what waits is tried later", transport=line.way.name, error=str(error))
        self._wake(line.way.name)

    def _send_off(self, line: Line) -> None:
        self._run(self._see_off(line))

    def _run(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._supervised(errand), name="roster errand")
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _supervised(self, errand: Coroutine[Any, Any, None]) -> None:
        try:
            await errand
        except (StoreError, UnknownOutcomeError) as error:
            self._fatal(error)

    async def _see_off(self, line: Line) -> None:
        """Wait until a line has left, then pass on what it gave back."""
        name = line.way.name
        await line.way.transport.stop(grace_s=PART_GRACE_S)
        await asyncio.gather(self._servers[line], line.gone())
        if self._is_ended:
            return
        del self._servers[line]
        if name in self._lines:
            self._wake(name)
        else:
            await self._give_away(name)

    async def _give_away(self, name: str) -> None:
        heir = self._heir(name)
        while not self._is_ended:
            try:
                moved = await self._spool.reroute(known=self._ways.names, to=heir)
            except (OverloadError, DiskFullError) as error:
                log.warning("nothing given away", transport=name, error=str(error))
                await self._clock.sleep(AGAIN_S)
                continue
            if moved:
                log.info("given away", transport=name, to=heir, groups=moved)
                self._wake(heir)
            return

    def _heir(self, name: str) -> str:
        """Return who inherits from a name that is gone; an heir that went has heirs of its own."""
        seen = set()
        while name not in self._lines and name in self._heirs and name not in seen:
            seen.add(name)
            name = self._heirs[name]
        return name if name in self._lines else self._ways.default.name

    def _wake(self, name: str) -> None:
        if (line := self._lines.get(name)) is not None:
            line.looked = False  # what is due first may be something that never waited here
            line.note_stray()
            line.wake.set()

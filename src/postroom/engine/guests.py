"""Guests: accounts that callers bring for their own mail, at work only as long as that mail waits.

A guest is one credential of one tenant: the same server with the same user and another password is another
guest with connections of its own, so nobody ever sends over a connection that somebody else logged in.

Rules:

* The account is stored, its password sealed, in the transaction that stores the mail, and deleted when
  nothing waits for it: looked at after each of its attempts, and all of them every ``LOOK_S``, because mail
  also ends by being cancelled or by its age.
* A guest is at work before its mail is stored, and stays while anybody hands in mail for it.
* A start takes in what the store has. Mail whose account is gone (somebody asked to try it again after its
  end) is refused by name, never sent by another account.
* A guest for which nothing has waited for ``IDLE_S`` leaves, and its password leaves the memory.
* There are at most ``max_guests``; whoever comes then is told to come back.

Not here: who may bring an account, and where it may lead (``ingress``, ``net.guard``).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from postroom.clock import Clock, Dice
from postroom.engine.roster import Roster
from postroom.engine.ways import Way
from postroom.errors import ConfigError, DiskFullError, OverloadError, StoreError, UnknownOutcomeError
from postroom.model.guest import GONE, GUEST, TAG_BYTES, Guest, StoredGuest, guest_name
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.transport import SmtpAccount, TlsMode
from postroom.ports import GuestRecords
from postroom.telemetry import logger

LOOK_S = 15.0
"""What was cancelled or has expired lets its account go within this."""
IDLE_S = 60.0
"""A program that sends again within this finds its connections."""
MAX_GUESTS = 1000
"""Security limit: each has a queue of its own, and connections while it sends."""
BUSY_S = 10.0
"""When to come back: guests that only idle leave sooner than that one by one."""

log = logger("guests")

Build = Callable[[StoredGuest], Awaitable[Way]]


@dataclass(slots=True, kw_only=True, eq=False)
class _Stay:
    """One guest at work."""

    record: StoredGuest
    visits: int = 0
    """Submissions that are being stored for it."""
    arrivals: int = 0
    """Submissions ever: a look that was overtaken by one says nothing."""
    idle_since: float | None = None
    """Monotonic seconds since which nothing has waited for it."""


class Guests:
    """Every guest at work. ``start`` once, ``stop`` before the roster stops."""

    def __init__(
        self,
        *,
        records: GuestRecords,
        roster: Roster,
        build: Build,
        forget: Callable[[StoredGuest], None],
        clock: Clock,
        dice: Dice,
        fatal: Callable[[BaseException], None],
        max_guests: int = MAX_GUESTS,
    ) -> None:
        """Take the parts.

        ``build`` makes a way that works once it is admitted and raises ConfigError, ``forget`` is told that
        a password is needed no more, ``fatal`` that the store failed.
        """
        self._records = records
        self._roster = roster
        self._build = build
        self._forget = forget
        self._clock = clock
        self._dice = dice
        self._fatal = fatal
        self._max_guests = max_guests
        self._stays: dict[str, _Stay] = {}
        self._names: dict[Guest, str] = {}
        self._lock = asyncio.Lock()
        self._ended: set[str] = set()
        """Names with an attempt that ended since the last look."""
        self._is_capturing = False
        self._looked_at = clock.monotonic()
        self._wake = asyncio.Event()
        self._errands: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return how many are at work."""
        return len(self._stays)

    # ------------------------------------------------------------------ the whole

    async def start(self, *, is_capturing: bool = False) -> None:
        """Take in what the store has and begin to look after them.

        While nothing may leave the machine what waits goes on waiting.
        """
        self._is_capturing = is_capturing
        records = await self._records.all()
        ended = await self._records.end([record.name for record in records])
        for record in records:
            if record.name not in ended and not is_capturing:
                await self._admit(record)
        if is_capturing and (awaited := await self._records.awaited()):
            log.warning("mail of callers' own accounts waits: everything is captured", accounts=len(awaited))
        await self._seek()
        self._keeper = asyncio.create_task(self._keep(), name="guests")

    async def stop(self) -> None:
        """Look no more; whoever is at work goes on until the roster stops."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        await asyncio.gather(*self._errands)

    # ------------------------------------------------------------------ coming

    @asynccontextmanager
    async def hosted(self, guest: Guest) -> AsyncIterator[StoredGuest]:
        """Let an account work until the end of the context; see ``Hosting``."""
        async with self._lock:
            stay = await self._stay(guest)
            stay.visits += 1
            stay.arrivals += 1
            stay.idle_since = None
        try:
            yield stay.record
        finally:
            stay.visits -= 1
            self.note(stay.record.name)

    async def _stay(self, guest: Guest) -> _Stay:
        name = self._names.get(guest)
        if name is not None:
            return self._stays[name]
        if len(self._stays) >= self._max_guests:
            text = f"{len(self._stays)} accounts of callers are at work, as many as may be"
            raise OverloadError(text, retry_after_s=BUSY_S)
        name = guest_name(guest.account, self._dice.token(TAG_BYTES))
        record = StoredGuest(name=name, guest=guest, created_at=self._clock.now())
        return await self._admit(record)

    async def _admit(self, record: StoredGuest) -> _Stay:
        way = await self._build(record)
        self._roster.admit(way)
        stay = self._stays[record.name] = _Stay(record=record)
        if not record.problem:
            self._names[record.guest] = record.name
        return stay

    def seek(self) -> None:
        """Say that something may wait for guests that are not at work."""
        self._run(self._seek())

    async def _seek(self) -> None:
        if not self._is_capturing:
            for name in await self._records.awaited():
                await self._recall(name)

    def recall(self, name: str) -> None:
        """Say that something waits for a guest that is not at work."""
        self._run(self._recall(name))

    async def _recall(self, name: str) -> None:
        async with self._lock:
            if name not in self._stays:
                await self._admit(_gone(name, self._clock.now()))
                log.warning("mail waits for an account that is forgotten", transport=name)

    # ------------------------------------------------------------------ going

    def note(self, name: str) -> None:
        """Say that an attempt or a visit ended: perhaps nothing waits for this guest any more."""
        self._ended.add(name)
        self._wake.set()

    async def _keep(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
                    self._wake.clear()
            try:
                await self.look()
            except (StoreError, UnknownOutcomeError) as error:
                self._fatal(error)
                return

    async def look(self) -> None:
        """End what nothing waits for; let go who has long been idle. Raises what ends the process."""
        now = self._clock.monotonic()
        names, self._ended = self._ended, set()
        if now - self._looked_at >= LOOK_S:
            self._looked_at, names = now, set(self._stays)
        looked = {name: stay.arrivals for name in names if (stay := self._stays.get(name)) is not None}
        if not looked:
            return
        try:
            ended = set(await self._records.end(sorted(looked)))
        except (OverloadError, DiskFullError) as error:
            log.warning("accounts of callers are looked at later", error=str(error))
            self._ended |= names
            return
        for name, arrivals in looked.items():
            stay = self._stays[name]
            if name not in ended or stay.visits or stay.arrivals != arrivals:
                stay.idle_since = None
            elif stay.idle_since is None:
                stay.idle_since = now
            elif now - stay.idle_since >= IDLE_S:
                await self._leave(name, stay)

    async def _leave(self, name: str, stay: _Stay) -> None:
        async with self._lock:
            if stay.visits or stay.idle_since is None:
                return
            del self._stays[name]
            if self._names.get(stay.record.guest) == name:
                del self._names[stay.record.guest]
            self._forget(stay.record)
        self._run(self._roster.dismiss(name))

    def _run(self, errand: Awaitable[None]) -> None:
        task = asyncio.ensure_future(self._supervised(errand))
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _supervised(self, errand: Awaitable[None]) -> None:
        try:
            await errand
        except (StoreError, UnknownOutcomeError, ConfigError) as error:
            self._fatal(error)


def _gone(name: str, now: datetime) -> StoredGuest:
    """Return what stands in for an account that is forgotten: whatever is sent by it is refused by name."""
    host, _, port = name.removeprefix(GUEST).rpartition(":")[0].rpartition(":")
    account = SmtpAccount(host=host, port=int(port or 0), tls=TlsMode.STARTTLS)
    guest = Guest(tenant=DEFAULT_TENANT, account=account)
    return StoredGuest(name=name, guest=guest, created_at=now, problem=GONE)

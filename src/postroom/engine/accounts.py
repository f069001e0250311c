"""Transports that calls make, change and remove while mail flows: recorded first, then at work.

Rules:

* One change at a time, and a whole one: a caller that goes away does not stop it half-way.
* The record is on stable storage before its way works. A process that dies in between is healed by the next
  start, which makes a way of every record.
* What the settings configure is not changed here, and its names are not for records.
* While everything is captured on demand records are kept and unused.
* Every change is an event with its author; no event has a secret.

Not here: what the fields of a record mean (``schema``), how a way is made of them (``bootstrap``).
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar

from postroom.clock import Clock
from postroom.engine.roster import Roster
from postroom.engine.ways import Way, Ways
from postroom.errors import ConflictError, NotFoundError, OperatorError, Problem
from postroom.model.address import Mailbox
from postroom.model.event import EventKind, NewEvent
from postroom.model.secret import Secret
from postroom.model.transport import StoredTransport, TransportKind, TransportOrigin, TransportSpec
from postroom.ports import Events, Spool
from postroom.ports.stores import TransportRecords
from postroom.telemetry import logger

GRANT = "oauth.secret"
"""Path of the secret that an issuer may renew."""
_TICK = timedelta(microseconds=1)
_Result = TypeVar("_Result")

log = logger("accounts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a transport is to be."""

    spec: TransportSpec
    fields: Mapping[str, Any]
    """JSON values without any secret, as they are stored."""
    secrets: Mapping[str, Secret]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the settings say, which no call changes."""

    configured: Mapping[str, TransportSpec] = field(default_factory=dict)
    routed: frozenset[str] = frozenset()
    """Names in routes of the settings."""
    is_capturing: bool = False
    """Everything is captured because that was asked for: no record is used."""
    default_from: Mailbox | None = None
    """The general sender."""
    placeholder: TransportSpec | None = None
    """The capture inbox that stands in while there is no transport at all."""


class Accounts:
    """The records and their ways."""

    def __init__(
        self,
        *,
        records: TransportRecords,
        ground: Ground,
        ways: Ways,
        roster: Roster,
        spool: Spool,
        events: Events,
        build: Callable[[TransportSpec], Awaitable[Way]],
        clock: Clock,
    ) -> None:
        """Take the parts; ``build`` makes a way that works once it joins. It raises ConfigError."""
        self._records = records
        self._ground = ground
        self._ways = ways
        self._roster = roster
        self._spool = spool
        self._events = events
        self._build = build
        self._clock = clock
        self._lock = asyncio.Lock()
        self._changes: set[asyncio.Task[Any]] = set()

    # ------------------------------------------------------------------ looking

    async def all(self) -> Mapping[str, StoredTransport]:
        """Return every record by its name, oldest first."""
        return {record.name: record for record in await self._records.all()}

    async def one(self, name: str) -> StoredTransport:
        """Return a record. Raises NotFoundError, ConflictError for what the settings configure."""
        self._refuse_configured(name)
        record = (await self.all()).get(name)
        if record is None:
            raise NotFoundError(f"there is no transport {name[:100]!r}")
        return record

    @property
    def ground(self) -> Ground:
        """What the settings say."""
        return self._ground

    def is_used(self, name: str) -> bool:
        """Say whether mail may go by the record of this name."""
        return not self._ground.is_capturing and name not in self._ground.configured

    def is_at_work(self, name: str) -> bool:
        """Say whether a way of this name takes mail in this run."""
        return self._ways.named(name) is not None

    # ------------------------------------------------------------------ changing

    async def create(self, draft_of: Callable[[Collection[str]], Draft], *, author: str) -> StoredTransport:
        """Record a transport and let it work; ``draft_of`` is told which names are taken.

        Raises ConflictError, ConfigError, SecretKeyError and what ``draft_of`` raises.
        """
        return await self._whole(self._create(draft_of, author))

    async def change(
        self,
        name: str,
        draft_of: Callable[[StoredTransport], Draft],
        *,
        author: str,
        version: str | None = None,
    ) -> StoredTransport:
        """Record what ``draft_of`` makes of a record, and let that work in its place.

        Raises NotFoundError, ConflictError (another version, configured), ConfigError, SecretKeyError and
        what ``draft_of`` raises.
        """
        return await self._whole(self._change(name, draft_of, author, version))

    async def remove(
        self, name: str, *, author: str, version: str | None = None, move_to: str | None = None
    ) -> int:
        """Remove a transport; return how many groups of recipients wait for ``move_to`` now.

        Raises NotFoundError, and ConflictError while it is needed: a route names it, mail waits for it and
        nobody is to take that, or it is the last one of a store that has sent real mail.
        """
        return await self._whole(self._remove(name, author, version, move_to))

    def renew(self, name: str, secret: Secret) -> None:
        """Keep the refresh token that an issuer gave instead of the stored one."""
        task = asyncio.create_task(self._alone(self._renew(name, secret)), name="renewed token")
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    # ------------------------------------------------------------------ parts

    async def _renew(self, name: str, secret: Secret) -> None:
        record = None if name in self._ground.configured else (await self.all()).get(name)
        if record is None or record.problem or GRANT not in record.secrets:
            return
        try:
            await self._records.put(replace(record, secrets={**record.secrets, GRANT: secret}))
        except OperatorError as error:  # the token in memory still works; after a restart a person is asked
            log.warning("a renewed token could not be stored", transport=name, error=str(error))

    async def _whole(self, change: Coroutine[Any, Any, _Result]) -> _Result:
        task = asyncio.create_task(self._alone(change), name="change of transports")
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)

    async def _alone(self, change: Coroutine[Any, Any, _Result]) -> _Result:
        async with self._lock:
            return await change

    async def _create(self, draft_of: Callable[[Collection[str]], Draft], author: str) -> StoredTransport:
        records = await self.all()
        draft = draft_of({*self._ways.names, *self._ground.configured, *records})
        name = draft.spec.name
        self._refuse_configured(name)
        if name in records:
            raise ConflictError(_exists(name))
        if (taken := self._ground.placeholder) is not None and name == taken.name:
            raise ConflictError(_reserved(name))
        now = self._clock.now()
        record = StoredTransport(
            name=name,
            fields=draft.fields,
            secrets=draft.secrets,
            created_at=now,
            changed_at=now,
            author=author,
        )
        await self._put(record, draft.spec)
        await self._tell(EventKind.TRANSPORT_CREATED, name, author)
        return record

    async def _change(
        self,
        name: str,
        draft_of: Callable[[StoredTransport], Draft],
        author: str,
        version: str | None,
    ) -> StoredTransport:
        before = await self.one(name)
        _match(before, version)
        draft = draft_of(before)
        await self._refuse_swallowing(draft.spec)
        record = StoredTransport(
            name=name,
            fields=draft.fields,
            secrets=draft.secrets,
            created_at=before.created_at,
            changed_at=max(self._clock.now(), before.changed_at + _TICK),
            author=author,
        )
        await self._put(record, draft.spec)
        changed = sorted(
            {
                key
                for key in {*before.fields, *draft.fields}
                if before.fields.get(key) != draft.fields.get(key)
            }
            | {
                key
                for key in {*before.secrets, *draft.secrets}
                if before.secrets.get(key) != draft.secrets.get(key)
            }
        )
        await self._tell(EventKind.TRANSPORT_CHANGED, name, author, ", ".join(changed))
        return record

    async def _put(self, record: StoredTransport, spec: TransportSpec) -> None:
        """Store a record, then let its way work."""
        if not self.is_used(record.name):
            await self._records.put(record)
            return
        way = await self._build(spec)
        try:
            await self._records.put(record)
            await self._roster.join(way)
        except BaseException:
            await way.transport.stop(grace_s=0)
            raise
        inbox = self._ground.placeholder
        if inbox is not None and self._ways.named(inbox.name) is not None:
            await self._roster.leave(inbox.name, to=way.name)

    async def _remove(self, name: str, author: str, version: str | None, move_to: str | None) -> int:
        record = await self.one(name)
        _match(record, version)
        moved = 0
        if self._ways.named(name) is None or not self.is_used(name):
            await self._records.remove(name)
        else:
            heir = await self._heir(name, move_to)
            # First of all, so that a death before the next line leaves no way behind that has no record.
            await self._records.remove(name)
            moved = await self._roster.leave(name, to=heir)
        await self._tell(
            EventKind.TRANSPORT_REMOVED, name, author, f"mail goes by {move_to}" if move_to else ""
        )
        return moved

    async def _heir(self, name: str, move_to: str | None) -> str:
        """Return who gets what may still wait for a way that goes. Raises ConflictError."""
        if name in self._ground.routed:
            raise ConflictError(_routed(name))
        if move_to is not None:
            heir = self._ways.named(move_to)
            if heir is None or move_to == name:
                raise ConflictError(_no_heir(move_to))
            if heir.transport.is_capture and not self._is_capture(name):
                raise ConflictError(_swallowed("move_to", f"{move_to} keeps mail in the capture inbox"))
            return heir.name
        if waiting := await self._spool.waiting(name):
            raise ConflictError(_needed(name, waiting))
        others = [way for way in self._ways if way.name != name]
        if not self._is_capture(name):  # what is accepted in this moment was to leave
            others = [way for way in others if not way.transport.is_capture]
        if others:
            return others[0].name
        if self._ground.placeholder is None or await self._spool.has_sent_real_mail():
            raise ConflictError(_last(name))
        inbox = await self._build(self._ground.placeholder)
        await self._roster.join(inbox)
        return inbox.name

    def _is_capture(self, name: str) -> bool:
        way = self._ways.named(name)
        return way is not None and way.transport.is_capture

    async def _refuse_swallowing(self, spec: TransportSpec) -> None:
        """Refuse to turn an account into a capture inbox while that would keep mail that was to leave."""
        if spec.kind is not TransportKind.CAPTURE or not self.is_at_work(spec.name):
            return
        if self._is_capture(spec.name):
            return
        if await self._spool.waiting(spec.name):
            raise ConflictError(_swallowed("url", f"mail waits for {spec.name}"))
        is_last = all(way.transport.is_capture for way in self._ways if way.name != spec.name)
        if is_last and await self._spool.has_sent_real_mail():
            raise ConflictError(_last(spec.name))

    def _refuse_configured(self, name: str) -> None:
        if (spec := self._ground.configured.get(name)) is not None:
            raise ConflictError(_read_only(spec))

    async def _tell(self, kind: EventKind, name: str, author: str, note: str = "") -> None:
        data = {"author": author, **({"note": note} if note else {})}
        await self._events.append([NewEvent(at=self._clock.now(), kind=kind, transport=name, data=data)])


def version_of(record: StoredTransport) -> str:
    """Return what names this state of a record; each change makes another one."""
    return str(int(record.changed_at.timestamp() * 1_000_000))


def _match(record: StoredTransport, version: str | None) -> None:
    if version is not None and version != version_of(record):
        cause = (
            f"{record.name} was changed by {record.author or 'somebody'} at {record.changed_at.isoformat()}"
        )
        fix = "Look at it again (GET), then change what it is now."
        raise ConflictError(Problem(code="transport-changed", field="version", cause=cause, fix=fix))


def _exists(name: str) -> Problem:
    fix = f"Change it with PATCH /v1/transports/{name}, or choose another name."
    cause = f"there is a transport {name!r} already"
    return Problem(code="transport-exists", field="name", cause=cause, fix=fix)


def _reserved(name: str) -> Problem:
    cause = f"{name!r} is the name of the capture inbox"
    return Problem(code="transport-exists", field="name", cause=cause, fix="Choose another name.")


def _read_only(spec: TransportSpec) -> Problem:
    place = "the environment" if spec.origin is TransportOrigin.ENVIRONMENT else "the settings file"
    return Problem(
        code="transport-read-only",
        field="name",
        cause=f"{spec.name} is configured in {place}, which calls do not change",
        fix="Make the change there (`patch` has the lines) and start the server again.",
    )


def _routed(name: str) -> Problem:
    cause = f"a route of the settings names {name}"
    fix = "Take it out of [[routes]] first and start the server again."
    return Problem(code="transport-in-route", field="name", cause=cause, fix=fix)


def _needed(name: str, waiting: int) -> Problem:
    subject = "1 group of recipients waits" if waiting == 1 else f"{waiting} groups of recipients wait"
    fix = f"Say who takes it: /v1/transports/{name}?move_to=NAME. Uncertain mail waits for a person then."
    return Problem(code="transport-in-use", field="move_to", cause=f"{subject} for {name}", fix=fix)


def _no_heir(name: str) -> Problem:
    cause = f"there is no other transport {name[:100]!r}"
    return Problem(code="transport-unknown", field="move_to", cause=cause, fix="Name one that is in use.")


def _swallowed(field: str, cause: str) -> Problem:
    fix = "Give an account that sends it, or cancel what waits first."
    cause = f"{cause}: it would be captured and never sent"
    return Problem(code="transport-captures", field=field, cause=cause, fix=fix)


def _last(name: str) -> Problem:
    cause = f"{name} is the last transport of a store that has sent real mail"
    fix = "Make another one first; or start the server with --capture when mail is to be captured."
    return Problem(code="transport-last", field="name", cause=cause, fix=fix)

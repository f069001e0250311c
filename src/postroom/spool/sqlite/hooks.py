"""Webhook endpoints, their deliveries and the marks of readers on SQLite.

Endpoints are few: they are read whole. Deliveries are made from the events by ``spread``, in the transaction
that moves the endpoint's mark. An endpoint whose secrets cannot be opened is told of nothing until they can:
its mark stands, and what is due waits.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import apsw

from postroom.errors import SecretKeyError, StoreError
from postroom.model.event import Event, EventFilter, EventKind
from postroom.model.hook import Delivery, DeliveryState, Hook
from postroom.model.ids import TenantId
from postroom.spool.codec import instant, instant_or_none, micros, micros_or_none
from postroom.spool.sqlite import events as event_rows
from postroom.spool.sqlite.ledger import Ledger
from postroom.spool.sqlite.reader import Reader
from postroom.spool.sqlite.statement import statement
from postroom.spool.sqlite.transports import is_anything_sealed
from postroom.spool.sqlite.writer import Rank, Verb, Writer
from postroom.spool.vault import Opened, Vault

REPLAY_CHUNK = 500
"""Events looked at in one transaction of a replay."""
_NEWEST = 2**63 - 1
TABLE = "hook"
SECRETS = 4
"""The place of the secrets in a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spread:
    now: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    now: int
    limit: int
    hook_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Replay:
    hook_id: str
    first: int
    last: int
    now: int


def _add(vault: Vault, ledger: Ledger, hooks: Sequence[Hook]) -> Sequence[Exception | None]:
    return [_add_one(vault, ledger, hook) for hook in hooks]


def _add_one(vault: Vault, ledger: Ledger, hook: Hook) -> Exception | None:
    try:
        insert_hook(ledger.db, hook, vault)
    except (SecretKeyError, StoreError) as error:
        return error
    return None


def insert_hook(db: apsw.Connection, hook: Hook, vault: Vault) -> None:
    """Store an endpoint, its secrets sealed. Raises SecretKeyError, StoreError; nothing is written then."""
    db.execute(
        statement("insert_hook"),
        (
            hook.id,
            hook.tenant,
            hook.url,
            json.dumps(hook.kinds),
            _sealed(db, hook, vault),
            micros(hook.created_at),
            micros_or_none(hook.old_secrets_until),
            micros_or_none(hook.disabled_at),
            hook.disabled_why,
            hook.told_up_to,
        ),
    )


def _change(vault: Vault, ledger: Ledger, hooks: Sequence[Hook]) -> Sequence[bool | Exception]:
    return [_change_one(vault, ledger, hook) for hook in hooks]


def _change_one(vault: Vault, ledger: Ledger, hook: Hook) -> bool | Exception:
    try:
        secrets = _sealed(ledger.db, hook, vault) if hook.secrets else None
    except (SecretKeyError, StoreError) as error:
        return error
    ledger.run(
        statement("update_hook"),
        (
            hook.url,
            json.dumps(hook.kinds),
            secrets,
            micros_or_none(hook.old_secrets_until),
            micros_or_none(hook.disabled_at),
            hook.disabled_why,
            hook.told_up_to,
            hook.id,
        ),
    )
    is_changed = ledger.db.changes() == 1
    if hook.disabled_at is not None:
        ledger.run(statement("fail_pending"), (hook.disabled_why, hook.id))
    return is_changed


def _remove(ledger: Ledger, keys: Sequence[tuple[str, TenantId]]) -> Sequence[bool]:
    removed = []
    for hook_id, tenant in keys:
        ledger.run(statement("delete_hook"), (hook_id, tenant))
        removed.append(ledger.db.changes() == 1)
        if removed[-1]:
            ledger.run(statement("delete_hook_log"), (hook_id,))
    return removed


def _spread(vault: Vault, ledger: Ledger, wishes: Sequence[_Spread]) -> Sequence[int]:
    return [_spread_one(vault, ledger, wish) for wish in wishes]


def _spread_one(vault: Vault, ledger: Ledger, wish: _Spread) -> int:
    enabled = _enabled(ledger.db, vault, None)
    if not enabled:
        return 0
    told = min(hook.told_up_to for hook in enabled)
    found = _behind(ledger, told, _NEWEST, limit=wish.limit)
    if not found:
        return 0
    last = found[-1][0]
    for hook in enabled:
        new = [event for event in found if event[0] > hook.told_up_to]
        _insert(ledger, "insert_delivery", hook, new, now=wish.now)
        if last > hook.told_up_to:
            ledger.run(statement("hook_was_told"), (last, hook.id))
    return len(found)


_Chosen = tuple[int, str, str]
"""Number, kind and tenant of an event."""


def _behind(ledger: Ledger, after: int, last: int, *, limit: int) -> list[_Chosen]:
    rows: Any = ledger.run(statement("events_behind"), (after, last, limit))
    return list(rows)


def _insert(ledger: Ledger, name: str, hook: Hook, events: Sequence[_Chosen], *, now: int) -> int:
    rows = [
        (hook.id, number, now)
        for number, kind, tenant in events
        if tenant == hook.tenant and (not hook.kinds or kind in hook.kinds)
    ]
    ledger.run_many(statement(name), rows)
    return len(rows)


def _replay(vault: Vault, ledger: Ledger, wishes: Sequence[_Replay]) -> Sequence[tuple[int, int | None]]:
    """Answer with how many are due again and where the rest of the range begins."""
    answers: list[tuple[int, int | None]] = []
    for wish in wishes:
        hook = next((one for one in stored_hooks(ledger.db, vault) if one.id == wish.hook_id), None)
        if hook is None:
            answers.append((0, None))
            continue
        found = _behind(ledger, wish.first - 1, wish.last, limit=REPLAY_CHUNK)
        made = _insert(ledger, "replay_delivery", hook, found, now=wish.now)
        answers.append((made, found[-1][0] + 1 if len(found) == REPLAY_CHUNK else None))
    return answers


def _record(ledger: Ledger, deliveries: Sequence[Delivery]) -> Sequence[None]:
    ledger.run_many(
        statement("record_delivery"),
        [
            (
                one.state,
                one.tries,
                micros_or_none(one.due_at),
                micros_or_none(one.last_at),
                one.status,
                one.text,
                one.duration_ms,
                one.hook_id,
                one.event,
            )
            for one in deliveries
        ],
    )
    return [None] * len(deliveries)


def _set_mark(ledger: Ledger, marks: Sequence[tuple[str, str]]) -> Sequence[None]:
    ledger.run_many(statement("store_mark"), marks)
    return [None] * len(marks)


def purge_deliveries(ledger: Ledger, *, limit: int) -> int:
    """Delete deliveries older than the oldest event, a chunk for each endpoint; return how many went."""
    oldest = _behind(ledger, 0, _NEWEST, limit=1)
    before = oldest[0][0] if oldest else _NEWEST
    gone = 0
    hook_ids: Any = ledger.run(statement("hook_ids")).fetchall()
    for (hook_id,) in hook_ids:
        ledger.run(statement("delete_old_deliveries"), (hook_id, before, limit))
        gone += ledger.db.changes()
    return gone


_REMOVE = Verb(name="remove hook", rank=Rank.DUTY, apply=_remove)
_RECORD = Verb(name="record delivery", rank=Rank.SETTLE, apply=_record)
_SET_MARK = Verb(name="set mark", rank=Rank.DUTY, apply=_set_mark)


class SqliteHooks:
    """The ports ``Hooks`` and ``Marks``."""

    def __init__(self, writer: Writer, reader: Reader, vault: Vault) -> None:
        """Take the store's writer and reader, and what seals."""
        self._writer = writer
        self._reader = reader
        self._vault = vault
        self._add = Verb(name="add hook", rank=Rank.DUTY, apply=partial(_add, vault))
        self._change = Verb(name="change hook", rank=Rank.DUTY, apply=partial(_change, vault))
        self._spread = Verb(name="spread events", rank=Rank.DUTY, apply=partial(_spread, vault))
        self._replay = Verb(name="replay events", rank=Rank.DUTY, apply=partial(_replay, vault))

    async def add(self, hook: Hook) -> None:
        """Store an endpoint. Raises InvariantError when the id is taken, SecretKeyError without a key."""
        await self._writer.submit(self._add, hook)

    async def change(self, hook: Hook) -> bool:
        """Replace an endpoint; what waits for one that is disabled has failed.

        Without secrets those that are stored stay. Raises SecretKeyError without a key.
        """
        changed: bool = await self._writer.submit(self._change, hook)
        return changed

    async def remove(self, hook_id: str, *, tenant: TenantId) -> bool:
        """Remove an endpoint with its log."""
        removed: bool = await self._writer.submit(_REMOVE, (hook_id, tenant))
        return removed

    async def all(self, tenant: TenantId | None = None) -> Sequence[Hook]:
        """Return the endpoints, oldest first."""
        hooks = await self._reader.read(lambda db: stored_hooks(db, self._vault))
        return [hook for hook in hooks if tenant in (None, hook.tenant)]

    async def spread(self, *, now: datetime, limit: int) -> int:
        """Make deliveries of the next events; return how many events were looked at."""
        looked_at: int = await self._writer.submit(self._spread, _Spread(now=micros(now), limit=limit))
        return looked_at

    async def due(
        self, *, now: datetime, limit: int, hook_id: str | None = None
    ) -> Sequence[tuple[Hook, Delivery, Event]]:
        """Return pending deliveries that are due."""
        return await self._reader.read(
            lambda db: _due(db, self._vault, _Due(now=micros(now), limit=limit, hook_id=hook_id))
        )

    async def record(self, delivery: Delivery) -> None:
        """Store what became of a try."""
        await self._writer.submit(_RECORD, delivery)

    async def next_due_at(self, hook_id: str | None = None) -> datetime | None:
        """Return when the next pending delivery is due."""
        return instant_or_none(await self._reader.read(lambda db: _next_due(db, self._vault, hook_id)))

    async def log(
        self, hook_id: str, *, state: DeliveryState | None, before: int | None, limit: int
    ) -> Sequence[Delivery]:
        """Return deliveries of an endpoint, newest event first."""
        bindings = (hook_id, _NEWEST if before is None else before, state, limit)
        return await self._reader.read(
            lambda db: [_delivery(row) for row in db.execute(statement("delivery_log"), bindings)]
        )

    async def replay(self, hook_id: str, *, first: int, last: int, now: datetime) -> int:
        """Make a range of events due again, in chunks."""
        made, start = 0, first
        while True:
            wish = _Replay(hook_id=hook_id, first=start, last=last, now=micros(now))
            answer: tuple[int, int | None] = await self._writer.submit(self._replay, wish)
            some, rest = answer
            made += some
            if rest is None:
                return made
            start = rest

    async def mark(self, name: str) -> str:
        """Return how far a reader came."""
        row = await self._reader.read(lambda db: db.execute(statement("mark_of"), (name,)).fetchone())
        return "" if row is None else str(row[0])

    async def set_mark(self, name: str, text: str) -> None:
        """Store how far a reader came."""
        await self._writer.submit(_SET_MARK, (name, text))


# --------------------------------------------------------------------------- rows


def stored_hooks(db: apsw.Connection, vault: Vault) -> list[Hook]:
    """Return every endpoint, oldest first."""
    rows: Any = db.execute(statement("hooks"))
    return [hook_of(row, vault.open(row[SECRETS], table=TABLE, row=row[0])) for row in rows]


def hook_of(row: tuple[Any, ...], opened: Opened) -> Hook:
    """Return the endpoint of a row."""
    id_, tenant, url, kinds, _, created_at, old_secrets_until, disabled_at, disabled_why, told_up_to = row
    return Hook(
        id=id_,
        tenant=TenantId(tenant),
        url=url,
        kinds=tuple(map(EventKind, json.loads(kinds))),
        secrets=tuple(opened.secrets.values()),
        problem=opened.problem,
        created_at=instant(created_at),
        old_secrets_until=instant_or_none(old_secrets_until),
        disabled_at=instant_or_none(disabled_at),
        disabled_why=disabled_why,
        told_up_to=told_up_to,
    )


def _sealed(db: apsw.Connection, hook: Hook, vault: Vault) -> str:
    secrets = {f"secret.{place}": secret for place, secret in enumerate(hook.secrets)}
    return vault.seal(secrets, table=TABLE, row=hook.id, is_anything_sealed=lambda: is_anything_sealed(db))


def _delivery(row: tuple[Any, ...]) -> Delivery:
    hook_id, event, state, tries, created_at, due_at, last_at, status, text, duration_ms = row
    return Delivery(
        hook_id=hook_id,
        event=event,
        state=DeliveryState(state),
        tries=tries,
        created_at=instant(created_at),
        due_at=instant_or_none(due_at),
        last_at=instant_or_none(last_at),
        status=status,
        text=text,
        duration_ms=duration_ms,
    )


def _due(db: apsw.Connection, vault: Vault, wish: _Due) -> list[tuple[Hook, Delivery, Event]]:
    found: list[tuple[Hook, Delivery]] = []
    for hook in _enabled(db, vault, wish.hook_id):
        rows = db.execute(statement("due_deliveries"), (hook.id, wish.now, wish.limit))
        found.extend((hook, _delivery(row)) for row in rows)
    found.sort(key=lambda one: (one[1].due_at, one[1].event, one[1].hook_id))
    return [
        (hook, delivery, event)
        for hook, delivery in found[: wish.limit]
        for event in _events(db, after=delivery.event - 1, limit=1)
        if event.number == delivery.event
    ]


def _events(db: apsw.Connection, *, after: int, limit: int) -> list[Event]:
    return event_rows.page(db, EventFilter(tenant=None, after=after, limit=limit))


def _next_due(db: apsw.Connection, vault: Vault, hook_id: str | None) -> int | None:
    found = [
        int(str(row[0]))
        for hook in _enabled(db, vault, hook_id)
        for row in db.execute(statement("next_delivery"), (hook.id,))
    ]
    return min(found, default=None)


def _enabled(db: apsw.Connection, vault: Vault, hook_id: str | None) -> list[Hook]:
    """Return who may be told: not disabled, and what is said to it can be signed."""
    return [
        hook
        for hook in stored_hooks(db, vault)
        if hook.disabled_at is None and not hook.problem and hook_id in (None, hook.id)
    ]

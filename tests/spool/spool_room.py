"""A store to play with: builders of messages and results, short forms of the verbs."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import shake_128
from pathlib import Path
from typing import Protocol

import pytest

from peers.manual import CountingDice, ManualClock
from postroom.model.address import Address, Mailbox
from postroom.model.attempt import Claimed, Lease, Move, Settlement
from postroom.model.event import EventFilter
from postroom.model.ids import DEFAULT_TENANT, ENTROPY_BYTES, MessageId, TenantId, new_message_id
from postroom.model.lifecycle import RecipientState
from postroom.model.message import (
    Attachment,
    BlobRef,
    Content,
    Door,
    Envelope,
    MailClass,
    Message,
    UncertainPolicy,
)
from postroom.model.outcome import Action, Evidence, OutcomeKind, RecipientResult, Verdict
from postroom.model.reply import Reply
from postroom.model.step import Step
from postroom.model.view import MessageView
from postroom.ports import (
    Blobs,
    Captures,
    Events,
    IdempotencyClaim,
    KeyReused,
    Keys,
    Replayed,
    Retention,
    Spool,
    Stored,
)
from postroom.spool.memory.opening import open_memory
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import open_sqlite

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
DIGEST = "d" * 64
RETENTION = Retention(content=30 * DAY, events=365 * DAY, captures=7 * DAY)

every_store = pytest.mark.parametrize("kind", ["sqlite", "memory"])

_dice = CountingDice()


class Store(Protocol):
    @property
    def spool(self) -> Spool: ...
    @property
    def blobs(self) -> Blobs: ...
    @property
    def captures(self) -> Captures: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def events(self) -> Events: ...
    @property
    def durability(self) -> str: ...
    async def close(self) -> None: ...


def open_store(kind: str, data: Path, settings: SpoolSettings | None = None) -> Store:
    small = settings or SpoolSettings(reserve=0, ballast=0, max_crashes=3)
    if kind == "memory":
        return open_memory(settings=small)
    return open_sqlite(data, settings=small, clock=ManualClock())


def play(
    kind: str,
    data: Path,
    scenario: Callable[["Room"], Awaitable[None]],
    settings: SpoolSettings | None = None,
) -> None:
    """Run a scenario on a fresh store and close it."""

    async def run() -> None:
        store = open_store(kind, data, settings)
        try:
            await scenario(Room(store=store))
        finally:
            await store.close()

    asyncio.run(run())


@dataclass(kw_only=True)
class Room:
    store: Store
    spool: Spool = field(init=False)

    def __post_init__(self) -> None:
        self.spool = self.store.spool

    async def accept(
        self,
        message: Message | None = None,
        *,
        key: IdempotencyClaim | None = None,
        transport: str = "main",
        route: str = "",
    ) -> Stored | Replayed | KeyReused:
        return await self.spool.accept(
            message or a_message(), transport=transport, route=route, idempotency=key
        )

    async def claim(
        self,
        now: datetime = NOW,
        *,
        limit: int = 10,
        most: int = 100,
        until: timedelta = HOUR,
        transport: str = "main",
        reserved: int = 0,
    ) -> Sequence[Claimed]:
        return await self.spool.claim(
            transport=transport,
            limit=limit,
            now=now,
            lease_until=now + until,
            max_recipients=most,
            reserved=reserved,
        )

    async def claim_one(self, now: datetime = NOW, *, most: int = 100, until: timedelta = HOUR) -> Claimed:
        (claimed,) = await self.claim(now, limit=1, most=most, until=until)
        return claimed

    async def commit(self, lease: Lease, now: datetime = NOW, digest: str = DIGEST) -> bool:
        return await self.spool.mark_committing(lease, digest=digest, now=now)

    async def settle(self, lease: Lease, *moves: Move, counts: bool = True, at: datetime = NOW) -> bool:
        return await self.spool.settle(a_settlement(lease, *moves, counts=counts, at=at))

    async def story(self, message_id: MessageId) -> list[tuple[str, tuple[int, ...], str]]:
        """Return the events of a message: kind, recipients and cause."""
        events = await self.store.events.page(
            EventFilter(tenant=DEFAULT_TENANT, message_id=message_id, after=0, limit=1000)
        )
        return [(event.kind.value, event.recipients, event.cause) for event in events]

    async def view(self, message_id: MessageId) -> MessageView:
        view = await self.spool.view(message_id, tenant=DEFAULT_TENANT)
        assert view is not None
        return view

    async def states(self, message_id: MessageId) -> list[str]:
        return [recipient.state.value for recipient in (await self.view(message_id)).recipients]

    def put_blob(self, content: bytes, tenant: TenantId = DEFAULT_TENANT) -> BlobRef:
        staged = self.store.blobs.stage(tenant)
        staged.write(content)
        return staged.commit()


def a_message(  # noqa: PLR0913 - the fields tests vary
    recipients: int = 1,
    *,
    mail_class: MailClass = MailClass.TRANSACTIONAL,
    policy: UncertainPolicy = UncertainPolicy.WAIT,
    send_at: datetime = NOW,
    life: timedelta = 3 * DAY,
    attachments: tuple[Attachment, ...] = (),
    tags: tuple[str, ...] = (),
    subject: str = "Grüße",
    sender: str = "ann",
    at: datetime = NOW,
    tenant: TenantId = DEFAULT_TENANT,
) -> Message:
    ann = Address(sender, "example.com")
    return Message(
        id=new_message_id(at, _dice.token(ENTROPY_BYTES)),
        tenant=tenant,
        door=Door.HTTP,
        mail_class=mail_class,
        created_at=at,
        send_at=send_at,
        expires_at=at + life,
        uncertain_policy=policy,
        envelope=Envelope(
            reverse_path=ann,
            recipients=tuple(Address(f"bob{number}", "example.org") for number in range(recipients)),
        ),
        content=Content(
            message_id="1@example.com",
            date=at,
            boundary="seed",
            from_=Mailbox(ann, "Ann"),
            to=(Mailbox(Address("bob0", "example.org")),),
            subject=subject,
            text="Hello\n",
            attachments=attachments,
        ),
        tags=tags,
        metadata={"order": "7"},
    )


def a_numbered_message(number: int) -> Message:
    """Return a message whose id is the same in every process."""
    return replace(a_message(), id=new_message_id(NOW, shake_128(b"%d" % number).digest(ENTROPY_BYTES)))


def an_attachment(blob: BlobRef) -> Attachment:
    return Attachment(filename="a.bin", content_type="application/octet-stream", blob=blob)


def a_key(key: str = "k", *, keep: timedelta = DAY, **fields: str) -> IdempotencyClaim:
    return IdempotencyClaim(key=key, fields=fields or {"subject": "1"}, keep_until=NOW + keep)


def accepted(recipient: int = 0) -> Move:
    return Move(recipient=recipient, state=RecipientState.ACCEPTED)


def deferred(recipient: int = 0, *, until: datetime = NOW + MINUTE, cause: str = "greylisted") -> Move:
    return Move(recipient=recipient, state=RecipientState.DEFERRED, due_at=until, cause=cause)


def uncertain(recipient: int = 0, *, until: datetime | None = None) -> Move:
    return Move(recipient=recipient, state=RecipientState.UNCERTAIN, due_at=until, cause="conn-lost-body")


_OUTCOMES = {
    RecipientState.ACCEPTED: (OutcomeKind.ACCEPTED, 250),
    RecipientState.DEFERRED: (OutcomeKind.DEFERRED, 451),
    RecipientState.REFUSED: (OutcomeKind.REFUSED, 550),
}


def a_settlement(lease: Lease, *moves: Move, counts: bool = True, at: datetime = NOW) -> Settlement:
    results = []
    for move in moves:
        kind, code = _OUTCOMES.get(move.state, (OutcomeKind.UNCERTAIN, 421))
        text = f"{code // 100}.0.0 as it is"
        reply = Reply(code, (text,), f"{code} {text}\r\n".encode())
        results.append(
            RecipientResult(
                recipient=move.recipient,
                evidence=Evidence(step=Step.BODY_END, reply=reply, host="mx.example.org", port=25),
                verdict=Verdict(outcome=kind, action=Action.RETRY, cause=move.cause),
                duration_ms=12,
                at=at,
            )
        )
    return Settlement(lease=lease, settled_at=at, results=tuple(results), moves=moves, counts=counts)

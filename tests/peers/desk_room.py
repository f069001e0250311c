"""The whole application on a real SQLite store, with transports that follow an address's name."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingress.asgi_client import Answer, ask
from peers.doctor_room import HURRIED
from peers.engine_room import GREYLISTED, LOST_AFTER_DOT, OK, UNKNOWN_USER, ScriptedTransport
from peers.manual import CountingDice, ManualClock
from postroom.bootstrap.desk import desk_room_of
from postroom.clock import SystemClock
from postroom.egress.doctor.doctor import AccountDoctor
from postroom.egress.doctor.names import Names
from postroom.engine.accounts import Accounts, Ground
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.intake import Intake
from postroom.engine.keyring import SCOPES, KeyRing
from postroom.engine.limits import MessageLimits
from postroom.engine.rendering import RenderedMessages
from postroom.engine.service import Service
from postroom.engine.signals import Signals
from postroom.engine.ways import Way, Ways
from postroom.ingress.http.app import build_app
from postroom.ingress.http.settings import HttpSettings
from postroom.model.address import parse_mailbox
from postroom.model.ids import DEFAULT_TENANT, MessageId, TenantId
from postroom.model.outcome import Evidence
from postroom.model.reply import Reply
from postroom.model.step import Step
from postroom.model.transport import TransportKind, TransportSpec, redacted_url
from postroom.policy.retry import CLASS_RULES
from postroom.ports import HookAnswer, Spool, Work
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import SqliteStore, open_sqlite
from postroom.web.gate import Gate

REFUSED = Evidence(step=Step.RCPT, reply=Reply(550, ("5.7.1 not wanted here",), b""))
FATES = {"refused": REFUSED, "unknown": UNKNOWN_USER, "later": GREYLISTED, "lost": LOST_AFTER_DOT}
"""Local part of an address to what a server says; everybody else is accepted."""
OTHER = TenantId("other")
DEAD_NAMES = ("127.0.0.1", 9)
"""A name server that refuses: checks look at no records."""


def by_name(work: Work, number: int) -> Evidence:
    """Answer as the address's local part says."""
    address = dict(work.recipients)[number]
    return FATES.get(address.local, OK)


@dataclass(eq=False)
class RecordingPoster:
    """Keeps what was posted; answers 204."""

    posted: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> HookAnswer:
        assert timeout_s > 0
        self.posted.append((url, headers, body))
        return HookAnswer(status=204, text="", retry_after_s=None, duration_ms=1)

    def problem_with(self, url: str) -> str:
        return "" if url.startswith("https://") else "it is not an https URL"


@dataclass(eq=False)
class DeskRoom:
    """What a test of the desk needs."""

    app: Gate
    store: SqliteStore
    transports: Mapping[str, ScriptedTransport]
    dispatcher: Dispatcher
    clock: ManualClock
    signals: Signals
    poster: RecordingPoster
    keys: Mapping[TenantId, str]
    read_key: str

    @property
    def spool(self) -> Spool:
        return self.store.spool

    async def ask(
        self, method: str, path: str, value: object = None, *, tenant: TenantId = DEFAULT_TENANT, **parts: Any
    ) -> Answer:
        """Make one request with a key of a tenant that has every scope."""
        parts.setdefault("key", self.keys[tenant])
        return await ask(self.app, method, path, value=value, **parts)

    async def send(
        self,
        *to: str,
        tenant: TenantId = DEFAULT_TENANT,
        settles: bool = True,
        mail_class: str = "transactional",
        **fields: Any,
    ) -> str:
        """Hand in a mail and wait for its first attempt; return its id."""
        mail = {"to": list(to), "subject": "Hello", "text": "It works.", "class": mail_class, **fields}
        answer = await self.ask("POST", "/v1/messages", mail, tenant=tenant)
        assert 202 == answer.status, answer.json()
        message_id: str = answer.json()["id"]
        if settles:
            await self.settled(message_id, tenant=tenant)
        return message_id

    async def settled(self, message_id: str, *, tenant: TenantId = DEFAULT_TENANT) -> dict[str, Any]:
        """Wait until nothing of a message is queued or being sent; return it."""
        name = MessageId(message_id)
        while True:
            waiter = self.signals.watch(name, "main")
            shown = await self.message(message_id, tenant=tenant)
            if not {"queued", "sending"} & {one["state"] for one in shown["recipients"]}:
                self.signals.unwatch(name, waiter)
                return shown
            await waiter

    async def message(self, message_id: str, *, tenant: TenantId = DEFAULT_TENANT) -> dict[str, Any]:
        """Return a message as the API shows it."""
        shown: dict[str, Any] = (await self.ask("GET", f"/v1/messages/{message_id}", tenant=tenant)).json()
        return shown

    async def states(self, message_id: str, *, tenant: TenantId = DEFAULT_TENANT) -> list[str]:
        """Return the states of a message's recipients, in their order."""
        shown = await self.message(message_id, tenant=tenant)
        return [one["state"] for one in shown["recipients"]]

    def later(self, seconds: float) -> None:
        """Let time pass and the dispatcher look."""
        self.clock.advance(seconds)
        for name in self.transports:
            self.dispatcher.wake(name)

    def copies(self, address: str) -> int:
        """Return how many attempts were made for an address, by any transport."""
        return sum(
            address == one.spec
            for transport in self.transports.values()
            for work in transport.works
            for _, one in work.recipients
        )


@asynccontextmanager
async def desk_room(
    data: Path,
    names: Sequence[str] = ("main", "spare"),
    *,
    configured: Mapping[str, TransportSpec] | None = None,
) -> AsyncIterator[DeskRoom]:
    """Run the application; its time stands still until told.

    ``configured`` are the settings' own transports; without them each of ``names`` is one.
    """
    clock, dice = ManualClock(), CountingDice()
    store = open_sqlite(data, settings=SpoolSettings(), clock=clock)
    transports = {name: ScriptedTransport(by_name, clock, name=name) for name in names}
    default_from = parse_mailbox("app@example.com")
    ways = Ways(
        [
            Way(transport=transport, target=f"smtp://{name}.example.com", default_from=default_from)
            for name, transport in transports.items()
        ]
    )
    rendered, signals, limits = RenderedMessages(), Signals(), MessageLimits()
    failures: list[BaseException] = []
    dispatcher = Dispatcher(
        spool=store.spool,
        ways=ways,
        rules=CLASS_RULES,
        rendered=rendered,
        signals=signals,
        clock=clock,
        dice=dice,
        fatal=failures.append,
        events=store.events,
        operations=store.operations,
    )
    intake = Intake(
        spool=store.spool,
        ways=ways,
        dispatcher=dispatcher,
        rendered=rendered,
        rules=CLASS_RULES,
        limits=limits,
        clock=clock,
        dice=dice,
    )
    keyring = KeyRing(store.keys, clock=clock, dice=dice)
    service = Service(
        spool=store.spool,
        blobs=store.blobs,
        captures=store.captures,
        ways=ways,
        intake=intake,
        signals=signals,
        keyring=keyring,
        limits=limits,
        clock=clock,
        durability=store.durability,
    )
    poster = RecordingPoster()

    async def build(spec: TransportSpec) -> Way:
        is_capture = spec.kind is TransportKind.CAPTURE
        made = ScriptedTransport(by_name, clock, name=spec.name, is_capture=is_capture)
        transports[spec.name] = made
        target = "capture" if spec.account is None else redacted_url(spec.account)
        return Way(transport=made, target=target, default_from=spec.default_from or default_from)

    accounts = Accounts(
        records=store.transports,
        ground=Ground(
            configured=configured
            or {name: TransportSpec(name=name, kind=TransportKind.CAPTURE) for name in names}
        ),
        ways=ways,
        roster=dispatcher.roster,
        spool=store.spool,
        events=store.events,
        build=build,
        clock=clock,
    )
    desk = desk_room_of(
        service,
        store,
        ways=ways,
        dispatcher=dispatcher,
        accounts=accounts,
        poster=poster,
        doctor=AccountDoctor(clock=SystemClock(), names=Names([DEAD_NAMES]), limits=HURRIED),
        clock=clock,
        dice=dice,
    )
    keys = {}
    for tenant in (DEFAULT_TENANT, OTHER):
        _, keys[tenant] = await keyring.create(f"kim-{tenant}", scopes=SCOPES, tenant=tenant)
    _, read_key = await keyring.create("reader", scopes=frozenset({"read"}), tenant=DEFAULT_TENANT)
    await dispatcher.start()
    try:
        yield DeskRoom(
            app=build_app(service, HttpSettings(), desk=desk),
            store=store,
            transports=transports,
            dispatcher=dispatcher,
            clock=clock,
            signals=signals,
            poster=poster,
            keys=keys,
            read_key=read_key,
        )
        assert [] == failures
    finally:
        await dispatcher.stop(grace_s=1)
        await store.close()

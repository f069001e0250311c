"""A courier of alerts with everything it needs, over a store on the disk; transports and posts are played."""

import asyncio
import email
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from peers.alert_letters import AT
from peers.engine_room import OK, ScriptedTransport
from peers.manual import CountingDice, ManualClock
from postroom.egress.local_sendmail import LocalSendmail
from postroom.engine.alerting.courier import Courier
from postroom.engine.alerting.fallbacks import Fallbacks
from postroom.engine.alerting.letters import LetterWriter
from postroom.engine.catalogue import Catalogue
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.intake import Intake
from postroom.engine.limits import MessageLimits
from postroom.engine.rendering import RenderedMessages
from postroom.engine.routes import Routes
from postroom.engine.signals import Signals
from postroom.engine.templates import Templating
from postroom.engine.ways import Way, Ways
from postroom.errors import OverloadError
from postroom.mime.html import html_to_text
from postroom.mime.writer import wire_chunks
from postroom.model.alert import AlertTurn, Letter, StoredLetter
from postroom.model.alert_rules import AlertRules, AlertType, Receiver
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.template import CompiledTemplate, Rendered, Shelf, TemplateSource
from postroom.model.view import PauseKind, TransportPause
from postroom.policy.alerting.links import AlertLinks
from postroom.policy.links import LinkKeys
from postroom.policy.retry import CLASS_RULES
from postroom.ports import HookAnswer, Work
from postroom.renderer.compiling import compile_source
from postroom.renderer.shipped import Shipped
from postroom.spool.memory.templates import MemoryTemplates
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import SqliteStore, open_sqlite
from postroom.template.jinja.rendering import load

COMPILED: dict[tuple[str, str], CompiledTemplate] = {}


class Here:
    """A renderer in this process, for nothing here is anybody's but ours."""

    def __init__(self) -> None:
        self.is_busy = False

    async def compile(self, source: TemplateSource, shelf: Shelf) -> CompiledTemplate:
        key = (source.name, source.locale)
        if key not in COMPILED:
            COMPILED[key] = compile_source(source, shelf)
        return COMPILED[key]

    async def check(self, *_args: Any, **_options: Any) -> Any:
        raise NotImplementedError

    async def render(
        self, template: CompiledTemplate, variables: Mapping[str, Any], *, names: Mapping[str, Any], at: Any
    ) -> Rendered:
        if self.is_busy:
            raise OverloadError("no worker", retry_after_s=1)
        return load(template, html_to_text).render(dict(variables), dict(names), at)


@dataclass
class Post:
    """Takes posts, or refuses them."""

    status: int | None = 200
    posts: list[tuple[str, Mapping[str, str], Any]] = field(default_factory=list)

    def problem_with(self, url: str) -> str:
        return "" if url.startswith("https://") else "not allowed"

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> HookAnswer:
        assert timeout_s > 0
        self.posts.append((url, headers, json.loads(body)))
        return HookAnswer(status=self.status, text="", retry_after_s=None, duration_ms=1)


@dataclass
class Life:
    """One life of a courier, on a store that outlives it."""

    store: SqliteStore
    clock: ManualClock
    transports: dict[str, ScriptedTransport]
    ways: Ways
    dispatcher: Dispatcher
    courier: Courier
    writer: LetterWriter
    renderer: Here
    post: Post

    async def write(self, *letters: Letter) -> None:
        await self.store.alerts.settle(AlertTurn(letters=letters))

    async def stored(self, number: int = 17) -> StoredLetter:
        found = await self.store.alerts.letter(number, tenant=DEFAULT_TENANT)
        assert found is not None
        return found

    def works(self) -> list[Work]:
        return [work for one in self.transports.values() for work in one.works]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.clock.advance(0.01)
                for name in self.transports:
                    self.dispatcher.wake(name)
                await asyncio.sleep(0.002)

    def down(self, name: str) -> None:
        way = self.ways.named(name)
        assert way is not None
        way.pauses[PauseKind.LOGIN] = TransportPause(
            transport=name,
            kind=PauseKind.LOGIN,
            since=self.clock.now(),
            until=self.clock.now() + timedelta(hours=1),
            cause="login-refused",
            step="AUTH",
            text="",
            host="",
            failures=3,
        )


RULES = AlertRules(
    receivers={
        "on-call": Receiver(name="on-call", subject_prefix="[ops] "),
        "spare": Receiver(name="spare", route="spare"),
        "own": Receiver(name="own", template="alert"),
        "broken": Receiver(name="broken", template="nothing-of-this-name"),
    },
    types={"own-words": AlertType(key="own-words", body="<p>{object} &amp; {x}</p>", subject="S {object}")},
)


@asynccontextmanager
async def life(
    data: Path, *, clock: ManualClock | None = None, rules: AlertRules = RULES, local: Path | None = None
) -> AsyncIterator[Life]:
    clock = clock or ManualClock(AT)
    store, dice = open_sqlite(data, settings=SpoolSettings(), clock=clock), CountingDice()
    dice.token(int(clock.monotonic()) % 97)
    transports = {
        name: ScriptedTransport(lambda _work, _number: OK, clock, name=name) for name in ("main", "spare")
    }
    ways = Ways([Way(transport=one, target="test") for one in transports.values()])
    failures: list[BaseException] = []
    rendered = RenderedMessages()
    dispatcher = Dispatcher(
        spool=store.spool,
        ways=ways,
        rules=CLASS_RULES,
        rendered=rendered,
        signals=Signals(),
        clock=clock,
        dice=dice,
        fatal=failures.append,
        events=store.events,
    )
    routes = Routes(ways)
    intake = Intake(
        spool=store.spool,
        ways=ways,
        routes=routes,
        dispatcher=dispatcher,
        rendered=rendered,
        rules=CLASS_RULES,
        limits=MessageLimits(),
        clock=clock,
        dice=dice,
    )
    renderer, records = Here(), MemoryTemplates()
    writer = LetterWriter(
        templating=Templating(
            catalogue=Catalogue(renderer=renderer, records=records, places={"postroom": Shipped(None)}),
            records=records,
            renderer=renderer,
            clock=clock,
            names={},
        ),
        rules=lambda: rules,
        clock=clock,
        links=lambda: AlertLinks(public_url="https://mail.example.com", keys=LinkKeys((b"k" * 32,))),
    )
    post = Post()
    courier = Courier(
        records=store.alerts,
        rules=lambda: rules,
        writer=writer,
        fallbacks=Fallbacks(
            ways=lambda: rules.fallback,
            poster=post,
            local=LocalSendmail(local or data / "no-sendmail"),
        ),
        intake=intake,
        routes=routes,
        ways=ways,
        spool=store.spool,
        blobs=store.blobs,
        clock=clock,
        fatal=failures.append,
    )
    await store.spool.recover(now=clock.now(), wait=timedelta(minutes=15))
    await dispatcher.start()
    try:
        yield Life(store, clock, transports, ways, dispatcher, courier, writer, renderer, post)
    finally:
        await courier.stop()
        await dispatcher.stop(grace_s=1)
        await store.close()
    assert [] == failures


async def mail_of(room: Life, work: Work) -> EmailMessage:
    source = b"".join(wire_chunks(work.rendered, lambda ref: room.store.blobs.open(DEFAULT_TENANT, ref)))
    read = email.message_from_bytes(source, policy=default)
    assert isinstance(read, EmailMessage)
    return read

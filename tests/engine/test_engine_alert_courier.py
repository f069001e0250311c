"""Letters of alerts become mails: once, in their order, by a way that works, or by a fallback."""

import asyncio
import base64
import email
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from peers.alert_letters import AT, alert, letter, news
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
from postroom.model.alert import AlertState, AlertTurn, Letter, Severity, StoredLetter
from postroom.model.alert_rules import AlertRules, AlertType, Receiver
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.message import Door, MailClass
from postroom.model.template import CompiledTemplate, Rendered, Shelf, TemplateSource
from postroom.model.view import MessageFilter, PauseKind, TransportPause
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


def test_a_letter_becomes_a_mail(tmp_path: Path) -> None:
    """With subject, lead, links, the curve, the tag and the class; its record says which message it is."""

    async def main() -> None:
        async with life(tmp_path) as room:
            curve = alert(history=tuple(80.0 + one for one in range(12)), link="https://m.example.com/1")
            await room.write(letter(news(curve)))
            await room.courier.start()
            await room.until(lambda: len(room.works()) == 1)
            (work,) = room.works()
            mail = await mail_of(room, work)
            assert ("[ops] [Critical] Disk almost full · storage-2", "auto-generated", "ops@example.net") == (
                mail["subject"],
                mail["auto-submitted"],
                mail["to"],
            )
            assert mail["in-reply-to"] is None
            text, html = mail.get_body(("plain",)), mail.get_body(("html",))
            assert text is not None
            assert html is not None
            lead = "Critical: Disk almost full, storage-2, since 09:05 (for 12 minutes)"
            assert text.get_content().startswith(lead)
            page = html.get_content()
            assert "https://mail.example.com/alerts/act?do=ack" in page
            (picture,) = [part for part in mail.walk() if part.get_content_type() == "image/png"]
            assert f"cid:{picture['content-id'].strip('<>')}" in page
            assert picture.get_content().startswith(b"\x89PNG")
            preview = await room.writer.written(letter(news(curve)))
            assert preview.subject == mail["subject"]
            assert base64.b64encode(picture.get_content()).decode() in preview.page
            while not (stored := await room.stored()).sent_by:  # noqa: ASYNC110 - the store rings no bell
                await asyncio.sleep(0.002)
            assert ("mail", work.message_id) == (stored.sent_by, stored.message_id)
            view = await room.store.spool.view(work.message_id, tenant=DEFAULT_TENANT)
            assert view is not None
            assert (Door.ALERTS, MailClass.ALERT, ("alert",)) == (view.door, view.mail_class, view.tags)
            assert ("postroom:alert-letter", {"alert-letter": "17"}) == (
                view.template and view.template.name,
                view.metadata,
            )

    asyncio.run(main())


def test_letters_of_an_incident_are_one_thread_in_their_order(tmp_path: Path) -> None:
    """A later, urgent one waits for the first; both refer to it, and keep its subject."""

    async def main() -> None:
        async with life(tmp_path) as room:
            mild = alert(severity=Severity.WARNING, title="Disk 91 %")
            await room.write(
                letter(news(mild)),
                letter(
                    news(replace(mild, severity=Severity.CRITICAL, title="Disk 97 %", told_at=AT)),
                    number=18,
                    nth=2,
                ),
                letter(news(replace(mild, state=AlertState.RESOLVED, resolved_at=AT)), number=19, nth=3),
            )
            for _ in range(2):
                await room.courier._turn()
            await room.until(lambda: len(room.works()) == 3)
            works = {work.message_id: work for work in room.works()}
            ids = [(await room.stored(number)).message_id for number in (17, 18, 19)]
            mails = [await mail_of(room, works[one]) for one in ids if one is not None]
            assert [
                "[ops] [Warning] Disk 91 % · storage-2",
                "[ops] [Critical (still)] Disk 91 % · storage-2",
            ] == [mail["subject"] for mail in mails[:2]]
            assert "[ops] [Resolved] Disk 91 % · storage-2" == mails[2]["subject"]
            first = mails[0]["message-id"]
            assert [(None, None), (first, first), (first, first)] == [
                (mail["in-reply-to"], mail["references"]) for mail in mails
            ]

    asyncio.run(main())


@pytest.mark.parametrize("has_template", [True, False])
def test_a_crash_between_mail_and_record_doubles_nothing(tmp_path: Path, *, has_template: bool) -> None:
    """The next life hands the same letter in again, days later and in newer words: there is one message."""

    async def main() -> None:
        clock = ManualClock(AT + timedelta(minutes=2))
        async with life(tmp_path, clock=clock) as room:
            await room.write(letter())
            room.renderer.is_busy = not has_template
            told = await room.courier._told(letter())  # and then the lights go out
            assert told is not None
            assert told[0] is not None
            await room.until(lambda: len(room.works()) == 1)
        clock.advance(6 * 86400)
        changed = replace(RULES, receivers={})
        async with life(tmp_path, clock=clock, rules=changed) as room:
            assert await room.courier._carry(letter())
            stored = await room.stored()
            assert "mail" == stored.sent_by
            assert stored.message_id == (told[0] if has_template else None)
            assert 0.0 < await room.courier._turn()
            assert 1 == len(await room.store.spool.list(MessageFilter(tenant=DEFAULT_TENANT)))
            assert [] == room.works()

    asyncio.run(main())


def test_a_letter_goes_by_a_way_that_works_and_that_it_is_not_about(tmp_path: Path) -> None:
    """The receiver's, else what the rules choose, else any that works."""

    async def main() -> None:
        async with life(tmp_path) as room:
            cases = [
                (letter(number=1), "main"),
                (letter(number=2, receiver="spare"), "spare"),
                (letter(number=3, avoid=("main",)), "spare"),
                (letter(number=4, receiver="spare", avoid=("spare",)), "main"),
            ]
            for one, name in cases:
                await room.write(replace(one, incident=f"i{one.number}"))
                before = len(room.transports[name].works)
                await room.courier._turn()
                await room.until(lambda name=name, before=before: len(room.transports[name].works) > before)  # type: ignore[misc]
            room.down("main")
            await room.write(letter(number=5, incident="i5"))
            await room.courier._turn()
            await room.until(lambda: len(room.transports["spare"].works) == 3)

    asyncio.run(main())


def test_what_finds_no_way_for_a_minute_is_told_by_a_fallback(tmp_path: Path) -> None:
    """A severe letter, in the order of the settings; what is not severe waits until something works."""
    rules = replace(
        RULES, fallback=("webhook:http://10.0.0.1/", "webhook:https://x.example.com/s", "journal")
    )

    async def main() -> None:
        async with life(tmp_path, rules=rules) as room:
            for name in room.transports:
                room.down(name)
            mild = letter(news(alert(severity=Severity.WARNING)), number=18, incident="mild")
            await room.write(letter(), mild)
            assert 0 < await room.courier._turn()
            assert "" == (await room.stored()).sent_by
            room.clock.advance(60)
            await room.courier._turn()
            ((url, headers, body),) = room.post.posts
            assert ("https://x.example.com/s", "postroom-alert-17") == (url, headers["webhook-id"])
            assert ("no transport works", "disk-full") == (
                body["not_mailed_because"],
                body["alerts"][0]["key"],
            )
            assert body["text"].startswith("Critical: Disk almost full, storage-2")
            assert ["webhook", ""] == [(await room.stored(number)).sent_by for number in (17, 18)]
            room.post.status = None
            await room.write(letter(number=19, incident="again"))
            with capture_logs() as logged:
                await room.courier._turn()
            assert "journal" == (await room.stored(19)).sent_by
            (said,) = [one for one in logged if one["log_level"] == "critical"]
            assert "[ops] [Critical] Disk almost full · storage-2" == said["event"]
            assert "storage-2" in said["text"]
            for way in room.ways:
                way.pauses.clear()
            await room.courier._turn()
            assert "mail" == (await room.stored(18)).sent_by

    asyncio.run(main())


def test_sendmail_gets_a_whole_mail(tmp_path: Path) -> None:
    """With -t and -i, lines ended by LF; a program of our own, or one that fails, has not taken it."""
    program = tmp_path / "sendmail"
    taken = tmp_path / "taken"
    program.write_text(f'#!/bin/sh\necho "$@" > {taken}\ncat >> {taken}\n')
    program.chmod(0o755)
    own, failing = tmp_path / "postroom-sendmail", tmp_path / "failing"
    for path in (own, failing):
        path.write_text("#!/bin/sh\necho no room >&2\nexit 75\n")
        path.chmod(0o755)

    async def main() -> None:
        assert "Postroom's own" in await LocalSendmail(own).hand_in(b"x")
        assert "it ended with 75: no room" == await LocalSendmail(failing).hand_in(b"x")
        assert "cannot be run" in await LocalSendmail(tmp_path / "absent").hand_in(b"x")
        rules = replace(RULES, fallback=("sendmail",))
        async with life(tmp_path / "data", rules=rules, local=program) as room:
            for name in room.transports:
                room.down(name)
            room.clock.advance(61)
            await room.write(letter())
            await room.courier._turn()
            assert "sendmail" == (await room.stored()).sent_by
        head, _, source = taken.read_bytes().partition(b"\n")
        assert b"-t -i" == head
        assert b"\r" not in source
        mail = email.message_from_bytes(source, policy=default)
        assert ("ops@example.net", "<postroom-alert-17@example.net>") == (mail["to"], mail["message-id"])

    asyncio.run(main())


def test_what_can_never_be_sent_is_closed_and_said_loudly(tmp_path: Path) -> None:
    """An address that is none is left out; with no other one the letter ends, a severe one in the log."""

    async def main() -> None:
        async with life(tmp_path) as room:
            await room.write(
                letter(number=1, recipients=("no address", "ops@example.net")),
                letter(number=2, incident="b", recipients=("none",)),
                letter(news(alert(severity=Severity.INFO)), number=3, incident="c", recipients=("none",)),
            )
            with capture_logs() as logged:
                await room.courier._turn()
            assert ["mail", "journal", "failed"] == [(await room.stored(n)).sent_by for n in (1, 2, 3)]
            assert 6 == sum(one["log_level"] == "critical" for one in logged)

    asyncio.run(main())


def test_a_template_that_fails_keeps_no_alert_back(tmp_path: Path) -> None:
    """Another template is told by its own variables, a missing one by the shipped one, none by plain text."""

    async def main() -> None:
        async with life(tmp_path) as room:
            own = await room.writer.written(letter(receiver="own"))
            assert "alert" != (own.template and own.template.name)  # only the directory has bare names
            by_name = replace(RULES, receivers={"own": Receiver(name="own", template="postroom:alert")})
            room.writer._rules = lambda: by_name
            other = await room.writer.written(letter(receiver="own"))
            assert ("postroom:alert", "[Critical] Disk almost full") == (
                other.template and other.template.name,
                other.subject,
            )
            room.writer._rules = lambda: RULES
            broken = await room.writer.written(letter(receiver="broken"))
            assert "postroom:alert-letter" == (broken.template and broken.template.name)
            words = await room.writer.written(letter(news(alert("own-words", object="<b>"))))
            assert "<p>&lt;b&gt; &amp; {x}</p>" in (words.html or "")
            assert "<b> & {x}" in words.text
            assert "[ops] S <b>" == words.subject
            room.renderer.is_busy = True
            with pytest.raises(OverloadError):
                await room.writer.written(letter())
            plain = await room.writer.written(letter(), is_hurried=True)
            assert (None, plain.phrased.text) == (plain.html, plain.text)

    asyncio.run(main())


def test_a_letter_at_which_the_program_fails_keeps_no_other_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go; after some tries it is closed, and the log has it."""

    async def main() -> None:
        async with life(tmp_path) as room:
            await room.write(letter(number=1, incident="a"), letter(number=2, incident="b"))
            told = room.courier._told

            async def fails(one: Letter) -> Any:
                if one.number == 1:
                    raise ValueError("a bug")
                return await told(one)

            monkeypatch.setattr(room.courier, "_told", fails)
            with capture_logs():
                for _ in range(4):
                    await room.courier._turn()
                assert ["", "mail"] == [(await room.stored(number)).sent_by for number in (1, 2)]
                await room.courier._turn()
            assert "journal" == (await room.stored(1)).sent_by

    asyncio.run(main())

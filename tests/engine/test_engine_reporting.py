"""Senders hear what became of their mail: once, by the mail's own route, and through every crash."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from email import policy as email_policy
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine.reporting_room import GONE, SENDER, House, Life, refuses_all, unknown_users
from peers.engine_room import BAD_LOGIN, UNKNOWN_USER
from peers.manual import ManualClock
from postroom.engine import reporting
from postroom.engine.reporting import forget
from postroom.errors import OverloadError
from postroom.model.address import NULL_PATH, Address, parse_address
from postroom.model.event import EventKind
from postroom.model.ids import DEFAULT_TENANT, MessageId
from postroom.model.message import Door, MailClass, Notify
from postroom.model.route import Route
from postroom.ports import Report, Work
from postroom.spool.memory.opening import open_memory


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, ManualClock())


@asynccontextmanager
async def capturing() -> AsyncIterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as logged:
        yield logged


def content(work: Work) -> str:
    return b"".join(part for part in work.rendered.segments if isinstance(part, bytes)).decode()


def actions(work: Work) -> dict[str, str]:
    """Return what is said of each recipient."""
    message = BytesParser(policy=email_policy.default).parsebytes(content(work).encode())
    part: Any = list(message.iter_parts())[1]
    return {group["Final-Recipient"]: group["Action"] for group in part.get_payload()[1:]}


def test_a_refused_mail_is_reported(house: House) -> None:
    """The sender has one mail with the null reverse path, and the story of its mail tells so."""

    async def main() -> None:
        async with house.life() as room:
            message_id = await room.send(GONE, wish={"envelope_id": "E1"})
            await room.until(lambda: bool(room.sent()))
            (work,) = room.sent()
            text = content(work)

            assert (NULL_PATH, [(0, SENDER)]) == (work.reverse_path, list(work.recipients))
            assert {f"rfc822; {GONE}": "failed"} == actions(work)
            assert "\r\nAuto-Submitted: auto-replied\r\n" in text
            assert "\r\nDate: Sat, 21 Nov 2026 12:00:" in f"\r\n{text}"
            assert "Original-Envelope-Id: E1\r\n" in text
            assert "In-Reply-To: <hello@example.com>\r\n" in text
            assert "What was found: 550 5.1.1 no such user" in text
            assert "\r\nFrom: Mail gateway <MAILER-DAEMON@example.com>\r\n" in f"\r\n{text}"
            await room.happened(1, EventKind.MESSAGE_REPORTED)
            (event,) = await room.events(EventKind.MESSAGE_REPORTED)
            assert (message_id, (0,)) == (event.message_id, event.recipients)
            assert {
                "what": "failed",
                "reverse_path": SENDER.spec,
                "report": work.message_id,
            } == event.data
            view = await room.store.spool.view(work.message_id, tenant=DEFAULT_TENANT)
            assert view is not None
            assert (Door.POSTROOM, ("postroom-report",)) == (view.door, view.tags)

    asyncio.run(main())


def test_the_account_is_the_author_and_never_the_reverse_path(house: House) -> None:
    """Where the way logs in, From is the login's; the reverse path stays null all the same."""

    async def main() -> None:
        account = Address("relay", "example.com")
        async with house.life(account=account) as room:
            await room.send(GONE, wish={})
            await room.until(lambda: bool(room.sent()))
            (work,) = room.sent()

            assert (NULL_PATH, "relay@example.com") == (work.reverse_path, work.sender)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("wish", "door"),
    [
        (None, Door.SMTP),
        ({}, Door.POSTROOM),
        ({"notify": {parse_address(GONE): frozenset({Notify.NEVER})}}, Door.SMTP),
        ({"notify": {parse_address(GONE): frozenset({Notify.SUCCESS})}}, Door.SENDMAIL),
    ],
)
def test_who_is_not_told(house: House, wish: dict[str, Any] | None, door: Door) -> None:
    """No wish, a mail of ours, NOTIFY=NEVER, a wish for something else: no report, however long one waits."""

    async def main() -> None:
        async with house.life() as room:
            await room.send(GONE, wish=wish, door=door)
            await room.happened(1, EventKind.RECIPIENT_REFUSED)
            await room.passes(600)
            assert [] == room.sent()

    asyncio.run(main())


def test_a_report_that_fails_makes_nothing(house: House) -> None:
    """When the report itself is refused, one line of the log says so; no other mail is written."""

    async def main() -> None:
        async with capturing() as logged, house.life(main=refuses_all) as room:
            await room.send(GONE, wish={})
            await room.until(lambda: len(room.sent()) == 1)
            await room.happened(2, EventKind.RECIPIENT_REFUSED)
            await room.passes(4 * 3600)

            assert 2 == len(room.transports["main"].works)
            assert 1 == sum("did not arrive" in one["event"] for one in logged)

    asyncio.run(main())


def test_one_report_tells_of_everybody(house: House) -> None:
    """A recipient refused at once and one that waits until the mail's time is over share one report."""

    async def main() -> None:
        async with house.life() as room:
            await room.send(GONE, "slow@example.org", "ok@example.org", wish={}, mail_class=MailClass.CODE)
            await room.happened(1, EventKind.RECIPIENT_REFUSED)
            await room.passes(60)
            assert [] == room.sent()
            await room.passes(16 * 60)
            await room.expires()
            await room.until(lambda: bool(room.sent()))
            await room.passes(3600)

            (work,) = room.sent()
            assert {f"rfc822; {GONE}": "failed", "rfc822; slow@example.org": "failed"} == actions(work)
            assert "Status: 4.4.7" in content(work)

    asyncio.run(main())


def test_a_delay_is_told_after_hours_and_the_end_as_well(house: House) -> None:
    """NOTIFY=DELAY,FAILURE: one report after four hours, one at the end, none between."""

    async def main() -> None:
        address = parse_address("slow@example.org")
        wish = {"notify": {address: frozenset({Notify.DELAY, Notify.FAILURE})}}
        async with house.life() as room:
            await room.send(address.spec, wish=wish)
            await room.passes(3 * 3600)
            assert [] == room.sent()
            await room.until(lambda: bool(room.sent()), step_s=30)
            await room.passes(8 * 3600)
            assert [{"rfc822; slow@example.org": "delayed"}] == [actions(work) for work in room.sent()]
            assert "Will-Retry-Until: Tue, 24 Nov 2026 12:00:00 +0000" in content(room.sent()[0])
            room.clock.advance(72 * 3600)
            await room.expires()
            await room.until(lambda: len(room.sent()) == 2)
            assert {"rfc822; slow@example.org": "failed"} == actions(room.sent()[1])

    asyncio.run(main())


def test_a_delay_is_told_when_the_senders_time_is_over(house: House) -> None:
    """BY in mode N: the report comes minutes after, where the settings would wait for hours."""

    async def main() -> None:
        address = parse_address("slow@example.org")
        notify = {address: frozenset({Notify.DELAY, Notify.FAILURE})}
        async with house.life() as room:
            late_at = room.clock.now() + timedelta(minutes=10)
            await room.send(address.spec, wish={"notify": notify, "late_at": late_at})
            await room.passes(9 * 60)
            assert [] == room.sent()
            await room.until(lambda: bool(room.sent()), step_s=30)
            assert room.clock.now() < late_at + timedelta(minutes=5)
            assert {"rfc822; slow@example.org": "delayed"} == actions(room.sent()[0])

    asyncio.run(main())


def test_success_is_told_where_it_is_wished(house: House) -> None:
    """NOTIFY=SUCCESS: a server that knows no wishes took it, so we say that it was passed on."""

    async def main() -> None:
        address = parse_address("ok@example.org")
        wish = {"notify": {address: frozenset({Notify.SUCCESS})}}
        async with house.life() as room:
            await room.send(address.spec, wish=wish)
            await room.send("other@example.org", wish={})
            await room.until(lambda: bool(room.sent()))
            await room.passes(60)

            assert [{"rfc822; ok@example.org": "relayed"}] == [actions(work) for work in room.sent()]

    asyncio.run(main())


def test_a_wish_that_was_passed_on_is_not_ours(house: House) -> None:
    """A server that takes wishes reports success itself; the story says that it took the wish."""

    async def main() -> None:
        address = parse_address("ok@example.org")
        wish = {"notify": {address: frozenset({Notify.SUCCESS})}}
        async with house.life() as room:
            transport = room.transports["main"]
            attempt = transport.attempt

            async def passing_on(work: Work) -> Report:
                return Report(lines=(await attempt(work)).lines, passed_wishes=True)

            transport.attempt = passing_on  # type: ignore[method-assign]  # a server of another kind
            message_id = await room.send(address.spec, GONE, wish=wish)
            await room.until(lambda: bool(room.sent()))
            await room.passes(600)

            assert [{f"rfc822; {GONE}": "failed"}] == [actions(work) for work in room.sent()]
            (event,) = await room.events(EventKind.MESSAGE_REPORT_PASSED_ON)
            assert (message_id, (0,), "main") == (event.message_id, event.recipients, event.transport)

    asyncio.run(main())


def test_a_wish_that_many_servers_took_over_is_not_ours(house: House) -> None:
    """However many attempts passed a mail's wishes on, none of their recipients is told of by us."""

    async def main() -> None:
        names = [f"ok{number}@example.org" for number in range(120)]
        wish = {"notify": {parse_address(name): frozenset({Notify.SUCCESS}) for name in names}}
        async with house.life() as room:
            transport = room.transports["main"]
            attempt = transport.attempt
            transport.max_recipients = 1

            async def passing_on(work: Work) -> Report:
                return Report(lines=(await attempt(work)).lines, passed_wishes=True)

            transport.attempt = passing_on  # type: ignore[method-assign]  # a server of another kind
            await room.send(*names, GONE, wish=wish)
            await room.until(lambda: bool(room.sent()))

            assert [{f"rfc822; {GONE}": "failed"}] == [actions(work) for work in room.sent()]
            assert 120 == len(await room.events(EventKind.MESSAGE_REPORT_PASSED_ON))

    asyncio.run(main())


def test_a_report_speaks_the_language_of_the_mail(house: House) -> None:
    """Accept-Language in the mail's header decides."""

    async def main() -> None:
        async with house.life() as room:
            await room.send(GONE, wish={}, head=b"Accept-Language: de-DE, en\r\n")
            await room.until(lambda: bool(room.sent()))

            assert "\r\nSubject: E-Mail konnte nicht gesendet werden: Hello\r\n" in content(room.sent()[0])

    asyncio.run(main())


def test_a_report_goes_by_the_route_of_its_mail(house: House) -> None:
    """The second transport carries the report of the mail that it carried."""

    async def main() -> None:
        async with house.life(spare=unknown_users) as room:
            await room.send(GONE, wish={}, route=Route(("spare",)))
            await room.until(lambda: bool(room.sent("spare")))
            assert [] == room.sent("main")

    asyncio.run(main())


def test_a_report_waits_for_a_way_that_works(house: House) -> None:
    """While the login is refused no report is handed in; when it works again the sender hears."""

    async def main() -> None:
        async with house.life() as room:
            transport = room.transports["main"]
            transport.script = lambda work, number: (
                UNKNOWN_USER if dict(work.recipients)[number].spec == GONE else BAD_LOGIN
            )
            await room.send("a@example.org")
            await room.happened(1, EventKind.TRANSPORT_OPENED)
            message_id = await room.send(GONE, wish={})
            await room.expires(2, days=4)
            await room.passes(60)
            assert [] == await room.events(EventKind.MESSAGE_REPORTED)
            transport.script = unknown_users
            await room.send("b@example.org")
            await room.until(lambda: bool(room.sent()), step_s=30)
            assert message_id in content(room.sent()[0])

    asyncio.run(main())


def test_many_recipients_make_one_bounded_report(house: House) -> None:
    """A thousand refusals of one mail are one report, whole for programs and short for people."""

    async def main() -> None:
        async with house.life() as room:
            room.transports["main"].max_recipients = 1000
            await room.send(*(f"gone{number}@example.org" for number in range(1000)), wish={})
            await room.until(lambda: bool(room.sent()))
            await room.passes(600)

            (work,) = room.sent()
            assert 1000 == len(actions(work))
            person = content(work).partition("message/delivery-status")[0]
            assert len(person) < 8192
            assert "and 980 more" in person
            assert work.rendered.size < 512 * 1024

    asyncio.run(main())


def test_what_a_person_sends_again_is_not_reported_again(house: House) -> None:
    """Also when the key of the first report was forgotten long ago."""

    async def main() -> None:
        async with house.life() as room:
            message_id = await room.send(GONE, wish={})
            await room.until(lambda: bool(room.sent()))
            await room.passes(20)
            room.clock.advance(10 * 86400)
            await retry(room, message_id)
            await room.happened(2, EventKind.RECIPIENT_REFUSED)
            await room.passes(600)

            assert 1 == len(room.sent())

    asyncio.run(main())


async def retry(room: Life, message_id: MessageId) -> None:
    """Send a mail again as a person does."""
    from postroom.model.selection import Selection  # noqa: PLC0415 - of this one verb

    now = room.clock.now()
    wanted = Selection(tenant=DEFAULT_TENANT, message_id=message_id)
    await room.store.operations.retry(wanted, at=now, now=now, author="someone")
    room.dispatcher.wake("main")


def test_overload_puts_a_report_off(house: House) -> None:
    """What intake does not take now is handed in later."""

    async def main() -> None:
        async with house.life() as room:
            submit, refused = room.intake.submit, 0

            async def busy(*args: Any, **options: Any) -> Any:
                nonlocal refused
                if refused < 2:
                    refused += 1
                    raise OverloadError("too much at once", retry_after_s=1)
                return await submit(*args, **options)

            room.reports._intake = Patched(busy)  # type: ignore[assignment]  # one method is used
            await room.send(GONE, wish={})
            await room.until(lambda: bool(room.sent()))
            await room.passes(120)
            assert (2, 1) == (refused, len(room.sent()))

    asyncio.run(main())


@dataclass
class Patched:
    submit: Callable[..., Awaitable[Any]]


@pytest.mark.parametrize("is_memory", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("crash_at", range(7))
def test_a_crash_at_each_write_sends_one_report(house: House, crash_at: int, is_memory: bool) -> None:
    """Cut off before or after any of its writes, the next life sends each report once, and only once."""
    if is_memory:
        house.memory = open_memory()

    async def main() -> None:
        writes, stuck = 0, asyncio.Event()

        def cutting(write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
            async def cut(*args: Any, **options: Any) -> Any:
                nonlocal writes
                for _ in range(2):  # before the write, and after it
                    if writes >= crash_at:
                        stuck.set()
                        await asyncio.Event().wait()
                    writes += 1
                    if writes % 2:
                        done = await write(*args, **options)
                return done

            return cut

        async with house.life() as room:
            reports: Any = room.reports
            reports._intake = Cut(room.intake, submit=cutting(room.intake.submit))
            reports._events = Cut(room.store.events, append=cutting(room.store.events.append))
            reports._marks = Cut(room.store.marks, set_mark=cutting(room.store.marks.set_mark))
            await room.send(GONE, "slow@example.org", wish={}, mail_class=MailClass.CODE)
            await room.happened(1, EventKind.RECIPIENT_REFUSED)
            await room.passes(10)
            room.clock.advance(16 * 60)
            await room.expires()
            await room.until(lambda: stuck.is_set() or len(room.sent()) == 1)
            await room.passes(60)
        async with house.life() as room:
            await room.passes(2 * 3600)
            await room.happened(1, EventKind.RECIPIENT_ACCEPTED)  # of the report: nobody else accepts

            assert 1 == len(await room.events(EventKind.RECIPIENT_ACCEPTED))
            (event,) = await room.events(EventKind.MESSAGE_REPORTED)
            assert event.data["report"]

    asyncio.run(main())


class Cut:
    """A part of which one verb is cut off at some point."""

    def __init__(self, part: object, **verbs: object) -> None:
        self._part = part
        self.__dict__.update(verbs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


def test_what_waits_is_kept_over_a_restart(house: House) -> None:
    """A failure of one recipient is remembered by the next life, which tells it with the other's."""

    async def main() -> None:
        async with house.life() as room:
            await room.send(GONE, "slow@example.org", wish={}, mail_class=MailClass.CODE)
            await room.happened(1, EventKind.RECIPIENT_REFUSED)
            await room.passes(30)
        async with house.life() as room:
            room.clock.advance(16 * 60)
            await room.expires()
            await room.until(lambda: bool(room.sent()), step_s=30)
            assert 2 == len(actions(room.sent()[0]))

    asyncio.run(main())


def test_the_past_is_no_news(house: House) -> None:
    """What failed before the first life, or while reports were switched off, is not told."""

    async def main() -> None:
        async with house.life() as room:
            await room.reports.stop()
            await room.send(GONE, wish={})
            await room.happened(1, EventKind.RECIPIENT_REFUSED)
            await forget(room.store.marks)
            await forget(room.store.marks)
        async with house.life() as room:
            await room.passes(600)
            assert [] == room.sent()

    asyncio.run(main())


def test_no_more_than_so_many_are_kept_in_mind(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """With too many mails that wait, new events are left where they are until some have ended."""
    monkeypatch.setattr(reporting, "MAX_WAITING", 3)

    async def main() -> None:
        async with capturing() as logged, house.life() as room:
            later = room.clock.now() + timedelta(seconds=300)
            await room.passes(6)
            waiting = {(MessageId(f"{n}"), DEFAULT_TENANT): later for n in range(3)}
            room.reports._waiting.update(waiting)
            await room.send(GONE, wish={})
            await room.happened(1, EventKind.RECIPIENT_REFUSED)
            await room.passes(60)
            assert [] == room.sent()
            assert 1 == sum("reports wait for mails to end" in one["event"] for one in logged)
            await room.until(lambda: bool(room.sent()), step_s=30)

    asyncio.run(main())

"""Every action of a rule is carried out: from a scripted server's reply to what the queue does about it.

The servers stand on loopback, so whose they are is told by the provider that the transport names.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from egress.smtp_peer import EXTENSIONS, Dialogue, SmtpPeer, listening
from egress.works import file_blobs
from peers.manual import CountingDice, ManualClock
from postroom.egress.smtp import SmtpTransport
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.intake import Intake
from postroom.engine.limits import MessageLimits
from postroom.engine.rendering import RenderedMessages
from postroom.engine.signals import Signals
from postroom.engine.ways import Way, Ways
from postroom.model.address import parse_address, parse_mailbox
from postroom.model.ids import DEFAULT_TENANT, MessageId
from postroom.model.message import Submission
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, TlsMode, TransportKind, TransportSpec
from postroom.model.view import MessageView, PauseKind
from postroom.policy.classify import PASSING_FLOORS_S
from postroom.policy.retry import CLASS_RULES
from postroom.spool.memory.opening import MemoryStore, open_memory

LOGIN = "login@example.net"
HOUR = 3600.0


@dataclass(eq=False)
class Room:
    peer: SmtpPeer
    way: Way
    intake: Intake
    dispatcher: Dispatcher
    store: MemoryStore
    clock: ManualClock
    signals: Signals
    says: dict[str, bytes] = field(default_factory=dict)

    async def accept(self, recipients: int = 1) -> MessageId:
        to = tuple(parse_mailbox(f"r{number}@example.org") for number in range(recipients))
        mail = Submission(from_=parse_mailbox(LOGIN), to=to, subject="Hi", text="x")
        message_id, _, _ = await self.intake.submit(mail, senders=())
        return message_id

    async def until(self, message_id: MessageId, is_true: Callable[[MessageView], bool]) -> MessageView:
        """Wait until a view says so and no attempt is under way."""
        async with asyncio.timeout(10):
            while True:
                waiter = self.signals.watch(message_id, "main")
                view = await self.store.spool.view(message_id, tenant=DEFAULT_TENANT)
                assert view is not None
                if is_true(view):
                    await asyncio.gather(*self.dispatcher._tasks)
                    return view
                await waiter

    async def tried(self, message_id: MessageId, times: int = 1) -> MessageView:
        """Wait until the first recipient has so many attempts that ended."""
        return await self.until(message_id, lambda view: _ended(view) >= times)

    def later(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.dispatcher.wake("main")


def _ended(view: MessageView) -> int:
    return sum(one.outcome not in ("open", "committing") for one in view.recipients[0].attempts)


@asynccontextmanager
async def room(tmp_path: Path, provider: str | None = None, **says: bytes) -> AsyncIterator[Room]:
    """A server that answers a verb (``DOT`` for the content) with what ``says`` has for it."""
    peer = SmtpPeer(extensions=(*EXTENSIONS, "AUTH PLAIN"))
    script = dict(says)

    def answer(command: str, dialogue: Dialogue) -> bytes | None:
        verb = "DOT" if command == "." else command[:4].upper()
        if verb == "RCPT" and dialogue.accepted and "LATER" in script:
            return script["LATER"]
        return script.get(verb) or (b"235 2.7.0 welcome\r\n" if verb == "AUTH" else None)

    peer.answer = answer
    clock, dice, store, signals, rendered = (
        ManualClock(),
        CountingDice(roll=0.0),
        open_memory(),
        Signals(),
        RenderedMessages(),
    )
    async with listening(peer) as port:
        account = SmtpAccount(
            host="127.0.0.1",
            port=port,
            tls=TlsMode.NONE,
            username=LOGIN,
            password=Secret("not-a-secret"),
            provider=provider,
        )
        spec = TransportSpec(
            name="main", kind=TransportKind.SMTP, account=account, max_connections=1, max_messages=1
        )
        transport = SmtpTransport(spec, clock=clock, blobs=file_blobs(tmp_path))
        way = Way(transport=transport, target="test", account=parse_address(LOGIN), provider=provider)
        ways = Ways([way])
        dispatcher = Dispatcher(
            spool=store.spool,
            ways=ways,
            rules=CLASS_RULES,
            rendered=rendered,
            signals=signals,
            clock=clock,
            dice=dice,
            fatal=lambda error: pytest.fail(str(error)),
            events=store.events,
            operations=store.operations,
        )
        intake = Intake(
            spool=store.spool,
            ways=ways,
            dispatcher=dispatcher,
            rendered=rendered,
            rules=CLASS_RULES,
            limits=MessageLimits(),
            clock=clock,
            dice=dice,
        )
        await dispatcher.start()
        try:
            yield Room(peer, way, intake, dispatcher, store, clock, signals, script)
        finally:
            await dispatcher.stop(grace_s=1)


@pytest.mark.parametrize(
    ("provider", "says", "effect"),
    [
        (None, {"MAIL": b"450 4.7.1 Error: too much mail\r\n"}, ("queued", "rate-limit", "throttle", 900)),
        (None, {"DOT": b"451 4.7.1 rate limit exceeded\r\n"}, ("deferred", "rate-limit", "throttle", 900)),
        (
            "gmail",
            {"DOT": b"550 5.4.5 Daily user sending limit exceeded\r\n"},
            ("queued", "g-daily-user", "quota", 21600.0),
        ),
        (
            "qq",
            {"AUTH": b"535 Login fail. Please use your authorization code\r\n"},
            ("queued", "qq-auth-code", "login", 900),
        ),
        (
            "ses",
            {"DOT": b"454 Throttling failure: Maximum sending rate exceeded.\r\n"},
            ("deferred", "ses-rate", "throttle", 15),
        ),
        (
            None,
            {"MAIL": b"550 5.7.1 Your account has been suspended\r\n"},
            ("queued", "account-blocked", "login", 3600.0),
        ),
        (None, {"RCPT": b"452 4.2.2 Mailbox full\r\n"}, ("deferred", "rcpt-full", None, 14400.0)),
        (None, {"RCPT": b"450 4.2.0 Greylisted\r\n"}, ("deferred", "greylist", None, 30)),
        ("qq", {"RCPT": b"550 Ip frequency limited\r\n"}, ("deferred", "qq-frequency", None, 3600.0)),
        (None, {"DOT": b"550 5.7.1 Try again later\r\n"}, ("deferred", "try-later", None, 900)),
        (
            "qq",
            {"MAIL": b"501 mail from address must be same as authorization user\r\n"},
            ("refused", "qq-from-mismatch", None, 0),
        ),
        (
            "aliyun",
            {"MAIL": b"440 mail from account doesn't conform with authentication\r\n"},
            ("refused", "ali-from-mismatch", None, 0),
        ),
        (
            None,
            {"MAIL": b"440 mail from account doesn't conform with authentication\r\n"},
            ("deferred", "any-4xx", None, 30),
        ),
        (None, {"RCPT": b"550 5.1.1 No such user\r\n"}, ("refused", "rcpt-unknown", None, 0)),
        (None, {"DOT": b"554 5.7.1 spam\r\n"}, ("refused", "spam", None, 0)),
        (None, {"DOT": b"554 no\r\n"}, ("refused", "any-5xx", None, 0)),
    ],
)
def test_a_reply_has_its_effect(
    tmp_path: Path,
    provider: str | None,
    says: dict[str, bytes],
    effect: tuple[str, str, str | None, float],
) -> None:
    """State and cause of the recipient, the pause of the transport, the least seconds before the next try."""
    state, cause, kind, seconds = effect

    async def story() -> None:
        async with room(tmp_path, provider, **says) as at:
            view = await at.tried(await at.accept())
            recipient = view.recipients[0]
            assert (state, cause) == (recipient.state.value, recipient.attempts[0].cause)
            assert ([kind] if kind else []) == [pause.kind.value for pause in at.way.pauses.values()]
            until = max((pause.until for pause in at.way.pauses.values()), default=recipient.due_at)
            if until is not None:
                assert until - at.clock.now() >= timedelta(seconds=seconds)

    asyncio.run(story())


def test_recipients_above_the_servers_limit_go_in_the_next_transaction(tmp_path: Path) -> None:
    """452 on the second RCPT: the first has its mail, the second is sent at once and lost no attempt."""

    async def story() -> None:
        async with room(tmp_path, LATER=b"452 4.5.3 Too many recipients\r\n") as at:
            message_id = await at.accept(2)
            view = await at.until(message_id, lambda view: view.recipients[1].state.value == "accepted")
            assert ["accepted"] * 2 == [one.state.value for one in view.recipients]
            assert "rcpt-limit" == view.recipients[1].attempts[0].cause
            assert [["r0@example.org"], ["r1@example.org"]] == [mail.recipients for mail in at.peer.mails]

    asyncio.run(story())


def test_a_permanent_code_that_may_pass_is_tried_three_more_times(tmp_path: Path) -> None:
    """Guard two: spread over the day, then refused for good."""

    async def story() -> None:
        async with room(tmp_path, RCPT=b"550 Try again later\r\n") as at:
            message_id = await at.accept()
            for times in range(1, len(PASSING_FLOORS_S) + 1):
                view = await at.tried(message_id, times)
                assert "deferred" == view.recipients[0].state.value
                at.later(13 * HOUR)
            view = await at.tried(message_id, len(PASSING_FLOORS_S) + 1)
            assert ("refused", "try-later") == (view.recipients[0].state.value, view.recipients[0].cause)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("provider", "reply", "cause"),
    [
        ("qq", b"535 Login fail. Please use your authorization code\r\n", "login-expired"),
        ("qq", b"454 4.7.0 Temporary authentication failure\r\n", "auth-temp"),
        (None, b"535 5.7.8 Authentication failed\r\n", "auth-wrong"),
    ],
)
def test_a_login_that_worked_has_that_time(
    tmp_path: Path, provider: str | None, reply: bytes, cause: str
) -> None:
    """A code that worked and is refused has expired; anything refused for good names the last good time."""

    async def story() -> None:
        async with room(tmp_path, provider) as at:
            worked_until = at.clock.now()
            await at.tried(await at.accept())
            at.clock.advance(HOUR)
            at.says["AUTH"] = reply
            view = await at.tried(await at.accept())
            pause = at.way.pauses[PauseKind.LOGIN]
            assert cause == pause.cause
            is_final = reply.startswith(b"5")
            assert is_final == pause.text.startswith(f"worked until {worked_until:%Y-%m-%d %H:%M} UTC; ")
            assert reply.decode().strip() in pause.text
            assert (view.recipients[0].attempts[0].cause == cause) is not (cause == "login-expired")
            assert worked_until == await at.dispatcher.health.worked_until("main")

    asyncio.run(story())


def test_a_login_that_never_worked_has_no_time(tmp_path: Path) -> None:
    """Nothing is made up about a transport by which no mail ever went."""

    async def story() -> None:
        async with room(tmp_path, "qq", AUTH=b"535 Login fail. authorization code\r\n") as at:
            await at.tried(await at.accept())
            pause = at.way.pauses[PauseKind.LOGIN]
            assert ("qq-auth-code", "535 Login fail. authorization code") == (pause.cause, pause.text)

    asyncio.run(story())

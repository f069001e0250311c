import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peers.engine_room import (
    BAD_LOGIN,
    GREYLISTED,
    LOST_AFTER_DOT,
    OK,
    SLOW_DOWN,
    UNKNOWN_USER,
    EngineRoom,
    Script,
    engine_room,
)
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.rendering import RenderedMessages
from postroom.engine.ways import Way, Ways
from postroom.errors import ConflictError, InputError, NotFoundError
from postroom.model.address import parse_mailbox
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.message import MailClass, Submission, UncertainPolicy
from postroom.model.outcome import Evidence
from postroom.model.view import MessageView, PauseKind
from postroom.policy.retry import CLASS_RULES
from postroom.ports import Work

TO = tuple(parse_mailbox(f"r{i}@example.net") for i in range(3))


def _mail(count: int = 1, mail_class: MailClass = MailClass.TRANSACTIONAL) -> Submission:
    return Submission(to=TO[:count], subject="hello", text="body", mail_class=mail_class)


def _run(tmp_path: Path, script: Script, story: Callable[[EngineRoom], Awaitable[None]]) -> None:
    async def play() -> None:
        async with engine_room(tmp_path / "data", script) as room:
            async with asyncio.timeout(20):
                await story(room)
            assert room.failures == []

    asyncio.run(play())


def _always(evidence: Evidence) -> Script:
    return lambda _work, _number: evidence


async def _sent(room: EngineRoom, submission: Submission) -> MessageView:
    receipt = await room.service.submit(submission)
    return await room.service.first_attempt(receipt.message_id, tenant=DEFAULT_TENANT, wait_s=10)


def _states(view: MessageView) -> list[str]:
    return [recipient.state.value for recipient in view.recipients]


def test_one_call_in_one_attempt_out(tmp_path: Path) -> None:
    """An accepted message is attempted at once and shows who said what at which step."""

    async def story(room: EngineRoom) -> None:
        view = await _sent(room, _mail())
        assert _states(view) == ["accepted"]
        (attempt,) = view.recipients[0].attempts
        assert (attempt.outcome, attempt.code, attempt.step, attempt.transport) == (
            "accepted",
            250,
            "body_end",
            "main",
        )
        assert view.next_attempt_at is None
        assert len(room.transport.works) == 1

    _run(tmp_path, _always(OK), story)


def test_a_way_out_is_handed_what_was_rendered(tmp_path: Path) -> None:
    """A way out that sends no bytes reads the content; without a wish for reports there is none."""

    async def story(room: EngineRoom) -> None:
        await _sent(room, _mail())
        (work,) = room.transport.works
        assert work.content is not None
        assert (work.content.subject, work.content.to) == ("hello", TO[:1])
        assert work.reports is None

    _run(tmp_path, _always(OK), story)


def test_each_recipient_is_settled_by_its_own_reply(tmp_path: Path) -> None:
    """One accepted, one refused, one deferred: only the deferred one is tried again."""
    later = {1: UNKNOWN_USER, 2: GREYLISTED}

    async def story(room: EngineRoom) -> None:
        view = await _sent(room, _mail(3))
        assert _states(view) == ["accepted", "refused", "deferred"]
        assert view.next_attempt_at is not None
        later.clear()
        await room.later(120)
        await room.attempts(2)
        assert [number for number, _ in room.transport.works[1].recipients] == [2]

    _run(tmp_path, lambda _work, number: later.get(number, OK), story)


def test_a_retry_sends_identical_bytes(tmp_path: Path) -> None:
    """Date, Message-ID and boundaries are frozen at acceptance."""
    replies = [GREYLISTED, OK]

    async def story(room: EngineRoom) -> None:
        await _sent(room, replace(_mail(), html="<p>hello</p>"))
        await room.later(120)
        await room.attempts(2)
        first, second = (work.rendered for work in room.transport.works)
        assert first.segments == second.segments
        assert first.digest == second.digest

    _run(tmp_path, lambda _work, _number: replies.pop(0), story)


def test_a_refused_login_pauses_the_transport_and_stands_on_every_waiting_message(tmp_path: Path) -> None:
    """A wrong password is no attempt of any message, is not hammered, and is told to all who wait."""

    async def story(room: EngineRoom) -> None:
        first = await _sent(room, _mail())
        assert _states(first) == ["queued"]
        assert first.recipients[0].cause == "auth-wrong"
        words = room.service.words(first.recipients[0].cause)
        assert words.meaning
        assert words.remedy
        second = await _sent(room, _mail())
        assert second.recipients[0].cause == first.recipients[0].cause
        assert second.next_attempt_at is not None
        await room.later(60)
        await asyncio.sleep(0.05)
        assert len(room.transport.works) == 1
        status = await room.service.status()
        assert len(status.problems) == 1

    _run(tmp_path, _always(BAD_LOGIN), story)


def test_after_the_pause_one_message_probes_and_its_success_resumes_the_rest(tmp_path: Path) -> None:
    """The probe is a real queued message; when it gets past the login everything goes on."""
    evidence = [BAD_LOGIN]

    async def story(room: EngineRoom) -> None:
        ids = [(await _sent(room, _mail())).id for _ in range(3)]
        evidence[0] = OK
        await room.later(3600)
        for message_id in ids:
            await room.becomes(message_id, "accepted")
        assert await room.spool.pauses() == []
        assert len(room.transport.works) == 4

    _run(tmp_path, lambda _work, _number: evidence[0], story)


def test_a_short_pause_never_cuts_a_long_one(tmp_path: Path) -> None:
    """A throttle met beside a refused login has a pause of its own; the longest rules."""
    evidence = [BAD_LOGIN, SLOW_DOWN]

    async def story(room: EngineRoom) -> None:
        room.transport.gate = asyncio.Event()
        for _ in range(2):
            receipt = await room.service.submit(_mail())
        await room.attempts(2)
        room.transport.gate.set()
        await asyncio.gather(*room.dispatcher._tasks)
        kinds = {pause.kind: pause for pause in await room.spool.pauses()}
        assert set(kinds) == {PauseKind.LOGIN, PauseKind.THROTTLE}
        view = await room.service.view(receipt.message_id, tenant=DEFAULT_TENANT)
        assert view.next_attempt_at == max(pause.until for pause in kinds.values())

    _run(tmp_path, lambda _work, _number: evidence.pop(0), story)


def test_a_line_whose_pause_is_over_and_that_has_nothing_to_probe_rests(tmp_path: Path) -> None:
    """An ended pause is no reason to ask the store again and again."""

    async def story(room: EngineRoom) -> None:
        view = await _sent(room, _mail())
        await room.service.cancel(view.id, tenant=DEFAULT_TENANT)
        claims = 0
        claim = room.spool.claim

        async def counted(**wish: Any) -> Any:
            nonlocal claims
            claims += 1
            return await claim(**wish)

        room.spool.claim = counted  # type: ignore[method-assign]  # counts what the dispatcher asks
        await room.later(3600)
        for _ in range(200):
            await asyncio.sleep(0.001)
        assert 1 <= claims <= 2

    _run(tmp_path, _always(BAD_LOGIN), story)


def test_a_loss_after_the_dot_is_uncertain_and_waits(tmp_path: Path) -> None:
    """The third outcome is shown as such, and is not repeated before its policy says so."""

    async def story(room: EngineRoom) -> None:
        view = await _sent(room, _mail())
        assert _states(view) == ["uncertain"]
        await room.later(60)
        await asyncio.sleep(0.05)
        assert len(room.transport.works) == 1
        await room.later(16 * 60)
        await room.attempts(2)

    _run(tmp_path, _always(LOST_AFTER_DOT), story)


def test_the_policy_ask_leaves_an_uncertain_message_to_a_person(tmp_path: Path) -> None:
    """Not even days repeat a message whose policy is ask."""

    async def story(room: EngineRoom) -> None:
        view = await _sent(room, replace(_mail(), uncertain_policy=UncertainPolicy.ASK))
        await room.later(2 * 24 * 3600)
        await asyncio.sleep(0.05)
        assert len(room.transport.works) == 1
        assert _states(await room.service.view(view.id, tenant=DEFAULT_TENANT)) == ["uncertain"]

    _run(tmp_path, _always(LOST_AFTER_DOT), story)


@pytest.mark.parametrize(("step_evidence", "expected"), [(GREYLISTED, "deferred"), (OK, "uncertain")])
def test_a_bug_in_an_attempt_is_never_the_recipients_fault(
    tmp_path: Path, step_evidence: Evidence, expected: str
) -> None:
    """An exception inside is deferred before the dot and uncertain after it; nothing is refused."""

    async def story(room: EngineRoom) -> None:
        room.transport.raises = RuntimeError("a bug")
        view = await _sent(room, _mail())
        assert _states(view) == [expected]

    _run(tmp_path, _always(step_evidence), story)


def test_a_stop_gives_back_what_was_not_begun(tmp_path: Path) -> None:
    """After a stop everything that was not sent is queued again, without an attempt on record."""

    async def story(room: EngineRoom) -> None:
        room.transport.gate = asyncio.Event()
        receipts = [await room.service.submit(_mail()) for _ in range(5)]
        await room.attempts(1)
        await room.dispatcher.stop(grace_s=1)
        views = [await room.service.view(r.message_id, tenant=DEFAULT_TENANT) for r in receipts]
        states = {view.recipients[0].state.value for view in views}
        assert states <= {"accepted", "queued"}

    _run(tmp_path, _always(OK), story)


def test_cancelling_takes_what_waits_and_says_so_when_nothing_does(tmp_path: Path) -> None:
    """A deferred message can be cancelled once; a sent one and an unknown one cannot."""

    async def story(room: EngineRoom) -> None:
        view = await _sent(room, _mail())
        assert _states(await room.service.cancel(view.id, tenant=DEFAULT_TENANT)) == ["cancelled"]
        with pytest.raises(ConflictError):
            await room.service.cancel(view.id, tenant=DEFAULT_TENANT)
        with pytest.raises(NotFoundError):
            await room.service.cancel("20261121120000.2222222222222222222222", tenant=DEFAULT_TENANT)

    _run(tmp_path, _always(GREYLISTED), story)


def test_an_idempotency_key_gives_one_message_and_names_what_differs(tmp_path: Path) -> None:
    """The same key with the same content is the same message; with other content it is refused by field."""

    async def story(room: EngineRoom) -> None:
        keyed = replace(_mail(), idempotency_key="order-1")
        receipts = await asyncio.gather(*(room.service.submit(keyed) for _ in range(16)))
        assert len({receipt.message_id for receipt in receipts}) == 1
        assert sum(not receipt.is_replay for receipt in receipts) == 1
        with pytest.raises(InputError) as refused:
            await room.service.submit(replace(keyed, subject="other", html="<b>x</b>"))
        assert sorted(problem.field for problem in refused.value.problems) == ["html", "subject"]

    _run(tmp_path, _always(OK), story)


def test_two_dispatchers_on_one_store_attempt_each_message_once(tmp_path: Path) -> None:
    """The lease, not luck, keeps a message with one owner."""

    async def story(room: EngineRoom) -> None:
        other = _second_dispatcher(room)
        await other.start()
        receipts = await asyncio.gather(*(room.service.submit(_mail()) for _ in range(50)))
        for receipt in receipts:
            other.wake("main")
            await room.becomes(receipt.message_id, "accepted")
        await other.stop(grace_s=1)
        attempted = [work.message_id for work in room.transport.works]
        assert sorted(attempted) == sorted(receipt.message_id for receipt in receipts)

    _run(tmp_path, _always(OK), story)


def _second_dispatcher(room: EngineRoom) -> Dispatcher:
    first = room.dispatcher
    return Dispatcher(
        spool=room.spool,
        ways=Ways([Way(transport=room.transport, target="test")]),
        rules=CLASS_RULES,
        rendered=RenderedMessages(),
        signals=room.signals,
        clock=room.clock,
        dice=first._dice,
        fatal=room.failures.append,
    )


def test_a_captured_work_keeps_sender_and_subject(tmp_path: Path) -> None:
    """A transport is told what people look for without opening the content."""
    seen: list[Work] = []

    async def story(room: EngineRoom) -> None:
        await _sent(room, _mail())
        seen.extend(room.transport.works)
        assert (seen[0].subject, seen[0].sender) == ("hello", "app@example.com")

    _run(tmp_path, _always(OK), story)

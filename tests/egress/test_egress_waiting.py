"""What waits for a connection, and how many there may be."""

import asyncio
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from egress.smtp_peer import SmtpPeer, listening
from egress.works import running, told, work
from postroom.egress.link import Job
from postroom.egress.waiting import AGED_S, Waiting
from postroom.ports import Report


def _job(loop: asyncio.AbstractEventLoop, priority: int, at: float) -> Job:
    future: asyncio.Future[Report] = loop.create_future()
    return Job(replace(work(), priority=priority), future, at)


@given(priorities=st.lists(st.integers(0, 9), max_size=30))
def test_the_smaller_priority_goes_first_and_equals_in_their_order(priorities: list[int]) -> None:
    """Priorities outside 1 to 4 are the nearest of them."""
    loop = asyncio.new_event_loop()
    waiting = Waiting()
    jobs = [_job(loop, priority, float(number)) for number, priority in enumerate(priorities)]
    for job in jobs:
        waiting.add(job)
    taken = []
    while waiting:
        following = waiting.peek(0.0)
        taken.append(waiting.take(0.0))
        assert following is taken[-1]
    assert taken == sorted(jobs, key=lambda job: min(max(job.work.priority, 1), 4))
    assert waiting.take(0.0) is None
    loop.close()


def test_what_has_waited_long_goes_before_everything() -> None:
    """A stream of codes delays the rest and never stops it."""
    loop = asyncio.new_event_loop()
    waiting = Waiting()
    bulk, code = _job(loop, 4, 0.0), _job(loop, 1, 1.0)
    waiting.add(bulk)
    waiting.add(code)
    assert waiting.peek(AGED_S - 1) is code
    assert waiting.take(AGED_S + 1) is bulk
    loop.close()


def test_what_nobody_waits_for_is_passed_over() -> None:
    """Its caller gave up; one that is begun again goes before its equals."""
    loop = asyncio.new_event_loop()
    waiting = Waiting()
    first, second, again = (_job(loop, 3, 0.0) for _ in range(3))
    waiting.add(first)
    waiting.add(second)
    waiting.add_again(again)
    again.future.cancel()
    first.future.cancel()
    assert waiting.peek(0.0) is second
    assert len(waiting) == 1
    assert waiting.take(0.0) is second
    loop.close()


def staying(peer: SmtpPeer) -> int:
    return sum("QUIT" not in each.lines for each in peer.dialogues)


def test_no_more_connections_than_allowed() -> None:
    """Fewer are allowed while three are open: two end, and everything is sent by the one that is left."""

    async def story() -> None:
        peer = SmtpPeer()
        async with listening(peer) as port, running(port, max_connections=3) as transport:
            transport.allow(3)
            reports = await asyncio.gather(*[transport.attempt(work()) for _ in range(12)])
            assert {("body_end", 250)} == {line for report in reports for line in told(report)}
            transport.allow(1)
            # The last of the three may still be opened when the others have done everything.
            await peer.until(lambda: staying(peer) == 1)
            for _ in range(12):
                await transport.attempt(work())
            await peer.until(lambda: staying(peer) == 1)
            assert 1 <= len(peer.dialogues) <= 3
            assert len(peer.mails) == 24

    asyncio.run(story())

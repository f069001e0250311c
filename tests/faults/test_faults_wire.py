"""The wire is cut at every byte of a dialogue, in both directions, in each way of grouping commands.

Twice: through the transport alone, where each cut has its own verdict, and through a whole server, where
the oracle compares what callers, sink and server say after hundreds of cuts.

Uncertain may be said only of a mail whose final dot was handed to the socket. The client writes the body
and the dot as soon as the server asks for them, so that is possible only after a 354 has arrived, and at
most one body of a connection is without an answer.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from egress.works import running, work
from faults.conftest import Tally
from faults.faults_room import a_server
from faults.ledger import Caller, Json, Ledger, account, load, settled
from peers.fault_proxy import NOTHING, Cut, FaultProxy, Plan
from peers.fork_server import ForkServer
from peers.ledger_sink import LedgerSink
from peers.postroom_process import PostroomProcess
from postroom.model.step import Step
from postroom.ports import Report

pytestmark = pytest.mark.slow

PEOPLE = ("a@example.net", "b@example.net", "c@example.net")
MODES = ("lockstep", "grouped", "riding")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a transport said of one mail after a cut."""

    accepted: int
    uncertain: int


def verdict(report: Report) -> Verdict:
    """Every recipient has one line, or the attempt was not begun."""
    assert len(report.lines) in {0, len(PEOPLE)}
    ends = [line.evidence for line in report.lines if line.evidence.step is Step.BODY_END]
    accepted = sum(one.reply is not None and one.reply.code == 250 for one in ends)
    return Verdict(accepted, sum(one.fault is not None for one in ends))


async def attempts(proxy: FaultProxy, mode: str, plan: Plan) -> Sequence[Verdict]:
    """Send one mail over a connection with a plan, or three of which the later ones ride."""
    proxy.ended.clear()
    proxy.connections = 0
    proxy.plan = lambda number: plan if number == 1 else NOTHING
    count = 3 if mode == "riding" else 1
    async with running(proxy.port, pipelining=mode != "lockstep") as transport:
        reports = await asyncio.gather(*(transport.attempt(work(*PEOPLE)) for _ in range(count)))
    return [verdict(report) for report in reports]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("mode", "cut"), [*product(MODES, (Cut.CLOSE, Cut.RESET)), ("grouped", Cut.HALF)])
def test_a_cut_at_every_byte_has_a_true_verdict(mode: str, cut: Cut, tally: Tally) -> None:
    """Accepted means one copy, uncertain at most one, anything else none; uncertain only after a 354."""

    async def main() -> None:
        with LedgerSink() as sink, FaultProxy(sink.port) as proxy:
            assert {Verdict(3, 0)} == set(await attempts(proxy, mode, NOTHING))
            await until(lambda: bool(proxy.ended))
            whole = proxy.ended[0]
            sizes = {"up": len(whole.up), "down": len(whole.down)}
            assert (whole.up.count(b"\r\n.\r\nMAIL") > 0) == (mode == "riding")
            for way, size in sizes.items():
                for byte in range(size):
                    sink.copies.clear()
                    plan = Plan(cut=cut, up=byte) if way == "up" else Plan(cut=cut, down=byte)
                    said = await attempts(proxy, mode, plan)
                    await until(lambda: not sink.open and len(proxy.ended) == proxy.connections)
                    judge(said, sink.copies, proxy, where=f"{way} {byte}")
                    tally.runs += 1
                    tally.uncertain += sum(one.uncertain for one in said)

    asyncio.run(main())


def judge(
    said: Sequence[Verdict], copies: Counter[tuple[str, str]], proxy: FaultProxy, *, where: str
) -> None:
    accepted = sum(one.accepted for one in said)
    uncertain = sum(one.uncertain for one in said)
    assert accepted <= copies.total() <= accepted + uncertain, (where, said, copies)
    hurt = next(one for one in proxy.ended if one.plan is not NOTHING)
    assert uncertain <= (len(PEOPLE) if hurt.bodies else 0), (where, said, hurt)


async def until(is_true: Callable[[], bool]) -> None:
    """Wait until threads of the test have seen an end."""
    async with asyncio.timeout(10):
        while not is_true():  # noqa: ASYNC110 - threads of the test know no event of this loop
            await asyncio.sleep(0.0005)


SPEED = 60.0
"""A pause after a connection that failed takes a quarter of a second."""
STEP = 17
"""Of the short round: every seventeenth byte."""
ENOUGH_S = 60.0
"""Seconds for this part from which every byte is cut in the riding mode too."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ["lockstep", "riding"])
def test_a_server_survives_cuts_at_every_byte(
    mode: str, tmp_path: Path, share: Callable[[str], float], tally: Tally
) -> None:
    """With every other connection cut at another byte nothing is lost and nothing doubled in silence."""
    with (
        ForkServer(speed=SPEED) as forks,
        LedgerSink(extensions=("PIPELINING",) if mode == "riding" else ("8BITMIME",)) as sink,
        FaultProxy(sink.port) as proxy,
    ):
        server = a_server(
            tmp_path / "data",
            proxy.port,
            forks=forks,
            transport=f"max_connections = 1\nmax_messages = {3 if mode == 'riding' else 1}",
            more='[classes.bulk]\nfirst_retry = "5 s"\nmax_retry = "60 s"\nuncertain = "retry"',
        )
        with server:
            plans = [NOTHING, *every_cut(server, sink, proxy, step=1 if share("wire") >= ENOUGH_S else STEP)]
            ledger = Ledger(make=to_three, first=1)
            proxy.ended.clear()
            proxy.plan = lambda _number: plans.pop() if plans else NOTHING
            end = time.monotonic() + max(share("wire") / 2, 60.0)
            with load(ledger, server.port, senders=2, pause_s=0.1):
                while plans and time.monotonic() < end:
                    time.sleep(0.02)  # the load goes on
            proxy.refuse()
            proxy.plan = lambda _number: NOTHING
            proxy.restore()
            found = account(ledger, sink, server.port, bound_s=60)
        hurt = [one for one in proxy.ended if one.plan is not NOTHING]
        tally.runs = len(hurt)
        tally.note = f"{len(plans)} cuts not reached"
        tally.add(found)
        found.check()
        assert len(plans) < 20, "the cuts took too long"
        assert found.uncertain <= len(PEOPLE) * sum(one.bodies > 0 for one in hurt)


def to_three(number: int) -> Json:
    people = [f"rcpt{number:05}-{i}@example.net" for i in range(3)]
    return {"from": "app@example.com", "to": people, "subject": "cut", "text": "x" * 100, "class": "bulk"}


def every_cut(server: PostroomProcess, sink: LedgerSink, proxy: FaultProxy, *, step: int) -> list[Plan]:
    """Measure one whole dialogue and return a cut at each of its bytes, with whole connections in between."""
    ledger = Ledger(make=to_three)
    call = Caller(server.port)
    assert call.hand_in(ledger, ledger.next()) == 202
    settled(call, [one.acknowledged or "" for one in ledger.acknowledged], bound_s=30)
    call.close()
    assert sink.copies.total() == len(PEOPLE)
    sink.copies.clear()
    proxy.refuse()
    whole = max(proxy.ended, key=lambda one: len(one.up))
    proxy.restore()
    cuts = [Plan(up=byte) for byte in range(0, len(whole.up), step)]
    cuts += [Plan(down=byte, cut=Cut.RESET) for byte in range(0, len(whole.down), step)]
    random.Random(1).shuffle(cuts)
    return [plan for cut in cuts for plan in (NOTHING, cut)]

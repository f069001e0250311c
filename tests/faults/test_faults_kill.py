"""The promise that matters most: a SIGKILL at any moment loses nothing and doubles nothing silently.

The ledger is outside the process: the driver notes every acknowledged id, the sink every copy.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.conftest import Tally
from faults.faults_room import a_server
from faults.ledger import Caller, Ledger, account, load, release_suspects
from peers.fork_server import ForkServer
from peers.ledger_sink import LedgerSink
from peers.postroom_process import PostroomProcess

KILLS = 30
SENDER_KILLS = 6
"""Of the short round; the long one goes on for its share of ``--faults``."""
LIVES_OF_A_STORE = 100
"""Then the ledger is compared and a new store begun, so that no round depends on how many came before."""


def live_and_die(server: PostroomProcess, ledger: Ledger, sink: LedgerSink, dice: random.Random) -> None:
    """Start, load, and kill after some deliveries and a moment more: the moment of the kill is the test."""
    server.start()
    with load(ledger, server.port):
        if dice.random() < 0.8:
            sink.wait_for(sink.copies.total() + dice.randrange(1, 40), timeout_s=2)
        time.sleep(dice.uniform(0.0, 0.05))
        server.kill()


def settle_accounts(server: PostroomProcess, ledger: Ledger, sink: LedgerSink, tally: Tally) -> None:
    """Start a last time, let everything end, and compare."""
    with server:
        call = Caller(server.port)
        held = release_suspects(call, ledger)
        call.close()
        found = account(ledger, sink, server.port, bound_s=120)
        assert server.stop() == 0
    tally.add(found)
    print(
        f"{found.acknowledged} acknowledged, {dict(found.states)}, {found.uncertain} uncertain, {held} held"
    )
    found.check()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_sigkill_at_random_moments_loses_nothing_and_declares_every_possible_copy(
    tmp_path: Path, share: Callable[[str], float], forks: ForkServer, tally: Tally
) -> None:
    """Every acknowledged id ends in one state; extra copies exist only where uncertainty was recorded."""
    seed = int(os.environ.get("POSTROOM_TEST_SEED", str(random.randrange(2**32))))
    dice = random.Random(seed)
    tally.note = f"seed {seed}"
    end = time.monotonic() + share("kills")
    while tally.kills < KILLS or time.monotonic() < end:
        tally.runs += 1
        with LedgerSink() as sink:
            ledger = Ledger()
            server = a_server(tmp_path / f"data{tally.runs}", sink.port, forks=forks)
            for lives in range(1, LIVES_OF_A_STORE + 1):
                live_and_die(server, ledger, sink, dice)
                tally.kills += 1
                if lives >= KILLS and time.monotonic() > end:
                    break
            settle_accounts(server, ledger, sink, tally)
        assert len(ledger.acknowledged) > lives, "the load was too small to prove anything"


def sender_of(server: PostroomProcess) -> int | None:
    """Return the pid of the sender process."""
    assert server.process is not None
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return int(children[0]) if children else None


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_sender_process_that_is_killed_loses_nothing(
    tmp_path: Path, share: Callable[[str], float], forks_with_sender: ForkServer, tally: Tally
) -> None:
    """Whether the sender process dies alone or with its server, every possible copy is declared."""
    seed = int(os.environ.get("POSTROOM_TEST_SEED", str(random.randrange(2**32))))
    dice = random.Random(seed)
    tally.note = f"seed {seed}"
    end = time.monotonic() + share("senders")
    with LedgerSink() as sink:
        ledger = Ledger()
        server = a_server(tmp_path / "data", sink.port, forks=forks_with_sender)
        while tally.kills < SENDER_KILLS or time.monotonic() < end:
            server.start()
            with load(ledger, server.port, senders=2):
                for _ in range(2):
                    sink.wait_for(sink.copies.total() + dice.randrange(1, 60), timeout_s=10)
                    if (pid := sender_of(server)) is not None:
                        os.kill(pid, signal.SIGKILL)
                        tally.kills += 1
                server.kill()
                tally.kills += 1
        settle_accounts(server, ledger, sink, tally)

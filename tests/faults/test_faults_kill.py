"""The promise that matters most: a SIGKILL at any moment loses nothing and doubles nothing silently.

The ledger is outside the process: the driver notes every acknowledged id, the sink every copy.
"""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.conftest import Tally
from faults.faults_room import a_server
from faults.ledger import Ledger, account, load
from peers.fork_server import ForkServer
from peers.ledger_sink import LedgerSink

KILLS = 30
"""Of the short round; the long one goes on for its share of ``--faults``."""
LIVES_OF_A_STORE = 100
"""Then the ledger is compared and a new store begun, so that no round depends on how many came before."""


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
            # The first start of each store is a real one, from the shell's point of view; the others are forked.
            first = a_server(tmp_path / f"data{tally.runs}", sink.port)
            with first, load(ledger, first.port):
                time.sleep(dice.uniform(0.01, 0.4))  # the moment of the kill is the test
                first.kill()
            server = a_server(tmp_path / f"data{tally.runs}", sink.port, forks=forks)
            lives = 1
            while lives < LIVES_OF_A_STORE and (lives < KILLS or time.monotonic() < end):
                server.start()
                with load(ledger, server.port):
                    time.sleep(dice.uniform(0.0, 0.3))  # as above
                    server.kill()
                lives += 1
            tally.kills += lives
            with server:
                found = account(ledger, sink, server.port, bound_s=120)
                assert server.stop() == 0
        tally.add(found)
        print(f"seed {seed}: {lives} kills, {found.acknowledged} acknowledged, {dict(found.states)}")
        found.check()
        assert found.acknowledged > lives, "the load was too small to prove anything"

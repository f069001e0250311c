"""The time each part of ``make faults`` gets, and its report: on the screen and in ``build/faults.json``."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pytest

from faults.ledger import Account
from peers.fork_server import ForkServer

SHARES = {
    "kills": 0.26, "senders": 0.06, "alerts": 0.06, "power": 0.18, "calls": 0.24, "wire": 0.08, "smtp": 0.06,
}  # fmt: skip
"""Of ``--faults``, for the parts that go on as long as they are let; the others take their own time."""
REPORT = Path(__file__).parents[2] / "build" / "faults.json"


@dataclass(slots=True, kw_only=True)
class Tally:
    """What one part did and found."""

    part: str
    runs: int = 0
    kills: int = 0
    power_cuts: int = 0
    acknowledged: int = 0
    delivered: int = 0
    lost: int = 0
    copies: int = 0
    undeclared: int = 0
    uncertain: int = 0
    note: str = ""

    def add(self, found: Account) -> None:
        """Add what the oracle found."""
        self.acknowledged += found.acknowledged
        self.delivered += found.delivered
        self.lost += len(found.lost)
        self.copies += found.extra
        self.undeclared += len(found.undeclared)
        self.uncertain += found.uncertain


NUMBERS = tuple(field.name for field in fields(Tally) if field.name not in {"part", "note"})
TALLIES: dict[str, Tally] = {}


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """Return the line of this test in the report."""
    name = request.node.name.removeprefix("test_")
    return TALLIES.setdefault(name, Tally(part=name))


@pytest.fixture
def share(request: pytest.FixtureRequest) -> Callable[[str], float]:
    """Return the seconds a part may go on; 0 means its short round, the one of ``make test``."""
    seconds: float = request.config.getoption("--faults")
    return lambda part: seconds * SHARES[part]


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """Return what starts servers quickly; they have no sender process."""
    with ForkServer() as running:
        yield running


@pytest.fixture(scope="session")
def forks_with_sender() -> Iterator[ForkServer]:
    """As ``forks``, and the servers have a sender process."""
    with ForkServer(processors=2) as running:
        yield running


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a long run the bound of each test is that of the run."""
    seconds: float = config.getoption("--faults")
    if seconds:
        for item in items:
            item.add_marker(pytest.mark.timeout(seconds + 900), append=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With ``CI=1`` a long run without a power cut has proved nothing, and fails."""
    if os.environ.get("CI") != "1" or not session.config.getoption("--faults"):
        return
    if not any(one.power_cuts for one in TALLIES.values()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the report of a long run and write it down."""
    if not TALLIES or not config.getoption("--faults"):
        return
    total = Tally(part="in all")
    for one in TALLIES.values():
        for name in NUMBERS:
            setattr(total, name, getattr(total, name) + getattr(one, name))
    deaths = total.kills + total.power_cuts
    bound = f"{3 / deaths:.4f}" if deaths else "unknown"
    terminalreporter.section("faults")
    width = max(len(name) for name in [*TALLIES, total.part])
    terminalreporter.write_line(" ".join([" " * width, *(f"{name:>12}" for name in NUMBERS)]))
    for one in [*TALLIES.values(), total]:
        terminalreporter.write_line(
            " ".join([one.part.ljust(width), *(f"{getattr(one, name):>12}" for name in NUMBERS), one.note])
        )
    if not total.power_cuts:
        terminalreporter.write_line("no power was cut: with CI=1 that is a failure")
    verdict = f"{total.lost} lost and {total.undeclared} undeclared copies in {deaths} kills and power cuts"
    if not total.lost and not total.undeclared:
        verdict += f": with 95 % confidence at most {bound} of such deaths lose or double anything (3/n)"
    terminalreporter.write_line(verdict)
    REPORT.parent.mkdir(exist_ok=True)
    report = {"total": asdict(total), "bound": bound, "parts": [asdict(one) for one in TALLIES.values()]}
    REPORT.write_text(json.dumps(report, indent=2) + "\n")

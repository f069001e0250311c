"""Rules for every test: what a missing system package means, how hypothesis searches, how long faults run."""

import gc
import os
import shutil
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from _pytest.nodeid import NodeId
from hypothesis import settings

if TYPE_CHECKING:
    from _pytest.reports import CollectReport, TestReport

IS_CI = os.environ.get("CI") == "1"

PACKAGES = {
    "postfix": ("postfix", "postfix"),
    "dovecot": ("dovecot", "dovecot-core"),
    "chromium": ("chromium", "chromium"),
    "strace": ("strace", "strace"),
    "swaks": ("swaks", "swaks"),
    "msmtp": ("msmtp", "msmtp"),
    "spamassassin": ("spamassassin", "spamassassin"),
    "rspamd": ("rspamd", "rspamd"),
    "prometheus": ("prometheus", "prometheus"),
    "alertmanager": ("prometheus-alertmanager", "prometheus-alertmanager"),
    "fonts": ("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", "fonts-noto-cjk fonts-dejavu-core"),
}
"""Marker to the program or file it needs, and the Debian package."""

_accept: Any = BaseSelectorEventLoop._accept_connection2  # type: ignore[attr-defined]


async def _accept_while_open(  # noqa: PLR0917 - the signature of asyncio
    loop: Any, factory: Any, connection: Any, extra: Any, tls: Any, server: Any, *limits: Any
) -> None:
    """Close what was accepted for a server that has closed since; Python 3.11 forgets it, socket and all.

    A peer that ends at that moment would fail whichever test runs when the socket is collected.
    """
    if server is not None and not server.sockets:
        connection.close()
        return
    await _accept(loop, factory, connection, extra, tls, server, *limits)


BaseSelectorEventLoop._accept_connection2 = _accept_while_open  # type: ignore[attr-defined]

# A mistake of the program is told plainly here too: drawing all its frames takes longer than most tests.
for _one in structlog.get_config()["processors"]:
    if isinstance(_one, structlog.dev.ConsoleRenderer):
        _one.exception_formatter = structlog.dev.plain_traceback

# A quick look at each property with every run; ``make test`` and ``make faults`` search with ``thorough``.
settings.register_profile("quick", deadline=None, derandomize=IS_CI, max_examples=30)
settings.register_profile("thorough", deadline=None, derandomize=IS_CI, max_examples=100)
settings.load_profile("quick")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--faults", type=float, default=0.0, metavar="SECONDS", help="let the fault tests share SECONDS"
    )


@pytest.fixture(scope="session", autouse=True)
def _new_stores_are_copied() -> Generator[None]:
    from made_store import copied  # noqa: PLC0415 - a store is not loaded where no test runs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("postroom.spool.sqlite.opening._database", copied)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the collector of garbage the tests themselves: they live to the end, and there are many."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tell pytest-xdist of its groups: the attribute by which it tells itself is gone since pytest 9.2.

    Without it each worker makes what a group makes once: a virtual environment, all the templates.
    """
    if not config.getoption("loadgroup", default=False):
        return
    for item in items:
        group = item.get_closest_marker("xdist_group")
        if group is not None and "@" not in item.nodeid:
            item._id = NodeId.parse(f"{item.nodeid}@{group.args[0]}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    if config.getoption("dist") != "loadgroup":
        return None
    from shared_work import ByFile  # noqa: PLC0415 - where there is no pytest-xdist this is not called

    return ByFile(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, (program, package) in PACKAGES.items():
        if item.get_closest_marker(marker) is None:
            continue
        found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")
        if found is None and not (program.startswith("/") and Path(program).exists()):
            pytest.skip(f"needs {program} (Debian: apt-get install {package})")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, "TestReport", "TestReport"]:
    report = yield
    _fail_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, "CollectReport", "CollectReport"]:
    report = yield
    _fail_skipped(report)
    return report


def _fail_skipped(report: "TestReport | CollectReport") -> None:
    """With ``CI=1`` every package is there, so a skip is a hole in the proof."""
    if IS_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"with CI=1 a skip is a failure: {reason}"

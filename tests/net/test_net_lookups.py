"""Lookups of callers' names: shared, bounded, and in nobody's way."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from net.wires import fault_of
from postroom.model.outcome import FaultKind
from postroom.net.addresses import resolve
from postroom.net.lookups import MAX_THREADS, Lookups

real = socket.getaddrinfo


class Silent:
    """Stands for a resolver: names below ``silent.test`` get no answer until told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go_on = threading.Event()

    def __call__(self, host: str, port: int, *args: Any, **options: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if host.endswith("silent.test"):
            self.go_on.wait(20)
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return list(real("127.0.0.1", port, *args, **options))


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Silent]:
    stand_in = Silent()
    monkeypatch.setattr(socket, "getaddrinfo", stand_in)
    yield stand_in
    stand_in.go_on.set()


def test_one_name_has_one_thread(silent: Silent) -> None:
    """However many wait for a silent name, it is asked for once, and each waiter gives up by its own time."""

    async def main() -> None:
        look_up = Lookups()
        faults = await asyncio.gather(
            *(fault_of(look_up("a.silent.test", 443, timeout_s=0.05)) for _ in range(50))
        )
        assert {"getaddrinfo timed out after 0.05 s (a.silent.test)"} == {
            fault.fault.text for fault in faults
        }
        assert ["a.silent.test"] == silent.asked

    asyncio.run(main())


def test_silent_names_do_not_delay_others(silent: Silent) -> None:
    """With all but one thread in silent names another name is answered; beyond that it is refused at once."""

    async def main() -> None:
        look_up = Lookups()
        waiting = [
            asyncio.create_task(fault_of(look_up(f"{number}.silent.test", 443, timeout_s=20)))
            for number in range(MAX_THREADS - 1)
        ]
        await asyncio.sleep(0)
        found = await look_up("works.test", 443, timeout_s=5)
        assert ["127.0.0.1:443"] == [str(one) for one in found]

        waiting.append(asyncio.create_task(fault_of(look_up("last.silent.test", 443, timeout_s=20))))
        await asyncio.sleep(0)
        fault = await fault_of(look_up("works.test", 443, timeout_s=5))
        assert (FaultKind.LOCAL, "too many names are being looked up (works.test)") == (
            fault.fault.kind,
            fault.fault.text,
        )

        silent.go_on.set()
        ended = await asyncio.gather(*waiting)
        assert {FaultKind.NAME} == {one.fault.kind for one in ended}
        assert await look_up("works.test", 443, timeout_s=5)

    asyncio.run(main())


def test_the_answer_is_the_usual_one() -> None:
    """A real name of this machine has the addresses that the usual lookup finds."""

    async def main() -> None:
        assert await resolve("localhost", 25, timeout_s=5) == await Lookups()("localhost", 25, timeout_s=5)

    asyncio.run(main())


def test_a_loop_that_ended_is_left(silent: Silent) -> None:
    """An answer that comes after the end of the loop is nobody's trouble."""

    async def main() -> None:
        await fault_of(Lookups()("late.silent.test", 443, timeout_s=0.01))

    asyncio.run(main())
    (thread,) = [one for one in threading.enumerate() if one.name == "lookup late.silent.test"]
    silent.go_on.set()
    thread.join(5)
    assert not thread.is_alive()

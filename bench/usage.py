"""CPU time and memory of a process and everything it started, from ``/proc``.

CPU: user and system time of the living processes of the tree, plus what they inherited from children that
ended and were waited for. Memory: the sum of each process's proportional share (PSS), sampled; and for a
single process also the kernel's own high-water mark of its resident set, which misses nothing.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


def tree(root: int) -> list[int]:
    """Return the process ids of ``root`` and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_us(root: int) -> float:
    """Return the microseconds of CPU the tree has used so far."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            total += sum(int(value) for value in _stat(pid)[11:15])
    return total * TICK_US


def thread_cpu_us(pid: int) -> dict[int, float]:
    """Return the microseconds of CPU each living thread of one process has used so far, by thread id."""
    used = {}
    for entry in (_PROC / f"{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            text = (entry / "schedstat").read_text(encoding="ascii")
            used[int(entry.name)] = int(text.split()[0]) / 1000
    return used


def pss_mb(root: int) -> float:
    """Return the memory of the tree now, shared pages counted once, in megabytes."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            total += _field_kb(_PROC / f"{pid}/smaps_rollup", "Pss:")
    return total * 1024 / 1e6


def peak_rss_mb(root: int) -> float:
    """Return the sum of the high-water marks of the tree's processes, in megabytes."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            total += _field_kb(_PROC / f"{pid}/status", "VmHWM:")
    return total * 1024 / 1e6


def _stat(pid: int) -> list[str]:
    """Return the fields after the program's name, which may itself hold spaces: state, parent, ..."""
    text = (_PROC / f"{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text[text.rindex(")") + 2 :].split()


def _field_kb(path: Path, name: str) -> int:
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0


@dataclass(slots=True, kw_only=True)
class Peak:
    """The highest memory seen, in megabytes."""

    pss_mb: float = 0.0
    samples: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def peak_of(root: int, *, every_s: float) -> Iterator[Peak]:
    """Sample the memory of a tree every ``every_s`` seconds while the block runs."""
    peak = Peak()

    def sample() -> None:
        while True:
            peak.pss_mb = max(peak.pss_mb, pss_mb(root))
            peak.samples += 1
            if peak._stop.wait(every_s):  # noqa: SLF001 - the flag of this very sampler
                return

    thread = threading.Thread(target=sample, name="memory", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        peak._stop.set()  # noqa: SLF001 - as above
        thread.join()

"""The work every peer gets, and what the machine is."""

import json
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS_IN = 10
CONNECTIONS_OPEN = 64
"""Of the open loop: with few connections each waiting for its answer the loop would be closed after all, and
ten of them carry 1,000 a second only while every answer comes within 10 ms."""
CONNECTIONS_OUT = 20
"""Postfix's own default for one destination; Postroom is set to the same."""
MESSAGE_BYTES = 4096
RATE = 1000
"""Messages a second of the open-loop run."""
ATTACHMENTS = 20
ATTACHMENT_BYTES = 25_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How much of it."""

    messages: int
    warm_up: int
    rounds: int
    open_loop_s: float
    connections_out: int
    directory: Path
    """Where every peer keeps its queue or data: one file system for all."""


def json_body() -> bytes:
    """Return the body of one message: with headers about ``MESSAGE_BYTES`` on the wire."""
    line = "The quick brown fox jumps over the lazy dog, and the post goes out.\n"
    text = (line * (MESSAGE_BYTES // len(line) + 1))[:MESSAGE_BYTES]
    return json.dumps(
        {"from": "bench@example.com", "to": "someone@example.org", "subject": "Benchmark", "text": text}
    ).encode()


def working_directory(parent: Path) -> Path:
    """Make a directory that other users may enter: Postfix's daemons run as one."""
    directory = Path(tempfile.mkdtemp(prefix="postroom-bench-", dir=parent))
    directory.chmod(0o755)
    return directory


def machine(directory: Path) -> dict[str, str]:
    """Describe what the figures were measured on."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "cpu": f"{os.cpu_count()} x {cpu}",
        "python": platform.python_version(),
        "kernel": platform.release(),
        "file system": _file_system(directory),
        "fsync": f"{_fsync_us(directory):.0f} us (4 KB appended, median of 200)",
    }


def _file_system(directory: Path) -> str:
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, mount, kind, *_ = line.split()
        if directory.resolve().is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, kind)
    return f"{best[1]} on {best[0]}"


def _fsync_us(directory: Path) -> float:
    path = directory / "fsync"
    spans = []
    with path.open("wb", buffering=0) as file:
        for _ in range(200):
            began = time.perf_counter()
            file.write(b"x" * MESSAGE_BYTES)
            os.fsync(file.fileno())
            spans.append(time.perf_counter() - began)
    path.unlink()
    return sorted(spans)[len(spans) // 2] * 1e6

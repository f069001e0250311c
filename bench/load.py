"""HTTP load with little CPU of its own: prepared request bytes, non-blocking sockets, no HTTP library.

Closed loop: every connection sends its next request when the answer to its last has come. Open loop: requests
have a time on the wall, whatever the server does; latency counts from that time, so a server that stalls pays
for everything that had to wait (no coordinated omission).
"""

import re
import resource
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
BOUNDARY = "bench-boundary-7f3a"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where requests go and the key they carry."""

    port: int
    key: str

    def request(self, path: str, kind: str, length: int) -> bytes:
        """Return the head of a POST."""
        return (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        ).encode()


@dataclass(slots=True, kw_only=True)
class Result:
    """What the load saw."""

    began: float = 0.0
    """Monotonic time of the first byte sent."""
    ended: float = 0.0
    """Monotonic time of the last answer."""
    statuses: dict[bytes, int] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)
    cpu_us: float = 0.0
    """CPU this generator used itself."""

    @property
    def accepted(self) -> int:
        """Answers that say the message is stored."""
        return self.statuses.get(b"202", 0)

    def percentile_ms(self, share: float) -> float:
        """Return the latency below which ``share`` of the requests stayed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(None)  # a time limit costs a system call for every read
        self.buffer = b""
        self.due = 0.0

    def status(self) -> bytes | None:
        """Read what is there; return the status when the answer is complete."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed a connection that was to be kept")
        data = self.buffer + data if self.buffer else data
        end = data.find(b"\r\n\r\n")
        length = _LENGTH.search(data, 0, end + 2) if end >= 0 else None
        if length is None or len(data) < end + 4 + int(length[1]):
            self.buffer = data
            return None
        self.buffer = b""
        return data[9:12]


def closed_loop(
    target: Target, *bodies: bytes, count: int, connections: int, path: str = "/v1/messages"
) -> Result:
    """Send ``count`` requests over ``connections`` kept connections, each waiting for its answer.

    Several bodies are sent in turn.
    """
    requests = cycle([target.request(path, "application/json", len(body)) + body for body in bodies])
    open_ones = {one.socket.fileno(): one for one in (_Connection(target.port) for _ in range(connections))}
    poll = select.epoll()
    result = Result()
    cpu = _own_cpu_us()
    result.began = time.perf_counter()
    sent = 0
    for number, one in open_ones.items():
        poll.register(number, select.EPOLLIN)
        if sent < count:
            one.due = time.perf_counter()
            one.socket.sendall(next(requests))
            sent += 1
    done = 0
    while done < count:
        for number, _ in _ready(poll):
            one = open_ones[number]
            status = one.status()
            if status is None:
                continue
            now = time.perf_counter()
            result.statuses[status] = result.statuses.get(status, 0) + 1
            result.latencies_s.append(now - one.due)
            done += 1
            if sent < count:
                one.due = now
                one.socket.sendall(next(requests))
                sent += 1
    result.ended = time.perf_counter()
    result.cpu_us = _own_cpu_us() - cpu
    _close(poll, open_ones)
    return result


def open_loop(
    target: Target, *bodies: bytes, rate: int, seconds: float, connections: int, path: str = "/v1/messages"
) -> Result:
    """Send ``rate`` requests a second on a fixed timetable; latency counts from the timetable.

    Several bodies are sent in turn.
    """
    requests = cycle([target.request(path, "application/json", len(body)) + body for body in bodies])
    open_ones = {one.socket.fileno(): one for one in (_Connection(target.port) for _ in range(connections))}
    idle = deque(open_ones.values())
    waiting: deque[float] = deque()
    result = Result()
    count = int(rate * seconds)
    cpu = _own_cpu_us()
    result.began = time.perf_counter()
    planned = done = 0
    while done < count:
        now = time.perf_counter()
        while planned < count and result.began + planned / rate <= now:
            waiting.append(result.began + planned / rate)
            planned += 1
        while waiting and idle:
            one = idle.popleft()
            one.due = waiting.popleft()
            one.socket.sendall(next(requests))
        pause = max(0.0, result.began + planned / rate - time.perf_counter()) if planned < count else 5.0
        readable, _, _ = select.select(open_ones, (), (), pause)
        for number in readable:
            one = open_ones[number]
            status = one.status()
            if status is None:
                continue
            result.statuses[status] = result.statuses.get(status, 0) + 1
            result.latencies_s.append(time.perf_counter() - one.due)
            idle.append(one)
            done += 1
    result.ended = time.perf_counter()
    result.cpu_us = _own_cpu_us() - cpu
    for one in open_ones.values():
        one.socket.close()
    return result


def uploads(target: Target, *, count: int, size: int, connections: int) -> Result:
    """Send ``count`` multipart messages with one attachment of ``size`` bytes each, all of them different."""
    content = memoryview(bytes(range(256)) * (size // 256 + 1))[: size - 16]
    result = Result()
    numbers = iter(range(count))
    lock = threading.Lock()

    def work() -> None:
        one = _Connection(target.port)
        one.socket.settimeout(300)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                one.socket.close()
                return
            began = time.perf_counter()
            for piece in _multipart(target, number, content):
                one.socket.sendall(piece)
            status = None
            while status is None:
                status = one.status()
            with lock:
                result.statuses[status] = result.statuses.get(status, 0) + 1
                result.latencies_s.append(time.perf_counter() - began)

    threads = [threading.Thread(target=work, name=f"upload-{index}") for index in range(connections)]
    result.began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result.ended = time.perf_counter()
    return result


def _multipart(target: Target, number: int, content: memoryview) -> Sequence[bytes | memoryview]:
    message = (
        b'{"from": "bench@example.com", "to": "someone@example.org", "subject": "Large",'
        b' "text": "See attached.", "attachments": [{"upload": "file", "filename": "large.bin"}]}'
    )
    form = "Content-Disposition: form-data; name"
    first = f'--{BOUNDARY}\r\n{form}="message"\r\nContent-Type: application/json\r\n\r\n'.encode()
    second = (
        f'\r\n--{BOUNDARY}\r\n{form}="file"; filename="large.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    mark = f"{number:016d}".encode()
    last = f"\r\n--{BOUNDARY}--\r\n".encode()
    length = len(first) + len(message) + len(second) + len(mark) + len(content) + len(last)
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    head = target.request("/v1/messages", kind, length)
    return (head + first + message + second + mark, content, last)


def _ready(poll: select.epoll) -> list[tuple[int, int]]:
    events = poll.poll(30)
    if not events:
        raise TimeoutError("the server gave no answer for 30 s")
    return events


def _close(poll: select.epoll, connections: dict[int, _Connection]) -> None:
    poll.close()
    for one in connections.values():
        one.socket.close()


def _own_cpu_us() -> float:
    used = resource.getrusage(resource.RUSAGE_THREAD)
    return (used.ru_utime + used.ru_stime) * 1e6

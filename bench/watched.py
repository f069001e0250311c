"""A small SMTP server that notes when each recipient was named: ``smtp-sink`` counts but keeps no time.

It runs in a thread of its own with plain blocking sockets, takes everything, and waits ``delay_s`` before it
answers a final dot, as a provider does.
"""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator

_RECIPIENT = re.compile(rb"RCPT TO:<([^>]+)>", re.IGNORECASE)


class Watched:
    """A running server: ``seen`` maps a recipient to the monotonic time of its RCPT command."""

    def __init__(self, *, delay_s: float) -> None:
        """Listen on a free loopback port."""
        self.seen: dict[str, float] = {}
        self._delay_s = delay_s
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening; connections end when the client leaves."""
        self._listener.close()

    def wait_for(self, address: str, *, timeout_s: float) -> float:
        """Return when ``address`` was named. Raises TimeoutError."""
        deadline = time.perf_counter() + timeout_s
        while (at := self.seen.get(address)) is None:
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{address} did not reach the sink within {timeout_s:.0f} s")
            time.sleep(0.0005)
        return at

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, contextlib.suppress(ConnectionError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(b"220 sink.example.com ESMTP\r\n")
            data, is_content = b"", False
            while more := client.recv(65536):
                at = time.perf_counter()
                data += more
                while True:
                    end = b"\r\n.\r\n" if is_content else b"\r\n"
                    line, found, rest = data.partition(end)
                    if not found:
                        break
                    data = rest
                    if is_content:
                        time.sleep(self._delay_s)
                        is_content = False
                        client.sendall(b"250 2.0.0 taken\r\n")
                        continue
                    if match := _RECIPIENT.match(line):
                        self.seen.setdefault(match[1].decode(), at)
                    is_content = line.upper() == b"DATA"
                    client.sendall(_answer(line.upper()))
                    if line.upper() == b"QUIT":
                        return


def _answer(line: bytes) -> bytes:
    if line.startswith(b"EHLO"):
        return b"250-sink.example.com\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE\r\n"
    if line == b"DATA":
        return b"354 go on\r\n"
    return b"221 2.0.0 bye\r\n" if line == b"QUIT" else b"250 2.0.0 fine\r\n"


@contextlib.contextmanager
def watching(*, delay_s: float = 0.0) -> Iterator[Watched]:
    """Run a server for as long as the block lasts."""
    watched = Watched(delay_s=delay_s)
    try:
        yield watched
    finally:
        watched.close()

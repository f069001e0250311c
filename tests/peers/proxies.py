"""Proxies for tests: one that others wrote, as a process, and scripted ones that misbehave."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from peers.postfix import free_port, wait_for_port
from postroom.model.secret import Secret
from postroom.model.transport import Proxy, ProxyKind

USER, PASSWORD = "relay", "open-sesame-42"

_START = "import sys; sys.modules['uvloop'] = None; from pproxy.server import main; main()"
"""With uvloop it does not start: it asks for an event loop that uvloop no longer makes by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxies:
    """A running pproxy: a port for each kind, with and without a login."""

    socks: int
    socks_login: int
    http: int
    http_login: int

    def socks5(self, password: str = PASSWORD) -> Proxy:
        return through(ProxyKind.SOCKS5, self.socks_login, USER, password)

    def connect(self, password: str = PASSWORD) -> Proxy:
        return through(ProxyKind.HTTP, self.http_login, USER, password)


def through(kind: ProxyKind, port: int, username: str | None = None, password: str | None = None) -> Proxy:
    secret = Secret(password) if password is not None else None
    return Proxy(kind=kind, host="127.0.0.1", port=port, username=username, password=secret)


@contextlib.contextmanager
def running() -> Iterator[Proxies]:
    """Start pproxy on free loopback ports; end it afterwards."""
    ports = [free_port() for _ in range(4)]
    login = f"#{USER}:{PASSWORD}"
    urls = [
        f"{kind}://127.0.0.1:{port}{suffix}"
        for (kind, suffix), port in zip(
            [("socks5", ""), ("socks5", login), ("http", ""), ("http", login)], ports, strict=True
        )
    ]
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        _START,
        "-a",
        "0",
        *(part for url in urls for part in ("-l", url)),
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        for port in ports:
            wait_for_port(port)
        yield Proxies(socks=ports[0], socks_login=ports[1], http=ports[2], http_login=ports[3])
    finally:
        process.kill()
        process.wait(timeout=10)

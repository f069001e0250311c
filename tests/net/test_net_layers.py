"""Faults and the TLS layer without a socket."""

import errno
import ssl
from collections.abc import Iterator

import pytest
import trustme

from each_row import each
from net.wires import account, server_context
from postroom.model.outcome import FaultKind
from postroom.model.transport import TlsMode
from postroom.net import tls as tls_module
from postroom.net.faults import socket_fault, tls_fault
from postroom.net.tls import TlsLayer, is_tls, tls_context


@each(
    ("error", "kind", "text"),
    [
        (OSError(errno.ECONNREFUSED, "x"), FaultKind.REFUSED, "connection refused (p)"),
        (OSError(errno.ETIMEDOUT, "x"), FaultKind.TIMEOUT, "connection timed out (p)"),
        (OSError(errno.ECONNRESET, "x"), FaultKind.CLOSED, "connection reset by peer (p)"),
        (OSError(errno.EPIPE, "x"), FaultKind.CLOSED, "broken pipe (p)"),
        (OSError(errno.ENETUNREACH, "x"), FaultKind.UNREACHABLE, "network is unreachable (p)"),
        (OSError(errno.EHOSTUNREACH, "x"), FaultKind.UNREACHABLE, "no route to host (p)"),
        (
            OSError(errno.EAFNOSUPPORT, "x"),
            FaultKind.UNREACHABLE,
            "address family not supported by protocol (p)",
        ),
        (OSError(errno.EMFILE, "x"), FaultKind.LOCAL, "too many open files (p)"),
        (OSError("words of its own"), FaultKind.UNREACHABLE, "words of its own (p)"),
    ],
)
def test_socket_errors_keep_their_words(error: OSError, kind: FaultKind, text: str) -> None:
    """The kind says who must act, the text is the system's."""
    fault = socket_fault(error, "p")
    assert (kind, text) == (fault.kind, fault.text)


def test_tls_errors_lose_only_the_place_in_the_source() -> None:
    """OpenSSL's reason stays."""
    error = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")
    assert tls_fault(error).text == "[SSL: WRONG_VERSION_NUMBER] wrong version number"


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (b"\x16\x03\x03", True),
        (b"\x15\x03\x01", True),
        (b"220 mx", False),
        (b"HTTP/1.1", False),
        (b"\0", False),
    ],
)
def test_tls_is_recognised_by_its_first_byte(first: bytes, *, expected: bool) -> None:
    """Records begin with their type."""
    assert is_tls(first) is expected


class MemoryServer:
    """The other side of a handshake, in memory."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.is_ready = False

    def turn(self, received: bytes) -> bytes:
        """Take bytes, go on with the handshake, return the answer."""
        self.incoming.write(received)
        if not self.is_ready:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                return self.outgoing.read()
            self.is_ready = True
        return self.outgoing.read()


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_records_are_read_in_whatever_pieces_they_come(
    ca_file: str, authority: trustme.CA, size: int, version: ssl.TLSVersion
) -> None:
    """Byte by byte or whole, handshake and content are the same, with a greeting behind the handshake."""
    context = server_context(authority)
    context.minimum_version = context.maximum_version = version
    server = MemoryServer(context)
    layer = TlsLayer(account(465, TlsMode.IMPLICIT, ca_file=ca_file))
    assert not layer.handshake(b"")
    content = b""
    is_done = False
    for _ in range(4):
        answer = server.turn(layer.to_send())
        if server.is_ready and not content:
            server.tls.write(b"220 hello\r\n" * 3000)
            answer += server.outgoing.read()
        for piece in pieces(answer, size):
            if is_done:
                content += layer.decrypt(piece)
            else:
                is_done = layer.handshake(piece)
        content += layer.decrypt(b"") if is_done else b""
    assert b"220 hello\r\n" * 3000 == content
    assert not layer.is_ended
    server.incoming.write(layer.encrypt(b"QUIT\r\n" * 5000))
    got = b""
    while server.incoming.pending or server.tls.pending():
        got += server.tls.read(65536)
    assert b"QUIT\r\n" * 5000 == got


def test_contexts_are_shared_and_sessions_bounded(
    ca_file: str, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal settings have one context; the oldest session goes when there are too many."""
    one = account(465, TlsMode.IMPLICIT, ca_file=ca_file)
    assert tls_context(one) is tls_context(account(587, TlsMode.STARTTLS, ca_file=ca_file))
    monkeypatch.setattr(tls_module, "MAX_SESSIONS", 2)
    tls_module._sessions.clear()
    context = server_context(authority)
    for port in (1, 2, 3):
        server, layer = MemoryServer(context), TlsLayer(account(port, TlsMode.IMPLICIT, ca_file=ca_file))
        layer.handshake(b"")
        while not layer.handshake(server.turn(layer.to_send())):
            pass
        tickets = server.turn(layer.to_send())
        server.tls.write(b"x")
        assert layer.decrypt(tickets + server.outgoing.read()) == b"x"
    assert [2, 3] == [key[1] for key in tls_module._sessions]

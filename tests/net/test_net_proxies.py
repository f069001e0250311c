"""Proxies: the negotiations without a socket, a proxy that others wrote, and scripted ones that misbehave."""

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from net.wires import (
    CLOCK,
    TIMEOUTS,
    Handler,
    Run,
    account,
    fault_of,
    free_port,
    greet,
    listening,
    server_context,
)
from peers import proxies as proxying
from peers.proxies import PASSWORD, USER, Proxies, through
from postroom.model.outcome import Evidence, FaultKind, OutcomeKind
from postroom.model.step import Step
from postroom.model.transport import Proxy, ProxyKind, SmtpAccount, TlsMode
from postroom.net.dialing import addresses_of, connect, dial, pass_proxy
from postroom.net.faults import NetFault
from postroom.net.proxies import MAX_HEAD, negotiation
from postroom.policy.classify import classify

SOCKS, HTTP = ProxyKind.SOCKS5, ProxyKind.HTTP
TARGET = b"\x05\x01\x00\x03\x10mail.example.com\x02\x4b"
BOUND = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
GREETING = b"220 mx.example.com\r\n"
BASIC = b64encode(f"{USER}:{PASSWORD}".encode())


@pytest.fixture(scope="module")
def proxies() -> Iterator[Proxies]:
    with proxying.running() as running:
        yield running


class Waiting(Exception):  # noqa: N818 - a state, no error
    """The negotiation waits for more than the proxy says."""


def talk(proxy: Proxy, said: bytes, *, size: int = 1, host: str = "mail.example.com") -> tuple[bytes, bytes]:
    """Run a negotiation against a proxy that says all at once; return what it was told and what is left."""
    told = b""
    speaker = negotiation(proxy, host, 587)
    received = b""
    try:
        ask = next(speaker)
        while True:
            told += ask.say
            while (whole := ask.measure(received)) is None:
                if not said:
                    raise Waiting
                received, said = received + said[:size], said[size:]
            answer, received = received[:whole], received[whole:]
            ask = speaker.send(answer)
    except StopIteration:
        return told, received + said


# ---------------------------------------------------------------- without a socket


@each("size", [1, 3, 1000])
@each(
    "bound",
    [
        b"\x05\x00\x00\x01\xc0\x00\x02\x01\x1f\x90",
        b"\x05\x00\x00\x04" + bytes(16) + b"\x00\x00",
        b"\x05\x00\x00\x03\x05proxy\x00\x19",
    ],
)
def test_socks5_in_whatever_pieces(size: int, bound: bytes) -> None:
    """The name goes to the proxy, the bound address is read away, and the greeting behind it is left."""
    told, left = talk(through(SOCKS, 1080), b"\x05\x00" + bound + GREETING, size=size)
    assert told == b"\x05\x01\x00" + TARGET
    assert left == GREETING


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_socks5_with_a_login(size: int) -> None:
    """User and password follow when the proxy chooses them (RFC 1929)."""
    proxy = through(SOCKS, 1080, USER, PASSWORD)
    told, left = talk(proxy, b"\x05\x02\x01\x00" + BOUND + GREETING, size=size)
    login = b"\x01\x05" + USER.encode() + b"\x0e" + PASSWORD.encode()
    assert told == b"\x05\x02\x00\x02" + login + TARGET
    assert left == GREETING
    told, _ = talk(proxy, b"\x05\x00" + BOUND)
    assert PASSWORD.encode() not in told  # a proxy that asks for no login gets none


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("192.0.2.1", b"\x01\xc0\x00\x02\x01"),
        ("2001:db8::1", b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01"),
        ("mail_1.intranet.", b"\x03\x10mail_1.intranet."),
        ("bücher.example", b"\x03\x15xn--bcher-kva.example"),
    ],
)
def test_socks5_targets(host: str, target: bytes) -> None:
    """Addresses go as addresses, names as names in ASCII."""
    told, _ = talk(through(SOCKS, 1080), b"\x05\x00" + BOUND, host=host)
    assert told == b"\x05\x01\x00\x05\x01\x00" + target + b"\x02\x4b"


@each("size", [1, 3, 1000])
@each(
    "head",
    [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200\r\nVia: x\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 204 Fine\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_http_connect_in_whatever_pieces(size: int, head: bytes) -> None:
    """Any 2xx connects, its fields mean nothing, and the greeting behind it is left."""
    told, left = talk(through(HTTP, 3128), head + GREETING, size=size)
    assert told == b"CONNECT mail.example.com:587 HTTP/1.1\r\nHost: mail.example.com:587\r\n\r\n"
    assert left == GREETING


def test_http_connect_with_a_login_and_to_an_address() -> None:
    """Credentials are Basic; an IPv6 address stands in brackets."""
    ok = b"HTTP/1.1 200 OK\r\n\r\n"
    told, _ = talk(through(HTTP, 3128, USER, PASSWORD), ok, host="2001:db8::1")
    assert told.startswith(b"CONNECT [2001:db8::1]:587 HTTP/1.1\r\nHost: [2001:db8::1]:587\r\n")
    assert told.endswith(b"\r\nProxy-Authorization: Basic " + BASIC + b"\r\n\r\n")


@each("kind", ProxyKind)
@each(
    "host",
    [
        "a\r\nX: y",
        "a\nb",
        "a\0b",
        "a b",
        "a:25@b",
        "fe80::1%\r\nX",
        "",
        "-a",
        "a/b",
        "x" * 256,
        "\u2028.example",
    ],
)
def test_a_name_that_is_none_is_not_told_a_proxy(kind: ProxyKind, host: str) -> None:
    """Line ends, NUL and whatever is no name are refused before a byte is sent."""
    with pytest.raises(NetFault) as caught:
        talk(through(kind, 1080), b"", host=host)
    assert (caught.value.step, caught.value.fault.kind) == (Step.PROXY, FaultKind.LOCAL)


@given(host=st.text(max_size=40), kind=st.sampled_from(ProxyKind))
def test_no_name_ends_a_line(host: str, kind: ProxyKind) -> None:
    """Whatever is given as a host, nothing but one request line and one Host field is said."""
    said = b"\r\n" * 3
    with suppress(NetFault):
        said = next(negotiation(through(kind, 1080), host, 587)).say
    if kind is HTTP:
        assert said.count(b"\r\n") == said.count(b"\n") == said.count(b"\r") == 3


@pytest.mark.parametrize(
    "proxy",
    [
        through(SOCKS, 1080, "u" * 256, "p"),
        through(SOCKS, 1080, "u", "p" * 256),
        through(HTTP, 1080, "u:v", "planted"),
    ],
)
def test_credentials_that_cannot_be_sent_are_our_fault(proxy: Proxy) -> None:
    """They are refused by name, and not shown."""
    with pytest.raises(NetFault) as caught:
        talk(proxy, b"")
    assert (caught.value.fault.kind, caught.value.fault.cause) == (FaultKind.LOCAL, "proxy-auth")
    assert "planted" not in caught.value.fault.text
    assert "ppp" not in caught.value.fault.text


LOGIN_OK = b"\x05\x02\x01\x00"
REFUSALS = [
    (SOCKS, b"\x05\xff", "proxy-auth", "takes no login"),
    (SOCKS, b"\x05\x02\x01\x01", "proxy-auth", "status 1"),
    (SOCKS, b"\x05\x01", "proxy-protocol", "no SOCKS5"),
    (SOCKS, b"HTTP/1.1 400 Bad\r\n\r\n", "proxy-protocol", "no SOCKS5"),
    (SOCKS, b"\x05\x02HT", "proxy-protocol", "no SOCKS5"),
    (SOCKS, LOGIN_OK + b"\x04\x00\x00\x01", "proxy-protocol", "no SOCKS5"),
    (SOCKS, LOGIN_OK + b"\x05\x00\x00\x09", "proxy-protocol", "no SOCKS5"),
    *[
        (SOCKS, LOGIN_OK + bytes([5, code, 0, 1]), "proxy-refused", f"{code:#04x} {words}")
        for code, words in [
            (1, "general failure"),
            (2, "connection not allowed by its rules"),
            (3, "network unreachable"),
            (4, "host unreachable"),
            (5, "connection refused"),
            (6, "time to live expired"),
            (7, "command not supported"),
            (8, "address type not supported"),
            (99, "unknown reason"),
        ]
    ],
    (HTTP, b"HTTP/1.1 407 Proxy Authentication Required\r\nX: y\r\n\r\n", "proxy-auth", "login: 407 Proxy"),
    (HTTP, b"HTTP/1.0 401 Unauthorized\r\n\r\n", "proxy-auth", "401"),
    (HTTP, b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "proxy-refused", "502 Bad Gateway"),
    (HTTP, b"HTTP/1.1 403 \r\n\r\n", "proxy-refused", "403"),
    (HTTP, b"HTTP/1.1 302 Found\r\n\r\n", "proxy-refused", "302"),
    (HTTP, b"HTTP/1.1 101 Switching\r\n\r\n", "proxy-refused", "101"),
    (HTTP, b"HTTP/1.1 100 Wait\r\n\r\n" * 100, "proxy-refused", "100 Wait"),
    (HTTP, b"220 mx.example.com\r\n", "proxy-protocol", "no HTTP"),
    (HTTP, b"\x05\xff", "proxy-protocol", "no HTTP"),
    (HTTP, b"HTTP/1.1 twohundred\r\n\r\n", "proxy-protocol", "no HTTP"),
    (HTTP, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * MAX_HEAD, "proxy-protocol", "no HTTP"),
]


@each(("kind", "said", "cause", "words"), REFUSALS)
def test_what_a_proxy_says_no_with(kind: ProxyKind, said: bytes, cause: str, words: str) -> None:
    """Each refusal has its cause, the proxy's own code as evidence, and pauses the transport."""
    with pytest.raises(NetFault) as caught:
        talk(through(kind, 1080, USER, PASSWORD), said, size=1000)
    failure = caught.value
    assert (failure.step, failure.fault.cause) == (Step.PROXY, cause)
    assert words in failure.fault.text
    assert "(127.0.0.1:1080)" in failure.fault.text
    verdict = classify(Evidence(step=failure.step, fault=failure.fault))
    assert (verdict.outcome, verdict.cause) == (OutcomeKind.DEFERRED, cause)


def test_a_login_that_is_missing_is_named() -> None:
    """Without credentials the fault says that the transport has none."""
    for kind, said in [(SOCKS, b"\x05\xff"), (HTTP, b"HTTP/1.1 407 No\r\n\r\n")]:
        with pytest.raises(NetFault) as caught:
            talk(through(kind, 1080), said)
        assert caught.value.fault.cause == "proxy-auth"
        assert "the transport has none" in caught.value.fault.text


def test_a_proxy_that_repeats_credentials_does_not_show_them() -> None:
    """A status line with the password, plain or in base64, is masked; control characters are not shown."""
    said = b"HTTP/1.1 502 \x1b[31m " + PASSWORD.encode() + b" " + BASIC + b"\r\n\r\n"
    with pytest.raises(NetFault) as caught:
        talk(through(HTTP, 3128, USER, PASSWORD), said)
    text = caught.value.fault.text
    assert "502 ?[31m ***** *****" in text
    assert PASSWORD not in repr(caught.value.fault)


@given(said=st.binary(max_size=60), kind=st.sampled_from(ProxyKind), size=st.integers(1, 60))
def test_whatever_a_proxy_says(said: bytes, kind: ProxyKind, size: int) -> None:
    """Garbage is a fault at step PROXY or a wait for more, never another error."""
    with suppress(NetFault, Waiting):
        talk(through(kind, 1080, USER, PASSWORD), said, size=size)


# ---------------------------------------------------------------- over sockets


def behind(proxy: Proxy, **changes: object) -> SmtpAccount:
    return replace(account(587), host="mail.example.com", proxy=proxy, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["socks5", "connect"])
@pytest.mark.parametrize("tls", [TlsMode.NONE, TlsMode.IMPLICIT])
def test_a_dialogue_through_a_proxy(
    run: Run, proxies: Proxies, authority: trustme.CA, ca_file: str, *, name: str, tls: TlsMode
) -> None:
    """With a login the proxy connects by name, the greeting is whole, and TLS is with the server."""

    async def main() -> None:
        context = server_context(authority, "localhost") if tls is TlsMode.IMPLICIT else None
        async with listening(greet, tls=context) as port:
            proxy = getattr(proxies, name)()
            ours = account(port, tls, host="localhost", proxy=proxy, ca_file=ca_file)
            wire = await dial(ours, TIMEOUTS, clock=CLOCK)
            assert await wire.receive(5) == GREETING
            wire.write(b"EHLO me\r\n")
            assert await wire.receive(5) == b"250 EHLO me\r\n"
            assert (wire.host, wire.peer_address) == ("localhost", "127.0.0.1")
            assert not wire.is_loopback  # nobody knows where the server is
            wire.close()

    run(main())


@pytest.mark.parametrize("name", ["socks5", "connect"])
def test_a_wrong_login_at_a_real_proxy(proxies: Proxies, name: str) -> None:
    """The proxy's refusal is proxy-auth, without the password."""
    # from another address: this proxy remembers who logged in once

    async def main() -> None:
        ours = behind(getattr(proxies, name)("planted-wrong"), source_address="127.0.0.9")
        failure = await fault_of(dial(ours, TIMEOUTS, clock=CLOCK))
        assert (failure.step, failure.fault.cause) == (Step.PROXY, "proxy-auth")
        assert "planted" not in failure.fault.text

    asyncio.run(main())


def test_a_proxy_that_is_not_there(run: Run) -> None:
    """A closed port and an unknown name of the proxy are proxy-unreachable, with the system's words."""

    async def main() -> None:
        port = free_port()
        failure = await fault_of(dial(behind(through(SOCKS, port)), TIMEOUTS, clock=CLOCK))
        assert (failure.step, failure.fault.kind) == (Step.PROXY, FaultKind.REFUSED)
        assert failure.fault.text == f"the proxy was not reached: connection refused (127.0.0.1:{port})"
        nowhere = replace(through(HTTP, port), host="proxy.invalid")
        unknown = await fault_of(dial(behind(nowhere), TIMEOUTS, clock=CLOCK))
        assert (unknown.step, unknown.fault.kind) == (Step.PROXY, FaultKind.NAME)
        causes = {failure.fault.cause, unknown.fault.cause}
        assert causes == {"proxy-unreachable"}

    run(main())


def saying(*words: bytes, hangs: bool) -> Handler:
    """Return a proxy that answers each flight with the next words, then keeps silent or hangs up."""

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for word in words:
            await reader.read(1000)
            writer.write(word)
        if hangs or not words:
            await reader.read(-1 if hangs else 1000)

    return proxy


SILENT = [
    (SOCKS, (), "proxy-unreachable"),
    (SOCKS, (b"\x05",), "proxy-unreachable"),
    (SOCKS, (b"\x05\x02",), "proxy-auth"),
    (SOCKS, (b"\x05\x02", b"\x01\x00"), "proxy-refused"),
    (SOCKS, (b"\x05\x02", b"\x01\x00", b"\x05\x00\x00\x01\x00"), "proxy-refused"),
    (HTTP, (), "proxy-refused"),
    (HTTP, (b"HTTP/1.1 200 OK\r\nX: y",), "proxy-refused"),
]


@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "closes"])
def test_a_proxy_that_hangs_or_hangs_up(run: Run, *, hangs: bool) -> None:
    """Silence at any point ends at the limit for connecting, a hang-up at once; the cause tells the point."""

    async def meet(kind: ProxyKind, words: tuple[bytes, ...]) -> NetFault:
        async with listening(saying(*words, hangs=hangs)) as port:
            limits = replace(TIMEOUTS, connect=0.5) if hangs else TIMEOUTS
            return await fault_of(dial(behind(through(kind, port, USER, PASSWORD)), limits, clock=CLOCK))

    async def main() -> None:
        failures = await asyncio.gather(*(meet(kind, words) for kind, words, _ in SILENT))
        assert [cause for _, _, cause in SILENT] == [failure.fault.cause for failure in failures]
        assert {Step.PROXY} == {failure.step for failure in failures}
        ending = FaultKind.TIMEOUT if hangs else FaultKind.CLOSED
        assert {ending} == {failure.fault.kind for failure in failures}
        assert PASSWORD not in repr([failure.fault for failure in failures])

    run(main())


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (SOCKS, (b"\x05\x00", BOUND + GREETING)),
        (HTTP, (b"HTTP/1.1 200 OK\r\n\r\n" + GREETING,)),
    ],
)
def test_a_greeting_in_the_proxys_last_packet(run: Run, kind: ProxyKind, words: tuple[bytes, ...]) -> None:
    """What comes together with the proxy's answer is the server's and is read first; TLS notices it."""

    async def main() -> None:
        async with listening(saying(*words, hangs=True)) as port:
            wire = await dial(behind(through(kind, port)), TIMEOUTS, clock=CLOCK)
            assert wire.has_unread
            assert await wire.receive(5) == GREETING
            wire.abort()
            ours = behind(through(kind, port), tls=TlsMode.IMPLICIT)
            failure = await fault_of(dial(ours, TIMEOUTS, clock=CLOCK))
            assert (failure.step, failure.fault.cause) == (Step.TLS, "tls-on-plain")

    run(main())


def test_the_stages_one_by_one(run: Run, proxies: Proxies) -> None:
    """Addresses, race and proxy can be taken one after the other; a cancelled stage leaves no socket."""

    async def main() -> None:
        async with listening(greet) as port:
            ours = account(port, proxy=proxies.connect())
            addresses = await addresses_of(ours, 5)
            assert [(address.ip, address.port) for address in addresses] == [
                ("127.0.0.1", proxies.http_login)
            ]
            wire = await connect(ours, addresses, TIMEOUTS, clock=CLOCK)
            assert wire.local_address == "127.0.0.1"
            await pass_proxy(wire, 5)
            assert await wire.receive(5) == GREETING
            wire.close()
        async with listening(saying(hangs=True)) as port:
            stuck = behind(through(HTTP, port))
            wire = await connect(stuck, await addresses_of(stuck, 5), TIMEOUTS, clock=CLOCK)
            passing = asyncio.create_task(pass_proxy(wire, 60))
            await asyncio.sleep(0)
            passing.cancel()
            await asyncio.gather(passing, return_exceptions=True)
            assert await wire.receive(5) == b""
            assert wire.is_closed

    run(main())

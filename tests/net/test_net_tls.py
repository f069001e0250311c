"""TLS over real sockets, on both event loops."""

import asyncio
import ssl
from dataclasses import replace

import pytest
import trustme

from net.wires import (
    CLOCK,
    TIMEOUTS,
    Run,
    account,
    fault_of,
    greet,
    listening,
    server_context,
)
from postroom.model.outcome import Evidence, FaultKind
from postroom.model.step import Step
from postroom.model.transport import TlsMode
from postroom.net.dialing import dial
from postroom.policy.classify import classify


def test_implicit_tls_checks_the_certificate_and_resumes_its_session(
    run: Run, authority: trustme.CA, ca_file: str
) -> None:
    """The first dial shakes hands in full, the second takes up its session."""

    async def main() -> None:
        async with listening(greet, tls=server_context(authority)) as port:
            ours = account(port, TlsMode.IMPLICIT, ca_file=ca_file)
            resumed = []
            for _ in range(2):
                wire = await dial(ours, TIMEOUTS, clock=CLOCK)
                assert await wire.receive(5) == b"220 mx.example.com\r\n"
                big = b"x" * 200_000 + b"\r\n"
                wire.write(b"A\r\n")
                assert await wire.receive(5) == b"250 A\r\n"
                assert wire.tls_version == "TLSv1.3"
                resumed.append(wire.is_resumed)
                wire.write(big[:100])
                wire.close()
            assert resumed == [False, True]

    run(main())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_tls_versions_resume_and_end(
    run: Run, authority: trustme.CA, ca_file: str, version: ssl.TLSVersion
) -> None:
    """Either version takes up a session; close_notify together with the last bytes ends the stream."""

    async def goodbye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"221 bye\r\n")
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        context = server_context(authority)
        context.minimum_version = context.maximum_version = version
        async with listening(goodbye, tls=context) as port:
            for is_later in (False, True):
                ours = account(port, TlsMode.IMPLICIT, ca_file=ca_file)
                wire = await dial(ours, TIMEOUTS, clock=CLOCK)
                wire.write(b"QUIT\r\n")
                assert await wire.receive(5) == b"221 bye\r\n"
                assert await wire.receive(5) == b""
                assert wire.is_closed
                assert wire.is_resumed is is_later
                assert wire.tls_version == version.name.replace("_", ".")
                wire.close()

    run(main())


def test_old_tls_is_refused_by_name(run: Run) -> None:
    """A server that speaks only older TLS answers with an alert, and the fault has its name."""

    async def alert(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(bytes.fromhex("15030100020246"))  # RFC 8446 section 6: fatal, protocol_version
        await reader.read()

    async def main() -> None:
        async with listening(alert) as port:
            failure = await fault_of(dial(account(port, TlsMode.IMPLICIT), TIMEOUTS, clock=CLOCK))
            assert failure.fault.kind is FaultKind.TLS
            assert classify(Evidence(step=Step.TLS, fault=failure.fault)).cause == "tls-old"

    run(main())


def test_the_faults_words_are_those_of_the_rules(run: Run, authority: trustme.CA) -> None:
    """What sockets and OpenSSL say here is what the reply rules look for."""

    async def main() -> None:
        async with listening(greet, tls=server_context(authority)) as port:
            failure = await fault_of(dial(account(port, TlsMode.IMPLICIT), TIMEOUTS, clock=CLOCK))
            assert classify(Evidence(step=failure.step, fault=failure.fault)).cause == "tls-untrusted"
            wire = await dial(account(port), replace(TIMEOUTS, greeting=0.02), clock=CLOCK)
            silent = await fault_of(wire.receive(0.02))
            evidence = Evidence(step=Step.GREETING, fault=silent.fault, port=465)
            assert classify(evidence).cause == "greet-implicit"
            wire.abort()
        failure = await fault_of(dial(account(port), TIMEOUTS, clock=CLOCK))
        assert classify(Evidence(step=failure.step, fault=failure.fault)).cause == "net-loopback"
        failure = await fault_of(dial(account(25, host="nowhere.invalid"), TIMEOUTS, clock=CLOCK))
        assert classify(Evidence(step=failure.step, fault=failure.fault)).cause == "net-dns"

    run(main())


def test_sessions_are_not_shared_between_accounts(run: Run, authority: trustme.CA, ca_file: str) -> None:
    """Another login at the same server begins with a full handshake."""

    async def main() -> None:
        async with listening(greet, tls=server_context(authority)) as port:
            for user in ("a", "b"):
                ours = account(port, TlsMode.IMPLICIT, ca_file=ca_file, username=user)
                wire = await dial(ours, TIMEOUTS, clock=CLOCK)
                await wire.receive(5)
                assert not wire.is_resumed
                wire.abort()

    run(main())


def test_a_large_body_crosses_tls_unchanged(run: Run, authority: trustme.CA, ca_file: str) -> None:
    """Bodies larger than a record and than the socket's buffer arrive byte for byte."""
    body = bytes(range(256)) * 8_000

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = await reader.readexactly(len(body))
        writer.write(b"same" if got == body else b"other")

    async def main() -> None:
        async with listening(collect, tls=server_context(authority)) as port:
            wire = await dial(account(port, TlsMode.IMPLICIT, ca_file=ca_file), TIMEOUTS, clock=CLOCK)
            for start in range(0, len(body), 300_000):
                wire.write(body[start : start + 300_000])
                await wire.drain(5)
            assert await wire.receive(5) == b"same"
            wire.close()

    run(main())


def test_an_untrusted_certificate_is_named(run: Run, authority: trustme.CA) -> None:
    """Without the company's CA the fault says so in OpenSSL's words; verify=False goes on."""

    async def main() -> None:
        async with listening(greet, tls=server_context(authority)) as port:
            strict = account(port, TlsMode.IMPLICIT)
            failure = await fault_of(dial(strict, TIMEOUTS, clock=CLOCK))
            assert (failure.step, failure.fault.kind) == (Step.TLS, FaultKind.TLS)
            assert "unable to get local issuer" in failure.fault.text
            assert "_ssl.c" not in failure.fault.text
            wire = await dial(replace(strict, verify=False), TIMEOUTS, clock=CLOCK)
            assert await wire.receive(5) == b"220 mx.example.com\r\n"
            wire.close()

    run(main())


def test_a_certificate_for_another_name_is_named(run: Run, authority: trustme.CA, ca_file: str) -> None:
    """A trusted certificate for another host is refused with the mismatch in the text."""

    async def main() -> None:
        async with listening(greet, tls=server_context(authority, "mail.example.com")) as port:
            ours = account(port, TlsMode.IMPLICIT, ca_file=ca_file)
            failure = await fault_of(dial(ours, TIMEOUTS, clock=CLOCK))
            assert "IP address mismatch" in failure.fault.text

    run(main())


def test_a_plain_server_behind_implicit_tls_is_recognised(run: Run) -> None:
    """A port that greets in plain text is named tls-on-plain, with its words."""

    async def main() -> None:
        async with listening(greet) as port:
            failure = await fault_of(dial(account(port, TlsMode.IMPLICIT), TIMEOUTS, clock=CLOCK))
            assert (failure.step, failure.fault.cause) == (Step.TLS, "tls-on-plain")
            assert "220 mx.example.com" in failure.fault.text
            assert "wrong version number" in failure.fault.text

    run(main())


def test_a_server_that_hangs_up_in_the_handshake_is_closed(run: Run) -> None:
    """The end of the stream inside a handshake is CLOSED at step TLS."""

    async def mute(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async def main() -> None:
        async with listening(mute) as port:
            failure = await fault_of(dial(account(port, TlsMode.IMPLICIT), TIMEOUTS, clock=CLOCK))
            assert (failure.step, failure.fault.kind) == (Step.TLS, FaultKind.CLOSED)

    run(main())


def test_a_silent_server_times_out_in_the_handshake(run: Run) -> None:
    """The TLS step has a deadline of its own."""

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main() -> None:
        async with listening(silent) as port:
            short = replace(TIMEOUTS, tls=0.02)
            failure = await fault_of(dial(account(port, TlsMode.IMPLICIT), short, clock=CLOCK))
            assert (failure.step, failure.fault.kind) == (Step.TLS, FaultKind.TIMEOUT)

    run(main())


def test_starttls_encrypts_an_open_connection(run: Run, authority: trustme.CA, ca_file: str) -> None:
    """After the reply to STARTTLS the same connection speaks TLS."""
    context = server_context(authority)

    async def offer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"220 go ahead\r\n")
        await writer.start_tls(context)
        writer.write(b"250 " + await reader.readline())

    async def main() -> None:
        async with listening(offer) as port:
            wire = await dial(account(port, TlsMode.STARTTLS, ca_file=ca_file), TIMEOUTS, clock=CLOCK)
            wire.write(b"STARTTLS\r\n")
            assert await wire.receive(5) == b"220 go ahead\r\n"
            await wire.start_tls(5)
            wire.write(b"EHLO me\r\n")
            assert await wire.receive(5) == b"250 EHLO me\r\n"
            wire.close()

    run(main())


def test_bytes_before_the_handshake_are_refused(run: Run) -> None:
    """STARTTLS with unread bytes is an injection and closes the connection."""

    async def main() -> None:
        async with listening(greet) as port:
            wire = await dial(account(port), TIMEOUTS, clock=CLOCK)
            await wire.receive(5)
            wire.write(b"A\r\n")
            while not wire.has_unread:  # noqa: ASYNC110 - a state of the code under test
                await asyncio.sleep(0)
            failure = await fault_of(wire.start_tls(5))
            assert (failure.step, failure.fault.kind) == (Step.TLS, FaultKind.PROTOCOL)
            assert failure.fault.cause == "starttls-injection"

    run(main())


def test_a_plain_answer_to_the_starttls_handshake_is_a_broken_protocol(run: Run) -> None:
    """A server that goes on in plain text after its 220 is not mistaken for a wrong port."""

    async def main() -> None:
        async with listening(greet) as port:
            wire = await dial(account(port), TIMEOUTS, clock=CLOCK)
            await wire.receive(5)
            failure = await fault_of(wire.start_tls(5))
            assert (failure.fault.kind, failure.fault.cause) == (FaultKind.PROTOCOL, None)

    run(main())


def test_a_ca_file_that_is_not_there_is_our_fault(run: Run) -> None:
    """A missing CA file is LOCAL and named."""

    async def main() -> None:
        async with listening(greet) as port:
            ours = account(port, TlsMode.IMPLICIT, ca_file="/nowhere/ca.pem")
            failure = await fault_of(dial(ours, TIMEOUTS, clock=CLOCK))
            assert failure.fault.kind is FaultKind.LOCAL
            assert "/nowhere/ca.pem" in failure.fault.text

    run(main())

"""Asking for an account's server: a real DNS server, a real HTTPS server, and time that runs out."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
import trustme

from net.wires import Run
from peers.doctor_room import NameServer
from postroom.model.outcome import Fault, FaultKind
from postroom.model.step import Step
from postroom.net.addresses import SocketAddress
from postroom.net.detection import Detection
from postroom.net.faults import NetFault
from postroom.net.guard import Guard
from postroom.providers.detection import MAX_AUTOCONFIG, FoundBy, Proposal

XML = """<clientConfig><emailProvider><outgoingServer type="smtp"><hostname>{host}</hostname>
<port>465</port><socketType>SSL</socketType><username>%EMAILADDRESS%</username>
</outgoingServer></emailProvider></clientConfig>"""


def found(
    run: Run, records: Mapping[tuple[str, str], Sequence[str]], domain: str = "example.com"
) -> tuple[Sequence[Proposal], NameServer]:
    dns = NameServer(records)
    answers: list[Sequence[Proposal]] = []

    async def main() -> None:
        async with dns.listening() as server:
            answers.append(await Detection(None, servers=[server]).find(domain))

    run(main())
    return answers[0], dns


def test_a_domain_of_the_table_asks_nobody(run: Run) -> None:
    """For a known mailbox no packet leaves."""
    (qq,), dns = found(run, {}, "qq.com")
    assert ("smtp.qq.com", FoundBy.DOMAIN) == (qq.host, qq.found_by)
    assert [] == dns.asked


def test_srv_and_mx_are_asked_side_by_side(run: Run) -> None:
    """What the domain publishes stands before the provider behind its MX."""
    records = {
        ("_submissions._tcp.example.com", "SRV"): ["0 1 465 mail.example.com."],
        ("_submission._tcp.example.com", "SRV"): ["0 1 587 mail.example.com."],
        ("example.com", "MX"): ["10 aspmx.l.google.com."],
    }
    proposals, dns = found(run, records)
    assert [
        ("mail.example.com", 465, FoundBy.SRV),
        ("mail.example.com", 587, FoundBy.SRV),
        ("smtp.gmail.com", 465, FoundBy.MX),
    ] == [(one.host, one.port, one.found_by) for one in proposals]
    assert set(records) == set(dns.asked)


def test_an_mx_of_two_providers_is_asked_for(run: Run) -> None:
    """Behind .qq.com no password goes anywhere before a person has chosen."""
    proposals, _ = found(run, {("example.com", "MX"): ["5 mxbiz1.qq.com.", "10 mxbiz2.qq.com."]})
    assert {"smtp.qq.com", "smtp.exmail.qq.com"} == {one.host for one in proposals}
    assert all(one.must_ask for one in proposals)


def test_a_domain_without_anything_finds_nothing(run: Run) -> None:
    """No record, no proposal, no failure; nor for a name that is none."""
    assert not found(run, {})[0]
    assert not found(run, {}, "x" * 70 + ".example")[0]


def test_silent_name_servers_cost_no_more_than_the_time(run: Run) -> None:
    """After the seconds in all the answer is there, whatever is silent."""

    async def main() -> None:
        async with NameServer(is_silent=True).listening() as server:
            begun = time.monotonic()
            assert not await Detection(None, servers=[server], time_s=0.2).find("example.com")
            assert time.monotonic() - begun < 2

    run(main())


@asynccontextmanager
async def https(authority: trustme.CA, pages: Mapping[str, bytes]) -> AsyncIterator[int]:
    """Serve pages by host and path for autoconfig.example.com and example.com."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("autoconfig.example.com", "example.com").configure_cert(context)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            host = next(line[6:] for line in lines if line.lower().startswith("host: ")).partition(":")[0]
            page = pages.get(host + lines[0].split(" ")[1])
            status = "404 Not Found" if page is None else "200 OK"
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Length: {len(page or b'')}\r\n\r\n".encode() + (page or b"")
            )
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # a client that does not like the certificate
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def leading_to(*ips: str) -> Guard:
    """A guard that leads every name to these addresses, as the resolver of a network would."""

    async def resolve(host: str, port: int, *, timeout_s: float) -> Sequence[SocketAddress]:
        assert timeout_s > 0
        if not ips:
            raise NetFault(Step.RESOLVE, Fault(kind=FaultKind.NAME, text="no such name"), host)
        return [SocketAddress(socket.AF_INET, ip, port) for ip in ips]

    return Guard(["127.0.0.0/8"], resolve=resolve)


def autoconfigured(
    run: Run, pages: Mapping[str, bytes], guard: Guard, *, authority: trustme.CA, ca_file: str | None
) -> Sequence[Proposal]:
    answers: list[Sequence[Proposal]] = []

    async def main() -> None:
        async with NameServer().listening() as dns, https(authority, pages) as port:
            detection = Detection(guard, servers=[dns], ca_file=ca_file, https_port=port)
            answers.append(await detection.find("example.com"))

    run(main())
    return answers[0]


FIRST = "autoconfig.example.com/mail/config-v1.1.xml"
SECOND = "example.com/.well-known/autoconfig/mail/config-v1.1.xml"


@pytest.mark.parametrize("place", [FIRST, SECOND])
def test_autoconfig_is_read_from_the_domain_itself(
    run: Run, authority: trustme.CA, ca_file: str, place: str
) -> None:
    """Both places are asked; a foreign host is proposed with a question."""
    page = XML.format(host="mail.hosting.example").encode()
    (one,) = autoconfigured(run, {place: page}, leading_to("127.0.0.1"), authority=authority, ca_file=ca_file)
    assert ("mail.hosting.example", FoundBy.AUTOCONFIG, True) == (one.host, one.found_by, one.must_ask)


def test_autoconfig_that_cannot_be_trusted_is_not_read(run: Run, authority: trustme.CA, ca_file: str) -> None:
    """A foreign authority, a forbidden network, no address, a page too long: nothing is proposed."""
    page = XML.format(host="mail.example.com").encode()
    pages = {FIRST: page}
    inside = Guard(resolve=leading_to("127.0.0.1")._resolve)
    for guard, ca, served in (
        (leading_to("127.0.0.1"), None, pages),
        (inside, ca_file, pages),
        (leading_to(), ca_file, pages),
        (leading_to("127.0.0.1"), ca_file, {FIRST: page + b" " * MAX_AUTOCONFIG}),
    ):
        assert not autoconfigured(run, served, guard, authority=authority, ca_file=ca)

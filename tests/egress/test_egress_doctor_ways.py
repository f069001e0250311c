"""The doctor on other ways: proxies, tokens, several addresses; the sender's domain, and knocking."""

import asyncio
import socket
import threading
from base64 import b64encode
from dataclasses import replace
from socket import AddressFamily
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peers.doctor_room import (
    ADDRESS,
    HURRIED,
    PASSWORD,
    HttpProxy,
    NameServer,
    Peer,
    certified,
    examine,
    hosts,
    spec_of,
    stage_of,
    statuses,
)
from postroom.clock import SystemClock
from postroom.egress.doctor.doctor import MAX_FOUND, AccountDoctor
from postroom.egress.doctor.names import Names
from postroom.model.checkup import Checkup, Stage, StageStatus
from postroom.model.outcome import Fault, FaultKind
from postroom.model.secret import Secret
from postroom.model.step import Step
from postroom.model.transport import (
    GrantKind,
    OAuthGrant,
    Proxy,
    ProxyKind,
    SmtpAccount,
    TlsMode,
    TransportKind,
    TransportSpec,
)
from postroom.net import dialing
from postroom.net.addresses import SocketAddress
from postroom.net.faults import NetFault
from postroom.policy.doctor_records import RECORDS
from postroom.providers.replies import words

HOST = "mail.example.com"
IMPLICIT, STARTTLS, NONE = TlsMode.IMPLICIT, TlsMode.STARTTLS, TlsMode.NONE
OPPORTUNISTIC = TlsMode.OPPORTUNISTIC
OK, WARNING, FAILED, SKIPPED = StageStatus
PROXY_SECRET = "open-sesame-4711"


def checked(peer: Peer, spec: TransportSpec | None = None, **terms: Any) -> Checkup:
    return asyncio.run(examine(peer, spec, **terms))


def secure(**fields: Any) -> Peer:
    """Return a peer with TLS at once and a certificate for the host."""
    return Peer(implicit=certified(HOST), **fields)


def over_tls(host: str = HOST, **changes: Any) -> TransportSpec:
    return spec_of(host, 465, IMPLICIT, **changes)


# ------------------------------------------------------------- proxies, tokens, several addresses


def through_proxy(proxy: HttpProxy) -> Checkup:
    """Check a good account through a proxy."""

    async def story() -> Checkup:
        async with proxy.peer.listening(), proxy.listening() as port, hosts({("proxy.example", 3128): port}):
            through = Proxy(
                kind=ProxyKind.HTTP,
                host="proxy.example",
                port=3128,
                username="me",
                password=Secret(PROXY_SECRET),
            )
            doctor = AccountDoctor(clock=SystemClock(), limits=HURRIED)
            return await doctor.check(over_tls(proxy=through), with_records=False)

    return asyncio.run(story())


def test_a_check_goes_through_the_proxy() -> None:
    """The proxy looks the name up; every stage after it is told."""
    proxy = HttpProxy(secure())
    checkup = through_proxy(proxy)
    assert checkup.ok
    assert (SKIPPED, OK, OK) == tuple(statuses(checkup)[one] for one in (Stage.DNS, Stage.PROXY, Stage.TCP))
    assert "MAIL" in {command.split(" ")[0] for command in proxy.peer.commands}


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "proxy-auth"),
        (f"HTTP/1.1 403 no {PROXY_SECRET}\r\n\r\n".encode(), "proxy-refused"),
        (b"SSH-2.0-x\r\n", "proxy-protocol"),
    ],
)
def test_a_proxy_that_refuses_is_the_failure(answer: bytes, cause: str) -> None:
    """At its own stage, and without its secret."""
    checkup = through_proxy(HttpProxy(secure(), answer=answer))
    failed = checkup.first_failed
    assert failed is not None
    assert (Stage.PROXY, cause) == (failed.stage, failed.cause)
    assert PROXY_SECRET not in repr(checkup)


GRANT = OAuthGrant(kind=GrantKind.CLIENT_CREDENTIALS, token_url="https://id.example.com/token", client_id="x")


class Given:
    """A source that gives these tokens one after the other, then none."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)

    async def token(self, transport: str, *, rejected: Secret | None = None) -> Secret:
        del transport
        if rejected is not None:
            self.tokens.pop(0)
        if not self.tokens:
            fault = Fault(kind=FaultKind.REFUSED, text="invalid_grant", cause="token-refused")
            raise NetFault(Step.AUTH, fault, "id.example.com")
        return Secret(self.tokens[0])


def with_token(peer: Peer, source: Given) -> Checkup:
    async def story() -> Checkup:
        async with peer.listening(), hosts({(HOST, 465): peer.port}):
            doctor = AccountDoctor(clock=SystemClock(), limits=HURRIED, tokens_of=lambda _: source)
            return await doctor.check(over_tls(password=None, oauth=GRANT), with_records=False)

    return asyncio.run(story())


def test_a_login_with_a_token_is_made_and_the_token_is_in_no_result() -> None:
    """Also when the server repeats it."""
    peer = secure(extensions=("AUTH XOAUTH2",), replies={"MAIL": b"550 no ya29.token-of-a-test\r\n"})
    checkup = with_token(peer, Given("ya29.token-of-a-test"))
    assert OK is statuses(checkup)[Stage.AUTH]
    assert "ya29" not in repr(checkup)


def test_without_a_token_the_login_fails_and_the_rest_is_told() -> None:
    """The identity server's refusal is the cause; the mail server never hears of it."""
    peer = secure(extensions=("AUTH XOAUTH2",))
    failed = with_token(peer, Given()).first_failed
    assert failed is not None
    assert (Stage.AUTH, "token-refused") == (failed.stage, failed.cause)
    assert ["EHLO", "QUIT"] == [command.split(" ")[0] for command in peer.commands]


def test_a_token_that_is_refused_is_renewed_once() -> None:
    """As when mail is sent; when there is no other, that is the cause."""

    def judged(command: str) -> bytes:
        return b"235 ok\r\n" if _encoded_login("a-new-token") in command else b"535 5.7.8 no\r\n"

    terms: Any = {"extensions": ("AUTH XOAUTH2",), "replies": {"AUTH": judged}}
    assert with_token(secure(**terms), Given("an-old-token", "a-new-token")).ok
    assert "token-refused" == with_token(secure(**terms), Given("an-old-token")).cause
    peer = secure(**terms)
    assert (
        "auth-oauth-challenge"
        == with_token(peer, Given("an-old-token", "another-old-token", "a-new-token")).cause
    )
    assert 2 == sum(command.startswith("AUTH") for command in peer.commands)


def _encoded_login(token: str) -> str:
    return b64encode(f"user=app@example.com\1auth=Bearer {token}\1\1".encode()).decode()


@pytest.mark.parametrize("is_other_good", [True, False])
def test_an_address_without_service_is_not_the_last_one(is_other_good: bool) -> None:
    """As when mail is sent: after 554 the next address is asked; without one 554 is the failure."""
    closed = secure(greeting=b"554 no service here\r\n")

    async def story() -> Checkup:
        async with closed.listening():
            peer = secure()
            server = await asyncio.start_server(peer.talk, "127.0.0.3", closed.port, ssl=peer.implicit)

            async def resolve(*_: object, **__: object) -> list[SocketAddress]:
                ips = [ADDRESS, "127.0.0.3"] if is_other_good else [ADDRESS]
                return [SocketAddress(family=AddressFamily.AF_INET, ip=ip, port=closed.port) for ip in ips]

            async with server:
                with mock.patch.object(dialing, "resolve", resolve):
                    doctor = AccountDoctor(clock=SystemClock(), limits=HURRIED)
                    return await doctor.check(over_tls(), with_records=False)

    checkup = asyncio.run(story())
    assert is_other_good is checkup.ok
    if not is_other_good:
        assert Stage.GREETING is (checkup.first_failed and checkup.first_failed.stage)


# ------------------------------------------------------------- pins, authorities, noise


def test_a_pin_takes_the_place_of_authority_and_name() -> None:
    """The right one passes, another is named with both digests in the evidence, and no fix is offered."""
    first = checked(secure(), over_tls())
    digest = stage_of(first, Stage.TLS).found["sha256"]
    peer = Peer(implicit=certified("mail.example.com"))
    wrong = checked(peer, over_tls(pin=digest)).first_failed
    assert wrong is not None
    assert (Stage.TLS, "pin-mismatch", None) == (wrong.stage, wrong.cause, wrong.fix)
    assert "sha-256" in wrong.evidence
    assert [] == peer.commands


def test_an_authority_that_cannot_be_read_is_told() -> None:
    """By the name of its file."""
    failed = checked(secure(), over_tls(ca_file="/nonexistent/ca.pem")).first_failed
    assert failed is not None
    assert Stage.TLS is failed.stage
    assert "/nonexistent/ca.pem" in failed.evidence


NOISE = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"220", b"250", b"334", b"354", b"421", b"535", b"550", b"999"]).map(
        lambda one: one + b" x\r\n"
    ),
)
IMPATIENT = replace(HURRIED, total=0.6, step=0.1, beside=0.1)


@settings(max_examples=15, deadline=None)
@given(
    noise=st.dictionaries(
        st.sampled_from(["EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "RSET"]), NOISE, max_size=2
    ),
    tls=st.sampled_from(TlsMode),
)
def test_noise_never_raises_and_always_has_a_cause_with_words(noise: dict[str, bytes], tls: TlsMode) -> None:
    """At any step, in any mode; the password is in no result."""
    peer = Peer(replies=noise, starttls=certified(HOST))
    checkup = checked(peer, spec_of(tls=tls), limits=IMPATIENT)
    assert checkup.ok or all(words(checkup.cause))
    assert PASSWORD not in repr(checkup)


@pytest.mark.parametrize("at", ["EHLO", "AUTH", "MAIL", "RCPT", "RSET"])
def test_a_secret_that_a_server_repeats_is_in_no_result(at: str) -> None:
    """As it was sent, in base64, and inside the login."""
    peer = secure(replies={at: lambda _: f"550 {PASSWORD} {_encoded()} no\r\n".encode()})
    checkup = checked(peer, over_tls())
    assert PASSWORD not in repr(checkup)
    assert _encoded() not in repr(checkup)
    assert peer.commands


def _encoded() -> str:
    return b64encode(f"\0app@example.com\0{PASSWORD}".encode()).decode()


# ------------------------------------------------------------- the sender's domain, and knocking


def test_the_domain_is_looked_at_even_when_the_server_is_gone() -> None:
    """Records and dialogue do not wait for each other."""
    dns = NameServer({("example.com", "MX"): ["10 mx.example.com."]})

    async def story() -> Checkup:
        async with dns.listening() as server, hosts({}):
            doctor = AccountDoctor(clock=SystemClock(), names=Names([server]), limits=HURRIED)
            return await doctor.check(spec_of())

    checkup = asyncio.run(story())
    assert Stage.TCP is (checkup.first_failed and checkup.first_failed.stage)
    assert OK is statuses(checkup)[Stage.MX]
    assert "spf-missing" == stage_of(checkup, Stage.SPF).cause


def test_a_good_domain_has_no_warning() -> None:
    """One SPF record that names the service, a key, a policy."""
    dns = NameServer(
        {
            ("example.com", "MX"): ["10 mx.example.com."],
            ("example.com", "TXT"): ["v=spf1 include:_spf.google.com ~all", "other"],
            ("_spf.google.com", "TXT"): ["v=spf1 ip4:192.0.2.0/24 ~all"],
            ("google._domainkey.example.com", "TXT"): ["v=DKIM1; k=rsa; p=AAAA"],
            ("_dmarc.example.com", "TXT"): ["v=DMARC1; p=reject"],
        }
    )
    peer = Peer(implicit=certified("smtp.gmail.com"))
    checkup = checked(peer, over_tls("smtp.gmail.com"), dns=dns)
    assert {OK} == {statuses(checkup)[stage] for stage in (Stage.MX, Stage.SPF, Stage.DKIM, Stage.DMARC)}
    assert "" == checkup.cause


def test_what_strangers_wrote_is_inert_and_short() -> None:
    """A record with a terminal's escape and replies of a quarter of a megabyte."""
    dns = NameServer(
        {
            ("example.com", "MX"): ["10 mx.example.com."],
            ("example.com", "TXT"): ["v=spf1 \\027[2J"],
            ("_dmarc.example.com", "TXT"): ["v=DMARC1; p=none; \\027[2J"],
        }
    )
    peer = secure(extensions=[*("x" * 4000 for _ in range(55)), "AUTH PLAIN"])
    checkup = checked(peer, over_tls(), dns=dns)
    assert "\\x1b[2J" in stage_of(checkup, Stage.SPF).evidence
    told = [text for one in checkup.stages for text in (one.evidence, *one.found.values())]
    assert all(text.isprintable() and len(text) <= MAX_FOUND for text in told)


def test_a_command_ends_though_a_name_is_still_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver cannot be told to stop, and nobody waits for it."""
    asked, released, ended = threading.Event(), threading.Event(), threading.Event()

    def look_up(*_: object, **__: object) -> list[object]:
        asked.set()
        released.wait(5)
        ended.set()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    doctor = AccountDoctor(clock=SystemClock(), limits=replace(HURRIED, names=0.05))
    failed = asyncio.run(doctor.check(spec_of(), with_records=False)).first_failed
    assert failed is not None
    assert (Stage.DNS, True, False) == (failed.stage, asked.is_set(), ended.is_set())
    released.set()


def test_a_silent_name_server_skips_the_records() -> None:
    """The check of the account is not touched by it."""
    checkup = checked(secure(), over_tls(), dns=NameServer(is_silent=True))
    assert checkup.ok
    assert "resolver-silent" == stage_of(checkup, Stage.MX).cause
    assert SKIPPED is statuses(checkup)[Stage.DMARC]


def test_a_closed_network_is_no_fault_of_the_domain() -> None:
    """Name servers that do not know the domain above all cannot say that a domain has no records."""
    closed = checked(secure(), over_tls(), dns=NameServer())
    assert {"resolver-silent"} == {one.cause for one in closed.stages if one.stage in set(RECORDS)}
    public = checked(secure(), over_tls(), dns=NameServer({("com", "NS"): ["a.example.net."]}))
    assert "mx-missing" == stage_of(public, Stage.MX).cause


def test_knocking_tries_ports_side_by_side_and_says_nothing_of_accounts() -> None:
    """One checkup a port, name to EHLO; port 25 is warned about first; closed ones fail."""
    plain, encrypted = Peer(starttls=certified(HOST)), secure()

    async def story() -> list[Checkup]:
        async with plain.listening(), encrypted.listening():
            leads = {(HOST, 25): plain.port, (HOST, 465): encrypted.port}
            async with hosts(leads):
                doctor = AccountDoctor(clock=SystemClock(), limits=HURRIED)
                return list(await doctor.knock(HOST))

    found = asyncio.run(story())
    assert ["25", "465", "587", "2525"] == [one.target.rpartition(":")[2] for one in found]
    assert "port-25" == found[0].stages[0].cause
    assert ["tls-untrusted", "tls-untrusted", "net-refused", "net-refused"] == [
        one.first_failed.cause for one in found if one.first_failed is not None
    ]
    assert {"EHLO", "STARTTLS"} >= {command.split(" ")[0] for command in plain.commands + encrypted.commands}
    assert [Stage.NAME, Stage.DNS, Stage.PROXY, Stage.TCP] == [one.stage for one in found[0].stages[:4]]


def test_the_capture_inbox_needs_no_doctor() -> None:
    """One stage, and it is well."""
    spec = TransportSpec(name="capture", kind=TransportKind.CAPTURE)
    checkup = asyncio.run(AccountDoctor(clock=SystemClock()).check(spec))
    assert checkup.ok


def test_no_secret_is_in_the_target() -> None:
    """Nor the one of a proxy."""
    account = SmtpAccount(host=HOST, port=465, tls=IMPLICIT, username="me", password=Secret(PASSWORD))
    spec = TransportSpec(name="main", kind=TransportKind.SMTP, account=account)
    checkup = asyncio.run(AccountDoctor(clock=SystemClock(), limits=HURRIED).check(spec, with_records=False))
    assert PASSWORD not in checkup.target

"""Logins at servers that others wrote: Postfix with Dovecot, aiosmtpd."""

import asyncio
import hashlib
import json
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import trustme

from egress.foreign_smtp import LOGIN, Kept, aiosmtpd
from egress.smtp_peer import Dialogue, SmtpPeer
from egress.smtp_peer import listening as peer_listening
from egress.token_source import counting, only_line, source
from egress.works import running, told, work
from net.wires import listening
from peers import sasl
from peers.hook_server import HookServer, Request, hook_server, plain
from peers.postfix import free_port
from postroom.model.secret import Secret
from postroom.model.step import Step
from postroom.model.transport import GrantKind, OAuthGrant, TlsMode
from smtp.scram_server import ScramServer, challenge, decoded

MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"]
GRANT = OAuthGrant(kind=GrantKind.REFRESH_TOKEN, token_url="http://127.0.0.1/", secret=Secret("refresh"))


def needs_dovecot(function: Any) -> Any:
    for mark in (
        pytest.mark.slow,
        pytest.mark.postfix,
        pytest.mark.dovecot,
        pytest.mark.skipif(os.geteuid() != 0, reason="Postfix's master needs root"),
    ):
        function = mark(function)
    return function


@dataclass
class Server:
    """A Postfix that wants a login, and how to reach it."""

    port: int
    tokens_at: int
    """Where its Dovecot asks whose a token is."""
    ca_file: str
    path: Path

    @property
    def log(self) -> str:
        return self.path.read_text(encoding="utf-8", errors="replace")

    @property
    def mechanisms(self) -> list[str]:
        """By what the logins that it took were made."""
        parts = self.log.split("sasl_method=")[1:]
        return [part.partition(",")[0] for part in parts]

    def account(self, **more: Any) -> dict[str, Any]:
        account = {"tls": TlsMode.STARTTLS, "ca_file": self.ca_file, "username": sasl.USER}
        return {**account, "password": Secret(sasl.PASSWORD), **more}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Postfix that wants a login."""
    authority = trustme.CA()
    ca_file = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    tokens_at = free_port()
    with sasl.dovecot(tokens_at=tokens_at) as judge, sasl.submission(judge, authority) as instance:
        yield Server(instance.port, tokens_at, str(ca_file), instance.directory / "mail.log")


@needs_dovecot
@pytest.mark.parametrize("mechanism", [None, *MECHANISMS])
def test_every_mechanism(server: Server, mechanism: str | None) -> None:
    """Each mechanism logs in where it is forced; left to choose, SCRAM-SHA-256 is taken."""

    async def main() -> None:
        async with running(server.port, **server.account(auth=mechanism)) as transport:
            assert [("body_end", 250)] == told(await transport.attempt(work()))

    asyncio.run(main())
    assert (mechanism or "SCRAM-SHA-256") == server.mechanisms[-1]


@needs_dovecot
@pytest.mark.parametrize("mechanism", [None, *MECHANISMS])
def test_wrong_password(server: Server, mechanism: str | None) -> None:
    """A wrong password is refused once, by every mechanism, and the reply is the evidence."""

    async def main() -> None:
        before, left = server.log.count("authentication failed"), server.log.count("disconnect from")
        async with running(
            server.port, **server.account(password=Secret("another"), auth=mechanism)
        ) as transport:
            evidence = only_line(await transport.attempt(work()))
            assert (Step.AUTH, 535) == (evidence.step, evidence.reply.code)
        async with asyncio.timeout(20):
            while server.log.count("disconnect from") == left:  # noqa: ASYNC110 - a log rings no bell
                await asyncio.sleep(0.01)
        assert before + 1 == server.log.count("authentication failed")

    asyncio.run(main())


@needs_dovecot
def test_user_without_scram_keys(server: Server) -> None:
    """Where the server keeps a hash that SCRAM cannot use, PLAIN follows and the mail goes."""

    async def main() -> None:
        async with running(server.port, **server.account(username=sasl.HASHED_USER)) as transport:
            assert [("body_end", 250)] == told(await transport.attempt(work()))

    asyncio.run(main())
    assert "PLAIN" == server.mechanisms[-1]


@needs_dovecot
@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_tokens_at_dovecot(server: Server, mechanism: str) -> None:
    """Dovecot asks the identity server whose a token is: an ended one is renewed once, and the mail goes."""

    def introspect(request: Request) -> bytes:
        token = parse_qs(request.body.decode())["token"][0]
        known = {"email": sasl.USER} if token == "token-2" else {"error": "invalid_token"}
        return plain(200 if "email" in known else 401, json.dumps(known).encode())

    async def main() -> None:
        judge = HookServer(introspect)
        account = server.account(oauth=GRANT, password=None, auth=mechanism, name="mail")
        async with (
            listening(judge.serve, port=server.tokens_at),
            hook_server(counting()) as issuer,
            source(issuer) as (tokens, _),
            running(server.port, tokens=tokens, **account) as transport,
        ):
            assert [("body_end", 250)] == told(await transport.attempt(work()))
            assert (2, 2) == (len(issuer.requests), len(judge.requests))

    asyncio.run(main())
    assert mechanism == server.mechanisms[-1]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_aiosmtpd(mechanism: str) -> None:
    """PLAIN and LOGIN as aiosmtpd reads them, right and wrong, and the other one left out of its offer."""
    [left_out] = {"PLAIN", "LOGIN"} - {mechanism}
    options: dict[str, Any] = {"auth_require_tls": False, "auth_exclude_mechanism": [left_out]}

    async def main() -> None:
        kept = Kept()
        async with aiosmtpd(kept, **options) as port:
            async with running(port, **LOGIN) as transport:
                assert [("body_end", 250)] == told(await transport.attempt(work()))
            async with running(port, **(LOGIN | {"password": Secret("another")})) as transport:
                assert [("auth", 535)] == told(await transport.attempt(work()))
        assert [True] == [is_known for _, _, is_known in kept.messages]

    asyncio.run(main())


def test_bound_to_the_certificate(tmp_path: Path) -> None:
    """Over TLS -PLUS is taken where it is offered, bound to the hash of the certificate that came."""
    authority = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    leaf = authority.issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    scram = ScramServer(binding=hashlib.sha256(der).digest(), password=sasl.PASSWORD)

    def answer(command: str, dialogue: Dialogue) -> bytes | None:
        if command.startswith("AUTH SCRAM-SHA-256-PLUS "):
            return challenge(scram.first_reply(decoded(command.encode())))
        if any(line.startswith("AUTH") for line in dialogue.lines[-2:-1]):
            return challenge(scram.final_reply(decoded(command.encode())))
        return b"235 ok\r\n" if command == "" else None

    peer = SmtpPeer(extensions=("AUTH SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN",), answer=answer, tls=context)

    async def main() -> None:
        async with (
            peer_listening(peer) as port,
            running(
                port,
                tls=TlsMode.IMPLICIT,
                ca_file=str(ca_file),
                username="user",
                password=Secret(sasl.PASSWORD),
            ) as transport,
        ):
            assert [("body_end", 250)] == told(await transport.attempt(work()))

    asyncio.run(main())
    assert "p=tls-server-end-point,," == scram.gs2

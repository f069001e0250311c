"""Logins with a token: one question for all, one renewal, and words for what is refused."""

import asyncio
import json
from base64 import b64decode, b64encode
from dataclasses import replace

import pytest

from egress.smtp_peer import Dialogue, SmtpPeer, listening
from egress.test_egress_remote import running as running_remote
from egress.token_source import (
    PLANTED,
    REFRESH,
    counting,
    only_line,
    run,
    source,
)
from egress.works import running, told, work
from peers.hook_server import hook_server, plain
from postroom.egress.asked_tokens import AskedTokens
from postroom.egress.frames import Unpacker, packed_token
from postroom.model.outcome import Fault, FaultKind
from postroom.model.secret import Secret
from postroom.model.step import Step
from postroom.net.faults import NetFault
from postroom.policy.classify import classify


def identity(peer: SmtpPeer, good: set[str]) -> None:
    """Let a mail server take XOAUTH2 with some tokens, and say 334 with JSON to others."""
    peer.extensions = ("PIPELINING", "AUTH XOAUTH2 PLAIN")

    def answer(command: str, _dialogue: Dialogue) -> bytes | None:
        if command.startswith("AUTH XOAUTH2 "):
            token = b64decode(command.split()[2]).decode().split("Bearer ")[1].strip("\x01")
            reason = b64encode(json.dumps({"status": "400", "echo": token}).encode())
            return b"235 ok\r\n" if token in good else b"334 " + reason + b"\r\n"
        return b"535 5.7.8 not accepted\r\n" if command == "" else None

    peer.answer = answer


def logins(peer: SmtpPeer) -> int:
    return sum(line.startswith("AUTH") for dialogue in peer.dialogues for line in dialogue.lines)


def test_fifty_mails_one_question() -> None:
    """Fifty mails over ten connections ask the identity server once, and all are sent with the token."""
    peer = SmtpPeer()
    identity(peer, {"token-1"})

    async def main() -> None:
        async with (
            hook_server(counting()) as server,
            listening(peer) as port,
            source(server) as (tokens, _),
            running(
                port, name="mail", username="me", oauth=REFRESH, tokens=tokens, max_connections=10
            ) as transport,
        ):
            reports = await asyncio.gather(*(transport.attempt(work()) for _ in range(50)))
            assert [("body_end", 250)] * 50 == [line for report in reports for line in told(report)]
            assert 1 == len(server.requests)

    run(main())


def test_an_ended_token_costs_one_more_login() -> None:
    """A token that the mail server refuses is renewed once and the login made again; then the mail goes."""
    peer = SmtpPeer()
    identity(peer, {"token-2"})

    async def main() -> None:
        async with (
            hook_server(counting()) as server,
            listening(peer) as port,
            source(server) as (tokens, _),
            running(port, name="mail", username="me", oauth=REFRESH, tokens=tokens) as transport,
        ):
            assert [("body_end", 250)] == told(await transport.attempt(work()))
            assert (2, 2) == (len(server.requests), logins(peer))

    run(main())


def test_a_token_that_stays_refused() -> None:
    """Two refused logins, no more; the reason stands in the evidence and the token does not."""
    peer = SmtpPeer()
    identity(peer, set())

    async def main() -> None:
        async with (
            hook_server(counting()) as server,
            listening(peer) as port,
            source(server) as (tokens, _),
            running(port, name="mail", username="me", oauth=REFRESH, tokens=tokens) as transport,
        ):
            evidence = only_line(await transport.attempt(work()))
            assert (Step.AUTH, 535) == (evidence.step, evidence.reply.code)
            assert "oauth status 400" == evidence.reply.lines[-1]
            assert "token-" not in repr(evidence)
            assert "auth-oauth-challenge" == classify(evidence).cause
            at_google = replace(evidence, host="smtp.gmail.com")
            assert "g-oauth" == classify(at_google).cause
            assert (2, 2) == (len(server.requests), logins(peer))

    run(main())


def test_no_token_no_connection() -> None:
    """When there is no token the mail server is not bothered, and the mail waits with the cause."""
    peer = SmtpPeer()
    identity(peer, set())
    words = {"error": "invalid_grant", "error_description": f"bad {PLANTED[0]} {PLANTED[1]}"}

    async def main() -> None:
        async with (
            hook_server(plain(400, json.dumps(words).encode())) as server,
            listening(peer) as port,
            source(server) as (tokens, _),
            running(port, name="mail", username="me", oauth=REFRESH, tokens=tokens) as transport,
        ):
            evidence = only_line(await transport.attempt(work()))
            assert "token-refused" == evidence.fault.cause
            assert "invalid_grant (bad ***** *****)" in evidence.fault.text
            assert [] == peer.dialogues

    run(main())


@pytest.mark.slow
def test_the_sender_process_asks_the_engine() -> None:
    """In a process of its own a transport gets the engine's token, its renewal and its refusal."""
    peer = SmtpPeer()
    identity(peer, {"token-2"})

    async def main() -> None:
        async with (
            hook_server(counting()) as server,
            listening(peer) as port,
            source(server) as (tokens, _),
            running_remote(port, name="mail", username="me", oauth=REFRESH, tokens=tokens) as transport,
        ):
            assert [("body_end", 250)] == told(await transport.attempt(work()))
            assert (2, 2) == (len(server.requests), logins(peer))

    run(main())


@pytest.mark.slow
def test_the_sender_process_hears_why_there_is_no_token() -> None:
    """What the identity server said reaches the evidence through both processes."""

    async def main() -> None:
        async with (
            hook_server(plain(400, b'{"error":"invalid_grant"}')) as server,
            source(server) as (tokens, _),
            running_remote(9, name="mail", username="me", oauth=REFRESH, tokens=tokens) as transport,
        ):
            evidence = only_line(await transport.attempt(work()))
            assert ("token-refused", True) == (evidence.fault.cause, "invalid_grant" in evidence.fault.text)

    run(main())


def test_asked_tokens() -> None:
    """A question is answered by its number; an answer that nobody waits for is dropped."""

    async def main() -> None:
        sent: list[bytes] = []
        asked = AskedTokens(sent.append)
        first = asyncio.create_task(asked.token("mail"))
        second = asyncio.create_task(asked.token("mail", rejected=Secret("old")))
        await asyncio.sleep(0)
        frames = [frame for data in sent for frame in Unpacker().frames(data)]
        assert [("mail", None), ("mail", "old")] == [frame[2:] for frame in frames]
        fault = Fault(kind=FaultKind.REFUSED, text="no", cause="token-refused")
        for answer in (packed_token(2, NetFault(Step.AUTH, fault, "id")), packed_token(1, Secret("new"))):
            for _ in range(2):
                asked.take(next(Unpacker().frames(answer)))
        assert Secret("new") == await first
        with pytest.raises(NetFault) as caught:
            await second
        assert (Step.AUTH, fault, "id") == (caught.value.step, caught.value.fault, caught.value.peer)

    run(main())

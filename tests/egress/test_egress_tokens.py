"""Tokens from a real identity server on loopback."""

import asyncio
import json
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import trustme
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from egress.token_source import (
    ACCOUNT,
    LOOPBACK,
    PLANTED,
    REFRESH,
    account_of,
    counting,
    granted,
    run,
    source,
)
from net.wires import listening as listening_tls
from net.wires import server_context
from peers.hook_server import Request, hook_server, plain
from peers.manual import ManualClock
from postroom.clock import SystemClock
from postroom.egress.grants import MAX_TOKEN, Granted, GrantError, assertion, fields_of, read_answer, shown
from postroom.egress.tokens import Tokens
from postroom.model.secret import Secret
from postroom.model.step import Step
from postroom.model.transport import GrantKind, OAuthGrant
from postroom.net.faults import NetFault
from postroom.net.guard import Guard


def form(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.body.decode()).items()}


async def fault_of(tokens: Tokens, **options: Any) -> NetFault:
    with pytest.raises(NetFault) as caught:
        await tokens.token("mail", **options)
    return caught.value


def test_one_question_for_fifty_senders() -> None:
    """Fifty who ask at once get one token by one question, and later ones get it from memory."""

    async def main() -> None:
        async with hook_server(counting()) as server, source(server) as (tokens, _):
            found = await asyncio.gather(*(tokens.token("mail") for _ in range(50)))
            assert {Secret("token-1")} == {*found, await tokens.token("mail")}
            assert 1 == len(server.requests)
            assert {
                "grant_type": "refresh_token",
                "client_id": "client-1",
                "client_secret": "planted+client/secret",
                "refresh_token": "planted-refresh-token",
                "scope": "mail.send",
            } == form(server.requests[0])

    run(main())


def test_renewed_a_minute_before_its_end() -> None:
    """A token is used until a minute before its end; a short one until its half."""

    async def main() -> None:
        async with hook_server(counting()) as server, source(server) as (tokens, clock):
            first = await tokens.token("mail")
            clock.advance(3539)
            assert first == await tokens.token("mail")
            clock.advance(2)
            assert Secret("token-2") == await tokens.token("mail")
        async with hook_server(granted(expires_in=60)) as server, source(server) as (tokens, clock):
            await tokens.token("mail")
            clock.advance(29)
            await tokens.token("mail")
            assert 1 == len(server.requests)
            clock.advance(2)
            await tokens.token("mail")
            assert 2 == len(server.requests)

    run(main())


def test_a_rejected_token_is_renewed_once() -> None:
    """Fifty whose token was refused get the next by one question; who comes later with it gets that too."""

    async def main() -> None:
        async with hook_server(counting()) as server, source(server) as (tokens, _):
            old = await tokens.token("mail")
            found = await asyncio.gather(*(tokens.token("mail", rejected=old) for _ in range(50)))
            assert {Secret("token-2")} == {*found, await tokens.token("mail", rejected=old)}
            assert 2 == len(server.requests)

    run(main())


def test_the_same_token_again_is_no_token() -> None:
    """A server that goes on giving what the mail server refuses is told of, not believed."""

    async def main() -> None:
        async with hook_server(granted()) as server, source(server) as (tokens, _):
            failure = await fault_of(tokens, rejected=await tokens.token("mail"))
            assert "token-refused" == failure.fault.cause

    run(main())


def test_a_failure_is_for_all_who_wait() -> None:
    """Fifty who wait for a refusal hear it by one question, and the next asks again."""
    no = plain(400, b'{"error":"invalid_grant","error_description":"Token has been revoked."}')

    async def main() -> None:
        async with hook_server(no) as server, source(server) as (tokens, _):
            found = await asyncio.gather(*(fault_of(tokens) for _ in range(50)))
            assert {
                "the identity server refused a token: invalid_grant (Token has been revoked.) (127.0.0.1)"
            } == {failure.fault.text for failure in found}
            assert {(Step.AUTH, "token-refused")} == {(one.step, one.fault.cause) for one in found}
            assert 1 == len(server.requests)
            await fault_of(tokens)
            assert 2 == len(server.requests)

    run(main())


@pytest.mark.parametrize(
    ("answer", "cause", "words"),
    [
        (plain(401, b'{"error":"invalid_client"}'), "token-refused", "invalid_client"),
        (plain(200, b'{"error":"invalid_scope"}'), "token-refused", "invalid_scope"),
        (plain(400, b'{"error":"temporarily_unavailable"}'), "token-unreachable", "temporarily"),
        (plain(503, b"busy"), "token-unreachable", "503"),
        (plain(429, b"{}"), "token-unreachable", "429"),
        (plain(302, b"", b"Location: https://example.com/"), "token-refused", "redirect"),
        (plain(200, b"<html>sign in</html>"), "token-refused", "without JSON"),
        (plain(200, b"[]"), "token-refused", "without JSON"),
        (plain(200, b"[" * 10_000), "token-refused", "without JSON"),
        (plain(200, b'{"access_token":""}'), "token-refused", "no token"),
        (plain(200, b'{"access_token":"a\\r\\nMAIL FROM:<>"}'), "token-refused", "no token"),
        (plain(200, b'{"access_token":"%s"}' % (b"t" * (MAX_TOKEN + 1))), "token-refused", "no token"),
        (plain(200, b'{"access_token":"t","token_type":"mac"}'), "token-refused", "Bearer"),
        (plain(200, b'{"access_token":"%s"}' % (b"t" * 1_000_000)), "token-refused", "without JSON"),
        (b"garbage\r\n\r\n", "token-unreachable", "cannot be asked"),
        (b"", "token-unreachable", "cannot be asked"),
        (None, "token-unreachable", "no answer within 0.2 s"),
    ],
)
def test_what_an_identity_server_may_say(answer: bytes | None, cause: str, words: str) -> None:
    """Every answer becomes a token or a cause with the server's words, within bounds."""

    async def main() -> None:
        async with hook_server(lambda _: answer) as server, source(server, timeout_s=0.2) as (tokens, _):
            failure = await fault_of(tokens)
            assert (cause, True) == (failure.fault.cause, words in failure.fault.text)
            assert len(failure.fault.text) < 400

    run(main())


def test_nobody_is_there() -> None:
    """A closed port, a forbidden address and a URL that shows secrets are causes, not exceptions."""

    async def main() -> None:
        tokens = Tokens(Guard(), clock=ManualClock())
        for url, cause, words in (
            ("https://127.0.0.1:8443/token", "token-unreachable", "egress.allowed_networks"),
            ("http://id.example.com/token", "token-refused", "https://"),
            ("id.example.com", "token-refused", "token_url"),
        ):
            tokens.keep("mail", replace(ACCOUNT, oauth=replace(REFRESH, token_url=url)))
            failure = await fault_of(tokens)
            assert (cause, True) == (failure.fault.cause, words in failure.fault.text)
        tokens.drop("mail")
        assert "token-refused" == (await fault_of(tokens)).fault.cause
        await tokens.stop()

    run(main())


def test_the_server_is_verified(tmp_path: Path) -> None:
    """A token comes over TLS from a known authority only."""
    authority = trustme.CA()
    known = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(known))

    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(granted())
            await writer.drain()
            await reader.read()

        context = server_context(authority)
        async with listening_tls(serve, tls=context) as port:
            grant = replace(REFRESH, token_url=f"https://127.0.0.1:{port}/token")
            for ca_file, is_known in ((str(known), True), (None, False)):
                tokens = Tokens(Guard(LOOPBACK), clock=SystemClock(), ca_file=ca_file)
                tokens.keep("mail", replace(ACCOUNT, oauth=grant))
                if is_known:
                    assert Secret("token-1") == await tokens.token("mail")
                else:
                    failure = await fault_of(tokens)
                    assert "token-unreachable" == failure.fault.cause
                    assert "certificate verify failed" in failure.fault.text
                await tokens.stop()

    run(main())


def test_a_rotated_refresh_token_is_kept_and_told() -> None:
    """The next question uses the new one; whoever stores it may give it back without a new login."""
    told_: list[tuple[str, Secret]] = []

    async def main() -> None:
        answer = granted("token-1", refresh_token="planted-refresh-2")
        async with (
            hook_server(answer) as server,
            source(server, rotated=lambda *news: told_.append(news)) as (tokens, clock),
        ):
            await tokens.token("mail")
            assert [("mail", Secret("planted-refresh-2"))] == told_
            stored = replace(REFRESH, token_url=server.url, secret=Secret("planted-refresh-2"))
            tokens.keep("mail", replace(ACCOUNT, oauth=stored))
            await tokens.token("mail")
            assert 1 == len(server.requests)
            clock.advance(3600)
            await tokens.token("mail")
            assert "planted-refresh-2" == form(server.requests[1])["refresh_token"]
            tokens.keep("mail", account_of(server, replace(REFRESH, secret=Secret("other-token"))))
            await tokens.token("mail")
            assert "other-token" == form(server.requests[2])["refresh_token"]

    run(main())


def test_a_changed_account_asks_anew() -> None:
    """After a change nobody gets the token of before, even from a question that was under way."""

    async def main() -> None:
        async with hook_server(counting()) as server, source(server) as (tokens, _):
            early = asyncio.create_task(tokens.token("mail"))
            await asyncio.sleep(0)
            tokens.keep("mail", account_of(server, replace(REFRESH, client_id="client-2")))
            assert {"token-1", "token-2"} == {(await early).reveal(), (await tokens.token("mail")).reveal()}
            assert {"client-1", "client-2"} == {form(request)["client_id"] for request in server.requests}
            tokens.keep("mail", replace(ACCOUNT, oauth=None))
            await fault_of(tokens)

    run(main())


def test_client_credentials() -> None:
    """Client credentials need no refresh token (RFC 6749 section 4.4)."""
    grant = replace(REFRESH, kind=GrantKind.CLIENT_CREDENTIALS, secret=None)
    assert {
        "grant_type": "client_credentials",
        "client_id": "client-1",
        "client_secret": "planted+client/secret",
        "scope": "mail.send",
    } == fields_of(grant, "me@example.com", ManualClock().now())


def key_file(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> Secret:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    name = "robot@project.example.com"
    return Secret(json.dumps({"client_email": name, "private_key_id": "k1", "private_key": pem.decode()}))


def test_service_account() -> None:
    """The assertion names robot, user, scope and server, and its signature is the key's (RFC 7523)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    grant = OAuthGrant(
        kind=GrantKind.SERVICE_ACCOUNT,
        token_url="https://id.example.com/token",
        secret=key_file(key),
        scope="s",
    )
    fields = fields_of(grant, "me@example.com", ManualClock().now())
    assert "urn:ietf:params:oauth:grant-type:jwt-bearer" == fields["grant_type"]
    head, claims, signature = [
        urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in fields["assertion"].split(".")
    ]
    assert {"alg": "RS256", "typ": "JWT", "kid": "k1"} == json.loads(head)
    issued = int(ManualClock().now().timestamp())
    assert {
        "iss": "robot@project.example.com",
        "sub": "me@example.com",
        "scope": "s",
        "aud": "https://id.example.com/token",
        "iat": issued,
        "exp": issued + 3600,
    } == json.loads(claims)
    signed = fields["assertion"].rpartition(".")[0].encode()
    key.public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"client_email":"a","private_key":1}', '{"client_email":"a","private_key":"x"}'],
)
def test_broken_key_files(text: str) -> None:
    """A key file that cannot be read, or has another kind of key, is a phrase without its content."""
    elliptic = key_file(ec.generate_private_key(ec.SECP256R1())).reveal()
    for content in (text, elliptic):
        grant = replace(REFRESH, kind=GrantKind.SERVICE_ACCOUNT, secret=Secret(content))
        with pytest.raises(GrantError) as caught:
            assertion(grant, "me", ManualClock().now())
        assert "the service account's key" in str(caught.value)


@given(st.integers(min_value=100, max_value=599), st.binary(max_size=300))
def test_any_answer_is_read(status: int, content: bytes) -> None:
    """Nothing that an identity server says raises."""
    assert read_answer(status, content) is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = ("access_token", "expires_in", "refresh_token", "token_type", "error", "error_description")


@pytest.mark.slow
@given(st.sampled_from([200, 400, 500]), st.dictionaries(st.sampled_from(NAMES), JSON))
def test_any_json_is_read(status: int, told: dict[str, object]) -> None:
    """Fields of any kind become a token that can be used, or words for people."""
    found = read_answer(status, json.dumps(told).encode())
    if isinstance(found, Granted):
        assert 0 < found.life_s <= 86400
        assert found.token.reveal().isascii()
    else:
        assert "\n" not in found.text


@pytest.mark.slow
@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF), min_size=6, max_size=60),
    form_of=st.sampled_from([str, lambda secret: b64encode(secret.encode()).decode()]),
    words=st.text(max_size=30),
)
def test_no_secret_in_the_words_of_a_server(secret: str, form_of: Callable[[str], str], words: str) -> None:
    """A server that repeats what it was asked with shows it to nobody."""
    grant = replace(REFRESH, secret=Secret(secret), client_secret=Secret(secret[::-1]))
    fields = fields_of(grant, "me@example.com", ManualClock().now())
    text = shown(f"{words} {form_of(secret)} and {form_of(secret[::-1])}.", fields)
    if secret not in words and secret[::-1] not in words:
        assert secret not in text.replace("*****", "")


def test_no_secret_in_what_is_said_of_an_answer_that_is_no_http() -> None:
    """A server that sends back what it was told, as an echo does: the library quotes the line."""

    async def main() -> None:
        echo = lambda request: request.body + b"\r\n\r\n"  # noqa: E731 - a script of one line
        async with hook_server(echo) as server, source(server) as (tokens, _):
            failure = await fault_of(tokens)
            assert "token-unreachable" == failure.fault.cause
            assert not [one for one in PLANTED if one in failure.fault.text]

    run(main())

"""Logins as bytes: vectors of the RFCs, the order of mechanisms, what a hostile server may say."""

from base64 import b64decode, b64encode
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.smtp.sasl import Credentials, Mechanism, candidates, login
from postroom.smtp.scram import MAX_ITERATIONS, Broken, Derivation, Scram, prepared

WHO = Credentials(username="user", password="pass", token=None, host="mail.example.com", port=587)
ABLE = replace(WHO, nonce="abc", binding=b"hash")
EVERY = tuple(mechanism.value for mechanism in reversed(Mechanism))


def order(offered: tuple[str, ...], who: Credentials, *, tls: bool = True, forced: str | None = None) -> str:
    return " ".join(candidates(offered, is_encrypted=tls, forced=forced, who=who))


def test_order() -> None:
    """SCRAM goes before PLAIN and LOGIN, bound before unbound; CRAM-MD5 is early only without TLS."""
    scram = "SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1"
    assert f"{scram} PLAIN LOGIN CRAM-MD5" == order(EVERY, ABLE)
    unbound = replace(ABLE, binding=None)
    assert "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN" == order(EVERY, unbound, tls=False)
    assert "PLAIN LOGIN CRAM-MD5" == order(EVERY, WHO)
    assert "LOGIN" == order(("LOGIN", "GSSAPI"), ABLE)
    assert "" == order(("NTLM",), ABLE)


def test_order_with_a_token() -> None:
    """A token is used before a password, and alone when there is no password."""
    both = replace(WHO, token="t0ken")
    assert "OAUTHBEARER XOAUTH2 PLAIN" == order(("XOAUTH2", "PLAIN", "OAUTHBEARER"), both)
    assert "XOAUTH2" == order(("XOAUTH2", "PLAIN"), replace(both, password=None))
    assert "" == order(("XOAUTH2",), WHO)


def test_forced_mechanism() -> None:
    """A forced mechanism is used alone, offered or not; one that is unknown is none."""
    assert "LOGIN" == order(EVERY, ABLE, forced="login")
    assert "SCRAM-SHA-1" == order(("PLAIN",), ABLE, forced="scram-sha-1")
    assert "" == order(EVERY, ABLE, forced="NTLM")


def test_password_mechanisms() -> None:
    """PLAIN has no authorization identity; LOGIN gives name, then password; CRAM-MD5 as in RFC 2195."""
    plain = login(Mechanism.PLAIN, replace(WHO, username="us\u00e9r"))
    assert "\0us\u00e9r\0pass".encode() == plain.initial == plain.answer(b"")
    named = login(Mechanism.LOGIN, WHO)
    assert [None, b"user", b"pass"] == [named.initial, named.answer(b"Username:"), named.answer(None)]
    cram = login(Mechanism.CRAM_MD5, replace(WHO, username="tim", password="tanstaaftanstaaf"))
    challenge = b64decode("PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+")
    answer = cram.answer(challenge)
    assert isinstance(answer, bytes)
    assert b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw" == b64encode(answer)
    assert isinstance(login(Mechanism.CRAM_MD5, WHO).answer(None), Broken)


def test_token_mechanisms() -> None:
    """XOAUTH2 and OAUTHBEARER (RFC 7628 section 4.1) carry the token, and answer a refusal as each wants."""
    who = Credentials(
        username="user@example.com", password=None, token="vF9dft4qmT", host="server.example.com", port=143
    )
    bearer = login(Mechanism.OAUTHBEARER, who)
    assert (
        b"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRx"
        b"bVQBAQ=="
    ) == b64encode(bearer.initial or b"")
    bearer.note_initial()
    assert b"\x01" == bearer.answer(b'{"status":"invalid_token","scope":"mail","x":"eyJ"}')
    assert "oauth status invalid_token, scope mail" == bearer.status
    older = login(Mechanism.XOAUTH2, who)
    assert b"user=user@example.com\x01auth=Bearer vF9dft4qmT\x01\x01" == older.initial == older.answer(b"")
    assert b"" == older.answer(b'{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}')
    assert "oauth status 400, scope https://mail.google.com/, schemes Bearer" == older.status


@pytest.mark.parametrize(
    "challenge", [b"", b"{", b"[]", b"{}", b"\xff", b'{"status":{"a":1}}', b"[" * 100_000]
)
def test_token_refused_without_a_reason(challenge: bytes) -> None:
    """A refusal that cannot be read is a refusal all the same."""
    older = login(Mechanism.XOAUTH2, replace(WHO, token="t"))
    older.note_initial()
    assert b"" == older.answer(challenge)
    assert "oauth refused" == older.status


def finished(scram: Scram, first: bytes) -> bytes:
    step = scram.answer(first)
    assert isinstance(step, Derivation)
    return step.run()


class Vector(NamedTuple):
    digest: str
    nonce: str
    first: bytes
    final: bytes
    verifier: bytes


VECTORS = [
    Vector(
        "sha1",
        "fyko+d2lbbFgONRv9qkxdawL",
        b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    Vector(
        "sha256",
        "rOprNGfwEbeRWgbNEkqO",
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
]


@pytest.mark.parametrize("vector", VECTORS, ids=["RFC 5802 section 5", "RFC 7677 section 3"])
def test_scram_vectors(vector: Vector) -> None:
    """The examples of the RFCs come out, and the server's signature is checked."""
    scram = Scram(vector.digest, "user", "pencil", nonce=vector.nonce, gs2="n")
    assert f"n,,n=user,r={vector.nonce}".encode() == scram.initial
    assert vector.final == finished(scram, vector.first)
    assert not scram.is_proven
    assert b"" == scram.answer(vector.verifier)
    assert scram.is_proven


@pytest.mark.parametrize("vector", VECTORS, ids=["SHA-1", "SHA-256"])
def test_scram_false_signature(vector: Vector) -> None:
    """A server that does not know the password is found out."""
    verifier = vector.verifier
    forged = b"v=" + b64encode(bytes(len(b64decode(verifier[2:]))))
    for last in (forged, verifier[:-4], b"v=", b"", b"v=%%%", b"x" + verifier, b"v=\xff"):
        scram = Scram(vector.digest, "user", "pencil", nonce=vector.nonce, gs2="n")
        assert vector.final == finished(scram, vector.first)
        found = scram.answer(last)
        assert isinstance(found, Broken)
        assert ("server-not-proven", False) == (found.cause, found.may_try_another)
        assert not scram.is_proven


def test_scram_binding() -> None:
    """With -PLUS the flag and the certificate's hash are in what is signed (RFC 5802 section 6)."""
    scram = Scram(
        "sha256", "u=s,er", "pencil", nonce="abc", gs2="p=tls-server-end-point", binding=b"\x01\x02"
    )
    assert b"p=tls-server-end-point,,n=u=3Ds=2Cer,r=abc" == scram.initial
    final = finished(scram, b"r=abcdef,s=c2FsdA==,i=4096")
    assert b"p=tls-server-end-point,,\x01\x02" == b64decode(final.split(b",")[0][2:])
    flags = [
        login(Mechanism.SCRAM_SHA_256, who).initial
        for who in (ABLE, replace(ABLE, is_plus_offered=True), replace(ABLE, binding=None))
    ]
    assert [b"y,,n=user,r=abc", b"n,,n=user,r=abc", b"n,,n=user,r=abc"] == flags


@each(
    ("first", "cause", "may_try_another"),
    [
        (b"r=abcd,s=c2FsdA==,i=4095", "scram-iterations", False),
        (b"r=abcd,s=c2FsdA==,i=%d" % (MAX_ITERATIONS + 1), "scram-iterations", False),
        (b"r=abcd,s=c2FsdA==,i=9999999999", "scram-iterations", False),
        (b"r=abcd,s=c2FsdA==,i=99999999999", None, True),
        (b"r=abcd,s=c2FsdA==,i=-1", None, True),
        (b"r=abcd,s=c2FsdA==,i=04096", None, True),
        (b"r=abc,s=c2FsdA==,i=4096", None, True),
        (b"r=xbcd,s=c2FsdA==,i=4096", None, True),
        (b"r=abcd,s=c2FsdA=,i=4096", None, True),
        (b"r=abcd,i=4096", None, True),
        (b"m=ext,r=abcd,s=c2FsdA==,i=4096", None, True),
        (b"", None, True),
        (b"\xff\xfe", None, True),
        (b"e=unknown-user", None, True),
        (b"e=channel-binding-not-supported", None, True),
        (b"e=server-does-support-channel-binding", "channel-binding-refused", False),
    ],
)
def test_scram_bad_beginnings(first: bytes, cause: str | None, may_try_another: bool) -> None:
    """A first message that is broken or asks for too little or too much gets no proof."""
    scram = Scram("sha256", "user", "pencil", nonce="abc", gs2="n")
    found = scram.answer(first)
    assert isinstance(found, Broken)
    assert (cause, may_try_another) == (found.cause, found.may_try_another)
    assert not scram.has_shown_proof


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_scram_takes_any_bytes(first: bytes, final: bytes) -> None:
    """Nothing that a server says raises, and nothing but the true signature proves it."""
    scram = Scram("sha1", "user", "pencil", nonce="abc", gs2="n")
    step = scram.answer(first)
    assert isinstance(step, Broken)
    scram = Scram("sha1", "user", "pencil", nonce="abc", gs2="n")
    finished(scram, b"r=abcd,s=c2FsdA==,i=4096")
    scram.answer(final)
    assert not scram.is_proven


@each(
    ("text", "found"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("\u00e0\u00a0b", "\u00e0 b"),
        ("\u0007", "\u0007"),
        ("\u0627\u0031", "\u0627\u0031"),
        ("p\U0001f600", "p\U0001f600"),
    ],
)
def test_saslprep(text: str, found: str) -> None:
    """The examples of RFC 4013 section 3; what it forbids is used as it is."""
    assert found == prepared(text)

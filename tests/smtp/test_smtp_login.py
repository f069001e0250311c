"""Logins in a session: the fall back to another mechanism, proofs, tokens, and what is kept of replies."""

from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.model.outcome import Evidence
from postroom.model.reply import Reply
from postroom.model.secret import Secret
from postroom.model.step import Step
from postroom.model.transport import GrantKind, OAuthGrant, SmtpAccount, TlsMode
from postroom.smtp.blanking import Blanking
from postroom.smtp.client import ClientSession, Failed
from postroom.smtp.opening import Opened, Send
from postroom.smtp.sasl import Credentials, SignIn
from smtp.scram_server import NONCE, LoginTalk, ScramServer, challenge
from smtp.talk import LOGIN, hear

ACCOUNT = replace(LOGIN, tls=TlsMode.IMPLICIT)
GRANT = OAuthGrant(kind=GrantKind.REFRESH_TOKEN, token_url="https://id.example.com/token")
BY_TOKEN = replace(ACCOUNT, password=None, oauth=GRANT)
SCRAM = SignIn(nonce=NONCE)
TOKEN = SignIn(token=Secret("ya29.planted-token-value"))
YES = b"235 2.7.0 ok\r\n"
NO = b"535 5.7.8 authentication failed\r\n"
CANCELLED = b"501 5.5.0 cancelled\r\n"


def talked(
    mechanisms: str,
    *answers: Callable[[bytes], bytes] | bytes,
    account: SmtpAccount = ACCOUNT,
    sign_in: SignIn = SCRAM,
) -> LoginTalk:
    return LoginTalk(account, mechanisms, sign_in, list(answers)).run()


def evidence(talk: LoginTalk) -> Evidence:
    assert isinstance(talk.event, Failed)
    return talk.event.evidence


def cause(talk: LoginTalk) -> str | None:
    fault = evidence(talk).fault
    assert fault is not None
    return fault.cause


def code(talk: LoginTalk) -> int:
    reply = evidence(talk).reply
    assert reply is not None
    return reply.code


def verbs(talk: LoginTalk) -> list[str]:
    """Return the mechanisms that were begun."""
    return [line.split(b" ")[1].decode() for line in talk.lines if line.startswith(b"AUTH ")]


def scram(server: ScramServer) -> list[Callable[[bytes], bytes]]:
    return [
        lambda message: challenge(server.first_reply(message)),
        lambda message: challenge(server.final_reply(message)),
    ]


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
@pytest.mark.parametrize("is_bound", [False, True])
def test_scram_login(digest: str, is_bound: bool) -> None:
    """Both ends agree, with and without channel binding; the password does not go over the wire."""
    name = "SCRAM-SHA-1" if digest == "sha1" else "SCRAM-SHA-256"
    server = ScramServer(digest=digest, binding=b"certificate-hash")
    sign_in = SignIn(nonce=NONCE, binding=lambda: b"certificate-hash" if is_bound else None)
    talk = talked(f"PLAIN {name} {name}-PLUS", *scram(server), YES, sign_in=sign_in)
    assert Opened() == talk.event
    assert [name + "-PLUS" * is_bound] == verbs(talk)
    assert ("p=tls-server-end-point,," if is_bound else "n,,") == server.gs2
    assert b"" == talk.lines[-1]
    assert not any(b"correct-horse" in b64decode(line.split(b" ")[-1]) for line in talk.lines)


def test_scram_notices_a_stripped_offer() -> None:
    """A server that offers -PLUS learns by the flag ``y`` that somebody took it out of the offer."""
    server = ScramServer()
    sign_in = SignIn(nonce=NONCE, binding=lambda: b"hash")
    talk = talked(
        "SCRAM-SHA-256 PLAIN",
        lambda message: challenge(server.first_reply(message)),
        challenge("e=server-does-support-channel-binding"),
        sign_in=sign_in,
    )
    assert "y,," == server.gs2
    assert "channel-binding-refused" == cause(talk)
    assert ["SCRAM-SHA-256"] == verbs(talk)


def test_scram_other_end_of_tls() -> None:
    """Where TLS ends at somebody else, the login ends with its own cause and no password is shown."""
    server = ScramServer(binding=b"the server's")
    sign_in = SignIn(nonce=NONCE, binding=lambda: b"somebody else's")
    talk = talked("SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN", *scram(server), sign_in=sign_in)
    assert "channel-binding-refused" == cause(talk)
    assert ["SCRAM-SHA-256-PLUS"] == verbs(talk)


def test_scram_without_proof() -> None:
    """A server that says yes without its signature is left, and so is one with a false signature."""
    server = ScramServer()
    assert "server-not-proven" == cause(talked("SCRAM-SHA-256 PLAIN", scram(server)[0], YES))
    assert "server-not-proven" == cause(talked("SCRAM-SHA-256 PLAIN", YES))
    forged = challenge("v=" + b64encode(bytes(32)).decode())
    talk = talked("SCRAM-SHA-256 PLAIN", scram(server)[0], forged)
    assert "server-not-proven" == cause(talk)
    assert ["SCRAM-SHA-256"] == verbs(talk)


def test_scram_wrong_password() -> None:
    """A judged password is not tried again, whether the refusal comes after ``e=`` or at once."""
    server = ScramServer(password="other")
    talk = talked("SCRAM-SHA-256 PLAIN LOGIN", *scram(server), NO)
    assert (535, ["SCRAM-SHA-256"]) == (code(talk), verbs(talk))
    talk = talked("SCRAM-SHA-256 PLAIN LOGIN", scram(server)[0], NO)
    assert (535, ["SCRAM-SHA-256"]) == (code(talk), verbs(talk))


def test_scram_too_many_iterations() -> None:
    """A server cannot make this machine hash for minutes; nothing else is tried."""
    talk = talked("SCRAM-SHA-256 PLAIN", scram(ScramServer(count=100_000_000))[0])
    assert "scram-iterations" == cause(talk)
    assert ["SCRAM-SHA-256"] == verbs(talk)


@pytest.mark.parametrize(
    "answers",
    [
        [b"504 5.5.4 unrecognized\r\n"],
        [b"534 5.7.9 Authentication mechanism is too weak\r\n"],
        [b"535 5.7.8 no such keys\r\n"],
        [b"503 5.5.1 no\r\n", b"504 no\r\n"],
        [challenge("not scram"), CANCELLED],
        [challenge("e=other-error"), CANCELLED],
        [b"334 %%%\r\n", CANCELLED],
    ],
)
def test_scram_that_breaks_early(answers: list[bytes]) -> None:
    """Before the password was judged, one mechanism of another kind follows."""
    talk = talked("SCRAM-SHA-1 SCRAM-SHA-256 PLAIN LOGIN", *answers, YES)
    assert Opened() == talk.event
    begun = [verb for at, verb in enumerate(verbs(talk)) if verb not in verbs(talk)[:at]]
    assert ["SCRAM-SHA-256", "PLAIN"] == begun


def test_only_one_other_mechanism() -> None:
    """After two mechanisms that are refused as such the login ends."""
    no = b"504 5.5.4 unrecognized\r\n"
    talk = talked("SCRAM-SHA-256 PLAIN LOGIN", no, no)
    assert (504, ["SCRAM-SHA-256", "PLAIN"]) == (code(talk), verbs(talk))
    talk = talked("PLAIN LOGIN", no, b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n", YES)
    assert (Opened(), ["PLAIN", "LOGIN"]) == (talk.event, verbs(talk))
    assert (504, ["PLAIN"]) == (code(talk := talked("PLAIN", no)), verbs(talk))


@pytest.mark.parametrize(
    "refusal",
    [
        NO,
        b"534 5.7.9 Application-specific password required\r\n",
        b"454 4.7.0 temporary\r\n",
        b"538 5.7.11 encryption required\r\n",
        b"530 5.7.0 must issue STARTTLS\r\n",
        b"550 no\r\n",
    ],
)
def test_no_second_try_after_a_judgement(refusal: bytes) -> None:
    """A reply about the password, or one that says later, is not followed by another mechanism."""
    talk = talked("PLAIN LOGIN", refusal)
    assert ["PLAIN"] == verbs(talk)
    assert int(refusal[:3]) == code(talk)


def test_forced_mechanism_has_no_successor() -> None:
    """A forced mechanism is used as given, and nothing after it."""
    talk = talked("PLAIN LOGIN", b"504 no\r\n", account=replace(ACCOUNT, auth="scram-sha-256"))
    assert (504, ["SCRAM-SHA-256"]) == (code(talk), verbs(talk))
    talk = talked("PLAIN", b"334 \r\n", account=replace(ACCOUNT, auth="SCRAM-SHA-1-PLUS"))
    assert cause(talk) is None
    assert "PLAIN" not in verbs(talk)


def test_initial_response_that_is_not_wanted() -> None:
    """A server that wants the challenge form gets it, for every mechanism with an initial response."""
    for mechanism, sign_in in (("PLAIN", SCRAM), ("XOAUTH2", TOKEN), ("OAUTHBEARER", TOKEN)):
        talk = talked(mechanism, b"501 5.5.2 no initial\r\n", b"334 \r\n", YES, sign_in=sign_in)
        assert Opened() == talk.event
        assert b"AUTH " + mechanism.encode() == talk.lines[1]
        assert talk.lines[0].split(b" ")[2] == talk.lines[2]
    server = ScramServer()
    talk = talked("SCRAM-SHA-256", b"501 no\r\n", b"334 \r\n", *scram(server), YES)
    assert Opened() == talk.event


@pytest.mark.parametrize(("mechanism", "last"), [("XOAUTH2", b""), ("OAUTHBEARER", b"AQ==")])
def test_token_refused(mechanism: str, last: bytes) -> None:
    """The reason is asked for as each mechanism wants it, and stands beside the reply without the token."""
    reason = b'{"status":"400","scope":"https://mail.google.com/","x":"ya29.planted-token-value"}'
    refusal = b"334 " + b64encode(reason) + b"\r\n"
    talk = talked("XOAUTH2 PLAIN" if last == b"" else mechanism, refusal, NO, account=BY_TOKEN, sign_in=TOKEN)
    assert [mechanism] == verbs(talk)
    assert last == talk.lines[-1]
    reply = evidence(talk).reply
    assert reply is not None
    assert "oauth status 400, scope https://mail.google.com/" == reply.lines[-1]


def test_token_mechanism_refused() -> None:
    """When OAUTHBEARER is refused as such, XOAUTH2 follows."""
    talk = talked("OAUTHBEARER XOAUTH2", b"504 no\r\n", YES, account=BY_TOKEN, sign_in=TOKEN)
    assert (Opened(), ["OAUTHBEARER", "XOAUTH2"]) == (talk.event, verbs(talk))


def test_long_token_waits_to_be_asked() -> None:
    """A token that does not fit into a command line follows on a line of its own."""
    talk = talked("XOAUTH2", b"334 \r\n", YES, sign_in=SignIn(token=Secret("t" * 2000)))
    assert [b"AUTH XOAUTH2"] == talk.lines[:1]
    assert b"user=user\x01auth=Bearer " + b"t" * 2000 + b"\x01\x01" == b64decode(talk.lines[1])


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"])
def test_a_mechanism_for_passwords_gets_no_empty_one_beside_a_token(mechanism: str) -> None:
    """Settings that insist on it for an account that has a token only send nothing."""
    talk = talked(mechanism, account=replace(BY_TOKEN, auth=mechanism), sign_in=replace(TOKEN, nonce=NONCE))
    assert ("password-missing", []) == (cause(talk), verbs(talk))


def test_no_secret_is_in_what_is_printed() -> None:
    """Neither credentials nor the command of a login show any, in whatever trace they stand."""
    who = Credentials(username="me", password="planted-1", token="planted-2", host="h", port=465)
    told = f"{who} {Send(Step.AUTH, b'AUTH PLAIN planted-3')}"
    assert ("username='me'" in told, "planted" in told) == (True, False)


def test_nothing_to_log_in_with() -> None:
    """Without a password and a token nothing is sent."""
    for password in (None, Secret("")):
        talk = talked("PLAIN XOAUTH2", account=replace(ACCOUNT, password=password))
        assert "password-missing" == cause(talk)
        assert [] == talk.lines


SECRET = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=6, max_size=60)


@given(
    secret=SECRET,
    mechanism=st.sampled_from(["PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER", "SCRAM-SHA-256"]),
    reply=st.sampled_from([b"535 ", b"454 ", b"535-", b"garbage ", b"250 ", b"334 ", b"535\n"]),
    cut=st.integers(min_value=0, max_value=40),
)
def test_nothing_said_is_kept(secret: str, mechanism: str, reply: bytes, cut: int) -> None:
    """A server that repeats everything it was told, also cut off, leaves no secret in the evidence."""
    said: list[bytes] = []

    def echo(line: bytes) -> bytes:
        said.append(line)
        if len(said) < 2 and mechanism in {"LOGIN", "CRAM-MD5"}:
            return b"334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\r\n"
        if mechanism == "SCRAM-SHA-256" and len(said) < 2:
            return challenge(f"r={NONCE}x,s=c2FsdA==,i=4096")
        payloads = [b64encode(one) for one in said] + [b64encode(b"re: " + secret.encode())]
        told = b" ".join(payloads)
        told = told[: len(told) - cut]
        end = b"\r\n" if reply != b"535-" else b"\r\n535 " + secret.encode() + b"\r\n"
        return reply + told + end

    is_token = "OAUTH" in mechanism
    account = replace(ACCOUNT, password=None if is_token else Secret(secret))
    sign_in = SignIn(nonce=NONCE, token=Secret(secret) if is_token else None)
    talk = LoginTalk(account, mechanism, sign_in, [echo] * 8).run()
    if not isinstance(talk.event, Failed):
        return
    shown = repr(talk.event)
    for payload in filter(None, said[2 * (mechanism == "LOGIN") :]):
        coded = b64encode(payload).decode()
        assert not any(coded[at : at + 16] in shown for at in range(len(coded) - 15))
    told = talk.event.evidence.reply
    if told is not None and not secret.isspace():
        assert secret not in told.text.replace("*****", "")


@given(secret=st.text(min_size=12, max_size=80), before=st.binary(max_size=9), after=st.binary(max_size=9))
def test_blanking_finds_base64_anywhere(secret: str, before: bytes, after: bytes) -> None:
    """A secret is found in base64 wherever it stands in the coded text, and user names stay."""
    blanking = Blanking()
    blanking.add_secret(secret)
    raw = secret.encode("utf-8", "surrogatepass")
    text = blanking.text(f"postmaster@example.com {b64encode(before + raw + after).decode()}.")
    assert b64encode(b"\0" * (len(before) % 3) + raw).decode()[4:-8] not in text
    assert "*****" in text


def test_blanking_leaves_other_texts() -> None:
    """What has no secret in it stays as it is, bytes included."""
    blanking = Blanking()
    blanking.add_secret("abc")
    reply = Reply(535, ("abc \u5bc6\u7801",), b"535 abc \xc3\xdc\xc2\xeb\r\n")
    assert reply == blanking.reply(reply)


def test_session_says_what_is_blank() -> None:
    """Whoever keeps a transcript gets the blanking of its session."""
    session: ClientSession[int] = ClientSession(ACCOUNT, ehlo_name="a.example", is_loopback=False)
    hear(session, b"220 hi\r\n")
    hear(session, b"250-hi\r\n250 AUTH PLAIN\r\n")
    assert "no *****" == session.blanking.text("no correct-horse")

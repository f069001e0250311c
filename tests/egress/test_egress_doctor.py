"""The doctor against servers that misbehave in one way each: the cause that is named, and the fix."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from peers.doctor_room import (
    HURRIED,
    Peer,
    certified,
    examine,
    hosts,
    spec_of,
    stage_of,
    statuses,
)
from postroom.clock import SystemClock
from postroom.egress.doctor.doctor import AccountDoctor
from postroom.model.address import parse_address
from postroom.model.checkup import Checkup, Stage, StageStatus
from postroom.model.secret import Secret
from postroom.model.transport import (
    FromPolicy,
    TlsMode,
    TransportSpec,
)

pytestmark = pytest.mark.slow

HOST = "mail.example.com"
IMPLICIT, STARTTLS, NONE = TlsMode.IMPLICIT, TlsMode.STARTTLS, TlsMode.NONE
OPPORTUNISTIC = TlsMode.OPPORTUNISTIC
OK, WARNING, FAILED, SKIPPED = StageStatus


def checked(peer: Peer, spec: TransportSpec | None = None, **terms: Any) -> Checkup:
    return asyncio.run(examine(peer, spec, **terms))


def secure(**fields: Any) -> Peer:
    """Return a peer with TLS at once and a certificate for the host."""
    return Peer(implicit=certified(HOST), **fields)


def over_tls(host: str = HOST, **changes: Any) -> TransportSpec:
    return spec_of(host, 465, IMPLICIT, **changes)


def provided(host: str, reply: bytes, at: str, **fields: Any) -> Peer:
    """Return a provider's server that says ``reply`` to one command."""
    return Peer(implicit=certified(host), replies={at: reply}, **fields)


def test_a_good_account_passes_every_stage_and_sends_nothing() -> None:
    """All stages of the dialogue are ok, each command is said once, and QUIT ends it."""
    peer = Peer(starttls=certified(HOST))
    checkup = checked(peer)
    assert checkup.ok
    assert "" == checkup.cause
    made = {stage for stage, status in statuses(checkup).items() if status is OK}
    assert set(Stage) - {Stage.PROXY, Stage.MX, Stage.SPF, Stage.DKIM, Stage.DMARC} == made
    words = [command.split(" ")[0].split(":")[0] for command in peer.commands]
    assert ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT", "RSET", "QUIT"] == words


def test_tls_is_told_before_the_greeting_where_it_comes_first() -> None:
    """The order of the stages is the order in which they were made."""
    first = [stage.stage for stage in checked(secure(), over_tls()).stages]
    later = [stage.stage for stage in checked(Peer(starttls=certified(HOST))).stages]
    assert first.index(Stage.TLS) < first.index(Stage.GREETING)
    assert later.index(Stage.GREETING) < later.index(Stage.TLS)


def test_the_recipient_is_the_sender_unless_named() -> None:
    """RCPT has the sender, or who was asked for."""
    peer, other = secure(), secure()
    checked(peer, over_tls())
    checked(other, over_tls(), recipient=parse_address("ops@example.org"))
    assert "RCPT TO:<app@example.com>" in peer.commands
    assert "RCPT TO:<ops@example.org>" in other.commands


# ------------------------------------------------------------- what the port speaks


def test_implicit_tls_at_a_plain_port_goes_on_with_starttls() -> None:
    """The tls stage warns with the fix; the later stages are told."""
    checkup = checked(Peer(starttls=certified(HOST)), spec_of(port=587, tls=IMPLICIT))
    tls = stage_of(checkup, Stage.TLS)
    assert checkup.ok
    assert (WARNING, "tls-on-plain") == (tls.status, tls.cause)
    assert tls.fix is not None
    assert ("use-starttls", {"encryption": "starttls"}) == (tls.fix.id, tls.fix.patch)
    assert OK is statuses(checkup)[Stage.RSET]


@pytest.mark.parametrize("tls", [STARTTLS, OPPORTUNISTIC, NONE])
def test_a_silent_port_that_wants_tls_is_found_out(tls: TlsMode) -> None:
    """The tls stage warns with the fix; the later stages are told."""
    checkup = checked(secure(), spec_of(port=465, tls=tls))
    found = stage_of(checkup, Stage.TLS)
    assert checkup.ok
    assert (WARNING, "greet-implicit") == (found.status, found.cause)
    assert found.fix is not None
    assert {"encryption": "tls"} == found.fix.patch
    assert OK is statuses(checkup)[Stage.RSET]


def test_a_silent_tls_port_with_a_bad_certificate_is_both() -> None:
    """The certificate is the failure; nothing is said to the server."""
    peer = Peer(implicit=certified(HOST, issuer=trustme.CA()))
    checkup = checked(peer, spec_of(port=465))
    assert "tls-untrusted" == checkup.cause
    assert [] == peer.commands


def test_a_server_that_greets_late_is_not_misjudged() -> None:
    """A greeting after TLS was tried beside is taken."""
    late = Peer(is_tarpit=True, starttls=certified(HOST))
    checkup = checked(late)
    assert late.connections > 1
    assert OK is statuses(checkup)[Stage.GREETING]


@pytest.mark.parametrize(
    ("peer", "tls", "words"),
    [
        (Peer(greeting=b"* OK [CAPABILITY IMAP4rev1] ready\r\n"), STARTTLS, "an IMAP server"),
        (Peer(greeting=b"* OK [CAPABILITY IMAP4rev1] ready\r\n"), IMPLICIT, "an IMAP server"),
        (Peer(greeting=b"* OK ready\r\n", implicit=certified(HOST)), IMPLICIT, "an IMAP server"),
        (Peer(greeting=b"+OK POP3 ready\r\n"), STARTTLS, "a POP3 server"),
        (Peer(greeting=b"SSH-2.0-OpenSSH_9.2p1\r\n"), STARTTLS, "an SSH server"),
        (Peer(greeting=b"SSH-2.0-OpenSSH_9.2p1\r\n"), IMPLICIT, "an SSH server"),
        (Peer(answers_anything=b"HTTP/1.1 400 Bad Request\r\n\r\n"), STARTTLS, "a web server"),
        (Peer(answers_anything=b"HTTP/1.1 400 Bad Request\r\n\r\n"), IMPLICIT, "a web server"),
        (
            Peer(
                greeting=b"220 ftp.example.com FTP ready\r\n",
                replies=dict.fromkeys(("EHLO", "HELO"), b"500 ?\r\n"),
            ),
            STARTTLS,
            "an FTP server",
        ),
    ],
)
def test_other_services_are_named(peer: Peer, tls: TlsMode, words: str) -> None:
    """A port of another service is called by its name, and no login is sent there."""
    checkup = checked(peer, spec_of(port=587, tls=tls))
    failed = checkup.first_failed
    assert failed is not None
    assert "greet-not-smtp" == checkup.cause
    assert f"this is {words}" in failed.evidence
    assert not any(command.startswith("AUTH") for command in peer.commands)


def test_a_closed_port_names_one_that_is_open() -> None:
    """The fix is a port of the same host that took a connection."""

    async def story() -> Checkup:
        async with Peer().listening() as open_peer, hosts({(HOST, 465): open_peer.port}):
            doctor = AccountDoctor(clock=SystemClock(), limits=HURRIED)
            return await doctor.check(spec_of(port=587), with_records=False)

    checkup = asyncio.run(story())
    failed = checkup.first_failed
    assert failed is not None
    assert (Stage.TCP, "net-refused") == (failed.stage, failed.cause)
    assert failed.fix is not None
    assert {"port": 465, "encryption": "tls"} == failed.fix.patch


def test_a_name_that_does_not_resolve_fails_at_dns() -> None:
    """The cause is the name; what needs no connection is still looked at."""
    spec = spec_of(host="mail.invalid")
    doctor = AccountDoctor(clock=SystemClock(), limits=HURRIED)
    checkup = asyncio.run(doctor.check(spec, with_records=False))
    failed = checkup.first_failed
    assert failed is not None
    assert Stage.DNS is failed.stage
    assert failed.cause in {"net-dns", "unknown-name"}
    assert OK is statuses(checkup)[Stage.NAME]


# ------------------------------------------------------------- encryption


def test_starttls_that_is_not_offered_is_named() -> None:
    """A login never goes in plain; the fix is the port that speaks TLS."""
    peer = Peer()
    checkup = checked(peer, spec_of(port=587), also={465: secure()})
    failed = checkup.first_failed
    assert failed is not None
    assert (Stage.TLS, "starttls-not-offered") == (failed.stage, failed.cause)
    assert failed.fix is not None
    assert {"port": 465, "encryption": "tls"} == failed.fix.patch
    assert not any(command.startswith("AUTH") for command in peer.commands)


def test_bytes_before_the_handshake_are_named() -> None:
    """Somebody who puts bytes behind the consent to TLS is found out."""
    peer = Peer(starttls=certified(HOST), after_starttls=b"250 injected\r\n")
    assert "starttls-injection" == checked(peer).cause


@pytest.mark.parametrize(
    ("context", "cause", "fix"),
    [
        (certified(HOST, not_after=datetime(2020, 1, 1, tzinfo=UTC)), "tls-expired", None),
        (certified("other.example.com"), "tls-hostname", "set-server-name"),
        (certified("mail.example.org"), "tls-hostname", None),
        (certified(HOST, issuer=trustme.CA()), "tls-untrusted", "pin-certificate"),
    ],
    ids=["expired", "name", "stranger", "authority"],
)
@pytest.mark.parametrize("is_implicit", [True, False], ids=["tls", "starttls"])
def test_bad_certificates_are_told_apart(
    context: Any, cause: str, fix: str | None, is_implicit: bool
) -> None:
    """Cause and fix follow what is wrong, the certificate is shown, and no login is sent."""
    peer = Peer(implicit=context) if is_implicit else Peer(starttls=context)
    checkup = checked(peer, over_tls() if is_implicit else spec_of())
    failed = checkup.first_failed
    assert failed is not None
    assert (Stage.TLS, cause) == (failed.stage, failed.cause)
    assert fix == (failed.fix.id if failed.fix is not None else None)
    assert 64 == len(failed.found["sha256"])
    assert not any(command.startswith("AUTH") for command in peer.commands)


def test_a_known_providers_certificate_is_never_pinned() -> None:
    """Who stands between us and a provider gets no offer to be trusted."""
    peer = Peer(implicit=certified("smtp.qq.com", issuer=trustme.CA()))
    failed = checked(peer, over_tls("smtp.qq.com", username="1@qq.com")).first_failed
    assert failed is not None
    assert "tls-untrusted" == failed.cause
    assert failed.fix is None


def test_a_certificate_that_ends_soon_is_a_warning() -> None:
    """Below 21 days it is warned about, above not."""
    soon = datetime.now(UTC) + timedelta(days=20)
    later = datetime.now(UTC) + timedelta(days=23)
    assert "tls-expires-soon" == checked(Peer(implicit=certified(HOST, not_after=soon)), over_tls()).cause
    assert "" == checked(Peer(implicit=certified(HOST, not_after=later)), over_tls()).cause


def test_unchecked_certificates_and_plain_logins_are_warned_about() -> None:
    """What the settings switch off is said each time."""
    peer = Peer(implicit=certified(HOST, issuer=trustme.CA()))
    assert "tls-unchecked" == checked(peer, over_tls(verify=False)).cause


def test_a_port_that_hangs_up_in_the_handshake_is_named() -> None:
    """An end is not a certificate."""
    assert "conn-closed-early" == checked(Peer(greeting=b""), over_tls()).cause


# ------------------------------------------------------------- login


@pytest.mark.parametrize(
    ("host", "username", "reply", "cause", "fix"),
    [
        (HOST, "app@example.com", b"535 5.7.8 no\r\n", "auth-wrong", None),
        (
            "smtp.qq.com",
            "1@qq.com",
            "535 Login Fail. Please enter your authorization code to login. 请使用授权码登录\r\n".encode(
                "gb18030"
            ),
            "qq-auth-code",
            None,
        ),
        ("smtp.qq.com", "me@example.com", b"535 Login fail\r\n", "qq-auth-code", "use-provider-host"),
        (
            "smtp.163.com",
            "me@163.com",
            b"535 Error: authentication failed\r\n",
            "netease-auth",
            "local-part-login",
        ),
        ("smtp.163.com", "me", b"535 Error: authentication failed\r\n", "netease-auth", "full-address-login"),
        (
            "smtp.sendgrid.net",
            "me",
            b"535 Authentication failed: Bad username / password\r\n",
            "sg-auth",
            "set-user-name",
        ),
        (
            "smtp.gmail.com",
            "me@gmail.com",
            b"454 4.7.0 Too many login attempts\r\n",
            "g-too-many-logins",
            None,
        ),
        (
            "smtp.qiye.aliyun.com",
            "me@example.com",
            b"526 Authentication failure[1]\r\n",
            "ali-auth-locked",
            None,
        ),
    ],
)
def test_refused_logins_are_named_by_the_providers_rules(
    host: str, username: str, reply: bytes, *, cause: str, fix: str | None
) -> None:
    """The rule of the provider's own wording, and what else may be wrong besides the secret."""
    checkup = checked(provided(host, reply, "AUTH"), over_tls(host, username=username))
    failed = checkup.first_failed
    assert failed is not None
    assert (Stage.AUTH, cause) == (failed.stage, failed.cause)
    assert fix == (failed.fix.id if failed.fix is not None else None)
    assert all(one.status is SKIPPED for one in checkup.stages if one.stage in {Stage.MAIL, Stage.RCPT})


def test_a_login_that_once_worked_has_its_own_cause() -> None:
    """With the time; the reply's own rule is kept beside it. A password of one's own is no code."""
    since = datetime(2026, 11, 1, tzinfo=UTC)
    peer = provided("smtp.qq.com", b"535 Login fail\r\n", "AUTH")
    failed = checked(peer, over_tls("smtp.qq.com", username="1@qq.com"), worked_until=since).first_failed
    assert failed is not None
    assert ("login-expired", since) == (failed.cause, failed.worked_until)
    assert "qq-auth-code" == failed.found["reply_cause"]
    own = checked(secure(replies={"AUTH": b"535 no\r\n"}), over_tls(), worked_until=since)
    assert "auth-wrong" == own.cause


def test_no_login_offered_is_named() -> None:
    """A user name at a server without AUTH, as at port 25."""
    assert "login-not-offered" == checked(secure(extensions=("SIZE 1000",)), over_tls()).cause


def test_blanks_in_the_secret_are_a_warning_with_a_fix() -> None:
    """An app password in groups of four is found before the server refuses it."""
    checkup = checked(secure(), over_tls(password=Secret("abcd efgh ijkl mnop")))
    name = stage_of(checkup, Stage.NAME)
    assert checkup.ok
    assert "secret-blanks" == name.cause
    assert name.fix is not None
    assert ("strip-secret", {}) == (name.fix.id, name.fix.patch)


def test_a_user_name_without_a_password_never_logs_in() -> None:
    """An empty password is not sent; what comes before is still looked at."""
    peer = secure()
    checkup = checked(peer, over_tls(password=None))
    assert "password-missing" == checkup.cause
    assert OK is statuses(checkup)[Stage.EHLO]
    assert SKIPPED is statuses(checkup)[Stage.AUTH]
    assert ["EHLO", "QUIT"] == [command.split(" ")[0] for command in peer.commands]


# ------------------------------------------------------------- sender and recipient


@pytest.mark.parametrize(
    ("at", "reply", "cause", "status"),
    [
        ("MAIL", b"530 5.7.0 Authentication required\r\n", "auth-required", FAILED),
        ("RCPT", b"530 Authentication required\r\n", "auth-required", FAILED),
        ("MAIL", b"550 5.7.1 this sender is not wanted\r\n", "sender-refused", FAILED),
        ("RCPT", b"550 bad sender for us\r\n", "sender-refused", FAILED),
        ("RCPT", b"554 5.7.1 Relay access denied\r\n", "relay-denied", FAILED),
        ("RCPT", b"451 4.7.1 Greylisted, come back\r\n", "greylist", WARNING),
        ("RCPT", b"450 4.2.0 later\r\n", "any-4xx", WARNING),
        ("RCPT", b"550 5.1.1 user unknown\r\n", "rcpt-unknown", WARNING),
        ("MAIL", b"421 4.7.0 too many connections\r\n", "conn-limit", FAILED),
        ("MAIL", b"452 4.3.1 Insufficient system storage\r\n", "storage", FAILED),
        ("RSET", b"500 what\r\n", "any-5xx", WARNING),
    ],
)
def test_refusals_of_the_envelope(at: str, reply: bytes, cause: str, status: StageStatus) -> None:
    """Each has its cause; what passes and what concerns the chosen recipient alone is no failure."""
    peer = secure(replies={at: reply})
    checkup = checked(peer, over_tls(username=None, sender="app@example.com"))
    found = stage_of(checkup, Stage(at.lower()))
    assert (cause, status) == (found.cause, found.status)
    assert cause == checkup.cause


def test_a_recipient_that_was_named_and_is_unknown_is_a_failure() -> None:
    """Who asks for a recipient wants to know."""
    peer = secure(replies={"RCPT": b"550 5.1.1 user unknown\r\n"})
    checkup = checked(peer, over_tls(), recipient=parse_address("nobody@example.org"))
    assert not checkup.ok
    assert "RSET" in peer.commands


def test_a_sender_that_is_not_the_account_can_be_rewritten() -> None:
    """QQ's refusal is named by its own rule, and the fix rewrites From."""
    reply = b"501 mail from address must be same as authorization user\r\n"
    peer = provided("smtp.qq.com", reply, "MAIL")
    spec = over_tls("smtp.qq.com", username="1@qq.com", sender="shop@example.com")
    failed = checked(peer, spec).first_failed
    assert failed is not None
    assert (Stage.MAIL, "qq-from-mismatch") == (failed.stage, failed.cause)
    assert failed.fix is not None
    assert {"from_policy": "rewrite"} == failed.fix.patch
    assert failed.docs


def test_a_rewritten_sender_is_the_account() -> None:
    """MAIL FROM is what will be sent."""
    peer = Peer(implicit=certified("smtp.qq.com"))
    spec = over_tls(
        "smtp.qq.com",
        username="1@qq.com",
        sender="shop@example.com",
        spec={"from_policy": FromPolicy.REWRITE},
    )
    assert checked(peer, spec).ok
    assert any(command.startswith("MAIL FROM:<1@qq.com>") for command in peer.commands)


def test_a_forbidden_sender_that_mail_lets_pass_is_still_the_failure() -> None:
    """Some providers look at From only in the content, which a check never sends."""
    spec = over_tls("smtp.qq.com", username="1@qq.com", sender="shop@example.com")
    checkup = checked(Peer(implicit=certified("smtp.qq.com")), spec)
    assert (False, "from-not-account") == (checkup.ok, checkup.cause)


def test_without_a_sender_the_envelope_is_skipped() -> None:
    """It is said why."""
    checkup = checked(secure(), over_tls(username="apikey"))
    assert "from-missing" == checkup.cause
    assert SKIPPED is statuses(checkup)[Stage.MAIL]


@pytest.mark.parametrize(
    ("peer", "cause"),
    [
        (provided("smtp.qq.com", b"550 Sender frequency limited\r\n", "MAIL"), "qq-frequency"),
        (
            Peer(implicit=certified("smtp.qq.com"), greeting=b"421 too many connections\r\n"),
            "conn-limit",
        ),
    ],
)
def test_a_throttle_offers_a_lower_pace(peer: Peer, cause: str) -> None:
    """QQ's 550 that means slow down, and a greeting that means too many."""
    failed = checked(peer, over_tls("smtp.qq.com", username="1@qq.com")).first_failed
    assert failed is not None
    assert cause == failed.cause
    assert failed.fix is not None
    assert "lower-pace" == failed.fix.id


# ------------------------------------------------------------- time and noise

HANGING = [
    Peer(greeting=None),
    secure(greeting=None),
    *(secure(replies={word: None}) for word in ("EHLO", "AUTH", "MAIL", "RCPT", "RSET", "QUIT")),
    Peer(replies={"STARTTLS": None}, extensions=("STARTTLS",)),
    Peer(replies={"STARTTLS": b"220 go\r\n"}, extensions=("STARTTLS",)),
    secure(greeting=b"220-" + b"x" * 60 + b"\r\n", drips=0.02),
    secure(greeting=b"220-more\r\n" * 5000),
    secure(replies={"EHLO": b"250-X\r\n" * 5000}),
    secure(greeting=bytes(range(256)) * 4),
    secure(replies={"EHLO": b"\xff\xfe\x00garbage\r\n"}),
    secure(replies={"EHLO": b"354 go ahead\r\n"}),
    secure(replies={"MAIL": b"354 go ahead\r\n"}),
    secure(replies={"MAIL": b""}),
    Peer(greeting=b""),
]


@pytest.mark.parametrize("peer", HANGING, ids=range(len(HANGING)))
def test_a_check_ends_in_its_time_whatever_the_peer_does(peer: Peer) -> None:
    """Hanging at each step, dripping, endless lines and noise: a cause, and an end."""
    loop = asyncio.new_event_loop()
    is_implicit = peer.implicit is not None
    began = loop.time()
    try:
        checkup = loop.run_until_complete(examine(peer, over_tls() if is_implicit else spec_of()))
    finally:
        took = loop.time() - began
        loop.close()
    assert took < HURRIED.total + 1.0
    assert len(checkup.stages) == 11
    assert checkup.ok == bool({"RSET", "QUIT"} & set(peer.replies))
    assert checkup.cause or checkup.ok


def test_a_stage_that_the_whole_time_ended_says_so() -> None:
    """It is told apart from a step that took too long by itself."""
    failed = checked(Peer(greeting=None), limits=HURRIED).first_failed
    assert failed is not None
    assert "the time of the whole check is used up" in failed.evidence

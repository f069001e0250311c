"""What the settings of an account tell before any packet."""

import pytest

from each_row import each
from postroom.model.address import parse_mailbox
from postroom.model.checkup import StageResult, StageStatus
from postroom.model.secret import Secret
from postroom.model.transport import FromPolicy, SmtpAccount, TlsMode, TransportKind, TransportSpec
from postroom.policy import doctor_fixes as fixes
from postroom.policy.doctor_case import Case, case_of, is_near
from postroom.policy.doctor_settings import knocked, settings, settled
from postroom.policy.doctoring import in_plain, line, service_named

OK, WARNING, FAILED, _ = StageStatus
SECRET = "s3cret-words"


def case(
    host: str = "smtp.example.com",
    port: int = 465,
    *,
    username: str | None = "app@example.com",
    secret: str | None = SECRET,
    sender: str | None = None,
    policy: FromPolicy = FromPolicy.KEEP,
) -> Case:
    account = SmtpAccount(
        host=host,
        port=port,
        tls=TlsMode.IMPLICIT,
        username=username,
        password=Secret(secret) if secret else None,
    )
    spec = TransportSpec(
        name="t",
        kind=TransportKind.SMTP,
        account=account,
        default_from=parse_mailbox(sender) if sender else None,
        from_policy=policy,
    )
    return case_of(spec, account)


def found(one: Case) -> tuple[str, str]:
    """Return the cause and the fix of the settings stage."""
    result = settings(one)
    return result.cause, result.fix.id if result.fix is not None else ""


@each(
    ("one", "cause", "fix"),
    [
        (case(), "", ""),
        (case("smtp.qq.com", username="1@qq.com"), "", ""),
        (case(secret=None), "password-missing", ""),
        (case(port=25), "port-25", ""),
        (case("smtp.qq.com", 25, username="1@qq.com"), "port-25", "switch-port"),
        (case("localhost", 25, username=None, sender="a@example.com"), "", ""),
        (case("10.0.0.5", 25, username=None, sender="a@example.com"), "", ""),
        (case("smtp.office365.com", 465), "port-not-served", "switch-port"),
        (case("smtp.gmail.com", username="1@qq.com"), "host-of-another", "use-provider-host"),
        (case("smtp.exmail.qq.com", username="1@qq.com"), "host-of-another", "use-provider-host"),
        (case(secret="abcd efgh ijkl mnop"), "secret-blanks", "strip-secret"),
        (case(secret="line\n"), "secret-blanks", "strip-secret"),
        (case(secret="two words of mine"), "", ""),
        (case("smtp.sendgrid.net", 587, username="me"), "user-name-form", "set-user-name"),
        (
            case("smtp.qq.com", username="12345", sender="12345@qq.com"),
            "user-name-form",
            "full-address-login",
        ),
        (case("smtp.web.de", username="me@web.de"), "user-name-form", "local-part-login"),
        (case("smtp.163.com", username="me"), "", ""),
        (case("smtp.163.com", username="me@163.com"), "", ""),
        (case(username="apikey"), "from-missing", ""),
        (
            case("smtp.qq.com", username="1@qq.com", sender="a@example.com"),
            "from-not-account",
            "rewrite-from",
        ),
        (case("smtp.163.com", username="me", sender="ME@163.com"), "", ""),
    ],
)
def test_settings_are_judged_before_any_packet(one: Case, cause: str, fix: str) -> None:
    """Each mistake has its cause and where possible its fix; what may be right is not warned about."""
    assert (cause, fix) == found(one)


def test_the_worst_finding_is_shown_and_the_others_named() -> None:
    """A failure goes before warnings, port 25 before other warnings."""
    result = settings(case("smtp.qq.com", 25, username="1@qq.com", secret=None, sender="a@example.com"))
    assert (FAILED, "password-missing") == (result.status, result.cause)
    assert "port-25, from-not-account" == result.found["also"]
    assert result.docs


def test_a_rewritten_sender_is_the_account() -> None:
    """Then the wished sender is no problem."""
    one = case("smtp.qq.com", username="1@qq.com", sender="a@example.com", policy=FromPolicy.REWRITE)
    assert "" == settings(one).cause
    assert "1@qq.com" == str(one.sender)


def test_knocking_at_port_25_is_warned_about_first() -> None:
    """And at the others not."""
    assert "port-25" == knocked(case(port=25)).cause
    assert "" == knocked(case(port=587)).cause


def test_a_forbidden_sender_fails_only_when_all_else_is_well() -> None:
    """Another failure is the one to be told first."""
    one = case("smtp.qq.com", username="1@qq.com", sender="a@example.com")
    name = settings(one)
    refused = StageResult(stage=name.stage, status=FAILED, cause="qq-auth-code")
    assert WARNING is settled(one, [name, refused])[0].status
    assert FAILED is settled(one, [name])[0].status


@each(
    ("host", "is_so"),
    [
        ("localhost", True),
        ("mail", True),
        ("mail.local", True),
        ("127.0.0.1", True),
        ("192.168.1.4", True),
        ("fd00::1", True),
        ("mail.example.com", False),
        ("8.8.8.8", False),
    ],
)
def test_what_is_near_needs_no_submission_port(host: str, is_so: bool) -> None:
    """By spelling alone."""
    assert is_so is is_near(host)


def test_no_fix_holds_a_secret() -> None:
    """Whatever the settings are."""
    one = case("smtp.qq.com", username="me@example.com", secret="abcd efgh ijkl mnop")
    offered = [
        fixes.login(one),
        fixes.own_host(one),
        fixes.user_name(one),
        fixes.other_port(one),
        fixes.slower(one),
        fixes.sender_as_account(one),
    ]
    assert "ijkl" not in repr(offered)


@pytest.mark.parametrize(
    ("line_", "name"),
    [
        ("220 mail.example.com ESMTP", ""),
        ("* OK IMAP4rev1", "an IMAP server"),
        ("+OK ready", "a POP3 server"),
        ("SSH-2.0-x", "an SSH server"),
        ("HTTP/1.1 400 Bad", "a web server (HTTP)"),
        ("220 (vsFTPd 3.0)", "an FTP server"),
        ("554 we do not like FTP", ""),
    ],
)
def test_services_are_known_by_their_first_line(line_: str, name: str) -> None:
    """SMTP is not another service."""
    assert name == service_named(line_)


def test_evidence_is_one_bounded_line() -> None:
    """Line ends are blanks; a long text is cut."""
    assert "a b" == line("a\r\n b")
    assert 400 == len(line("x" * 1000))


@pytest.mark.parametrize(
    ("one", "is_loopback", "cause"),
    [(case(), False, "login-in-plain"), (case(), True, ""), (case(username=None), False, "")],
)
def test_a_login_in_plain_is_warned_about_off_this_machine(one: Case, is_loopback: bool, cause: str) -> None:
    """Without a login, or on loopback, nobody sees a password."""
    assert cause == in_plain(one, is_loopback=is_loopback, is_offered=True).cause

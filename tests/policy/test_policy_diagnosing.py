"""What people paste, and the cause it means: replies, logs, bounces, errors of other programs."""
# ruff: noqa: E501 - texts stand here as they are pasted

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from each_row import each
from postroom.model.outcome import Action
from postroom.model.step import Step
from postroom.policy.diagnosing import Confidence, diagnose
from postroom.policy.pasted import MAX_PASTED, plain, replies
from postroom.providers.replies import rule

POSTFIX = "Nov 21 10:00:00 mx postfix/smtp[812]: 4D2F1A: to=<user@example.com>, "
DSN = """Reporting-MTA: dns; mx.example.org
Arrival-Date: Fri, 21 Nov 2026 10:00:00 +0000

Final-Recipient: rfc822; user@example.com
Action: failed
Status: {status}
Remote-MTA: dns; {host}
Diagnostic-Code: smtp; {said}
"""
GMAIL_UNKNOWN = """550-5.1.1 The email account that you tried to reach does not exist. Please try
550-5.1.1 double-checking the recipient's email address for typos or
550-5.1.1 unnecessary spaces. For more information, go to
550 5.1.1  https://support.google.com/mail/?p=NoSuchUser x-1 - gsmtp"""
QQ = (
    "535 Login Fail. Please enter your authorization code to login. More information in "
    "http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=28&&no=1001256"
)

TABLE = [
    # Raw replies
    (QQ, "qq-auth-code"),
    ("535 Login fail. Please enter your authorization code to login.", "qq-auth-code"),
    ("535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6", "auth-wrong"),
    (
        (
            "535-5.7.8 Username and Password not accepted. For more information, go to\n"
            "535 5.7.8  https://support.google.com/mail/?p=BadCredentials x-1 - gsmtp"
        ),
        "g-bad-credentials",
    ),
    (GMAIL_UNKNOWN, "g-rcpt-unknown"),
    ("534 5.7.9 Application-specific password required. https://support.google.com/x", "g-app-password"),
    (
        (
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. "
            "Visit https://aka.ms/smtp_auth_disabled [AM0PR01CA0001.eurprd01.prod.outlook.com]"
        ),
        "ms-tenant-off",
    ),
    ("550 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown", "rcpt-unknown"),
    ("550 5.1.1 User unknown\r\n", "rcpt-unknown"),
    ("554 5.7.1 <user@example.org>: Relay access denied", "relay-denied"),
    ("450 4.2.0 <user@example.com>: Recipient address rejected: Greylisted", "greylist"),
    ("552 5.3.4 Message size exceeds fixed limit", "size"),
    ("552 5.2.2 Mailbox full", "rcpt-full"),
    ("530 5.7.0 Must issue a STARTTLS command first", "starttls-required"),
    ("530 5.7.1 Authentication required", "auth-needed"),
    ("554 5.7.1 Service unavailable; Client host [203.0.113.9] blocked using zen.spamhaus.org", "blocklist"),
    ("421 4.7.0 Too many connections", "conn-limit"),
    ("504 5.5.2 <box>: Helo command rejected: need fully-qualified hostname", "ehlo-name"),
    ("550 5.7.25 Reverse DNS validation failed", "rdns"),
    ("454 4.7.0 TLS not available due to local problem", "starttls-temp"),
    ("553 5.7.1 <boss@example.com>: Sender address rejected: not owned by user mailer", "from-not-owned"),
    ("554 DT:SPM 163 smtp5,D9GowACHO1Rm", "netease-spm"),
    ("451 MI:SFQ 163 smtp1", "netease-quota"),
    ("535 ERR.LOGIN.IPDENY", "netease-ipdeny"),
    ("> 550 5.1.1 <nobody@example.com>: User unknown", "rcpt-unknown"),
    # Log lines
    (
        (
            f"{POSTFIX}relay=gmail-smtp-in.l.google.com[203.0.113.1]:25, delay=1, dsn=5.1.1, status=bounced "
            "(host gmail-smtp-in.l.google.com[203.0.113.1] said: 550-5.1.1 The email account that you tried "
            "to reach does not exist. 550 5.1.1 x - gsmtp (in reply to RCPT TO command))"
        ),
        "g-rcpt-unknown",
    ),
    (
        (
            f"{POSTFIX}relay=mx.example.com[203.0.113.1]:25, dsn=4.2.0, status=deferred (host "
            "mx.example.com[203.0.113.1] said: 450 4.2.0 Greylisted, try later (in reply to RCPT TO command))"
        ),
        "greylist",
    ),
    (
        (
            f"{POSTFIX}relay=none, status=deferred (SASL authentication failed; server "
            "smtp.qq.com[203.0.113.1] said: 535 Login fail. Please enter your authorization code to login.)"
        ),
        "qq-auth-code",
    ),
    (
        (
            f"{POSTFIX}relay=none, status=deferred (connect to mx.example.com[203.0.113.1]:25: "
            "Connection timed out)"
        ),
        "net-port25",
    ),
    (
        (
            f"{POSTFIX}relay=mx.example.com[203.0.113.1]:25, status=deferred (lost connection with "
            "mx.example.com[203.0.113.1] while sending end of data -- message may be sent more than once)"
        ),
        "conn-lost-body",
    ),
    (
        (
            f"{POSTFIX}relay=mx.example.com[203.0.113.1]:25, status=deferred (lost connection with "
            "mx.example.com[203.0.113.1] while receiving the initial server greeting)"
        ),
        "conn-closed-early",
    ),
    (
        (
            f"{POSTFIX}status=bounced (Host or domain name not found. Name service error for "
            "name=nosuch.example type=MX: Host not found)"
        ),
        "rcpt-domain",
    ),
    (f"{POSTFIX}status=deferred (TLS is required, but was not offered by host mx)", "starttls-not-offered"),
    (
        (
            "2026-11-21 10:00:00 1tABCD-000 ** user@example.com R=dnslookup T=remote_smtp "
            "H=mx.example.com [203.0.113.1]: SMTP error from remote mail server after RCPT TO:<user@example.com>: "
            "550 5.1.1 User unknown"
        ),
        "rcpt-unknown",
    ),
    (
        (
            "2026-11-21 10:00:00 1tABCD-000 == a@example.com H=mx.example.com [203.0.113.1]: SMTP error from "
            "remote mail server after end of data: 452 4.3.1 Insufficient system storage"
        ),
        "storage",
    ),
    (
        "Nov 21 sendmail[1]: to=<a@example.com>, dsn=5.1.1, stat=User unknown",
        "rcpt-unknown",
    ),
    # Libraries
    (f"Error: Invalid login: {QQ}\n    at SMTPConnection._formatError (index.js:790:19)", "qq-auth-code"),
    (
        "Error: Mail command failed: 553 Mail from must equal authorized user, smtp.163.com",
        "netease-from-mismatch",
    ),
    (
        (
            "Error: Can't send mail - all recipients were rejected: 550 5.1.1 <x@example.com> User unknown\n"
            "    at SMTPConnection._formatError"
        ),
        "rcpt-unknown",
    ),
    ("Error: Message failed: 554 5.7.1 Message rejected as spam", "spam"),
    ("Error: connect ECONNREFUSED 203.0.113.5:2525", "net-refused"),
    ("Error: connect ETIMEDOUT 203.0.113.5:587", "net-timeout"),
    ("Error: getaddrinfo ENOTFOUND smtp.exampel.com", "net-dns"),
    (
        "Error: 140735:error:1408F10B:SSL routines:ssl3_get_record:wrong version number:../ssl3_record.c:332",
        "tls-on-plain",
    ),
    (
        "Error: self signed certificate in certificate chain { code: 'SELF_SIGNED_CERT_IN_CHAIN' }",
        "tls-untrusted",
    ),
    ("Error: unable to verify the first certificate", "tls-untrusted"),
    (
        (
            "Error [ERR_TLS_CERT_ALTNAME_INVALID]: Hostname/IP does not match certificate's altnames: Host: "
            "smtp.example.com. is not in the cert's altnames"
        ),
        "tls-hostname",
    ),
    ('Error: Missing credentials for "PLAIN"', "password-missing"),
    (
        (
            "javax.mail.AuthenticationFailedException: 535 5.7.8 Error: authentication failed\n"
            "\tat com.sun.mail.smtp.SMTPTransport$Authenticator.authenticate(SMTPTransport.java:965)"
        ),
        "auth-wrong",
    ),
    (
        (
            "javax.mail.SendFailedException: Invalid Addresses;\n  nested exception is:\n\t"
            "com.sun.mail.smtp.SMTPAddressFailedException: 550 5.1.1 <x@example.com>: User unknown"
        ),
        "rcpt-unknown",
    ),
    (
        (
            "com.sun.mail.smtp.SMTPSendFailedException: 501 mail from address must be same as authorization "
            "user\nhttp://service.mail.qq.com/x"
        ),
        "qq-from-mismatch",
    ),
    (
        (
            "javax.mail.MessagingException: Could not connect to SMTP host: mx.example.com, port: 25; "
            "java.net.ConnectException: Connection timed out"
        ),
        "net-port25",
    ),
    ("javax.net.ssl.SSLException: Unsupported or unrecognized SSL message", "tls-on-plain"),
    (
        (
            "sun.security.validator.ValidatorException: PKIX path building failed: unable to find valid "
            "certification path to requested target"
        ),
        "tls-untrusted",
    ),
    (
        (
            "javax.net.ssl.SSLHandshakeException: No appropriate protocol (protocol is disabled or cipher suites "
            "are inappropriate)"
        ),
        "tls-old",
    ),
    ("java.net.UnknownHostException: smtp.exampel.com", "net-dns"),
    (
        "javax.mail.MessagingException: STARTTLS is required but host does not support STARTTLS",
        "starttls-not-offered",
    ),
    (
        (
            "System.Net.Mail.SmtpException: The SMTP server requires a secure connection or the client was not "
            "authenticated. The server response was: 5.7.57 Client not authenticated to send mail. "
            "[AM0PR01CA0001.eurprd01.prod.outlook.com]"
        ),
        "ms-anonymous",
    ),
    (
        (
            "System.Net.Mail.SmtpFailedRecipientException: Mailbox unavailable. The server response was: 5.1.1 "
            "User unknown"
        ),
        "rcpt-unknown",
    ),
    ("System.Net.Mail.SmtpException: Server does not support secure connections.", "starttls-not-offered"),
    (
        (
            "System.Security.Authentication.AuthenticationException: The remote certificate is invalid "
            "according to the validation procedure: RemoteCertificateNameMismatch"
        ),
        "tls-hostname",
    ),
    ("MailKit.Security.AuthenticationException: 535: 5.7.8 Error: authentication failed", "auth-wrong"),
    ("The SMTP server does not support the STARTTLS extension.", "starttls-not-offered"),
    ("The SMTP server does not support authentication.", "login-not-offered"),
    ("No sender has been specified.", "from-missing"),
    ("No recipients have been specified.", "recipients-missing"),
    ("The uri must be absolute. (Parameter 'uri')", "uri-scheme-unknown"),
    ("The host name cannot be empty.", "host-missing"),
    (
        "smtplib.SMTPAuthenticationError: (535, b'5.7.8 Error: authentication failed: authentication failure')",
        "auth-wrong",
    ),
    (
        (
            "smtplib.SMTPRecipientsRefused: {'x@example.com': (550, b'5.1.1 <x@example.com>: Recipient address "
            "rejected: User unknown')}"
        ),
        "rcpt-unknown",
    ),
    (
        "smtplib.SMTPSenderRefused: (530, b'5.7.0 Authentication Required. - gsmtp', 'a@example.com')",
        "g-auth-required",
    ),
    ("smtplib.SMTPDataError: (554, b'5.7.1 Message rejected as spam')", "spam"),
    ("smtplib.SMTPNotSupportedError: STARTTLS extension not supported by server.", "starttls-not-offered"),
    ("smtplib.SMTPNotSupportedError: SMTP AUTH extension not supported by server.", "login-not-offered"),
    ("smtplib.SMTPServerDisconnected: Connection unexpectedly closed", "unknown-closed"),
    ("ssl.SSLError: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "tls-on-plain"),
    (
        (
            "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
            "certificate has expired (_ssl.c:1006)"
        ),
        "tls-expired",
    ),
    ("socket.gaierror: [Errno -2] Name or service not known", "net-dns"),
    ("ConnectionRefusedError: [Errno 111] Connection refused", "net-refused"),
    ("OSError: [Errno 101] Network is unreachable", "net-unreachable"),
    (
        (
            'Swift_TransportException: Expected response code "250" but got code "553", with message "553 Mail '
            'from must equal authorized user"'
        ),
        "from-not-owned",
    ),
    ("SMTP ERROR: Password command failed: 535 5.7.8 Error: authentication failed", "auth-wrong"),
    ("tls: first record does not look like a TLS handshake", "tls-on-plain"),
    ("x509: certificate signed by unknown authority", "tls-untrusted"),
    ("x509: certificate is valid for mx.example.com, not smtp.example.com", "tls-hostname"),
    ("gomail: could not send email 1: 550 5.1.1 User unknown", "rcpt-unknown"),
    ("curl: (60) SSL certificate problem: unable to get local issuer certificate", "tls-untrusted"),
    ("SOCKS5: connection not allowed by ruleset", "proxy-refused"),
    ("dial tcp 203.0.113.5:587: i/o timeout", "net-timeout"),
    ("java.net.SocketException: Connection reset", "unknown-closed"),
    ("Postfach nicht verf\u00fcgbar. Die Serverantwort war: 5.1.1 User unknown", "rcpt-unknown"),
    # Bounces
    (
        DSN.format(
            status="5.1.1", host="gmail-smtp-in.l.google.com", said=GMAIL_UNKNOWN.replace("\n", "\n    ")
        ),
        "g-rcpt-unknown",
    ),
    (DSN.format(status="5.7.23", host="mx.example.com", said="550 5.7.23 SPF validation failed"), "spf"),
    (DSN.format(status="5.2.2", host="mx.example.com", said="552 5.2.2 Mailbox full"), "rcpt-full"),
    (
        (
            "<user@example.com>: host mx3.qq.com[203.0.113.1] said: 550 Mailbox not\n"
            "    found. http://service.mail.qq.com/cgi-bin/help?id=1 (in reply to RCPT TO\n    command)"
        ),
        "qq-mailbox-not-found",
    ),
    (
        (
            "Your message wasn't delivered to user@example.com. The response from the remote server was:\n"
            "550 5.4.1 Recipient address rejected: Access denied. [DB5EUR01FT0.eop-EUR01.prod.protection.outlook.com]"
        ),
        "ms-rcpt-denied",
    ),
    ("Remote Server returned '550 5.1.1 User unknown'", "rcpt-unknown"),
    # App Builder
    ("Argument passed in is not serializable.\r\nParameter name: value", "sender-refused"),
    ("\u00dcbergebenes Argument ist nicht serialisierbar.\nParametername: Wert", "sender-refused"),
    ("Value cannot be null.\r\nParameter name: fromAddress", "from-missing"),
    ("Value cannot be null. (Parameter 'fromAddress')", "from-missing"),
    ("Wert darf nicht null sein. Parametername: Von Adresse", "from-missing"),
    ("Unknown URI scheme. Parameter name: uri", "uri-scheme-unknown"),
    ("Unbekanntes URI-Schema. Parametername: URI", "uri-scheme-unknown"),
    ("Authentication Required", "auth-required"),
    ("Authentifizierung erforderlich", "auth-required"),
]
UNKNOWN = [
    "",
    "Hello, my mail does not work, please help.",
    "Value cannot be null. Parameter name: key",
    "Wert darf nicht null sein. Parametername: Quelle",
    "500 Internal Server Error",
    "HTTP/1.1 503 Service Unavailable",
    "HTTP error 550",
    "The build took 550 ms and wrote 450 files to port 587.",
    "550",
    "Invoice 554-1 of 2026-05-01",
    "250 2.0.0 Ok: queued as 4D2F1A",
    "SMTP Error: Could not authenticate.",
    "Could not connect.",
    "2026-11-21T10:00:00Z ERROR 421 ms elapsed, retrying in 450 ms",
    'GET /index.html 404 550 "Mozilla/5.0"',
    "Error: 503 upstream said no",
    "code: 451 rows updated",
    "Error: Greeting never received",
    "\x00\ufffd\U0001f4e7",
]


@each(("text", "cause"), TABLE)
def test_known_texts(text: str, cause: str) -> None:
    """The cause is named, and it is one that has words."""
    assert cause == diagnose(text).cause
    assert rule(cause) is not None


def test_the_table_is_long() -> None:
    """Eighty texts at least are looked at."""
    assert 80 <= len(TABLE)


@each("text", UNKNOWN)
def test_what_is_not_known_is_not_guessed(text: str) -> None:
    """Nothing, or the code alone, is never given a cause of its own."""
    assert diagnose(text).confidence in {Confidence.UNKNOWN, Confidence.VAGUE}
    assert diagnose(text).cause in {"", "any-5xx", "any-4xx", "any-rcpt-5xx"}


def test_what_the_reader_knows_counts() -> None:
    """Host, provider and step choose among rules; a known server makes it sure."""
    text = "535 Error: authentication failed"
    assert ("auth-wrong", Confidence.LIKELY) == (diagnose(text).cause, diagnose(text).confidence)
    for found in (diagnose(text, host="smtp.163.com"), diagnose(text, provider="163")):
        assert ("netease-auth", Confidence.SURE) == (found.cause, found.confidence)
    assert "any-rcpt-5xx" == diagnose("550 no", step=Step.RCPT).cause
    assert "starttls-refused" == diagnose("502 5.5.1 Command not implemented", step=Step.STARTTLS).cause


def test_the_action_is_guarded() -> None:
    """A 4xx refuses nothing for good; a refused login pauses; an unknown text has no action."""
    assert Action.RETRY_SLOW is diagnose("452 4.2.2 Mailbox full", step=Step.RCPT).action
    assert Action.PAUSE_TRANSPORT is diagnose(QQ).action
    assert diagnose("hello").action is None


def test_a_reply_is_whole() -> None:
    """The lines of a reply are one text without the code between them; what a log adds is left out."""
    (found,) = replies(plain(GMAIL_UNKNOWN))
    assert 550 == found.code
    assert found.text.startswith("5.1.1 The email account")
    assert "550" not in found.text
    (logged,) = replies(plain("host mx[192.0.2.1] said: 550 5.1.1 No (in reply to RCPT TO command))"))
    assert "5.1.1 No" == logged.text


def test_half_a_letter_is_no_error() -> None:
    """Half a pair of surrogates, which JSON can carry, hides nothing of the text around it."""
    assert "net-refused" == diagnose("\ud83d connection refused").cause


@given(st.text(max_size=500) | st.from_regex(r"(?s).{0,40}[45][0-5][0-9][ -].{0,200}"))
@settings(max_examples=2 * settings().max_examples)
def test_nothing_raises(text: str) -> None:
    """Whatever is pasted, there is an answer, and a cause has words."""
    found = diagnose(text)
    assert not found.cause or rule(found.cause) is not None


@pytest.mark.parametrize(
    "piece", ["550 ", "(550 ", "550-x\n", "x", " ", ":", "host a.b[", "lost connection ", "smtp.a.", "\n "]
)
def test_time_is_bounded(piece: str) -> None:
    """A megabyte of anything is looked at in no more time than its beginning."""
    diagnose("550 5.7.1 no")  # reads the tables
    began = time.process_time()
    diagnose(piece * (1_000_000 // len(piece)))
    assert time.process_time() - began < 0.5
    assert len(plain(piece * 1_000_000)) <= MAX_PASTED

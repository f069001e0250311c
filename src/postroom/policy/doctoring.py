"""From what a check saw to what it means: status, cause and fix of each stage.

Theory: causes of replies and faults are ``policy.classify``'s opinion; here only what a check knows better is
added: that the login once worked, that there is no user name, that nobody but the sender stands behind a
refusal at MAIL. A stage fails when mail could not be sent as it is configured; what Postroom copes with by
itself at run time (a port that speaks otherwise), what passes (greylisting) and what concerns only the
recipient that the check chose by itself is a warning.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from postroom.model.checkup import Fix, Stage, StageResult, StageStatus
from postroom.model.outcome import Action, Evidence, Verdict
from postroom.model.step import Step
from postroom.model.transport import TlsMode
from postroom.policy import doctor_fixes as fixes
from postroom.policy.classify import classify
from postroom.policy.doctor_case import Case
from postroom.providers.provider import SecretKind
from postroom.providers.replies import rule

EXPIRES_SOON = timedelta(days=21)
"""A certificate that ends within this is warned about: renewals are usually done 30 days before the end."""
MAX_EVIDENCE = 400
"""Characters of an evidence line."""

STAGE_OF: Mapping[Step, Stage] = {
    Step.RESOLVE: Stage.DNS,
    Step.CONNECT: Stage.TCP,
    Step.PROXY: Stage.PROXY,
    Step.TLS: Stage.TLS,
    Step.GREETING: Stage.GREETING,
    Step.EHLO: Stage.EHLO,
    Step.STARTTLS: Stage.TLS,
    Step.AUTH: Stage.AUTH,
    Step.MAIL: Stage.MAIL,
    Step.RCPT: Stage.RCPT,
    Step.RSET: Stage.RSET,
}
"""Where a step is shown."""

CREDENTIALS = frozenset(
    {
        "ali-auth",
        "auth-app-password",
        "auth-wrong",
        "brevo-auth",
        "dm-auth",
        "g-app-password",
        "g-bad-credentials",
        "mailru-app",
        "ms-auth",
        "ms-credentials",
        "naver-auth",
        "netease-auth",
        "qq-auth-code",
        "qq-exmail-system-busy",
        "ses-credentials",
        "sg-auth",
        "sparkpost-auth",
        "yahoo-auth",
        "yandex-auth",
        "zoho-auth",
    }
)
"""Refusals of a user name or a secret, not of the person, the place or the time."""
SENDER_CAUSES = frozenset(
    {
        "ali-from-mismatch",
        "ali-from-nonlocal",
        "dm-from",
        "from-not-owned",
        "ms-sendas",
        "netease-from-mismatch",
        "netease-local-only",
        "qq-from-mismatch",
        "sender-refused",
        "yandex-not-owned",
        "zoho-from",
    }
)
"""Refusals of the sender because it is not the account."""
_PORT_CAUSES = frozenset(
    {
        "conn-closed-early",
        "login-not-offered",
        "net-port25",
        "net-refused",
        "net-timeout",
        "net-unreachable",
        "postmark-465",
        "starttls-not-offered",
    }
)
"""Another port may serve."""
_WITHDRAWN = frozenset({SecretKind.AUTHORIZATION_CODE, SecretKind.APP_PASSWORD})
_GENERIC = frozenset({"any-5xx", "any-rcpt-5xx", "policy", "rcpt-rejected"})
_SENDER_WORDS = re.compile(
    r"\bsender|\b(from|return) address|\bmail from\b|\breverse.?path|\boriginator|\b5\.1\.[78]\b",
    re.IGNORECASE,
)
_MACHINE_WORDS = re.compile(r"\b(ip|host|client|server|network|relay|domain)\b", re.IGNORECASE)
"""Then it is about who connects, or about records, and not about the sender's right to the address."""


def passed(stage: Stage, evidence: str, **found: str) -> StageResult:
    """A stage without a fault."""
    return StageResult(stage=stage, status=StageStatus.OK, evidence=line(evidence), found=found)


def skipped(stage: Stage, why: str, cause: str = "") -> StageResult:
    """A stage that was not made."""
    return StageResult(stage=stage, status=StageStatus.SKIPPED, evidence=line(why), cause=cause)


def refused(
    case: Case, evidence: Evidence, *, open_ports: Sequence[int] = (), is_login_offered: bool = True
) -> StageResult:
    """What ended the dialogue, or would keep a message from being taken.

    Args:
        case: What is checked.
        evidence: A refusal or a fault at one of the steps RESOLVE to RSET.
        open_ports: Other ports of the host that took a connection.
        is_login_offered: Whether the server's last reply to EHLO named any login.
    """
    verdict = classify(evidence, provider=case.provider.id if case.provider is not None else None)
    cause = _cause(case, evidence, verdict.cause, is_login_offered=is_login_offered)
    is_expired = cause in CREDENTIALS and _is_withdrawn(case)
    return StageResult(
        stage=STAGE_OF[evidence.step],
        status=_status(case, evidence, verdict, cause),
        evidence=line(said(evidence)),
        cause="login-expired" if is_expired else cause,
        fix=_fix(case, cause, open_ports),
        docs=docs(case),
        worked_until=case.worked_until if is_expired else None,
        found={"reply_cause": cause} if is_expired else {},
    )


def said(evidence: Evidence) -> str:
    """Return a reply with its code, or the text of a fault."""
    if evidence.reply is not None:
        return f"{evidence.reply.code} {evidence.reply.text}"
    return evidence.fault.text if evidence.fault is not None else ""


def line(text: str) -> str:
    """Return a text as one line of bounded length."""
    flat = " ".join(text.split())
    return flat if len(flat) <= MAX_EVIDENCE else flat[: MAX_EVIDENCE - 1] + "…"


def docs(case: Case) -> str:
    """Return the provider's page, empty when there is none."""
    return case.provider.docs if case.provider is not None else ""


def _cause(case: Case, evidence: Evidence, cause: str, *, is_login_offered: bool) -> str:
    step, reply = evidence.step, evidence.reply
    if step is Step.AUTH and cause == "auth-mech" and not is_login_offered:
        return "login-not-offered"
    if reply is None or step not in {Step.MAIL, Step.RCPT}:
        return cause
    is_unknown = cause in _GENERIC
    if not case.account.username and (cause == "auth-needed" or (is_unknown and reply.code == 530)):
        return "auth-required"
    is_bare = step is Step.MAIL and cause == "any-5xx" and reply.code in {550, 551, 553}
    if is_unknown and not _MACHINE_WORDS.search(reply.text):
        return "sender-refused" if is_bare or _SENDER_WORDS.search(reply.text) else cause
    return cause


def _status(case: Case, evidence: Evidence, verdict: Verdict, cause: str) -> StageStatus:
    if evidence.step is Step.RSET or cause == "greylist":
        return StageStatus.WARNING
    if evidence.step is not Step.RCPT or evidence.reply is None or cause == "sender-refused":
        return StageStatus.FAILED
    passes = evidence.reply.is_transient and verdict.action is Action.RETRY
    is_chosen = case.is_own_recipient and "rcpt-" in cause and cause not in _GENERIC
    return StageStatus.WARNING if passes or is_chosen else StageStatus.FAILED


def _is_withdrawn(case: Case) -> bool:
    provider = case.provider
    return case.worked_until is not None and provider is not None and provider.secrets[0] in _WITHDRAWN


def _fix(case: Case, cause: str, open_ports: Sequence[int]) -> Fix | None:
    if cause in CREDENTIALS:
        return fixes.login(case)
    if cause in SENDER_CAUSES:
        return fixes.sender_as_account(case)
    if cause in _PORT_CAUSES:
        return fixes.other_port(case, open_ports)
    if cause == "greet-implicit":
        return fixes.use_implicit_tls()
    if cause in {"starttls-required", "tls-on-plain"}:
        return fixes.use_starttls()
    known = rule(cause)
    return fixes.slower(case) if known is not None and known.action is Action.THROTTLE else None


# ------------------------------------------------------------- what a port speaks

_SERVICES = (
    (re.compile(r"\ASSH-", re.IGNORECASE), "an SSH server"),
    (re.compile(r"HTTP/[0-9]|<html|<!doctype", re.IGNORECASE), "a web server (HTTP)"),
    (re.compile(r"\A\* (OK|BYE|PREAUTH)", re.IGNORECASE), "an IMAP server"),
    (re.compile(r"\A(\+OK|-ERR)", re.IGNORECASE), "a POP3 server"),
    (re.compile(r"\A220.*FTP", re.IGNORECASE), "an FTP server"),
    (re.compile(r"\A220.*\bnntp|\A20[01] .*\b(nntp|news)", re.IGNORECASE), "a news server (NNTP)"),
    (re.compile(r"\ARFB [0-9]", re.IGNORECASE), "a screen-sharing server (VNC)"),
)


def service_named(first_line: str) -> str:
    """Return which other service speaks so, empty for SMTP and for what is unknown."""
    return next((name for pattern, name in _SERVICES if pattern.search(first_line)), "")


def other_service(case: Case, stage: Stage, first_line: str) -> StageResult:
    """The port belongs to a service that is not SMTP."""
    return StageResult(
        stage=stage,
        status=StageStatus.FAILED,
        cause="greet-not-smtp",
        evidence=line(f"this is {service_named(first_line)}: {first_line}"),
        fix=fixes.other_port(case),
        docs=docs(case),
    )


# ------------------------------------------------------------- encryption


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSeen:
    """What a handshake showed."""

    version: str = ""
    cipher: str = ""
    subject: str = ""
    issuer: str = ""
    names: tuple[str, ...] = ()
    not_after: datetime | None = None
    digest: str = ""
    """SHA-256 of the certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """The port spoke otherwise than configured, and the check went on as the port wants it."""

    cause: str
    """``tls-on-plain`` or ``greet-implicit``."""
    evidence: str


def encrypted(case: Case, seen: TlsSeen, *, now: datetime, adapted: Adapted | None = None) -> StageResult:
    """A handshake that was made."""
    found = _certificate(seen)
    text = _tls_line(seen)
    cause, fix = "", None
    if adapted is not None:
        cause, text = adapted.cause, f"{adapted.evidence}; {text}"
        fix = fixes.use_starttls() if cause == "tls-on-plain" else fixes.use_implicit_tls()
    elif seen.not_after is not None and seen.not_after - now < EXPIRES_SOON:
        cause = "tls-expires-soon"
    elif not case.account.verify and case.account.pin is None:
        cause = "tls-unchecked"
        fix = fixes.pinned(case, seen.digest)
    status = StageStatus.WARNING if cause else StageStatus.OK
    page = docs(case) if cause else ""
    return StageResult(
        stage=Stage.TLS, status=status, evidence=line(text), cause=cause, fix=fix, found=found, docs=page
    )


def in_spite_of(adapted: Adapted | None, result: StageResult) -> StageResult:
    """A failure after the check went on as the port wants it; no STARTTLS at a plain port is that port's."""
    if adapted is None or (adapted.cause, result.cause) != ("tls-on-plain", "starttls-not-offered"):
        return result
    return replace(result, cause=adapted.cause, evidence=line(f"{adapted.evidence}; {result.evidence}"))


def untrusted(case: Case, evidence: Evidence, seen: TlsSeen | None) -> StageResult:
    """A handshake that failed; ``seen`` is what the same server showed without being trusted."""
    result = refused(case, evidence)
    if seen is None:
        return result
    fix = result.fix
    if result.cause == "tls-hostname":
        fix = fixes.certificate_name(case, seen.names)
    elif result.cause == "tls-untrusted":
        fix = fixes.pinned(case, seen.digest)
    text = line(f"{result.evidence}; {_tls_line(seen)}")
    return replace(result, evidence=text, fix=fix, found=_certificate(seen))


def in_plain(case: Case, *, is_loopback: bool, is_offered: bool) -> StageResult:
    """No encryption was made, and none was demanded."""
    text = "no encryption is configured" if case.account.tls is TlsMode.NONE else "no encryption is offered"
    if case.account.username and not is_loopback:
        fix = fixes.use_starttls() if is_offered else fixes.other_port(case)
        return StageResult(
            stage=Stage.TLS,
            status=StageStatus.WARNING,
            evidence=text,
            cause="login-in-plain",
            fix=fix,
            docs=docs(case),
        )
    return skipped(Stage.TLS, text)


def _tls_line(seen: TlsSeen) -> str:
    words = [" ".join(filter(None, (seen.version, seen.cipher)))]
    if seen.names or seen.subject:
        words.append(f"certificate for {', '.join(seen.names[:4]) or seen.subject}")
    if seen.issuer:
        words.append(f"issued by {seen.issuer}")
    if seen.not_after is not None:
        words.append(f"until {seen.not_after:%Y-%m-%d}")
    return ", ".join(filter(None, words))


def _certificate(seen: TlsSeen) -> Mapping[str, str]:
    facts = {
        "version": seen.version,
        "cipher": seen.cipher,
        "subject": seen.subject,
        "issuer": seen.issuer,
        "names": ", ".join(seen.names[:20]),
        "not_after": "" if seen.not_after is None else f"{seen.not_after:%Y-%m-%dT%H:%M:%SZ}",
        "sha256": seen.digest,
    }
    return {name: value for name, value in facts.items() if value}

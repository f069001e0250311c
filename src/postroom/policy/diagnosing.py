"""What a pasted text means: a reply, a log line, a bounce, or the error text of another program.

Theory: a reply is looked up by the rules of the server that the text names; where it names none, the rules
for everybody count, and a provider's own only when no other has words like these. Faults without a reply are
known by the words of their libraries. What is not known is not guessed: the cause is empty then.

Sources: MailKit's and App Builder's error texts (German and English), RFC 3464; the rules of ``providers``.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from postroom.model.outcome import Action
from postroom.model.step import Step
from postroom.policy.fault_texts import cause_of_text
from postroom.policy.pasted import Found, hosts, plain, replies
from postroom.providers.phrasing import essence
from postroom.providers.replies import (
    MAX_TEXT,
    Rule,
    find_by_stage,
    find_own,
    group_of,
    group_of_provider,
    groups,
    rule,
)

BOUNCE = "bounce"
"""The stage of reports about mail that was taken before."""
_ANYBODY = "*"
_FALLBACKS = frozenset({"any-4xx", "any-5xx", "any-rcpt-5xx"})
_BROAD = frozenset(
    {
        *_FALLBACKS,
        "auth-temp",
        "auth-wrong",
        "bad-sequence",
        "greeting-refused",
        "policy",
        "rcpt-rejected",
        "service-closing",
        "starttls-refused",
        "starttls-temp",
        "try-later",
    }
)
"""Rules for everybody that hit nearly every text at their stage, so a provider's own may say more."""
_BY_CODE = frozenset({*_FALLBACKS, "bad-sequence", "greeting-refused", "service-closing"})
"""Rules that hit by the code alone."""
_TELLING = 6
"""Characters of a provider's words from which they are its own and nobody else's by chance; where several
have words like these, those of one must be longer by as much."""


class Confidence(StrEnum):
    """How sure a diagnosis is."""

    SURE = "sure"
    """The server and its words are known."""
    LIKELY = "likely"
    """The words are known."""
    VAGUE = "vague"
    """Only the code is."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What a text means."""

    cause: str = ""
    """Empty when nothing is known."""
    action: Action | None = None
    """What Postroom would do."""
    confidence: Confidence = Confidence.UNKNOWN
    code: int | None = None
    """Of the reply that was found."""
    text: str = ""
    """The reply that was found."""
    host: str = ""
    """The server that spoke, where the text names it."""
    stage: str = ""
    """Where in the dialogue, where the text tells."""


_STAGES: Sequence[tuple[str, re.Pattern[str]]] = tuple(
    (stage, re.compile(pattern, re.IGNORECASE))
    for stage, pattern in (
        (
            "body",
            (
                r"reply to end of DATA|end of DATA command|after (?:end of )?data"
                r"|SMTPDataError|Message failed:"
            ),
        ),
        (
            "rcpt",
            r"RCPT TO|SMTPRecipientsRefused|SMTPAddressFailedException|recipients were rejected|>>> RCPT",
        ),
        (
            "mail",
            (
                r"MAIL FROM (?:command|:)|after MAIL|SMTPSenderRefused"
                r"|Mail command failed|>>> MAIL|SMTPSenderFailed"
            ),
        ),
        (
            "auth",
            (
                r"SASL authentication failed|AUTH (?:command|PLAIN|LOGIN)|SMTPAuthenticationError"
                r"|Invalid login"
                r"|Authentication(?:Failed)?Exception|Password command failed|Username command failed|EAUTH"
            ),
        ),
        ("ehlo", r"(?:HELO|EHLO) command|SMTPHeloError|after (?:HELO|EHLO)|>>> EHLO"),
        ("starttls", r"reply to STARTTLS"),
        ("greeting", r"initial connection|refused to talk to me|Invalid greeting|SMTPConnectError"),
        ("data", r"DATA command|>>> DATA"),
        (
            BOUNCE,
            (
                r"Diagnostic-Code:|Delivery Status Notification"
                r"|undeliver|could not be delivered|wasn't delivered"
                r"|delivery (?:has )?failed|mailer-daemon|returned to sender|Remote Server returned"
            ),
        ),
    )
)
"""Words that tell where in the dialogue a reply came."""
_HINTS: Sequence[tuple[re.Pattern[str], Sequence[str]]] = tuple(
    (re.compile(pattern, re.IGNORECASE), stages)
    for pattern, stages in (
        (r"\A(?:334|432|52[346]|53[458])\b|\b5\.7\.8\b|log ?in\b|passw(?:or)?d|credential", ("auth", "mail")),
        (r"\A530\b", ("mail", "auth")),
        (r"\A(?:45[14]|50[14])\b.{0,80}authenticat", ("auth", "mail")),
        (r"\A454\b.{0,30}\btls not available", ("starttls",)),
        (r"\b[45]\.1\.[0-6]\b|\b[45]\.2\.[0-9]|mailbox|recipient|\buser\b", ("rcpt", "body", "mail")),
        (r"\b[45]\.1\.[78]\b|sender|mail from", ("mail", "rcpt", "body")),
        (r"helo|ehlo", ("ehlo", "mail")),
        (r"\A552\b|\b5\.6\.|message|content|spam|virus|attach", ("body", "mail", "rcpt")),
    )
)
_LAST = ("auth", "ehlo", "starttls")
_ORDER = ("rcpt", "body", "mail", "greeting", "data")
"""Where a reply may have been that tells nothing about it; at the others nearly every text means the same."""


def diagnose(text: str, *, host: str = "", provider: str = "", step: Step | None = None) -> Diagnosis:
    """Return what a text means. Never raises; what is not known has no cause.

    Args:
        text: What was pasted; only its beginning counts when it is very long.
        host: The server that spoke, when it is known.
        provider: Its id, when it is known.
        step: Where in the dialogue, when it is known.
    """
    pasted = plain(text)
    found = [_of_reply(one, pasted, host=host, provider=provider, step=step) for one in replies(pasted)]
    best = next((one for one in found if one.confidence in {Confidence.SURE, Confidence.LIKELY}), None)
    if best is not None:
        return best
    cause = cause_of_text(pasted)
    known = rule(cause) if cause else None
    if known is not None:
        where = host or next(hosts(pasted), "")
        return Diagnosis(cause=cause, action=known.action, confidence=Confidence.LIKELY, host=where)
    return next((one for one in found if one.cause), Diagnosis())


def _of_reply(found: Found, pasted: str, *, host: str, provider: str, step: Step | None) -> Diagnosis:
    server, group = _server(found, pasted, host, provider)
    stages = _stages(found, pasted, step)
    best: tuple[Rule, int] | None = None
    for code in _codes(found):
        best = _looked_up(group, stages, code, found.text) or best
        if best is not None and best[0].id not in _FALLBACKS:
            break
    if best is None:
        return Diagnosis()
    row, code = best
    if group == _ANYBODY and row.id in _BROAD:
        row = _only_provider(stages, code, found.text) or row
    confidence = Confidence.LIKELY
    if row.id in _BY_CODE and not found.is_enhanced:
        if found.code is None or (found.is_introduced and len(stages) > 1):
            return Diagnosis()  # a number in a sentence about something else
        confidence = Confidence.VAGUE
    elif row.id in _FALLBACKS:
        confidence = Confidence.VAGUE
    elif group != _ANYBODY:
        confidence = Confidence.SURE
    return Diagnosis(
        cause=row.id,
        action=_guarded(row, code),
        confidence=confidence,
        code=found.code,
        text=found.text,
        host=server,
        stage=stages[0] if len(stages) < len(_ORDER) else "",
    )


def _server(found: Found, pasted: str, host: str, provider: str) -> tuple[str, str]:
    """Return the server that spoke and its group of rules."""
    group = group_of_provider(provider) if provider else _ANYBODY
    if group != _ANYBODY:
        return host, group
    if host:
        return host, group_of(host)
    near = pasted[max(found.start - 500, 0) : found.start + 1500]
    named = [*hosts(found.text), *hosts(near), *hosts(pasted)]
    for one in named:
        if (group := group_of(one)) != _ANYBODY:
            return one, group
    return (named[0] if named else ""), _ANYBODY


def _stages(found: Found, pasted: str, step: Step | None) -> Sequence[str]:
    """Return where in the dialogue it may have been: the stage that is known, else the likely ones first."""
    if step is not None:
        return (str(Step.BODY) if step is Step.BODY_END else str(step),)
    near = pasted[max(found.start - 300, 0) : found.start + len(found.text) + 300]
    for stage, pattern in _STAGES:
        if pattern.search(near):
            return (stage, "rcpt", "body", "mail") if stage == BOUNCE else (stage,)
    if any(pattern.search(pasted) for stage, pattern in _STAGES if stage == BOUNCE):
        return (BOUNCE, "rcpt", "body", "mail")
    said = f"{found.code or ''} {found.text}".strip()
    liked = next((stages for pattern, stages in _HINTS if pattern.search(said)), ())
    return tuple(dict.fromkeys((*liked, *_ORDER)))


def _codes(found: Found) -> Sequence[int]:
    """Return the reply codes it may have had."""
    if found.code is not None:
        return (found.code,)
    return (550, 554, 535, 530, 553, 552, 501) if found.text.startswith("5") else (450, 451, 454, 421, 452)


def _looked_up(group: str, stages: Sequence[str], code: int, text: str) -> tuple[Rule, int] | None:
    """Return the first rule of the group, wherever it is, else the first for everybody that says much."""
    if group != _ANYBODY and len(stages) > 1:
        for stage in dict.fromkeys((*stages, *_LAST)):
            if (own := find_own(group, stage, code=code, text=text)) is not None:
                return own, code
    last: Rule | None = None
    for stage in stages:
        row = find_by_stage(group, 0, stage, code=code, text=text)
        if row is not None and (row.id not in _BROAD or len(stages) == 1):
            return row, code
        if last is None or last.id in _FALLBACKS:
            last = row or last
    return None if last is None else (last, code)


def _only_provider(stages: Sequence[str], code: int, text: str) -> Rule | None:
    """Return a provider's rule for these words, when no other provider has words like these."""
    rows = sorted(_by_providers(stages, code, text), key=lambda one: -one[0])
    if not rows or rows[0][0] < _TELLING:
        return None
    return rows[0][1] if len(rows) == 1 or rows[0][0] - rows[1][0] >= _TELLING else None


def _by_providers(stages: Sequence[str], code: int, text: str) -> Iterator[tuple[int, Rule]]:
    """Yield each provider's rule with the length of the words that hit."""
    said = f"{code} {essence(text, MAX_TEXT)}"
    for group in groups():
        for stage in stages:
            row = find_own(group, stage, code=code, text=text)
            if row is not None:
                words = row.pattern.search(said)
                yield (0 if words is None else len(words[0]), row)
                break


def _guarded(row: Rule, code: int) -> Action:
    """Return a rule's action; a 4xx refuses nothing for good unless its rule says so."""
    fails = row.action in {Action.FAIL_MESSAGE, Action.FAIL_RECIPIENT}
    return Action.RETRY_SLOW if fails and code < 500 and not row.is_final else row.action

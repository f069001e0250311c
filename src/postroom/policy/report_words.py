"""What a report says to a person: which recipients, why, what to do, what the server said, in one language.

Grouped by what happened and its cause, the largest group first, and bounded whatever happened; the counts are
whole. What a server said stands as it said it, but for what could break a line.

Pure: data in, text out; the same report in the same language has the same text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from postroom.model.lifecycle import RecipientState
from postroom.model.report import MailReport, ReportAction, ReportedRecipient
from postroom.providers import replies, words

MAX_CAUSES = 12
MAX_LINES = 20
"""Recipients that are named of one cause."""
MAX_SUBJECT = 100
MAX_SAID = 1000
"""Characters of what one server said."""

_INDENT = "    "
_STATES: Mapping[RecipientState, str] = {
    RecipientState.EXPIRED: "expired",
    RecipientState.SUPPRESSED: "suppressed",
    RecipientState.BOUNCED: "bounced",
}
"""States that need a sentence of their own: the others are told by their cause."""
_LAST: Mapping[ReportAction, str] = {
    ReportAction.FAILED: "over",
    ReportAction.DELAYED: "again",
    ReportAction.RELAYED: "unknown",
}


@dataclass(frozen=True, slots=True)
class ReportWords:
    """A report for a person."""

    subject: str
    text: str


def report_words(report: MailReport, language: str) -> ReportWords:
    """Return subject and text of a report.

    Args:
        report: What is to be said.
        language: Of the reader, one of ours or a wish as in ``Accept-Language``.
    """
    tongue = words.language_of(language)
    subject = _plain(report.subject)[:MAX_SUBJECT]
    about = _say("mail", tongue, date=_date(report.arrived_at), subject=subject)
    parts = [f"{_say('intro', tongue, mta=report.mta)}\n{about}"]
    for action in ReportAction:
        some = [recipient for recipient in report.recipients if recipient.action is action]
        if some:
            parts += _section(action, some, report, tongue)
    parts.append(_say("id", tongue, id=report.mail_id))
    return ReportWords(
        subject=_say(f"subject-{report.action.value}", tongue, subject=subject).rstrip(" :"),
        text="\n\n".join(parts) + "\n",
    )


def _section(
    action: ReportAction, recipients: Sequence[ReportedRecipient], report: MailReport, tongue: str
) -> list[str]:
    """Return the paragraphs of what happened in one way."""
    groups: dict[tuple[RecipientState, str], list[ReportedRecipient]] = {}
    for recipient in recipients:
        groups.setdefault((recipient.state, recipient.cause), []).append(recipient)
    ordered = sorted(groups.values(), key=len, reverse=True)
    parts = [_say(action.value, tongue)]
    parts += [_group(some, tongue) for some in ordered[:MAX_CAUSES]]
    if left := sum(map(len, ordered[MAX_CAUSES:])):
        parts.append(_say("more", tongue, count=left))
    until = "" if report.tried_until is None else _date(report.tried_until)
    parts.append(_say(_LAST[action], tongue, date=until))
    return parts


def _group(recipients: Sequence[ReportedRecipient], tongue: str) -> str:
    """Return recipients that share a cause, then the words of the cause."""
    first = recipients[0]
    lines: list[str] = []
    for recipient in recipients[:MAX_LINES]:
        lines.append(recipient.address.spec)
        if recipient.action is not ReportAction.RELAYED:
            lines += [_INDENT + line for line in _evidence(recipient, tongue)]
    if left := len(recipients[MAX_LINES:]):
        lines.append(_say("more", tongue, count=left))
    sentences = [_say(_STATES[first.state], tongue)] if first.state in _STATES else []
    if first.action is not ReportAction.RELAYED:
        sentences += [sentence for sentence in replies.words(first.cause, tongue) if sentence]
    return "\n".join([*lines, *sentences])


def _evidence(recipient: ReportedRecipient, tongue: str) -> list[str]:
    lines = []
    if recipient.text:
        text = _plain(f"{recipient.code or ''} {recipient.text}".lstrip())[:MAX_SAID]
        lines.append(
            _say("said" if recipient.host else "found", tongue, host=_plain(recipient.host), text=text)
        )
    if recipient.last_attempt_at is not None:
        lines.append(_say("tried", tongue, date=_date(recipient.last_attempt_at)))
    return lines


def _say(name: str, tongue: str, **values: object) -> str:
    return words.phrase(f"report.{name}", tongue).format_map(values)


def _date(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _plain(text: str) -> str:
    return "".join([one if one.isprintable() else " " for one in text])

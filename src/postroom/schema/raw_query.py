"""What may stand in the query of ``POST /v1/messages/raw`` beside the mail in the body.

Unknown names and wrong values are refused, all of them at once. Lists may be repeated, and one value may name
several addresses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from postroom.engine.limits import MessageLimits
from postroom.model.address import NULL_PATH, Address, AddressError, parse_address
from postroom.model.message import Door, MailClass, Notify, ReportWish, Submission, UncertainPolicy
from postroom.schema.filters import Query
from postroom.schema.mailbox_lists import split_mailboxes
from postroom.schema.raw_submission import RawEnvelope, RawWishes
from postroom.schema.submission import Problems, read_instant, read_key, read_tags

_DOORS = {"http": Door.HTTP, "sendmail": Door.SENDMAIL}
_TRUTH = {"true": True, "false": False}
_CLASSES = {one.value: one for one in MailClass}
_POLICIES = {one.value: one for one in UncertainPolicy}
_NOTIFY = {one.value: one for one in Notify}
_RETURNS = {"full": True, "hdrs": False}
MAX_ENVELOPE_ID = 100
"""Characters of ENVID, RFC 3461 section 4.4."""

PARAMETERS: Mapping[str, str] = {
    "from": "MAIL FROM; empty for the null one. Without it the mail's From.",
    "to": "A recipient; repeated, or several with commas. Without any, To, Cc and Bcc of the mail are taken.",
    "header_recipients": "`true`: To, Cc and Bcc of the mail are taken beside `to`.",
    "class": f"Mail class: {', '.join(MailClass)}.",
    "uncertain_policy": f"What happens when the outcome is uncertain: {', '.join(UncertainPolicy)}.",
    "send_at": "Not before this instant (ISO 8601 with offset).",
    "expires_at": "Not after this instant.",
    "tag": "A tag; repeated.",
    "door": "`sendmail` for what comes by that command: failures are then reported to MAIL FROM, or From.",
    "notify": "With `door=sendmail`: never, or some of success, failure and delay (RFC 3461).",
    "return": "With `door=sendmail`: full or hdrs, what a report holds of the mail.",
    "envelope_id": "With `door=sendmail`: given back in reports.",
}
_REPEATED = frozenset({"to", "tag", "notify"})

RAW_PARAMETERS: list[dict[str, Any]] = [
    {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
    for name, text in PARAMETERS.items()
]

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawQuery:
    """What was said beside the mail."""

    door: Door
    envelope: RawEnvelope
    wishes: RawWishes
    notify: frozenset[Notify] = frozenset()
    full: bool | None = None
    envelope_id: str = ""

    def with_reports(self, submission: Submission) -> Submission:
        """Return the submission with who hears of failures: of mail by sendmail its sender."""
        if self.door is not Door.SENDMAIL:
            return submission
        to = self.envelope.reverse_path or (submission.from_.address if submission.from_ else NULL_PATH)
        if to == NULL_PATH:
            return submission
        notify = {box.address: self.notify for box in submission.bcc} if self.notify else {}
        wish = ReportWish(to=to, full=self.full, envelope_id=self.envelope_id, notify=notify)
        return replace(submission, reports=wish)


def read_raw_query(query: Query, *, key: str | None, limits: MessageLimits) -> RawQuery:
    """Read the query. Raises InputError with every problem."""
    problems = Problems()
    single, several = _sorted(query, problems)
    recipients = _addresses(several.get("to", ()), limits, problems)
    tags = several.get("tag", ())
    read_tags(tags, problems)
    envelope_id = single.get("envelope_id", "")
    if len(envelope_id) > MAX_ENVELOPE_ID or not (envelope_id.isascii() and envelope_id.isprintable()):
        cause = f"not at most {MAX_ENVELOPE_ID} printable ASCII characters"
        problems.add("too-long", "envelope_id", cause, "Shorten it.")
    asked = [word for value in several.get("notify", ()) for word in value.lower().split(",")]
    notify = [_one_of(_NOTIFY, word, "notify", problems) for word in asked]
    found = RawQuery(
        door=_one_of(_DOORS, single.get("door", "http"), "door", problems) or Door.HTTP,
        envelope=RawEnvelope(
            reverse_path=_reverse_path(single.get("from"), problems),
            recipients=recipients,
            and_header=_chosen(_TRUTH, single, "header_recipients", problems) or False,
        ),
        wishes=RawWishes(
            send_at=_instant(single, "send_at", problems),
            expires_at=_instant(single, "expires_at", problems),
            mail_class=_chosen(_CLASSES, single, "class", problems),
            uncertain_policy=_chosen(_POLICIES, single, "uncertain_policy", problems),
            idempotency_key=None if key is None else read_key(key, problems),
            tags=tags,
        ),
        notify=frozenset([one for one in notify if one is not None]),
        full=_chosen(_RETURNS, single, "return", problems),
        envelope_id=envelope_id,
    )
    problems.raise_any()
    return found


def _sorted(query: Query, problems: Problems) -> tuple[dict[str, str], dict[str, list[str]]]:
    single: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for name, value in query:
        if name in _REPEATED:
            several.setdefault(name, []).append(value)
        elif name not in PARAMETERS:
            shown = name if name.isprintable() and len(name) <= 40 else "query"
            fix = f"Known are {', '.join(PARAMETERS)}."
            problems.add("unknown-field", shown, "there is no such parameter", fix)
        elif name in single:
            problems.add("given-twice", name, "stands twice", "Give it once.")
        else:
            single[name] = value
    return single, several


def _instant(given: Mapping[str, str], name: str, problems: Problems) -> datetime | None:
    return read_instant(given[name], name, problems) if name in given else None


def _reverse_path(value: str | None, problems: Problems) -> Address | None:
    if value is None:
        return None
    bare = value.strip().removeprefix("<").removesuffix(">")
    return _address(bare, "from", problems) if bare else NULL_PATH


def _addresses(values: Sequence[str], limits: MessageLimits, problems: Problems) -> tuple[Address, ...]:
    texts = [text for value in values for text in split_mailboxes(value)]
    if len(texts) > limits.max_recipients:
        cause = f"{len(texts)} addresses, at most {limits.max_recipients} in one message"
        problems.add("too-many-recipients", "to", cause, "Send several messages.")
        return ()
    found = [
        _address(text.removeprefix("<").removesuffix(">"), f"to.{number}", problems)
        for number, text in enumerate(texts)
    ]
    return tuple([address for address in found if address is not None])


def _address(text: str, name: str, problems: Problems) -> Address | None:
    try:
        return parse_address(text)
    except AddressError as error:
        problems.add("address-invalid", name, error.cause, error.fix)
        return None


def _chosen(
    known: Mapping[str, _Value], given: Mapping[str, str], name: str, problems: Problems
) -> _Value | None:
    return _one_of(known, given[name].lower(), name, problems) if name in given else None


def _one_of(known: Mapping[str, _Value], word: str, name: str, problems: Problems) -> _Value | None:
    if word not in known:
        names = ", ".join(known)
        problems.add("unknown-value", name, f"unknown value; known are {names}", f"Use one of {names}.")
        return None
    return known[word]

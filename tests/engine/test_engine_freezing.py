from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.engine.freezing import FREEZE_BYTES, Sending, field_digests, freeze, problems
from postroom.engine.limits import MessageLimits
from postroom.model.address import parse_address, parse_mailbox
from postroom.model.message import Attachment, BlobRef, MailClass, Message, Submission, UncertainPolicy
from postroom.model.template import TemplatePin
from postroom.model.transport import FromPolicy
from postroom.policy.retry import CLASS_RULES

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
APP = parse_mailbox("App <app@example.com>")
SENDING = Sending(transport="main", default_from=None, account=None)
LIMITS = MessageLimits(max_recipients=3, max_text=10, max_content=25, max_attachments=1, max_headers=1)


def _submission(count: int = 1) -> Submission:
    return Submission(
        from_=APP, to=tuple(parse_mailbox(f"r{i}@example.net") for i in range(count)), text="hi"
    )


def _codes(submission: Submission, *, sending: Sending = SENDING, senders: tuple[str, ...] = ()) -> list[str]:
    found = problems(submission, sending=sending, limits=LIMITS, senders=senders, now=NOW)
    return [f"{problem.field}:{problem.code}" for problem in found]


def _frozen(submission: Submission, *, sending: Sending = SENDING, id_domain: str | None = None) -> Message:
    return freeze(
        submission,
        sending=sending,
        rules=CLASS_RULES[submission.mail_class],
        id_domain=id_domain,
        now=NOW,
        entropy=bytes(range(FREEZE_BYTES)),
    )


def test_a_plain_submission_has_no_problems() -> None:
    """What is right is not complained about."""
    assert _codes(_submission()) == []


def test_every_problem_is_told_at_once() -> None:
    """A caller who made five mistakes learns of all five from one answer."""
    file = Attachment(filename="a", content_type="text/plain", blob=BlobRef("0" * 64, 20))
    wrong = Submission(
        text="x" * 11,
        headers=(("X-A", "1"), ("X-B", "2")),
        attachments=(file, file),
        expires_at=NOW - timedelta(seconds=1),
    )
    assert _codes(wrong) == [
        "from:from-missing",
        "to:recipients-missing",
        "text:limit-exceeded",
        "attachments:limit-exceeded",
        "attachments:limit-exceeded",
        "headers:limit-exceeded",
        "expires_at:expires-too-early",
    ]


@pytest.mark.parametrize(("count", "expected"), [(3, []), (4, ["to:too-many-recipients"])])
def test_recipients_are_counted_over_all_three_fields(count: int, expected: list[str]) -> None:
    """The limit holds for to, cc and bcc together, exactly at its number."""
    whole = _submission(count)
    spread = replace(whole, to=whole.to[:1], cc=whole.to[1:2], bcc=whole.to[2:])
    assert _codes(spread) == expected


@each(
    ("senders", "expected"),
    [
        ((), []),
        (("app@example.com",), []),
        (("APP@Example.COM",), []),
        (("@example.com",), []),
        (("@example.org", "app@example.com"), []),
        (("other@example.com",), ["from:sender-not-allowed"]),
        (("@ample.com",), ["from:sender-not-allowed"]),
        (("example.com",), ["from:sender-not-allowed"]),
    ],
)
def test_a_key_sends_only_as_the_senders_it_names(senders: tuple[str, ...], expected: list[str]) -> None:
    """A sender right is an address or a whole domain, never a suffix."""
    assert _codes(_submission(), senders=senders) == expected


def test_a_sender_right_covers_the_envelope_sender_too() -> None:
    """MAIL FROM cannot be used to get round the rule for From."""
    forged = replace(_submission(), sender=parse_mailbox("boss@example.org"))
    assert _codes(forged, senders=("@example.com",)) == ["sender:sender-not-allowed"]


def test_mail_from_is_the_sender_else_the_account_else_from() -> None:
    """The reverse path follows its order of preference, and Sender appears only when it says something."""
    account = Sending(transport="main", default_from=None, account=parse_address("login@example.org"))
    assert _frozen(_submission()).envelope.reverse_path.spec == "app@example.com"
    assert _frozen(_submission(), sending=account).envelope.reverse_path.spec == "login@example.org"
    boss = replace(_submission(), sender=parse_mailbox("boss@example.org"))
    assert _frozen(boss, sending=account).envelope.reverse_path.spec == "boss@example.org"
    assert _frozen(boss).content.sender == parse_mailbox("boss@example.org")
    rewriting = Sending(
        transport="main",
        default_from=None,
        account=parse_address("login@example.org"),
        from_policy=FromPolicy.REWRITE,
    )
    assert _frozen(boss, sending=rewriting).envelope.reverse_path.spec == "login@example.org"
    key = Sending(transport="main", default_from=APP, account=None, from_policy=FromPolicy.REWRITE)
    assert _frozen(boss, sending=key).envelope.reverse_path.spec == "app@example.com"
    plain_key = replace(key, from_policy=FromPolicy.KEEP)
    other = replace(_submission(), from_=parse_mailbox("other@example.com"))
    assert _frozen(other, sending=plain_key).envelope.reverse_path.spec == "other@example.com"


def test_bcc_is_in_the_envelope_and_nowhere_else() -> None:
    """A blind copy reaches its address and is in no header; doubles are sent once."""
    blind = replace(_submission(), bcc=(parse_mailbox("hidden@example.net"), parse_mailbox("r0@example.net")))
    message = _frozen(blind)
    assert [address.spec for address in message.envelope.recipients] == [
        "r0@example.net",
        "hidden@example.net",
    ]
    assert "hidden" not in repr(message.content)


def test_the_message_id_stands_in_the_header_with_the_right_domain() -> None:
    """From's domain, unless the settings or the door say another."""
    message = _frozen(_submission())
    assert message.content.message_id == f"{message.id}@example.com"
    assert _frozen(_submission(), id_domain="mail.example.org").content.message_id.endswith(
        "@mail.example.org"
    )
    own = replace(_submission(), message_id_domain="api.example.net")
    assert _frozen(own, id_domain="mail.example.org").content.message_id.endswith("@api.example.net")


@pytest.mark.parametrize("mail_class", list(MailClass))
def test_lifetime_and_policy_come_from_the_class_unless_given(mail_class: MailClass) -> None:
    """A class sets expiry and uncertain policy; the submission's own values win."""
    plain = _frozen(replace(_submission(), mail_class=mail_class))
    assert plain.expires_at == NOW + CLASS_RULES[mail_class].expires
    assert plain.uncertain_policy == CLASS_RULES[mail_class].uncertain
    later = NOW + timedelta(hours=2)
    scheduled = _frozen(replace(_submission(), mail_class=mail_class, send_at=later))
    assert (scheduled.send_at, scheduled.expires_at) == (later, later + CLASS_RULES[mail_class].expires)
    own = _frozen(replace(_submission(), expires_at=later, uncertain_policy=UncertainPolicy.ASK))
    assert (own.expires_at, own.uncertain_policy) == (later, UncertainPolicy.ASK)


@given(st.text(max_size=30), st.text(max_size=30))
def test_digests_differ_exactly_in_the_fields_that_differ(one: str, two: str) -> None:
    """A reused idempotency key can name the field that changed, by the caller's name for it."""
    first = field_digests(replace(_submission(), subject=one))
    second = field_digests(replace(_submission(), subject=two))
    assert [name for name in first if first[name] != second[name]] == ([] if one == two else ["subject"])
    assert {"from", "class"} <= set(first)


def test_a_repeat_of_a_mail_from_a_template_is_the_same_after_a_new_version() -> None:
    """What the caller wrote counts; the version and the texts it renders do not."""
    asked = {"template": "a1", "locale": "b1", "variables": "c1"}

    def digests(version: str, subject: str, **change: str) -> Mapping[str, str]:
        pin = TemplatePin(name="welcome", version=version, locale="en")
        wanted = {**asked, **change}
        return field_digests(
            replace(_submission(), subject=subject, html=subject, template=pin, template_asked=wanted)
        )

    first = digests("1", "Welcome")
    assert first == digests("2", "Hello")
    second = digests("1", "Welcome", variables="c2")
    assert ["variables"] == [name for name in first if first[name] != second[name]]
    assert not {"subject", "text", "html"} & set(first)


def test_a_time_counted_from_the_arrival_is_the_same_when_it_is_repeated() -> None:
    """Handed in again a minute later the mail is the same; with another number of seconds it is not."""
    minute = timedelta(minutes=1)

    def digests(count: timedelta, now: datetime) -> object:
        return field_digests(replace(_submission(), send_at=now + count, relative={"send_at": count}))

    assert digests(minute, NOW) == digests(minute, NOW + minute)
    assert digests(timedelta(0), NOW) == digests(timedelta(0), NOW + minute)
    assert digests(minute, NOW) != digests(2 * minute, NOW)

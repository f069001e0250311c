"""What a sender is told of, when, and with which codes."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.address import Address, Mailbox, parse_address
from postroom.model.event import Event, EventKind
from postroom.model.ids import DEFAULT_TENANT, MessageId
from postroom.model.lifecycle import FINAL_STATES, OPEN_STATES, RecipientState
from postroom.model.message import (
    Content,
    Door,
    Envelope,
    MailClass,
    Message,
    Notify,
    ReportWish,
    UncertainPolicy,
)
from postroom.model.report import ReportAction
from postroom.model.view import AttemptView, MessageView, RecipientView
from postroom.policy.reporting import (
    CALLS,
    DONE,
    LOST,
    NOTHING,
    Finding,
    ReportPlace,
    Told,
    finding,
    taken_over,
    told,
)

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DELAY = timedelta(hours=4)
S = RecipientState
SENDER = parse_address("sender@example.com")
A, B, C = (parse_address(f"{name}@example.org") for name in "abc")
UNSAID = Told()


def mail(
    *recipients: Address,
    notify: Mapping[Address, set[Notify]] | None = None,
    original: Mapping[Address, str] | None = None,
    is_wished: bool = True,
    door: Door = Door.SMTP,
) -> Message:
    wish = ReportWish(
        to=SENDER,
        notify={address: frozenset(wanted) for address, wanted in (notify or {}).items()},
        original=original or {},
    )
    return Message(
        id=MessageId("20261121120000.2222222222222222222222"),
        tenant=DEFAULT_TENANT,
        door=door,
        mail_class=MailClass.TRANSACTIONAL,
        created_at=AT,
        send_at=AT,
        expires_at=AT + timedelta(days=3),
        uncertain_policy=UncertainPolicy.WAIT,
        envelope=Envelope(reverse_path=SENDER, recipients=recipients),
        content=Content(message_id="m@example.com", date=AT, boundary="b" * 20, from_=Mailbox(SENDER)),
        reports=wish if is_wished else None,
    )


def attempt(code: int | None = 550, text: str = "5.1.1 no such user", **others: object) -> AttemptView:
    known = {
        "at": AT + timedelta(minutes=1),
        "transport": "main",
        "step": "rcpt",
        "enhanced": text.split(maxsplit=1)[0] if code else None,
        "outcome": "refused",
        "duration_ms": 3,
        "cause": "recipient-unknown",
        "host": "mx.example.org",
    }
    return AttemptView(code=code, text=text, **{**known, **others})  # type: ignore[arg-type]  # as above


def recipient(
    number: int, state: S, *attempts: AttemptView, cause: str = "", due_at: datetime | None = None
) -> RecipientView:
    return RecipientView(
        number=number, address="", state=state, cause=cause, due_at=due_at, attempts=attempts
    )


def view(message: Message, *recipients: RecipientView, next_at: datetime | None = None) -> MessageView:
    return MessageView(
        id=message.id,
        tenant=message.tenant,
        door=message.door,
        mail_class=message.mail_class,
        transport="main",
        created_at=message.created_at,
        expires_at=message.expires_at,
        next_attempt_at=next_at,
        sender=SENDER.spec,
        subject="",
        tags=(),
        metadata={},
        recipients=recipients,
    )


def found(
    message: Message,
    *recipients: RecipientView,
    before: Told = UNSAID,
    after: timedelta = timedelta(minutes=1),
    next_at: datetime | None = None,
) -> Finding:
    seen = view(message, *recipients, next_at=next_at)
    return finding(message, seen, before=before, delayed_after=DELAY, now=AT + after)


def told_of(finding: Finding) -> dict[int, ReportAction]:
    return {one.number: one.action for one in finding.recipients}


def test_a_refusal_is_told_with_the_words_of_the_server() -> None:
    """The one refused recipient stands in the report with code, text, server, cause and time."""
    (one,) = found(mail(A), recipient(0, S.REFUSED, attempt(), cause="recipient-unknown")).recipients

    assert (A, ReportAction.FAILED, "5.1.1") == (one.address, one.action, one.status)
    assert (550, "5.1.1 no such user", "mx.example.org") == (one.code, one.text, one.host)
    assert ("recipient-unknown", AT + timedelta(minutes=1)) == (one.cause, one.last_attempt_at)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (S.REFUSED, ReportAction.FAILED),
        (S.EXPIRED, ReportAction.FAILED),
        (S.BOUNCED, ReportAction.FAILED),
        (S.SUPPRESSED, ReportAction.FAILED),
        (S.CANCELLED, None),
        (S.CAPTURED, None),
        (S.ACCEPTED, None),
    ],
)
def test_what_is_a_failure_by_itself(state: S, expected: ReportAction | None) -> None:
    """Each final state, where the sender wished nothing particular."""
    actions = told_of(found(mail(A), recipient(0, state, attempt())))

    assert ({} if expected is None else {0: expected}) == actions


@each(("state", "wanted"), list(product(sorted(FINAL_STATES), Notify)))
def test_every_wish_in_every_final_state(state: S, wanted: Notify) -> None:
    """Failures are told to who wants failures, acceptance to who wants success, nothing to anybody else."""
    actions = told_of(found(mail(A, notify={A: {wanted}}), recipient(0, state, attempt())))

    is_failure = state in {S.REFUSED, S.EXPIRED, S.BOUNCED, S.SUPPRESSED} and wanted is Notify.FAILURE
    is_success = state is S.ACCEPTED and wanted is Notify.SUCCESS
    assert (is_failure or is_success) == bool(actions)


@each("door", Door)
def test_never_without_a_wish_and_never_of_our_own(door: Door) -> None:
    """Without a wish no door's mail is reported; with one, every door's but Postroom's own."""
    refused = recipient(0, S.REFUSED, attempt())

    assert NOTHING == found(mail(A, is_wished=False, door=door), refused)
    assert (door is not Door.POSTROOM) == bool(found(mail(A, door=door), refused).recipients)


def test_one_report_when_nobody_waits_any_more() -> None:
    """While a recipient waits the failure of another is kept in mind; then one report has both."""
    message = mail(A, B)
    first = found(
        message,
        recipient(0, S.REFUSED, attempt()),
        recipient(1, S.DEFERRED, due_at=AT + timedelta(hours=1)),
        next_at=AT + timedelta(minutes=30),
    )
    last = found(message, recipient(0, S.REFUSED, attempt()), recipient(1, S.EXPIRED))

    assert ((), AT + timedelta(minutes=30, seconds=10)) == (first.recipients, first.look_at)
    assert {0: ReportAction.FAILED, 1: ReportAction.FAILED} == told_of(last)
    assert last.look_at is None


def test_a_mail_is_reported_once() -> None:
    """What a person sends again and fails again is not reported again."""
    before = told([reported("failed")])

    assert NOTHING == found(mail(A), recipient(0, S.REFUSED, attempt()), before=before)


def test_nobody_waits_for_a_person() -> None:
    """An uncertain recipient that only a person can end holds up no report, and is not in it."""
    actions = told_of(found(mail(A, B), recipient(0, S.REFUSED, attempt()), recipient(1, S.UNCERTAIN)))

    assert {0: ReportAction.FAILED} == actions


@pytest.mark.parametrize("state", sorted(OPEN_STATES - {S.UNCERTAIN}))
def test_whoever_waits_is_waited_for(state: S) -> None:
    """Every other open state holds up the report."""
    later = found(mail(A, B), recipient(0, S.REFUSED, attempt()), recipient(1, state))

    assert () == later.recipients
    assert later.look_at is not None


def test_nothing_is_kept_in_mind_without_a_reason() -> None:
    """A mail that waits and of which nothing failed is looked at again when something happens to it."""
    assert NOTHING == found(mail(A), recipient(0, S.DEFERRED))


def test_a_delay_is_told_once_and_only_where_it_is_wished() -> None:
    """After four hours one report names the recipients that wait and whose sender wants to hear of delay."""
    message = mail(A, B, C, notify={A: {Notify.DELAY, Notify.FAILURE}, C: {Notify.DELAY}})
    greylisted = attempt(450, "4.2.0 later", outcome="deferred")
    waiting = [recipient(0, S.DEFERRED, greylisted), recipient(1, S.DEFERRED), recipient(2, S.QUEUED)]

    early = found(message, *waiting, after=DELAY - timedelta(seconds=1))
    due = found(message, *waiting, after=DELAY)
    again = found(message, *waiting, after=DELAY, before=Told(is_delay_told=True))

    assert ((), AT + DELAY) == (early.recipients, early.look_at)
    assert {0: ReportAction.DELAYED, 2: ReportAction.DELAYED} == told_of(due)
    assert ["4.2.0", "4.0.0"] == [one.status for one in due.recipients]
    assert NOTHING == again


def test_a_delay_is_told_when_the_sender_says_it_is_one() -> None:
    """BY in mode N counts instead of the settings, earlier or later."""
    message = mail(A, notify={A: {Notify.DELAY}})
    assert message.reports is not None
    for by in (timedelta(minutes=2), DELAY * 2, -timedelta(seconds=1)):
        late = replace(message, reports=replace(message.reports, late_at=AT + by))
        waiting = recipient(0, S.DEFERRED)
        early = found(late, waiting, after=by - timedelta(seconds=1))
        assert ((), AT + by) == (early.recipients, early.look_at)
        assert {0: ReportAction.DELAYED} == told_of(found(late, waiting, after=by))


def test_an_end_by_the_senders_own_limit_is_final() -> None:
    """With BY in mode R the status says that trying again is of no use."""
    message = mail(A)
    assert message.reports is not None
    limited = replace(message, reports=replace(message.reports, is_limited=True))
    (expired,) = found(limited, recipient(0, S.EXPIRED, attempt(450, "4.2.0 later"))).recipients
    (refused,) = found(limited, recipient(0, S.REFUSED, attempt())).recipients
    assert ["5.4.7", "5.1.1"] == [expired.status, refused.status]


def test_success_is_told_unless_the_next_server_tells_it() -> None:
    """Of two recipients whose success is wished, the one whose wish was passed on is left out."""
    message = mail(A, B, notify={A: {Notify.SUCCESS}, B: {Notify.SUCCESS}})
    taken = attempt(250, "2.0.0 queued", outcome="accepted", cause="")
    ended = (recipient(0, S.ACCEPTED, taken), recipient(1, S.ACCEPTED, taken))

    (one,) = found(message, *ended, before=Told(passed_on=frozenset({0}))).recipients

    assert (1, ReportAction.RELAYED, "2.0.0", "") == (one.number, one.action, one.status, one.cause)
    assert (0, 1) == taken_over(message, [1, 0])
    assert () == taken_over(mail(A, B), [0, 1])
    assert () == taken_over(mail(A, is_wished=False), [0])


@each(
    ("state", "made", "cause", "status"),
    [
        (S.REFUSED, attempt(), "recipient-unknown", "5.1.1"),
        (S.REFUSED, attempt(554, "no", enhanced=None), "policy", "5.0.0"),
        (S.REFUSED, attempt(550, "4.2.1 odd"), "policy", "5.0.0"),
        (S.REFUSED, attempt(None, "too large"), "size", "5.3.4"),
        (S.REFUSED, attempt(None, "no SMTPUTF8"), "smtputf8-needed", "5.6.7"),
        (S.EXPIRED, attempt(450, "4.2.0 later"), "greylisted", "4.4.7"),
        (S.EXPIRED, None, "", "4.4.7"),
        (S.SUPPRESSED, attempt(), "no-such-address", "5.7.1"),
        (S.BOUNCED, attempt(250, "2.0.0 ok", outcome="accepted"), "", "5.0.0"),
    ],
)
def test_the_status_is_the_servers_where_it_fits(
    state: S, made: AttemptView | None, cause: str, status: str
) -> None:
    """A server's enhanced code stands when its class is that of the end, else one of our own."""
    (one,) = found(mail(A), recipient(0, state, *filter(None, [made]), cause=cause)).recipients

    assert status == one.status


def test_an_acceptance_is_no_reason_for_a_failure() -> None:
    """What the server said to a mail that came back later, or to one never sent, is not quoted."""
    for state in (S.BOUNCED, S.SUPPRESSED):
        (one,) = found(mail(A), recipient(0, state, attempt(250, "2.0.0 ok"))).recipients
        assert (None, "", "") == (one.code, one.text, one.host)


def test_an_attempt_under_way_tells_nothing() -> None:
    """A delay is explained by the last attempt that ended."""
    message = mail(A, notify={A: {Notify.DELAY}})
    ended = attempt(450, "4.2.0 later", outcome="deferred")
    open_ = attempt(None, "", outcome="open")
    (one,) = found(message, recipient(0, S.SENDING, ended, open_), after=DELAY).recipients

    assert (450, "4.2.0") == (one.code, one.status)


def test_the_original_recipient_stands_beside_the_final_one() -> None:
    """ORCPT as the sender gave it is in the report."""
    message = mail(A, original={A: "rfc822;list@example.net"})
    (one,) = found(message, recipient(0, S.REFUSED, attempt())).recipients

    assert "rfc822;list@example.net" == one.original


def reported(what: str) -> Event:
    return Event(number=1, at=AT, kind=EventKind.MESSAGE_REPORTED, data={"what": what})


def test_what_was_told_is_read_from_events() -> None:
    """A delay told is no end; wishes passed on add up; kinds of the two lists do not overlap."""
    passed = [
        Event(number=n, at=AT, kind=EventKind.MESSAGE_REPORT_PASSED_ON, recipients=(n,)) for n in (2, 5)
    ]

    assert Told(passed_on=frozenset({2, 5}), is_delay_told=True) == told([*passed, reported("delayed")])
    assert Told(is_over=True) == told([reported("relayed")])
    assert Told(is_over=True, is_delay_told=True) == told([reported("delayed"), reported("failed")])
    assert set() == set(CALLS) & set(DONE)
    assert set(LOST) < set(CALLS)


@given(
    states=st.lists(st.sampled_from(sorted(RecipientState)), min_size=1, max_size=3),
    wanted=st.lists(st.sets(st.sampled_from(sorted(Notify))), min_size=3, max_size=3),
    hours=st.integers(0, 80),
    before=st.builds(Told, is_over=st.booleans(), is_delay_told=st.booleans()),
)
def test_whatever_happens_it_ends_in_one_report_at_most(
    states: list[S], wanted: list[set[Notify]], hours: int, before: Told
) -> None:
    """A final report comes only when nobody waits, a delay once, and NEVER is never told of."""
    message = mail(*(A, B, C)[: len(states)], notify=dict(zip((A, B, C), wanted, strict=True)))
    seen = [recipient(number, state, attempt()) for number, state in enumerate(states)]
    result = found(message, *seen, before=before, after=timedelta(hours=hours))
    actions = set(told_of(result).values())

    is_waiting = any(state in OPEN_STATES - {S.UNCERTAIN} for state in states)
    assert not (actions and before.is_over)
    assert actions <= ({ReportAction.DELAYED} if is_waiting else {ReportAction.FAILED, ReportAction.RELAYED})
    assert not (ReportAction.DELAYED in actions and (before.is_delay_told or hours < 4))
    assert not any({Notify.NEVER} == wanted[number] for number in told_of(result))
    assert result.look_at is None or is_waiting


def test_the_place_survives_its_stored_form() -> None:
    """What is stored reads back equal."""
    place = ReportPlace(after=7, waiting=((mail(A).id, DEFAULT_TENANT),))

    assert place == ReportPlace.parse(str(place))
    assert replace(place, waiting=()) == ReportPlace.parse(str(ReportPlace(after=7)))

"""The Nexus dialect as values: members in, codes and messages out."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from ingress.nexus_doors import recipient, view_of
from postroom.errors import Problem
from postroom.model.lifecycle import RecipientState
from postroom.schema.nexus import (
    TEXTS,
    Call,
    Code,
    code_for,
    outcome,
    read_call,
    refusal,
    split_addresses,
    unquoted,
)

GOOD: dict[str, object] = {"to": "<a@example.com>", "subject": "제목"}


def called(**members: object) -> Call:
    call, problems = read_call({**GOOD, **members})
    assert [] == problems
    return call


def code_of(**members: object) -> Code:
    _, problems = read_call({**GOOD, **members})
    return refusal(problems).code


@each(
    ("text", "expected"),
    [
        ("<a@example.com>", ("<a@example.com>",)),
        ("a@example.com", ("a@example.com",)),
        ("<a@example.com>,<b@example.com>,", ("<a@example.com>", "<b@example.com>")),
        (" ,<a@example.com> , , b@example.com", ("<a@example.com>", "b@example.com")),
        ('"<a@example.com>","<b@example.com>",', ("<a@example.com>", "<b@example.com>")),
        ('"Kim, Lee" <a@example.com>, b@example.com', ('"Kim, Lee" <a@example.com>', "b@example.com")),
        ('"Kim \\", Lee" <a@example.com>', ('"Kim \\", Lee" <a@example.com>',)),
        ("김 <a@example.com>,b@example.com", ("김 <a@example.com>", "b@example.com")),
        ('"<a@example.com>,', ('"<a@example.com>',)),
        ("<a@example.com", ("<a@example.com",)),
        ("", ()),
        (" , ,", ()),
        ('""', ()),
    ],
)
def test_split_addresses(text: str, expected: tuple[str, ...]) -> None:
    """A list is cut at commas that stand outside quotes and brackets, and empty entries vanish."""
    assert expected == split_addresses(text)


@given(st.text(alphabet='ab@,<>"\\ 김', max_size=60))
def test_split_loses_only_separators(text: str) -> None:
    """No character of an address is lost or invented by splitting."""
    dropped = str.maketrans("", "", ', "')
    assert text.translate(dropped) == "".join(split_addresses(text)).translate(dropped)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"<a@example.com>"', "<a@example.com>"),
        (' "y" ', "y"),
        ('""x""', '""x""'),
        ('"Kim" <a@example.com>', '"Kim" <a@example.com>'),
        ('"', '"'),
        ('""', ""),
        ("a@example.com\r\n", "a@example.com\r\n"),
    ],
)
def test_unquoted(text: str, expected: str) -> None:
    """One pair of surrounding quotes goes; quotes that belong to the value stay."""
    assert expected == unquoted(text)


@each("value", [True, "true", "TRUE", "1", 1, "y", "Y", '"true"', "yes", None, ""])
def test_use_html_true(value: object) -> None:
    """Every spelling of true, and an absent value, means HTML."""
    assert called(use_html=value).is_html


@each("value", [False, "false", "False", "0", 0, "n", "N", ' "false" ', "no"])
def test_use_html_false(value: object) -> None:
    """Every spelling of false means plain text."""
    assert not called(use_html=value).is_html


@pytest.mark.parametrize("value", ["maybe", 2, 1.5, [], {}, "on", -1])
def test_use_html_of_another_kind(value: object) -> None:
    """A truth value in no known spelling is code 410."""
    assert Code.PARAMETER == code_of(use_html=value)


def test_reads_every_member() -> None:
    """All members of a call arrive, subject and body untouched."""
    expected = Call(
        to=("<a@example.com>", "<b@example.com>"),
        cc=("<c@example.com>",),
        bcc=("<d@example.com>",),
        subject='"따옴표" 제목',
        body="<p>본문</p>\n",
        is_html=False,
        reply_id="3B5560140957@example.net",
    )
    found = called(
        to="<a@example.com>,<b@example.com>,",
        cc='"<c@example.com>"',
        bcc="<d@example.com>",
        subject='"따옴표" 제목',
        body="<p>본문</p>\n",
        use_html="n",
        reply_id="3B5560140957@example.net",
        unknown={"members": "are ignored"},
        ssl=True,
    )
    assert expected == found


@pytest.mark.parametrize("name", ["reply_id", "replay_id"])
def test_reply_id_aliases(name: str) -> None:
    """``replay_id``, as the document spells it in its example, is ``reply_id``."""
    assert "x@example.net" == called(**{name: '"x@example.net"'}).reply_id
    assert called(**{name: ""}).reply_id is None


@pytest.mark.parametrize("name", ["smtp_url", "smtp", "user", "password", "pasword"])
def test_accounts_in_the_call(name: str) -> None:
    """Any member of an account makes a plain call one that brings its own; an empty one does not."""
    assert called(**{name: "x"}).account is not None
    assert called(**{name: ""}) == called(**{name: None}) == called()
    assert called(ssl=True).account is None


@each(
    ("members", "code"),
    [
        ({"to": None}, Code.TO),
        ({"to": ""}, Code.TO),
        ({"to": " , "}, Code.TO),
        ({"to": 5}, Code.TO),
        ({"to": ["a@example.com"]}, Code.TO),
        ({"to": {}}, Code.TO),
        ({"to": "x" * 513}, Code.TO),
        ({"to": "", "subject": ""}, Code.TO),
        ({"subject": None}, Code.PARAMETER),
        ({"subject": "  "}, Code.PARAMETER),
        ({"subject": 1}, Code.PARAMETER),
        ({"subject": "x" * 513}, Code.PARAMETER),
        ({"cc": "x" * 513}, Code.PARAMETER),
        ({"bcc": "x" * 513}, Code.PARAMETER),
        ({"cc": True}, Code.PARAMETER),
        ({"reply_id": "x" * 513}, Code.PARAMETER),
        ({"body": []}, Code.PARAMETER),
        ({"files": ["aGk="]}, Code.PARAMETER),
        ({"files": "text"}, Code.PARAMETER),
    ],
)
def test_code_table(members: dict[str, object], code: Code) -> None:
    """No, bad or over-long ``to`` is 411, everything else a caller got wrong 410."""
    assert code == code_of(**members)


@each("char", ["x", "가", "😀"])
@each("name", ["to", "cc", "bcc", "subject"])
def test_512_characters(name: str, char: str) -> None:
    """The limit counts characters, not bytes: 512 pass, 513 do not."""
    assert called(**{name: char * 512})
    assert code_of(**{name: char * 513}) in (Code.TO, Code.PARAMETER)


def test_body_has_no_field_limit() -> None:
    """``body`` is not a ``text(512)``; absent and empty are the same."""
    assert "가" * 5000 == called(body="가" * 5000).body
    assert "" == called().body == called(body="").body


def test_all_problems_at_once() -> None:
    """One answer names every member that is wrong, after the document's own words."""
    _, problems = read_call({"to": "", "cc": 1, "use_html": "?"})
    answer = refusal(problems)
    assert answer.message.startswith("[Error] parameter invalid.(to) - to: missing or empty.")
    assert {"to", "cc", "subject", "use_html"} == {problem.field for problem in problems}
    assert all(f" {name}: " in answer.message for name in ("to", "cc", "subject", "use_html"))


@each(
    ("field", "code", "expected"),
    [
        ("to", "address-syntax", Code.TO),
        ("to.3", "address-syntax", Code.TO),
        ("cc.0", "address-syntax", Code.PARAMETER),
        ("html", "control-character", Code.PARAMETER),
        ("in_reply_to", "x", Code.PARAMETER),
        ("attachments.0.filename", "x", Code.PARAMETER),
        ("content-type", "malformed-body", Code.PARAMETER),
        ("from", "from-missing", Code.SERVER),
        ("to", "idempotency-key-reused", Code.PARAMETER),
    ],
)
def test_code_of_intake_problems(field: str, code: str, expected: Code) -> None:
    """Problems the shared checks find get the table's code, and their fields the document's names."""
    answer = refusal([Problem(code=code, field=field, cause="cause", fix="Fix.")])
    assert expected == answer.code
    assert answer.message.startswith(f"{TEXTS[expected]} - ")
    assert "html:" not in answer.message
    assert "in_reply_to" not in answer.message


def test_code_for_own_fault_yields_to_the_callers() -> None:
    """A caller who can mend something is told so before what only the operator can mend."""
    ours = Problem(code="from-missing", field="from", cause="c", fix="f")
    theirs = Problem(code="x", field="body", cause="c", fix="f")
    assert Code.PARAMETER == code_for([ours, theirs])


# --------------------------------------------------------------------------- outcomes


@dataclass(frozen=True)
class Words:
    meaning: str
    remedy: str


def words(cause: str) -> Words:
    return Words(meaning=f"Meaning of {cause}.", remedy=f"Remedy for {cause}.")


S = RecipientState


@each(
    ("states", "code", "start"),
    [
        ((S.ACCEPTED,), Code.SENT, "발송 성공"),
        ((S.ACCEPTED, S.ACCEPTED), Code.SENT, "발송 성공"),
        ((S.CAPTURED, S.CAPTURED), Code.SENT, "발송 성공 (captured"),
        ((S.QUEUED,), Code.SENT, "not sent yet: r0@example.com queued"),
        ((S.SENDING,), Code.SENT, "not sent yet: r0@example.com sending"),
        ((S.DEFERRED, S.QUEUED), Code.SENT, "not sent yet: r0@example.com deferred"),
        ((S.HELD,), Code.SENT, "not sent yet: r0@example.com held"),
        ((S.UNCERTAIN,), Code.SENT, "not sent yet: r0@example.com outcome unknown"),
        ((S.ACCEPTED, S.DEFERRED), Code.SENT, "not sent to all: r1@example.com deferred"),
        ((S.ACCEPTED, S.REFUSED), Code.SENT, "not sent to all: r1@example.com refused"),
        ((S.REFUSED, S.DEFERRED), Code.SENT, "not sent to all: r0@example.com refused"),
        ((S.REFUSED,), Code.SERVER, "[Error] Server - r0@example.com refused"),
        ((S.REFUSED, S.EXPIRED), Code.SERVER, "[Error] Server - r0@example.com refused"),
        ((S.SUPPRESSED,), Code.SERVER, "[Error] Server - r0@example.com suppressed"),
        ((S.CANCELLED,), Code.SERVER, "[Error] Server - r0@example.com cancelled"),
        ((S.BOUNCED,), Code.SERVER, "[Error] Server - r0@example.com bounced"),
    ],
)
def test_outcomes(states: tuple[RecipientState, ...], code: Code, start: str) -> None:
    """Every state has its answer; 500 only when nobody got it and nobody can any more."""
    answer = outcome(view_of(*(recipient(i, state) for i, state in enumerate(states))), words)
    assert code == answer.code
    assert answer.message.startswith(start)


@given(st.lists(st.sampled_from(list(S)), min_size=1, max_size=6))
def test_500_means_it_may_be_repeated(states: list[RecipientState]) -> None:
    """A caller who repeats a call that failed sends nobody a second copy."""
    answer = outcome(view_of(*(recipient(i, state) for i, state in enumerate(states))), words)
    reached_or_open = {S.ACCEPTED, S.CAPTURED, S.QUEUED, S.SENDING, S.DEFERRED, S.HELD, S.UNCERTAIN}
    assert (answer.code is Code.SERVER) == reached_or_open.isdisjoint(states)


def test_outcome_says_cause_reply_meaning_and_remedy() -> None:
    """``message`` carries the cause, the server's own words, what they mean and what to do, once each."""
    refused = recipient(0, S.REFUSED, cause="mailbox-unknown", text="5.1.1 no such user")
    answer = outcome(view_of(refused, replace(refused, number=1, address="r1@example.com")), words)
    assert answer.message == (
        "[Error] Server - r0@example.com, r1@example.com refused (mailbox-unknown) [550 5.1.1 no such user]."
        " Meaning of mailbox-unknown. Remedy for mailbox-unknown."
    )


def test_outcome_of_a_paused_transport() -> None:
    """A pause's cause stands in ``message`` although no attempt was made."""
    answer = outcome(view_of(recipient(0, S.QUEUED, cause="login-failed")), words)
    assert answer.message == (
        "not sent yet: r0@example.com queued (login-failed). Meaning of login-failed."
        " Remedy for login-failed."
    )


def test_outcome_names_five_addresses() -> None:
    """Many recipients with one cause stay one readable line."""
    answer = outcome(view_of(*(recipient(i, S.DEFERRED) for i in range(8))), words)
    assert "r4@example.com and 3 more deferred." in answer.message
    assert "r5@example.com" not in answer.message

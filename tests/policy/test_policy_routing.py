"""Routes as written, and the rules that choose among them."""

import random
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.errors import ConfigError
from postroom.model.address import parse_mailbox
from postroom.model.ids import TenantId
from postroom.model.message import Attachment, BlobRef, MailClass, Submission
from postroom.model.route import Route, RouteKind
from postroom.policy.routing import (
    DEFAULT_RULE,
    RouteRule,
    RouteTable,
    content_size,
    matches,
    parse_route,
    turn_of,
    turns,
)

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_\-]{0,39}", fullmatch=True)
LEGS = st.lists(NAMES, min_size=1, max_size=6, unique=True).map(tuple)
A, B, C = Route(("a",)), Route(("b",)), Route(("c",))


@each(
    ("written", "route"),
    [
        ("a", A),
        (" main_2-x ", Route(("main_2-x",))),
        ("failover(a b)", Route(("a", "b"))),
        ("failover(a, b,c)", Route(("a", "b", "c"))),
        ("FailOver ( a\tb )", Route(("a", "b"))),
        ("failover(a)", A),
        ("roundrobin(a b c)", Route(("a", "b", "c"), RouteKind.ROUNDROBIN)),
        ("roundrobin(a)", A),
    ],
)
def test_a_route_is_read(written: str, route: Route) -> None:
    """Names are separated by blanks or commas; a group of one is that one."""
    assert route == parse_route(written, field="to")


@each(
    ("written", "causes"),
    [
        ("", ["no transport is named"]),
        (" , ", ["no transport is named"]),
        ("failover()", ["no transport is named"]),
        ("a b", ["several transports without the word that says how they are used"]),
        ("fallback(a b)", ["the word before ( is neither failover nor roundrobin"]),
        ("failover(a b", ["brackets that do not close or stand inside each other"]),
        ("failover(a) b", ["brackets that do not close or stand inside each other"]),
        ("(a b)", ["brackets that do not close or stand inside each other"]),
        (
            "failover(a roundrobin(b c))",
            ["entry 2 is not a transport's name", "entry 3 is not a transport's name"],
        ),
        ("failover(a b a)", ["'a' stands 2 times"]),
        ("Main", ["entry 1 is not a transport's name"]),
        (
            "fallback(a a Main)",
            [
                "'a' stands 2 times",
                "entry 2 is not a transport's name",
                "the word before ( is neither failover nor roundrobin",
            ],
        ),
    ],
)
def test_a_wrong_route_is_told_whole(written: str, causes: list[str]) -> None:
    """Each problem names the field it was written in, its cause and what to do, all of them at once."""
    with pytest.raises(ConfigError) as caught:
        parse_route(written, field="routes.0.to")
    assert causes == [problem.cause for problem in caught.value.problems]
    assert {"routes.0.to"} == {problem.field for problem in caught.value.problems}
    assert all(problem.fix for problem in caught.value.problems)


def test_a_url_in_the_wrong_place_is_not_repeated() -> None:
    """A secret that was written where a name belongs stays out of the error."""
    with pytest.raises(ConfigError) as caught:
        parse_route("failover(smtps://app:s3cret-word@mx.example.com b)", field="to")
    assert "s3cret" not in str(caught.value.problems)


@given(legs=LEGS, kind=st.sampled_from(RouteKind))
def test_a_route_reads_back_as_written(legs: tuple[str, ...], kind: RouteKind) -> None:
    """The stored form of any route is read as the same route."""
    route = Route(legs, kind if len(legs) > 1 else RouteKind.FAILOVER)
    assert route == parse_route(str(route), field="to")


@given(st.text(alphabet="abfrnd(), \t\n;:A", max_size=30) | st.text())
def test_any_text_is_a_route_or_told(text: str) -> None:
    """No text breaks the parser; what it reads has names, each once."""
    legs: tuple[str, ...] = ("told",)
    with suppress(ConfigError):
        legs = parse_route(text, field="to").legs
    assert len(legs) == len(set(legs)) > 0


@given(legs=LEGS, kind=st.sampled_from(RouteKind), entropy=st.binary(min_size=8, max_size=40))
def test_turning_keeps_the_ring(legs: tuple[str, ...], kind: RouteKind, entropy: bytes) -> None:
    """Round robin has a turn for each leg, each the same ring; a failover has one; a message gets one."""
    found = turns(Route(legs, kind))
    count = len(legs) if kind is RouteKind.ROUNDROBIN else 1
    assert legs[:count] == tuple(route.legs[0] for route in found)
    for start, route in enumerate(found):
        assert Route(legs[start:] + legs[:start], kind) == route
    assert 0 <= turn_of(entropy, count) == turn_of(entropy, count) < count


def test_round_robin_is_even() -> None:
    """Of 3,000 messages each of three turns gets a third, give or take a tenth of it."""
    dice = random.Random(1)
    drawn = [turn_of(dice.randbytes(36), 3) for _ in range(3000)]
    for turn in range(3):
        assert abs(drawn.count(turn) - 1000) < 100


# --------------------------------------------------------------------------- rules

MAIL = Submission(
    from_=parse_mailbox("App <Reports@shop.example.com>"),
    to=(parse_mailbox("a@example.org"), parse_mailbox("b@example.org")),
    cc=(parse_mailbox("c@example.net"),),
    text="hello",
    tags=("invoice", "monthly"),
    mail_class=MailClass.BULK,
)
LARGE = replace(
    MAIL,
    attachments=(
        Attachment(filename="x", content_type="text/plain", blob=BlobRef(sha256="0" * 64, size=1_000_000)),
    ),
)


def rule(**conditions: object) -> RouteRule:
    return replace(RouteRule(name="r", route=B), **conditions)  # type: ignore[arg-type]  # fields by name


@each(
    ("conditions", "expected"),
    [
        ({}, True),
        ({"senders": {"reports@shop.example.com"}}, True),
        ({"senders": {"@shop.example.com"}}, True),
        ({"senders": {"@example.com"}}, False),
        ({"senders": {"x@example.com", "@shop.example.com"}}, True),
        ({"recipient_domains": {"example.org"}}, False),
        ({"recipient_domains": {"example.org", "example.net"}}, True),
        ({"recipient_domains": {"example.net"}, "any_recipient": True}, True),
        ({"recipient_domains": {"example.com"}, "any_recipient": True}, False),
        ({"tags": {"invoice"}}, True),
        ({"tags": {"monthly", "other"}}, True),
        ({"tags": {"Invoice"}}, False),
        ({"classes": {MailClass.BULK, MailClass.CODE}}, True),
        ({"classes": {MailClass.CODE}}, False),
        ({"over": 4}, True),
        ({"over": 5}, False),
        ({"under": 6}, True),
        ({"under": 5}, False),
        ({"over": 4, "under": 6}, True),
        ({"tenants": {TenantId("default")}}, True),
        ({"tenants": {TenantId("other")}}, False),
        ({"tags": {"invoice"}, "classes": {MailClass.CODE}}, False),
        ({"tags": {"invoice"}, "classes": {MailClass.BULK}, "senders": {"@shop.example.com"}}, True),
    ],
)
def test_every_condition_must_hold(conditions: dict[str, object], expected: bool) -> None:
    """A condition holds by one of its values; of the domains every recipient's, unless any will do."""
    frozen = {
        name: frozenset(value) if isinstance(value, set) else value for name, value in conditions.items()
    }
    assert expected == matches(rule(**frozen), MAIL)


def test_a_mail_without_sender_has_none_to_match() -> None:
    """The sender of such a mail comes from the transport, so it cannot choose it."""
    assert not matches(rule(senders=frozenset({"@shop.example.com"})), replace(MAIL, from_=None))


def test_size_counts_texts_and_files() -> None:
    """Bytes of UTF-8 in both texts and of the files as they are."""
    assert content_size(MAIL) == 5
    assert content_size(replace(LARGE, html="ä")) == 1_000_007


def test_the_first_rule_that_matches_decides() -> None:
    """Later rules are not asked; what no rule matches takes the default, by that name."""
    table = RouteTable(
        [
            RouteRule(name="large", route=A, over=500_000),
            RouteRule(name="bulk", route=B, classes=frozenset({MailClass.BULK})),
            RouteRule(name="also-bulk", route=A, classes=frozenset({MailClass.BULK})),
        ],
        C,
    )
    found = [table.choose(mail) for mail in (LARGE, MAIL, replace(MAIL, mail_class=MailClass.CODE))]
    assert [("large", A), ("bulk", B), (DEFAULT_RULE, C)] == [(one.rule, one.route) for one in found]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [({}, True), ({"any_recipient": True}, True), ({"over": 0}, False), ({"tags": frozenset({"x"})}, False)],
)
def test_a_rule_without_conditions_catches_all(conditions: dict[str, object], expected: bool) -> None:
    """Only a rule that every mail matches is a catch-all."""
    assert expected == rule(**conditions).is_catch_all

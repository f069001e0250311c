"""Claims about parsing addresses and mailboxes."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given, settings
from hypothesis import strategies as st

from each_row import each
from postroom.grammar import ATEXT
from postroom.model.address import (
    MAX_NAME,
    Address,
    AddressError,
    Mailbox,
    make_mailbox,
    parse_address,
    parse_mailbox,
    parse_mailbox_list,
)

ATTACKS = Path(__file__).parents[1] / "attacks" / "attacks.jsonl"
ADR_ROWS = [row for row in map(json.loads, ATTACKS.read_text().splitlines()) if row["group"] == "ADR"]
SINGLE_REFUSED = [
    row
    for row in ADR_ROWS
    if row["outcome"] == "REJECT" and row["surface"] in {"api.to", "api.from"} and row["id"] != "ADR-039"
]


def texts_of(row: dict[str, Any]) -> list[str]:
    """Return the input texts of an attack row."""
    given_input = row["input"]
    if given_input["kind"] == "text":
        return [given_input["text"]]
    if given_input["kind"] == "list":
        return list(given_input["values"])
    return [eval(given_input["expr"])]  # noqa: S307 - our own data file


@each("row", SINGLE_REFUSED)
def test_refuses_attack_rows(row: dict[str, Any]) -> None:
    """Every address attack that must be refused is refused at once."""
    for text in texts_of(row):
        started = time.process_time()
        with pytest.raises(AddressError):
            parse_mailbox(text)
        assert time.process_time() - started < 0.5


def test_every_text_row_of_the_group_is_used() -> None:
    """The rows that are not simply refused are the known ones; a new row must be given a test."""
    assert {
        "ADR-008",  # test_display_name_that_is_an_address_stays_a_name
        "ADR-014",  # test_accepts_what_relays_accept
        "ADR-016",  # the SMTP door
        "ADR-020",  # test_domain_becomes_its_a_label
        "ADR-021",
        "ADR-024",
        "ADR-039",  # test_an_empty_list_is_refused
        "ADR-041",  # tests of the writer: Bcc is no part of the content
        "ADR-043",  # test_addresses_are_equal_when_only_the_domain_case_differs
    } == {row["id"] for row in ADR_ROWS} - {row["id"] for row in SINGLE_REFUSED}


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("ann@example.com", "ann", "example.com"),
        ("Ann.Example+tag@Mail.EXAMPLE.com", "Ann.Example+tag", "mail.example.com"),
        ("root@localhost", "root", "localhost"),
        ("victim%evil.test@good.test", "victim%evil.test", "good.test"),
        ("a@3com", "a", "3com"),
        ("{x}!#$&'*/?=^_`|~-@example.org", "{x}!#$&'*/?=^_`|~-", "example.org"),
        ("a" * 64 + "@example.org", "a" * 64, "example.org"),
    ],
)
def test_accepts_what_relays_accept(text: str, local: str, domain: str) -> None:
    """Dot-atoms at host names are taken, the domain in lower case, the local part as given."""
    assert Address(local, domain) == parse_address(text)


@each(
    ("text", "domain"),
    [
        ("u@b\u00fccher.example", "xn--bcher-kva.example"),
        ("u@B\u00dcCHER.example", "xn--bcher-kva.example"),
        ("u@example\u3002com", "example.com"),
        ("u@\u1d49xample.com", "example.com"),
        ("u@\u0430pple.com", "xn--pple-43d.com"),
        ("u@XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("u@\u4f8b\u5b50.\u516c\u53f8", "xn--fsqu00a.xn--55qx5d"),
        ("u@stra\u00dfe.example", "xn--strae-oqa.example"),
    ],
)
def test_domain_becomes_its_a_label(text: str, domain: str) -> None:
    """International domains are mapped by UTS 46 and stored as IDNA 2008 A-labels."""
    assert Address("u", domain) == parse_address(text)


@each(
    "text",
    [
        "",
        "@",
        "a@",
        "@b.test",
        "a",
        " a@b.test",
        "a@b.test ",
        "a@b.test\n",
        "a@b.test.",
        "a@.test",
        "a@b..test",
        ".a@b.test",
        "a..b@c.test",
        "a.@b.test",
        "a b@c.test",
        "a@b@c.test",
        "a@-b.test",
        "a@b_c.test",
        "a@192.0.2.1",
        "a@2130706433",
        "a@0x7f.0x1",
        "a@0x7f000001",
        "a@xn--a.test",
        "a@xn--zzzzzz.test",
        "a" * 65 + "@b.test",
        "a@" + "b" * 64 + ".test",
        "a@" + ".".join(["b" * 50] * 5) + ".test",
        "\u00fc" * 33 + "@b.test",
        "e\u0301@b.test",
        "\u0301a@b.test",
        "a\u00a0b@c.test",
        "a\u200db@c.test",
        "a\ud800@b.test",
        "a@b\ud800.test",
        "a\x85@b.test",
        "(a)b@c.test",
        "b@c.test(a)",
        "a,b@c.test",
    ],
)
def test_refuses_malformed_addresses(text: str) -> None:
    """What is no plain address is refused with a cause in lower case and a fix that is a sentence."""
    with pytest.raises(AddressError) as refused:
        parse_address(text)
    assert refused.value.cause[0].islower()
    assert refused.value.fix.endswith(".")


def test_international_local_part_is_kept() -> None:
    """A local part outside ASCII is taken as given and marked as needing SMTPUTF8."""
    address = parse_address("\u7528\u6237@example.com")
    assert Address("\u7528\u6237", "example.com") == address
    assert not address.is_ascii


def test_addresses_are_equal_when_only_the_domain_case_differs() -> None:
    """Domains are compared without case, local parts with it (RFC 5321 section 2.4)."""
    assert 2 == len({parse_address(text) for text in ("A@X.test", "A@x.test", "a@x.test")})


@each(
    ("text", "name", "spec"),
    [
        ("a@b.test", "", "a@b.test"),
        ("<a@b.test>", "", "a@b.test"),
        (" Ann Example  < a@b.test > ", "Ann Example", "a@b.test"),
        ('"Example, Ann" <a@b.test>', "Example, Ann", "a@b.test"),
        (r'"An \"x\" \\ Example"<a@b.test>', r'An "x" \ Example', "a@b.test"),
        ("Dr. A. [Team] <a@b.test>", "Dr. A. [Team]", "a@b.test"),
        ("\u738b\u4f1f <a@b.test>", "\u738b\u4f1f", "a@b.test"),
        ("=?utf-8?q?a?= <a@b.test>", "=?utf-8?q?a?=", "a@b.test"),
        ('"" <a@b.test>', "", "a@b.test"),
    ],
)
def test_mailbox_forms(text: str, name: str, spec: str) -> None:
    """Every form of a mailbox gives the name as people read it, nothing decoded."""
    assert Mailbox(parse_address(spec), name) == parse_mailbox(text)


def test_display_name_that_is_an_address_stays_a_name() -> None:
    """A quoted name that looks like an address decides nothing."""
    box = parse_mailbox('"alice@example.org" <bob@evil.test>')
    assert ("alice@example.org", "bob@evil.test") == (box.name, box.address.spec)


@each(
    "text",
    [
        "<a@b.test",
        "a@b.test>",
        "x <a@b.test> y",
        "x <<a@b.test>>",
        "a, b <a@b.test>",
        "x (comment) <a@b.test>",
        "g: <a@b.test>",
        '"a <a@b.test>',
        'a" <a@b.test>',
        '"a" b <a@b.test>',
        '"a\\" <a@b.test>',
        "a\nb <a@b.test>",
        "a\u202eb <a@b.test>",
        '"a\ud800" <a@b.test>',
        "a\u2028b <a@b.test>",
        "<@x.test,@y.test:a@b.test>",
        "x" * (MAX_NAME + 1) + " <a@b.test>",
    ],
)
def test_refuses_malformed_mailboxes(text: str) -> None:
    """A mailbox that could be read in two ways, or whose name could break a header, is refused."""
    with pytest.raises(AddressError):
        parse_mailbox(text)


def test_make_mailbox_checks_the_name() -> None:
    """A name given apart from its address may hold specials but no control characters."""
    assert Mailbox(parse_address("a@b.test"), 'x, "y" <z>') == make_mailbox("a@b.test", ' x, "y" <z> ')
    with pytest.raises(AddressError):
        make_mailbox("a@b.test", "Legit\r\nBcc: attacker@evil.test")


def test_list_respects_quotes_and_tolerates_a_trailing_comma() -> None:
    """Commas inside quotes separate nothing; blank items are skipped."""
    expected = (
        Mailbox(parse_address("a@b.test"), "Example, Ann"),
        Mailbox(parse_address("c@d.test")),
        Mailbox(parse_address("e@f.test"), "E"),
    )
    assert expected == parse_mailbox_list(' "Example, Ann" <a@b.test>,c@d.test,  E <e@f.test> , ')


@pytest.mark.parametrize(
    "text", ["", " ", ",", "<>", '"unclosed@x.test, b@x.test', "a@b.test; c@d.test", "a@b.test,x"]
)
def test_an_empty_list_is_refused(text: str) -> None:
    """A list without a mailbox, with an open quote or with one wrong item is refused as a whole."""
    with pytest.raises(AddressError):
        parse_mailbox_list(text)


def test_hostile_lists_take_linear_time() -> None:
    """Quotes, commas and nesting by the ten thousand are answered in a moment."""
    for text in (
        '"a",' * 50_000,
        "," * 200_000,
        '"\\' * 100_000,
        "g: " * 50_000 + "u@x.test;",
        "<" * 100_000,
    ):
        started = time.process_time()
        with pytest.raises(AddressError):
            parse_mailbox_list(text)
        assert time.process_time() - started < 0.5


@given(st.text(max_size=80))
def test_any_text_gives_an_address_or_an_address_error(text: str) -> None:
    """No text makes the parsers raise anything else, and what they take reads back equal."""
    for parse in (parse_mailbox, lambda one: Mailbox(parse_address(one))):
        try:
            box = parse(text)
        except AddressError:
            continue
        assert box.address == parse_address(box.address.spec)


@settings(max_examples=50)
@given(
    st.from_regex(rf"[{ATEXT}]{{1,12}}(\.[{ATEXT}]{{1,12}})?", fullmatch=True),
    st.from_regex(r"[a-zA-Z0-9\-]{1,20}\.[a-zA-Z0-9]{1,8}", fullmatch=True),
)
def test_agrees_with_a_foreign_validator(local: str, domain: str) -> None:
    """What we take, email-validator takes with the same domain, special-use domains apart."""
    try:
        ours = parse_address(f"{local}@{domain}")
    except AddressError:
        return
    try:
        theirs = validate_email(
            f"{local}@{domain}", check_deliverability=False, test_environment=True, globally_deliverable=False
        )
    except EmailNotValidError:
        # It knows rules of the registries (a top level of letters) that mail does not have.
        return
    assert theirs.ascii_domain == ours.domain
    assert theirs.local_part == ours.local

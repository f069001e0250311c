"""Walks through SPF and DMARC records, and what the records of a domain mean."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.address import parse_mailbox
from postroom.model.checkup import Stage, StageResult, StageStatus
from postroom.model.transport import SmtpAccount, TlsMode, TransportKind, TransportSpec
from postroom.policy import doctor_records as means
from postroom.policy.doctor_case import Case, case_of
from postroom.policy.records import Answer, DmarcWalk, SpfWalk, mail_hosts

Zone = Mapping[tuple[str, str], Sequence[str]]
GONE = Answer(exists=False)


def walked_spf(domain: str, zone: Zone) -> SpfWalk:
    walk = SpfWalk(domain)
    while (question := walk.question()) is not None:
        walk.take(question, Answer(tuple(zone[question])) if question in zone else GONE)
    return walk


def walked_dmarc(domain: str, zone: Mapping[str, Sequence[str]]) -> tuple[DmarcWalk, list[str]]:
    walk, asked = DmarcWalk(domain), []
    while (question := walk.question()) is not None:
        asked.append(question[0].removeprefix("_dmarc."))
        walk.take(question, Answer(tuple(zone.get(asked[-1], ()))))
    return walk, asked


def txt(**records: str) -> Zone:
    return {(name.replace("_", "."), "TXT"): [text] for name, text in records.items()}


def case(host: str, sender: str, username: str | None = None) -> Case:
    account = SmtpAccount(host=host, port=465, tls=TlsMode.IMPLICIT, username=username or sender)
    spec = TransportSpec(
        name="t", kind=TransportKind.SMTP, account=account, default_from=parse_mailbox(sender)
    )
    return case_of(spec, account)


# ------------------------------------------------------------- SPF


def test_a_record_is_followed_through_includes_and_redirect() -> None:
    """Every name that it leads to is known, in order, and each look-up is counted."""
    zone = txt(
        a_example="v=spf1 mx include:b.example a:c.example ip4:192.0.2.0/24 redirect=d.example",
        b_example="v=spf1 ip6:2001:db8::/32 -all",
        d_example="v=spf1 include:e.example ~all",
        e_example="V=SPF1 -all",
    )
    walk = walked_spf("a.example", {**zone, ("a.example", "MX"): ["10 m"], ("c.example", "A"): ["192.0.2.1"]})
    assert ("", ["b.example", "d.example", "e.example"], 5) == (walk.cause, walk.included, walk.lookups)


@each(
    ("zone", "cause"),
    [
        ({}, "spf-missing"),
        ({("a.example", "TXT"): ["v=spf10 -all", "spf2.0/pra"]}, "spf-missing"),
        ({("a.example", "TXT"): ["v=spf1 -all", "v=spf1 ~all"]}, "spf-several"),
        (txt(a_example="v=spf1 include:b.example -all"), "spf-invalid"),
        (txt(a_example="v=spf1 include:a.example -all"), "spf-invalid"),
        (txt(a_example="v=spf1 ip5:192.0.2.1 -all"), "spf-invalid"),
        (txt(a_example="v=spf1 a:b.example a:c.example a:d.example -all"), "spf-too-deep"),
        (txt(a_example="v=spf1 " + "exists:%{i}.b.example " * 11 + "-all"), "spf-too-deep"),
        (txt(a_example="v=spf1 " + "exists:%{i}.b.example " * 10 + "-all"), ""),
        (txt(a_example="v=spf1 -all include:b.example"), ""),
        (txt(a_example="v=spf1 unknown=modifier exp=b.example ?all"), ""),
    ],
)
def test_records_that_receivers_give_up_on(zone: Zone, cause: str) -> None:
    """One record, ten look-ups, two that find nothing, no circle, no unknown term."""
    assert cause == walked_spf("a.example", zone).cause


@pytest.mark.parametrize(
    ("term", "is_open"), [("all", True), ("+all", True), ("?all", False), ("-all", False)]
)
def test_a_record_that_allows_everybody_is_open(term: str, is_open: bool) -> None:
    """Only with a plain ``all`` of the domain's own record."""
    assert is_open is walked_spf("a.example", txt(a_example=f"v=spf1 {term}")).is_open


@given(st.text(max_size=60))
def test_no_record_makes_the_walk_raise_or_go_on_for_ever(text: str) -> None:
    """Whatever stands in a record, and in everything that it includes."""
    walk = SpfWalk("a.example")
    for _ in range(30):
        question = walk.question()
        if question is None:
            break
        walk.take(question, Answer((f"v=spf1 {text}",)))
    assert walk.question() is None


# ------------------------------------------------------------- DMARC


def test_the_walk_goes_up_one_label_at_a_time() -> None:
    """At most eight questions: of a long name the last seven labels are asked after the first."""
    assert ["a.b.example", "b.example", "example"] == walked_dmarc("a.b.example", {})[1]
    _, asked = walked_dmarc("a.b.c.d.e.f.g.h.i.j.mail.example.com", {})
    assert ["a.b.c.d.e.f.g.h.i.j.mail.example.com", "g.h.i.j.mail.example.com"] == asked[:2]
    assert 8 == len(asked)


def test_the_organisational_domain_has_the_record_with_the_fewest_labels() -> None:
    """Unless a record says where it is."""
    zone = {"a.example.com": ["v=DMARC1; p=none"], "example.com": ["v=DMARC1; p=reject; sp=quarantine"]}
    walk, _ = walked_dmarc("a.example.com", zone)
    assert ("example.com", "none") == (walk.organisational, walk.policy())
    below, _ = walked_dmarc("b.example.com", zone)
    assert ("example.com", "quarantine") == (below.organisational, below.policy())
    assert "reject" == walked_dmarc("b.example.com", {"example.com": ["v=DMARC1; p=reject"]})[0].policy()


def test_psd_ends_the_walk() -> None:
    """``psd=n`` is the organisational domain itself, ``psd=y`` lies one label above it."""
    walk, asked = walked_dmarc("a.b.example", {"b.example": ["v=DMARC1; p=reject; psd=n"]})
    assert ("b.example", ["a.b.example", "b.example"]) == (walk.organisational, asked)
    walk, _ = walked_dmarc("a.shop.example", {"example": ["v=DMARC1; p=reject; psd=y"]})
    assert ("shop.example", "reject") == (walk.organisational, walk.policy())


def test_np_is_for_names_that_do_not_exist() -> None:
    """It goes before sp there, and is not looked at elsewhere."""
    walk, _ = walked_dmarc("x.example.com", {"example.com": ["v=DMARC1; p=none; sp=quarantine; np=reject"]})
    assert ("quarantine", "reject") == (walk.policy(), walk.policy(exists=False))


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("v=DMARC1; p=reject; pct=1; rf=afrf; ri=3600", "reject"),
        ("v=DMARC1;p=QUARANTINE;", "quarantine"),
        ("v=DMARC1; rua=mailto:a@example.com", "none"),
        ("v=DMARC1; p=bogus", ""),
        ("v=DMARC1", ""),
        ("p=reject; v=DMARC1", ""),
        ("v=dmarc1; p=reject", ""),
    ],
)
def test_records_are_read_as_the_standard_says(text: str, policy: str) -> None:
    """The version stands first; tags that are gone are read over; a wish for reports alone is p=none."""
    assert policy == walked_dmarc("example.com", {"example.com": [text]})[0].policy()


def test_two_records_count_as_none() -> None:
    """And are remembered as the reason."""
    walk, _ = walked_dmarc("example.com", {"example.com": ["v=DMARC1; p=none", "v=DMARC1; p=reject"]})
    assert (None, ["example.com"]) == (walk.record, walk.several)


@given(st.text(max_size=60))
def test_no_text_makes_a_dmarc_walk_raise(text: str) -> None:
    """Whatever stands in a record."""
    walk, asked = walked_dmarc("a.b.example.com", {"b.example.com": [f"v=DMARC1;{text}"]})
    assert len(asked) <= 8
    assert walk.policy() in {"", "none", "quarantine", "reject"}


# ------------------------------------------------------------- what they mean


def told(result: StageResult) -> tuple[StageStatus, str]:
    return result.status, result.cause


def test_mail_hosts_are_in_the_order_of_preference() -> None:
    """The smallest number first."""
    assert ["a", "b"] == mail_hosts(Answer(("20 b", "10 a")))


@pytest.mark.parametrize(
    ("answer", "addresses", "cause"),
    [
        (Answer(("10 mx.example.org",)), Answer(), ""),
        (Answer(("0 .",)), Answer(), "mx-null"),
        (Answer(), Answer(("192.0.2.1",)), ""),
        (Answer(), Answer(), "mx-missing"),
        (GONE, GONE, "mx-missing"),
    ],
)
def test_a_domain_that_takes_no_mail_is_warned_about(answer: Answer, addresses: Answer, cause: str) -> None:
    """RFC 7505, RFC 5321 section 5.1."""
    assert cause == means.mx(case("mail.example.org", "a@example.org"), answer, addresses).cause


def test_the_service_must_be_named_in_the_record() -> None:
    """With what the record should be; a service that is unknown is not guessed at."""
    walk = walked_spf("example.org", txt(example_org="v=spf1 ip4:192.0.2.1 ~all"))
    result = means.spf(case("smtp.gmail.com", "a@example.org"), walk)
    assert (StageStatus.WARNING, "spf-relay-absent") == told(result)
    assert "v=spf1 include:_spf.google.com ip4:192.0.2.1 ~all" == result.found["expected"]
    assert StageStatus.OK is means.spf(case("mail.example.org", "a@example.org"), walk).status


def test_the_providers_own_domain_is_the_providers_affair() -> None:
    """A mailbox of QQ that sends through QQ needs nothing of its owner."""
    own = case("smtp.qq.com", "1@qq.com")
    walk = walked_spf("qq.com", txt(qq_com="v=spf1 ip4:192.0.2.1 -all"))
    assert StageStatus.OK is means.spf(own, walk).status
    policy, _ = walked_dmarc("qq.com", {"qq.com": ["v=DMARC1; p=quarantine"]})
    assert StageStatus.OK is means.dmarc(own, policy, walk, exists=True).status


def test_a_freemail_sender_through_another_relay_never_aligns() -> None:
    """Whatever the records say."""
    walk, _ = walked_dmarc("gmail.com", {"gmail.com": ["v=DMARC1; p=none; sp=quarantine"]})
    result = means.dmarc(case("smtp.qq.com", "a@gmail.com", "1@qq.com"), walk, None, exists=True)
    assert (StageStatus.WARNING, "from-freemail") == told(result)
    other = means.dmarc(case("relay.example.org", "a@gmail.com", "app"), walk, None, exists=True)
    assert "from-freemail" == other.cause


@pytest.mark.parametrize(
    ("record", "cause"),
    [
        ("v=DMARC1; p=reject", "dmarc-unaligned"),
        ("v=DMARC1; p=reject; t=y", ""),
        ("v=DMARC1; p=none", ""),
        ("v=DMARC1", "dmarc-invalid"),
        ("", "dmarc-missing"),
    ],
)
def test_a_policy_that_this_mail_would_fail_is_warned_about(record: str, cause: str) -> None:
    """Not in test mode, and never with pct in what is suggested."""
    spf = walked_spf("example.org", txt(example_org="v=spf1 -all"))
    walk, _ = walked_dmarc("example.org", {"example.org": [record]})
    result = means.dmarc(case("smtp.gmail.com", "a@example.org"), walk, spf, exists=True)
    assert cause == result.cause
    assert "pct" not in result.found.get("expected", "")


def test_keys_are_found_only_under_known_selectors() -> None:
    """A key, an empty one, none, and no selector to ask for."""
    one = case("smtp.gmail.com", "a@example.org")
    assert StageStatus.OK is means.dkim(one, {"google": Answer(("v=DKIM1; p=AAAA",))}).status
    assert "dkim-revoked" == means.dkim(one, {"google": Answer(("v=DKIM1; p=",))}).cause
    assert StageStatus.SKIPPED is means.dkim(one, {"google": GONE}).status
    assert StageStatus.SKIPPED is means.dkim(one, {}).status


def test_warnings_about_the_providers_own_domain_are_not_the_senders() -> None:
    """They are said and skipped; those about one's own domain stay."""
    own, other = case("smtp.qq.com", "1@qq.com"), case("smtp.qq.com", "a@example.org", "1@qq.com")
    assert StageStatus.SKIPPED is means.owned(own, means.mx(own, GONE, GONE)).status
    assert StageStatus.WARNING is means.owned(other, means.mx(other, GONE, GONE)).status


@pytest.mark.parametrize("sender", ["a@localhost", "a@app.internal", "a@host.local", "a@x.invalid"])
def test_private_domains_are_not_asked_for(sender: str) -> None:
    """The public DNS knows nothing of them."""
    assert "" == means.domain_of(case("mail.example.org", sender))


def test_every_stage_of_records_has_a_place() -> None:
    """The four of the sender's domain."""
    assert (Stage.MX, Stage.SPF, Stage.DKIM, Stage.DMARC) == means.RECORDS

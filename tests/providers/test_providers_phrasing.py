"""What a reply quotes is no verdict; what it says stays; whose server it is can be told by name."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.egress.dialer import reply_charset
from postroom.model.step import Step
from postroom.providers.phrasing import essence
from postroom.providers.replies import MAX_TEXT, find_rule, group_of_provider


@each(
    ("said", "left"),
    [
        ("5.1.1 <spam@example.com>: user unknown", "5.1.1 <<>>: user unknown"),
        ("spam.example.org cannot talk to you", "- cannot talk to you"),
        ("[185.1.1.20] is not taken", "[] is not taken"),
        ("gave up in 15.4.6 of the program", "gave up in  of the program"),
        ("(#5.1.1)", "(#5.1.1)"),
        ('Subject "mailbox full" is not taken', "Subject is not taken"),
        ("blocked using zen.spamhaus.org", "blocked using zen.spamhaus.org"),
        ("blocked using spamhaus.example.com", "blocked using -"),
        ("see https://support.google.com/mail/?p=NoSuchUser now", "see NoSuchUser now"),
        ("see https://www.example.com/spam/quota", "see "),
        ("5.7.26 either 5.7.26 SPF or 5.7.26 DKIM", "5.7.26 either SPF or DKIM"),
        ("RESOLVER.ADR.RecipNotFound; not found", "RESOLVER.ADR.RecipNotFound; not found"),
        ("ERR.LOGIN.IPDENY", "ERR.LOGIN.IPDENY"),
        ("access denied.please ask", "access denied.please ask"),
    ],
)
def test_what_is_quoted_goes_and_what_is_said_stays(said: str, left: str) -> None:
    """Addresses, hosts, links, numbers that are no codes and subjects are blanked, block lists are not."""
    assert left == essence(said, MAX_TEXT)


@given(st.text(max_size=200), st.integers(0, 50))
def test_any_text_has_an_essence(text: str, most: int) -> None:
    """Never raises, and is as short as it was asked for."""
    assert len(essence(text, most)) <= most


@each("unit", ["a", "a@", "a.", "1.", "http://", 'subject "', "@", "-.", "x ", "5.1.1 "])
def test_the_time_is_linear(unit: str) -> None:
    """The worst texts that a peer may send take milliseconds (security limit)."""
    text = unit * (8192 // len(unit))
    begun = time.perf_counter()
    essence(text, MAX_TEXT)
    assert time.perf_counter() - begun < 0.25


@pytest.mark.parametrize(
    ("provider", "group"),
    [
        ("qq", "qq"),
        ("exmail", "qq"),
        ("gmail", "google"),
        ("ses", "ses"),
        ("163", "netease"),
        ("nobody", "*"),
    ],
)
def test_a_provider_has_its_group(provider: str, group: str) -> None:
    """By the hosts of its row, regions included."""
    assert group == group_of_provider(provider)


@pytest.mark.parametrize("host", ["192.0.2.9", "mail.example.com", "relay.internal.invalid"])
def test_a_named_provider_rules_whatever_the_host_is_called(host: str) -> None:
    """An alias, an address or a tunnel in front of a provider: its wordings and its charset are known."""

    def cause(provider: str | None) -> str | None:
        found = find_rule(
            host=host,
            port=465,
            step=Step.AUTH,
            code=535,
            text="Login Fail. authorization code",
            provider=provider,
        )
        return found.id if found is not None else None

    assert ("auth-wrong", "qq-auth-code") == (cause(None), cause("qq"))
    assert ("latin-1", "gb18030", "cp949") == tuple(reply_charset(host, one) for one in (None, "qq", "naver"))

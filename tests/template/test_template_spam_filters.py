"""The ready templates before spam filters that others wrote: as whole mails, nothing is held against them."""

import io
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cache
from pathlib import Path

import pytest
from tools.shipped_mails import LANGUAGES, mail, names

from peers.spam_filters import Hits, rspamd, spamassassin
from postroom.mime.address_fields import read_mailboxes
from postroom.mime.writer import render, wire_chunks
from postroom.model.message import Content

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("shipped")]

NOW = datetime.now(UTC)
"""A filter knows the time, and what is from the future is spam."""
RECEIVED = (
    "Received: from mail.example.com (mail.example.com [192.0.2.10])\r\n"
    "\tby mx.example.net with ESMTPS id 4XyZ12abcd\r\n"
    f"\tfor <bob@example.net>; {format_datetime(NOW)}\r\n"
).encode("ascii")
NOT_OURS = {
    "RCVD_ILLEGAL_IP",  # SpamAssassin: the network of documentation, which no real mail comes from
    "HTML_MESSAGE",  # SpamAssassin: it has HTML; 0.001
    "T_REMOTE_IMAGE",  # SpamAssassin: the logo is loaded from the sender's site; 0.01
    "MANY_INVISIBLE_PARTS",  # rspamd: the preheader is hidden; 0.05
    "MIME_BASE64_TEXT",  # rspamd: Chinese and Korean are shorter in base64; 0.1
    "R_MIXED_CHARSET",  # rspamd: it samples words to guess the language, and now and then a French mail
    # is taken for English, so that its accents count as another alphabet; 0.6 of 15
}
LURE = (
    "<p>Dear friend, you have won the lottery! Viagra 100% free, click here now to claim your "
    "million dollars, risk free, act now!!!</p>"
)


def wire(subject: str, text: str, html: str) -> bytes:
    """Write a mail as it would arrive."""
    content = Content(
        message_id="20261122120000.22abcdefghijkmnopqrstu@example.com",
        date=NOW,
        boundary="6QzV9wTn3KcY8mRb",
        from_=read_mailboxes("Example <mail@example.com>")[0],
        to=read_mailboxes("Bob Miller <bob@example.net>"),
        subject=subject,
        text=text,
        html=html,
    )
    return RECEIVED + b"".join(wire_chunks(render(content), lambda _: io.BytesIO()))


@cache
def mails() -> dict[str, bytes]:
    """Every template in every language, and one that a filter must not like."""
    found = {}
    for name in names():
        for language in LANGUAGES:
            made = mail(name, language, _logo_url="")
            found[f"{name}.{language}"] = wire(made.subject, made.text, made.html)
    return found | {"lure": wire("YOU HAVE WON $$$ FREE MONEY!!!", "Dear friend!", LURE)}


def _held_against(judged: dict[str, Hits]) -> dict[str, Hits]:
    kept = {
        key: {rule: score for rule, score in hits.items() if rule not in NOT_OURS}
        for key, hits in judged.items()
    }
    return {key: hits for key, hits in kept.items() if hits}


@pytest.mark.spamassassin
def test_spamassassin_holds_nothing_against_a_shipped_template(tmp_path: Path) -> None:
    """No rule of positive score matches any of the 50 mails; the lure shows that the rules are at work."""
    found = _held_against(spamassassin(mails(), tmp_path))
    assert sum(found.pop("lure").values()) > 2
    assert {} == found


@pytest.mark.rspamd
def test_rspamd_holds_nothing_against_a_shipped_template(tmp_path: Path) -> None:
    """No symbol of positive weight is found in any of the 50 mails; the lure shows that it works."""
    found = _held_against(rspamd(mails(), tmp_path))
    assert sum(found.pop("lure").values()) > 1
    assert {} == found

"""How the ready templates look: drawn by a real browser, compared with the pictures that are kept."""

from collections.abc import Iterator

import pytest
from tools.screenshot_templates import (
    DESKTOP,
    KEPT,
    PHONE,
    SHEET_WIDTH,
    TOLERANCE,
    Browser,
    sheet,
    sheet_of,
)
from tools.shipped_mails import LANGUAGES, mail, names

pytestmark = [pytest.mark.slow, pytest.mark.chromium, pytest.mark.fonts, pytest.mark.xdist_group("shipped")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as one:
        yield one


@pytest.mark.parametrize("name", names())
def test_a_template_looks_as_it_was_approved(browser: Browser, name: str) -> None:
    """At 375 and 800 pixels, light and dark, in five languages; and it loads nothing."""
    browser.requests.clear()
    drawn = browser.picture(sheet_of(name), width=SHEET_WIDTH)
    assert browser.difference((KEPT / f"{name}.webp").read_bytes(), drawn) < TOLERANCE
    assert [] == browser.requests


def test_no_template_is_wider_than_its_window(browser: Browser) -> None:
    """Nothing has to be scrolled sideways, also with long names and addresses."""
    address = "https://app.example.com/" + "a-very-long-path/" * 12
    title = "Incomprehensibilities " * 6
    for name, long in {
        "account-activation": {"activation_url": address},
        "alert": {"title": title, "source": "a" * 80},
        "alert-letter": {"heading": title, "note": "a" * 80},
        "email-change": {"new_address": f"{'a' * 60}@example.com"},
        "receipt": {"receipt_number": "R" * 60},
        "workflow-notification": {"task": title},
    }.items():
        values = {"_product_name": "Wortzusammensetzungen", "_logo_url": "", **long}
        for language in LANGUAGES:
            page = mail(name, language, **values).html
            assert [PHONE, DESKTOP] == [browser.widest(page, width=width) for width in (PHONE, DESKTOP)]


def test_what_would_be_loaded_is_refused_and_told(browser: Browser) -> None:
    """The proof that nothing is loaded can fail: a picture from elsewhere is seen."""
    browser.requests.clear()
    page = mail("alert", "en", _logo_url="https://www.example.com/logo.png").html
    browser.picture(sheet([page]), width=SHEET_WIDTH)
    assert {"https://www.example.com/logo.png"} == set(browser.requests)


def test_another_picture_is_another_picture(browser: Browser) -> None:
    """The comparison can fail: other colours, another text, another size are more than the tolerance."""
    first, other = (
        browser.picture(sheet([mail("alert", "en", severity=severity, _logo_url="").html]), width=SHEET_WIDTH)
        for severity in ("critical", "success")
    )
    assert browser.difference(first, other) > TOLERANCE
    assert 0 == browser.difference(first, first)

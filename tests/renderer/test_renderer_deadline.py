"""Rendering before an author's eyes ends, in whichever thread."""

import threading
from datetime import UTC, datetime

import pytest

from postroom.clock import SystemClock
from postroom.errors import InputError
from postroom.ingress.preview import workshop as preview_workshop
from postroom.ingress.preview.workshop import Workshop
from postroom.mime.html import html_to_text
from postroom.model.template import Collection, Shelf, SourceForm, TemplateSource
from postroom.renderer import checking, deadline
from postroom.renderer.checking import checked

LONG = "{% macro a(n) %}{% if n %}{{ a(n - 1) }}{{ a(n - 1) }}{% endif %}{% endmacro %}{{ a(40) }}"
SOURCE = TemplateSource(name="long", form=SourceForm.JINJA, text=LONG)


def endless() -> None:
    while True:
        html_to_text("<p>a</p>")


def told(limit_s: float) -> list[str]:
    with pytest.raises(InputError) as error, deadline.in_time(limit_s):
        endless()
    return [one.code for one in error.value.problems]


def test_what_takes_too_long_ends() -> None:
    """In the main thread and in any other; what is quick is left alone, then and later."""
    found: list[str] = told(0.05)
    thread = threading.Thread(target=lambda: found.extend(told(0.05)))
    thread.start()
    thread.join()
    assert ["template-limit"] * 2 == found
    for _ in range(100):
        with deadline.in_time(0.05):
            pass
    with pytest.raises(KeyError), deadline.in_time(5):
        raise KeyError


def test_a_long_template_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A preview refuses it, a check says so."""
    collection = Collection(sources={"long": (SOURCE,)})
    workshop = Workshop(lambda: collection, clock=SystemClock(), names={})
    soon = deadline.in_time
    for module in (checking, preview_workshop):
        monkeypatch.setattr(module, "in_time", lambda: soon(0.1))
    with pytest.raises(InputError, match="longer than"):
        workshop.rendered(workshop.variant("long"), {})
    seen = checked(SOURCE, Shelf(), names={}, at=datetime(2026, 1, 1, tzinfo=UTC))
    assert "template it takes longer than 0.1 s" == seen.example_error

"""The page about routing says what the program does."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from postroom.config.document import RouteSection
from postroom.config.load import load
from postroom.config.sources import Flags
from postroom.model.address import parse_mailbox
from postroom.model.message import MailClass, Submission
from postroom.model.route import Route, RouteKind
from postroom.policy.routing import RouteTable

PAGE = (Path(__file__).resolve().parents[2] / "docs/routing.md").read_text()
URL = "smtp://mx.example.com"
MAIL = Submission(
    from_=parse_mailbox("app@example.com"), to=(parse_mailbox("a@example.org"),), text="It works."
)


@pytest.fixture
def table(tmp_path: Path) -> RouteTable:
    """Return the rules of the page's example."""
    for name in ("main", "second", "bulk"):
        (tmp_path / f"{name}.url").write_text(URL)
    (tmp_path / "postroom.toml").write_text(PAGE.partition("```toml\n")[2].partition("```")[0])
    found = load(Flags(), {}, tmp_path)
    assert not [warning for warning in found.warnings if warning.startswith("routes")]
    return RouteTable(found.routes, Route(("main",)))


@pytest.mark.parametrize(
    ("changes", "rule", "route"),
    [
        ({"mail_class": MailClass.CODE}, "codes", Route(("second", "main"))),
        ({"tags": ("digest",)}, "newsletters", Route(("bulk",))),
        (
            {"from_": parse_mailbox("reports@shop.example.com")},
            "to-the-partner",
            Route(("main", "second"), RouteKind.ROUNDROBIN),
        ),
        ({}, "everything-else", Route(("main", "second"))),
    ],
)
def test_the_example_decides_as_it_reads(
    table: RouteTable, changes: dict[str, object], rule: str, route: Route
) -> None:
    """Each rule of the example is the first for the mail it speaks of."""
    found = table.choose(replace(MAIL, **changes))  # type: ignore[arg-type]  # fields by name
    assert (rule, route) == (found.rule, found.route)


def test_every_condition_is_explained() -> None:
    """The table of conditions has a row for each setting of a rule that is one."""
    explained = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \| ", PAGE, re.MULTILINE))))
    conditions = {info.alias or name for name, info in RouteSection.model_fields.items()}
    assert conditions - {"name", "to", "recipients", "subject_prefix"} <= explained
    assert '`recipients = "any"`' in PAGE


def test_the_group_of_the_page_is_read(tmp_path: Path) -> None:
    """The variable of the page makes the transports that it names."""
    written = PAGE.partition('POSTROOM_TRANSPORT="')[2].partition('"')[0]
    found = load(Flags(), {"POSTROOM_TRANSPORT": written}, tmp_path)
    assert ["mx-example-com", "relay-example-net"] == [spec.name for spec in found.transports]
    for spec in found.transports:
        assert f"`{spec.name}`" in PAGE

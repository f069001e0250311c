"""Shipped templates, a package that others built, and the table of rules in the documents."""

import re
from pathlib import Path

import pytest
from tools.shipped_mails import AT, GLOBALS, compiled

from postroom.model.template import CompiledTemplate, Finding, Severity, Shelf, TemplateSource
from postroom.renderer.checking import checked
from postroom.renderer.packages import Package, package_folder
from postroom.template.lint.case import Checked
from postroom.template.lint.getters import read_getters
from postroom.template.lint.linting import lint_all
from postroom.template.lint.rules import RULES
from postroom.template.shelves import shipped_sources

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "templates.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shipped() -> list[Checked]:
    return [checked(one, Shelf(), names=GLOBALS, at=AT, compiler=remembered) for one in shipped_sources()]


def remembered(source: TemplateSource, _: Shelf) -> CompiledTemplate:
    return compiled(source.name, source.locale or "en")


@pytest.fixture(scope="module")
def calypsso() -> list[Finding]:
    folder = package_folder("calypsso")
    assert folder is not None
    sources = [file.read_text(encoding="utf-8") for file in folder.glob("*.py")]
    variants = [one for group in Package(folder).read().sources.values() for one in group]
    made = [checked(one, Shelf(), names={}, at=AT) for one in variants]
    assert len(made) == 12
    return lint_all(made, getters=read_getters(*sources))


def said(findings: list[Finding]) -> list[str]:
    return [f"{one.file}:{one.line}: {one.cause} [{one.code}]" for one in findings]


@pytest.mark.slow
@pytest.mark.xdist_group("shipped")  # where they are compiled anyway
def test_the_shipped_templates_are_clean(shipped: list[Checked]) -> None:
    """Every shipped variant compiles and renders from its examples, and the check has nothing but notes."""
    found = lint_all(shipped)

    assert [] == said([one for one in found if one.severity is not Severity.NOTE])
    assert {True} == {one.rendered is not None for one in shipped}


def test_the_two_holes_of_calypsso_are_told(calypsso: list[Finding]) -> None:
    """A link that is always empty and a name that is never passed are errors; nothing else of it is one."""
    errors = [one for one in calypsso if one.severity is Severity.ERROR]

    assert {"unpassed-variable"} == {one.code for one in errors}
    assert [
        "get_mail_account_exist() never passes reset_password_url: a link is empty",
        "get_mail_mypayment_structure_transfer() never passes structure_name: there is a hole in the text",
    ] == [one.cause for one in errors]
    assert ["mail_templates/account-exist.html", "mail_templates/mypayment-structure-transfer.html"] == [
        one.file for one in errors
    ]


def test_the_years_and_buttons_of_calypsso_are_told(calypsso: list[Finding]) -> None:
    """The year of the build is in each of its mails, and the text of its buttons is too faint."""
    years = {one.file for one in calypsso if one.code == "literal-year"}
    faint = {one.cause.partition(": ")[2] for one in calypsso if one.code == "contrast"}

    assert len(years) == 12
    assert {"#fffffe on #f97316 is 2.80:1, less than 4.5:1"} == faint


def test_the_table_of_rules_is_that_of_the_program() -> None:
    """The documents have every rule with its severity, what it finds and what to do, in order."""
    section = PAGE.partition("## Checking: lint")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z-]+)` \| (\w+) \| (.+?) \| (.+?) \|$", section, flags=re.MULTILINE)

    assert [(one.code, one.severity.value, one.what, one.fix) for one in RULES.values()] == rows

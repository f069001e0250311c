"""Packages others built and packages we build, through the catalogue and the real rendering processes."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import calypsso
import pytest
from selectolax.lexbor import LexborHTMLParser

from peers.calypsso_mails import GLOBALS, MAILS, URL
from postroom.bootstrap.templates import renderer_of, templating_of
from postroom.clock import SystemClock
from postroom.config.settings import TemplateSettings
from postroom.engine.templates import Preview, ShownTemplate, TemplateList, TemplateOrder, Templating
from postroom.errors import InputError
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.template import CompiledTemplate, Severity, SourceForm
from postroom.renderer.package_builder import PackageSpec, package_files, write_package
from postroom.renderer.packages import FOLDER, TABLE, Package, package_folder
from postroom.spool.memory.templates import MemoryTemplates
from postroom.template.getters import Packable


def calypsso_folder() -> Path:
    found = package_folder("calypsso")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> "Seen":
    """Everything is asked in one life of the rendering processes."""
    folder = tmp_path_factory.mktemp("built")
    write_package(package_files([RECEIPT], PackageSpec(package="acme-mails", version="1.0.0")), folder)
    settings = TemplateSettings(
        packages={"calypsso": calypsso_folder(), "acme_mails": folder / "src" / "acme_mails"},
        globals=GLOBALS,
    )
    return asyncio.run(look(settings))


class Seen:
    """What came back."""

    def __init__(self) -> None:
        self.mails: dict[str, Preview] = {}
        self.refused: dict[str, list[tuple[str, str]]] = {}
        self.shown: dict[str, ShownTemplate] = {}
        self.all: TemplateList | None = None


async def look(settings: TemplateSettings) -> Seen:
    clock, found = SystemClock(), Seen()
    renderer = renderer_of(settings, clock=clock)
    templates = templating_of(settings, renderer, MemoryTemplates(), clock=clock)
    try:
        for name, mail in MAILS.items():
            reference, variables = f"calypsso:{name}", mail.variables
            found.mails[name] = await templates.preview(
                TemplateOrder(template=reference, variables=variables, locale="fr-FR"), DEFAULT_TENANT
            )
            if mail.never_passed:
                less = {key: value for key, value in variables.items() if key != mail.never_passed}
                found.refused[name] = await refusal(templates, reference, less)
        for locale in ("", "fr-BE"):
            found.mails[f"receipt{locale}"] = await templates.preview(
                TemplateOrder(template="acme_mails:receipt", variables={"total": 12}, locale=locale),
                DEFAULT_TENANT,
            )
        found.refused["receipt"] = await refusal(templates, "acme_mails:receipt", {"totl": 1})
        found.shown["receipt"] = await templates.show("acme_mails:receipt", DEFAULT_TENANT)
        found.all = await templates.list(DEFAULT_TENANT)
        return found
    finally:
        await renderer.close()


async def refusal(
    templates: Templating, reference: str, variables: Mapping[str, Any]
) -> list[tuple[str, str]]:
    try:
        await templates.preview(TemplateOrder(template=reference, variables=variables), DEFAULT_TENANT)
    except InputError as error:
        return [(problem.code, problem.field) for problem in error.problems]
    return []


# --------------------------------------------------------------------------- others' packages


def test_a_package_is_found_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code does not run; what is no package with templates is not found."""
    assert Path(str(calypsso.__file__)).parent == calypsso_folder()
    package = tmp_path / "trap"
    (package / FOLDER).mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert package == package_folder("trap")
    for name in ("json", "no_such_package", "../trap", "trap.mail_templates", "", "trap-x"):
        assert package_folder(name) is None


@pytest.mark.parametrize("name", MAILS)
def test_every_template_of_calypsso_renders(name: str, seen: Seen) -> None:
    """With its variables and globals, under its preheader, with every link filled."""
    preview = seen.mails[name]
    assert MAILS[name].preheader.format(product="Acme & Co") == preview.rendered.preheader
    assert (f"calypsso:{name}", "en", ("fr-FR", "fr", "en")) == (
        preview.pin.name,
        preview.pin.locale,
        preview.chain,
    )
    page = LexborHTMLParser(preview.rendered.html)
    links = [link.attributes.get("href") for link in page.css("body a")]
    assert links
    assert all(links)
    assert {"https://api.example.org/calypsso/logo.png"} == {
        image.attributes["src"] for image in page.css("img")
    }
    wanted = {value for value in MAILS[name].variables.values() if value == URL}
    assert wanted <= set(links)
    assert "Acme" in page.text()
    assert "{{" not in preview.rendered.html + preview.rendered.text
    assert set(MAILS[name].variables) == set(preview.compiled.schema["properties"])


@pytest.mark.parametrize("name", [name for name, mail in MAILS.items() if mail.never_passed])
def test_the_holes_of_calypsso_are_refused_by_name(name: str, seen: Seen) -> None:
    """What its own getters never pass does not become an empty link or an empty name."""
    assert [("variable-missing", f"variables.{MAILS[name].never_passed}")] == seen.refused[name]


def test_templates_of_packages_stand_in_the_list(seen: Seen) -> None:
    """Each with its reference and version, and none with an error."""
    assert seen.all is not None
    listed = {one.reference: one for one in seen.all.templates}
    assert {f"calypsso:{name}" for name in MAILS} | {"acme_mails:receipt"} <= set(listed)
    assert seen.mails["account-exist"].pin.version == listed["calypsso:account-exist"].version
    findings = [finding for one in seen.all.templates for finding in one.findings]
    assert not [finding for finding in findings if finding.severity is Severity.ERROR]


# --------------------------------------------------------------------------- our own packages

TOTAL = {"type": "number", "description": "What is due.", "examples": [12]}


def _variant(locale: str, words: str) -> CompiledTemplate:
    return CompiledTemplate(
        name="receipt",
        locale=locale,
        subject=f"{words} <{{{{ total }}}}>",
        preheader=f"{words}!",
        html=f"<!doctype html><html lang='{locale}'><body><p>{words} {{{{ total }}}}</p></body></html>",
        text=f"{words} in plain: {{{{ total }}}}",
        schema={"type": "object", "properties": {"total": TOTAL}, "required": ["total"]},
        digest="0" * 64,
    )


RECEIPT = Packable(name="receipt", variants=(_variant("en", "Receipt"), _variant("fr", "Reçu")))


def test_a_package_of_our_own_has_subjects_texts_and_locales(seen: Seen) -> None:
    """What its table says is used: subject, preheader, text part, locales with their default, the schema."""
    preview = seen.mails["receipt"]
    rendered = preview.rendered
    assert ("Receipt <12>", "Receipt!", "Receipt in plain: 12") == (
        rendered.subject,
        rendered.preheader,
        rendered.text.strip(),
    )
    french = seen.mails["receiptfr-BE"]
    assert ("Reçu <12>", ("fr-BE", "fr")) == (french.rendered.subject, french.chain)
    shown = seen.shown["receipt"]
    assert (("en", "fr"), SourceForm.JINJA) == (shown.listed.locales, shown.sources[0].form)
    total = shown.listed.schema["properties"]["total"]
    assert TOTAL == {key: total[key] for key in TOTAL}
    assert {("variable-missing", "variables.total"), ("variable-unknown", "variables.totl")} == set(
        seen.refused["receipt"]
    )


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("not json", {TABLE: "package-table"}),
        ('{"format": 2}', {TABLE: "package-table"}),
        ('{"format": 1, "templates": {"a": {"locales": ["en"]}}}', {TABLE: "package-table"}),
        (
            json.dumps(
                {
                    "format": 1,
                    "templates": {
                        "outside": {"locales": {"en": {"file": "../../secret.html"}}},
                        "missing": {"locales": {"en": {"file": "missing.html"}}},
                        "BAD": {"locales": {"en": {"file": "good.html"}}},
                        "tag": {"locales": {"no tag": {"file": "good.html"}}},
                        "good": {"default": "fr", "locales": {"en": {}, "fr": {"file": "good.html"}}},
                    },
                }
            ),
            {
                "mail_templates/../../secret.html": "unreadable",
                "mail_templates/missing.html": "unreadable",
                "mail_templates/good.html": "template-file-name",
                "mail_templates/None": "unreadable",
            },
        ),
    ],
)
def test_a_table_that_is_no_table_is_told(table: str, expected: dict[str, str], tmp_path: Path) -> None:
    """Whatever a package says, nothing outside of it is read, and what is wrong is a finding."""
    package = tmp_path / "package"
    (package / FOLDER).mkdir(parents=True)
    (package / FOLDER / "good.html").write_text("<p>good</p>")
    (tmp_path / "secret.html").write_text("secret")
    (package / TABLE).write_text(table)
    found = Package(package).read()
    assert expected == {finding.file: finding.code for finding in found.findings}
    assert not [one for sources in found.sources.values() for one in sources if "secret" in one.text]
    if "good" in found.sources:
        assert ["good"] == list(found.sources)

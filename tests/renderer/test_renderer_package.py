"""Packages with typed getters: what is written, built, installed, type-checked and called."""

import importlib
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hatchling.build import build_wheel
from jinja2 import UndefinedError

from each_row import each
from postroom.errors import InputError
from postroom.model.template import CompiledTemplate, Shelf, SourceForm, TemplateSource
from postroom.renderer.compiling import compile_source
from postroom.renderer.package_builder import PackageSpec, package_files, write_package
from postroom.renderer.packages import Package
from postroom.template.errors import SourceError
from postroom.template.getters import Packable

TEXT = {"type": "string"}
LINES = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"label": {**TEXT, "description": "What was bought."}, "price": {"type": "number"}},
        "required": ["label"],
    },
}


def compiled(name: str, html: str, *, locale: str = "en", **more: Any) -> CompiledTemplate:
    properties: Mapping[str, Any] = more.pop("properties", {})
    required = more.pop("required", list(properties))
    schema = {"type": "object", "properties": properties, "required": required}
    given: dict[str, Any] = {"text": "", "digest": "0" * 64, "schema": schema, **more}
    return CompiledTemplate(name=name, locale=locale, html=html, **given)


def packable(*variants: CompiledTemplate, **more: Any) -> Packable:
    return Packable(name=variants[0].name, variants=variants, **more)


TEMPLATES = (
    packable(
        compiled(
            "receipt",
            '<p title="{{ note }}">{% for x in lines %}{{ x.label }};{% endfor %} {{ _product_name }}</p>',
            subject="Receipt & thanks {{ total }}",
            text="{% for line in lines %}{{ line.label }}\n{% endfor %}{{ 'now' if _year > 2000 }}\n",
            properties={"lines": LINES, "total": {"type": "number"}, "note": {**TEXT, "default": 'a "b"\\'}},
            required=["lines", "total"],
            globals=("_product_name",),
        ),
        description='Sent after a "purchase" """ \\',
    ),
    packable(
        compiled(
            "mail-migration-confirmation",
            "<a href='{{ confirmation_url }}'>{{ _entity_name }} {{ _logo_url }} {{ _locale }}</a>",
            text="Hello",
            properties={"confirmation_url": TEXT},
            globals=("_entity_name", "_locale", "_logo_url"),
        ),
        compiled(
            "mail-migration-confirmation",
            "<a href='{{ confirmation_url }}'>Bonjour {{ _locale }}</a>",
            locale="fr",
            text="Bonjour {{ 1234.5|number }}\n",
            properties={"confirmation_url": TEXT},
        ),
        getter="mail_migration_confirm",
    ),
    packable(compiled("2fa", "<p>{{ tos_version }}</p>", properties={"tos_version": {"type": "integer"}})),
)
SPEC = PackageSpec(package="sample-mails", version="1.2.0")
CALLER = """
from sample_mails import MailTemplates
from sample_mails.mail import ReceiptLinesItem

mails = MailTemplates("Postroom", "Example", api_base_url="https://api.example.com/")
line: ReceiptLinesItem = {"label": "a"}
html: str = mails.get_mail_receipt([line, {"label": "<b>", "price": 1.5}], 3.5)
more: str = mails.get_subject_receipt(lines=[], total=3, note="n") + mails.get_text_receipt([], 1)
last: str = mails.get_mail_mail_migration_confirm("https://example.com/?a=1&b=2", locale="fr-CA")
code: str = mails.get_mail_2fa(tos_version=7)
"""
WRONG = 'mails.get_mail_2fa("seven")\nmails.get_mail_receipt([{"labl": "a"}], 1)\nmails.get_mail_2fa()\n'


def test_the_same_templates_give_the_same_bytes() -> None:
    """Neither the order of the templates nor a second run changes a byte."""
    once = package_files(TEMPLATES, SPEC)
    assert once == package_files(TEMPLATES[::-1], SPEC)
    assert {path for path in once if path.endswith(".html")} == {
        "src/sample_mails/mail_templates/2fa.html",
        "src/sample_mails/mail_templates/mail-migration-confirmation.fr.html",
        "src/sample_mails/mail_templates/mail-migration-confirmation.html",
        "src/sample_mails/mail_templates/receipt.html",
    }


def test_arguments_stand_in_the_known_order() -> None:
    """The globals of CalypSSO come first and as there; the rest follow by name."""
    names = (
        "_zebra",
        "_logo_url",
        "_product_name",
        "_entity_site_url",
        "_year",
        "_entity_name",
        "_api_base_url",
    )
    source = package_files([packable(compiled("a", "", globals=names))], SPEC)["src/sample_mails/mail.py"]
    head = source.partition("def __init__(")[2].partition(") -> None")[0]
    assert [
        "self",
        "product_name: str",
        "entity_name: str",
        "entity_site_url: str",
        "api_base_url: str",
        "zebra: str",
    ] == [line.strip(" ,") for line in head.strip().splitlines()]
    assert (
        '"_logo_url": api_base_url.rstrip("/") + "/sample_mails/logo.png" if api_base_url else "",' in source
    )


WRONG_NAMES = [
    ([packable(compiled("a", "", properties={"class": TEXT}))], "getter-argument", "'class'"),
    ([packable(compiled("a", "", properties={"self": TEXT}))], "getter-argument", "'self'"),
    (
        [packable(compiled("a", ""), compiled("a", "", locale="de", properties={"locale": TEXT}))],
        "getter-argument",
        "chooses the language",
    ),
    ([packable(compiled("a-b", "")), packable(compiled("a_b", ""))], "getter-taken", "get_mail_a_b"),
    ([packable(compiled("a", ""), getter="b"), packable(compiled("b", ""))], "getter-taken", "get_mail_b"),
    ([packable(compiled("a", ""), getter="x y")], "getter-name", "get_mail_x y"),
    ([packable(compiled("a", "", globals=("_class",)))], "getter-name", "'class'"),
    ([packable(compiled("a", "", globals=("_2x",)))], "getter-name", "'2x'"),
]


@each(("templates", "code", "said"), WRONG_NAMES)
def test_what_has_no_name_in_python_is_said(templates: list[Packable], code: str, said: str) -> None:
    """Keywords, names twice and names that are none are findings, never broken source."""
    with pytest.raises(SourceError) as raised:
        package_files(templates, SPEC)
    assert [code] == [one.code for one in raised.value.findings]
    assert said in raised.value.findings[0].cause


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"package": "2mails"}, "package-name"),
        ({"package": "class"}, "package-name"),
        ({"package": "../x"}, "package-name"),
        ({"package": "json"}, "package-taken"),
        ({"version": '1"'}, "package-version"),
        ({"class_name": "a b"}, "class-name"),
    ],
)
def test_names_of_the_package_are_checked(changed: dict[str, str], code: str) -> None:
    """What cannot be imported, or hides a module that is needed, is refused."""
    with pytest.raises(InputError) as raised:
        package_files(TEMPLATES, PackageSpec(**{"package": "mails", **changed}))
    assert [code] == [one.code for one in raised.value.problems]


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """A package is written over itself, with what went removed, and over nothing else."""
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError):
        write_package(package_files(TEMPLATES, SPEC), tmp_path)
    assert ["mine.txt"] == [path.name for path in tmp_path.iterdir()]
    target = tmp_path / "out"
    write_package(package_files(TEMPLATES, SPEC), target)
    write_package(package_files(TEMPLATES[:1], SPEC), target)
    left = target / "src/sample_mails/mail_templates"
    assert ["receipt.html"] == [path.name for path in left.iterdir()]


def test_a_package_says_again_what_its_templates_read(tmp_path: Path) -> None:
    """Variables that may be of several types are those of the template also when the table is read."""
    text = (
        "---\nsubject: s\nvariables:\n  day: '2026-03-01'\n  name: {description: Who}\n---\n"
        "<p>@{{ day|date }} @{{ name }} {% for i in lines %}@{{ i.price|currency('EUR') }}{% endfor %}</p>"
    )
    source = TemplateSource(name="order", form=SourceForm.COMPONENTS, text=text, file="order.html")
    made = compile_source(source, Shelf())
    write_package(package_files([packable(made)], SPEC), tmp_path / "out")
    (found,) = Package(tmp_path / "out/src/sample_mails").read().sources["order"]
    again = compile_source(found, Shelf())
    assert ["string", "number"] == made.schema["properties"]["name"]["type"]
    assert made.schema == again.schema


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Build the wheel, install it without a network, and make it importable."""
    place = tmp_path_factory.mktemp("package")
    write_package(package_files(TEMPLATES, SPEC), place / "source")
    before = Path.cwd()
    os.chdir(place / "source")
    try:
        wheel = build_wheel(str(place))
    finally:
        os.chdir(before)
    site = place / "site"
    install = (
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--no-compile",
        "--target",
        site,
        place / wheel,
    )
    subprocess.run([sys.executable, "-m", *install], check=True, timeout=60)
    sys.path.insert(0, str(site))
    yield site
    sys.path.remove(str(site))
    for name in [name for name in sys.modules if name.partition(".")[0] == "sample_mails"]:
        del sys.modules[name]


@pytest.mark.slow
def test_getters_of_an_installed_package(installed: Path) -> None:
    """The getters render strictly and escape; locales fall back along the chain; the table lies beside."""
    package: ModuleType = importlib.import_module("sample_mails")
    mails = package.MailTemplates("Postroom & Co", "Example", api_base_url="https://api.example.com")
    html = mails.get_mail_receipt([{"label": "<b>"}], 3.5)
    assert html == '<p title="a &#34;b&#34;\\">&lt;b&gt;; Postroom &amp; Co</p>'
    assert mails.get_subject_receipt([], 3.5) == "Receipt & thanks 3.5"
    assert mails.get_text_receipt([{"label": "<b>"}], 1) == "<b>\nnow"
    url = "https://example.com/?a=1&b=2"
    assert mails.get_mail_mail_migration_confirm(url) == (
        "<a href='https://example.com/?a=1&amp;b=2'>"
        "Example https://api.example.com/sample_mails/logo.png en</a>"
    )
    for locale in ("fr", "fr-CA", "fr_FR", "FR"):
        assert "Bonjour fr" in mails.get_mail_mail_migration_confirm(url, locale=locale)
        assert mails.get_text_mail_migration_confirm(url, locale=locale) == "Bonjour 1\u202f234,5"
    assert "Example" in mails.get_mail_mail_migration_confirm(url, locale="de")
    assert not hasattr(mails, "get_subject_2fa")  # its subject is the caller's
    assert not hasattr(mails, "get_text_2fa")
    with pytest.raises(TypeError, match="tos_version"):
        mails.get_mail_2fa()
    with pytest.raises(UndefinedError, match="tos_version"):
        mails.get_mail_2fa(None)
    with pytest.raises(TypeError, match=r"\[\] stands where a text"):
        mails.get_mail_2fa([])
    said = inspect.getdoc(mails.get_mail_receipt) or ""
    assert "Sent after a \"purchase\" ''' \\" in said
    assert (installed / "sample_mails/py.typed").is_file()
    assert (installed / "sample_mails/templates.json").is_file()


@pytest.mark.slow
def test_mypy_knows_the_getters(installed: Path, tmp_path: Path) -> None:
    """The package and a right caller pass mypy --strict; each wrong call is an error of its own."""
    (tmp_path / "right.py").write_text(CALLER)
    (tmp_path / "wrong.py").write_text(CALLER + WRONG)
    first_wrong = len(CALLER.splitlines()) + 1
    options = ("--strict", "--cache-dir", tmp_path / "cache", "--config-file", os.devnull)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *options, installed / "sample_mails", *tmp_path.glob("*.py")],
        env={**os.environ, "MYPYPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    errors = [line for line in checked.stdout.splitlines() if ": error:" in line]
    lines = [int(line.split(":")[1]) for line in errors if "wrong.py" in line]
    assert sorted(set(lines)) == [first_wrong, first_wrong + 1, first_wrong + 2]
    assert [line for line in errors if "wrong.py" not in line] == []

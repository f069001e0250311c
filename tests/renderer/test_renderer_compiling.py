"""Every form of a source compiles to the same four texts, and the calypsso package renders strictly."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import pytest

from postroom.errors import InputError
from postroom.mime.html import html_to_text
from postroom.model.template import CompiledTemplate, Rendered, Shelf, SourceForm, TemplateSource
from postroom.renderer import compiling
from postroom.renderer.compiling import compile_source
from postroom.template.errors import SourceError
from postroom.template.jinja.rendering import load

AT = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = {
    "_product_name": "Acme",
    "_payment_product_name": "Acme Pay",
    "_entity_name": "Acme Ltd",
    "_entity_site_url": "https://acme.example/",
    "_logo_url": "https://acme.example/logo.png",
}
GUIDE = """---
preheader: Welcome to @{{ _product_name }}! Please create your account.
variables:
  creation_url: https://acme.example/create
  day: {description: Until when, example: "2026-03-01", required: false}
---
<x-default>
<x-button-card
title="Welcome to @{{ _product_name }}!"
url="@{{ creation_url }}"
button="Create your account"
>
You have been invited to join @{{ _product_name }}! @{{ n|number }}
</x-button-card>
<x-spacer height="24px" />
<x-button-card
lang="fr"
title="Bienvenue sur @{{ _product_name }} !"
url="@{{ creation_url }}"
button="Créer votre compte"
>
Tu as été invité à rejoindre @{{ _product_name }} ! @{{ n|number }}
</x-button-card>
</x-default>
"""
MJML = """---
subject: Order for @{{ name }}
variables: {name: Kim, url: "https://acme.example/", items: [{title: Tea}]}
---
<mjml><mj-head><mj-title>Order</mj-title></mj-head><mj-body>
{% if name %}<mj-section><mj-column><mj-text>Hello @{{ name }}, thanks!</mj-text>
<mj-button href="{{ url }}">Open</mj-button></mj-column></mj-section>{% endif %}
<mj-section><mj-column>{% for item in items %}<mj-text>{{ item.title }}</mj-text>{% endfor %}
<mj-table>{% for item in items %}<tr><td>{{ item.title }}</td></tr>{% endfor %}</mj-table>
</mj-column></mj-section></mj-body></mjml>
"""


def rendered(template: CompiledTemplate, **variables: Any) -> Rendered:
    return load(template, html_to_text).render(variables, NAMES, AT)


def wheel(name: str) -> CompiledTemplate:
    text = files("calypsso").joinpath(f"mail_templates/{name}.html").read_text("utf-8")
    return compile_source(TemplateSource(name=name, form=SourceForm.JINJA, text=text), Shelf())


def test_components() -> None:
    """The guide's example compiles unchanged; each block formats in its own language, in HTML and text."""
    template = compile_source(TemplateSource(name="welcome", text=GUIDE), Shelf())
    assert ("en", ["creation_url", "n"]) == (template.locale, template.schema["required"])
    assert ["https://acme.example/create"] == template.schema["properties"]["creation_url"]["examples"]
    assert "Until when" == template.schema["properties"]["day"]["description"]
    mail = rendered(template, creation_url="https://acme.example/create?a=1&b=2", n=1234.5)
    assert "Welcome to Acme! Please create your account." == mail.preheader
    assert mail.html.isascii() is False  # the number's blank is a value
    assert mail.html.count("https://acme.example/create?a=1&amp;b=2") >= 4
    assert html_to_text(mail.html) == mail.text
    lines = mail.text.split("\n")
    assert "You have been invited to join Acme! 1,234.5" in lines
    assert "Tu as été invité à rejoindre Acme ! 1\u202f234,5" in lines
    assert max(map(len, mail.html.split("\n"))) < 998
    assert "&#233;" in template.html
    korean = compile_source(TemplateSource(name="k", text="<p>안녕하세요, 한국어 편지입니다</p>"), Shelf())
    assert "안녕하세요" in korean.html


def test_mjml() -> None:
    """MJML goes through its own engine with statements and values in place."""
    template = compile_source(TemplateSource(name="order", form=SourceForm.MJML, text=MJML), Shelf())
    items = [{"title": "Tea"}, {"title": "Pot"}]
    mail = rendered(template, name="Kim <x>", url="https://acme.example/", items=items)
    assert ("Order for Kim <x>", "<title>Order</title>" in mail.html) == (mail.subject, True)
    assert (2, 2) == (mail.html.count(">Tea<"), mail.html.count(">Pot<"))
    assert 'href="https://acme.example/"' in mail.html
    assert "Hello Kim &lt;x&gt;, thanks!" in mail.html
    assert "Open <https://acme.example/>" in mail.text
    for text in ("<mjml><mj-body>", '<mjml><mj-body><mj-include path="/etc/passwd" /></mj-body></mjml>'):
        with pytest.raises(SourceError) as caught:
            compile_source(TemplateSource(name="order", form=SourceForm.MJML, text=text), Shelf())
        assert ["mjml"] == [one.code for one in caught.value.findings]


def test_mjml_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra a finding says how to get it."""
    monkeypatch.setitem(sys.modules, "mjml", None)
    with pytest.raises(SourceError) as caught:
        compile_source(TemplateSource(name="order", form=SourceForm.MJML, text=MJML), Shelf())
    assert "pip install postroom[mjml]" in caught.value.findings[0].fix


@pytest.mark.parametrize(
    ("name", "given", "missing"),
    [
        ("account-exist", {}, "reset_password_url"),
        ("mypayment-structure-transfer", {"confirmation_url": "https://acme.example/"}, "structure_name"),
    ],
)
def test_the_holes_of_the_wheel(name: str, given: dict[str, Any], missing: str) -> None:
    """What the package's own getters never pass is refused by name instead of leaving a hole."""
    template = wheel(name)
    with pytest.raises(InputError) as caught:
        rendered(template, **given)
    assert [f"variables.{missing}"] == [problem.field for problem in caught.value.problems]
    mail = rendered(template, **given, **{missing: "https://acme.example/reset"})
    assert "https://acme.example/reset" in mail.html
    assert "https://acme.example/reset" in mail.text


def test_every_page_of_the_wheel() -> None:
    """Each page of the package compiles, and its text part is the text of its page."""
    folder = files("calypsso").joinpath("mail_templates")
    pages = [page.name for page in folder.iterdir() if page.name.endswith(".html")]
    assert 12 == len(pages)
    for page in pages:
        template = wheel(page.removesuffix(".html"))
        values = {name: f"https://acme.example/{name}" for name in template.schema["required"]}
        mail = rendered(template, **values)
        assert html_to_text(mail.html) == mail.text
        assert "Acme" in mail.text


def test_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that becomes too large a page is refused."""
    monkeypatch.setattr(compiling, "MAX_COMPILED", 100)
    with pytest.raises(SourceError) as caught:
        compile_source(TemplateSource(name="m", form=SourceForm.JINJA, text="x" * 101), Shelf())
    assert ["source-size"] == [one.code for one in caught.value.findings]


def test_findings_about_styles_have_a_place() -> None:
    """They say the words, and where these stand, in the source or a component, if that is clear."""
    text = (
        "---\nsubject: a\n---\n<style>\n@tailwind utilities;\na { color red; }\n</style>\n"
        "<x-note /><p style='margin; top 1px' class='text-slat-500'>y</p>"
        "<b style='top 1px'></b>"
    )
    shelf = Shelf(components={"components/note": "<p>\n<i class='text-rd-500'></i></p>"})
    source = TemplateSource(name="a", file="a.html", text=text)
    found = compile_source(source, shelf).findings
    assert {
        ("css-syntax", "a.html", 6, 5, "color red"),
        ("css-syntax", "a.html", 8, 21, "margin"),
        ("css-syntax", "a.html", 0, 0, "top 1px"),
        ("unknown-class", "a.html", 8, 45, "text-slat-500"),
        ("unknown-class", "components/note.html", 2, 11, "text-rd-500"),
    } == {(one.code, one.file, one.line, one.column, one.cause.split("«")[1].split("»")[0]) for one in found}
    with pytest.raises(SourceError) as error:
        compile_source(replace(source, text="<style>\na { @apply text-slat-600; }</style>"), shelf)
    assert [("a.html", 2, 12)] == [(one.file, one.line, one.column) for one in error.value.findings]

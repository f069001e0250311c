"""What is said about templates themselves: to store, preview, test and check one; examples for variables."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from postroom.engine.templates import Draft
from postroom.errors import InputError, Problem
from postroom.model.template import SourceForm, TemplateSource
from postroom.schema.bodies import LOCALE_HELP, AddressValue, AddressValues, Body

INLINE_NAME = "inline"
"""What a source is called that came with a request."""
SOMEBODY = "recipient@example.com"
"""Who gets a mail that is only looked at."""
TEST_TAG = "template-test"
Form = Literal["components", "mjml", "jinja"]


class SourceBody(Body):
    """One variant as its author wrote it."""

    text: str = Field(description="The source, front matter included.")
    form: Form = "components"
    text_part: str | None = Field(None, description="Jinja source of the text part. Default: from the HTML.")


class StoreBody(Body):
    """A new version of a stored template."""

    name: str = Field(description="1 to 64 of a-z, 0-9, _ and -.", examples=["welcome"])
    variants: dict[str, SourceBody] = Field(
        description="By locale, the default first. The key may be empty: then the front matter says it.",
        examples=[{"en": {"text": "---\nsubject: Hello @{{ name }}\n---\n<p>Hello @{{ name }}</p>"}}],
    )
    note: str = Field("", max_length=1000, description="What is new, for people.")
    publish: bool = Field(True, description="False: a draft, used only where it is named with its number.")

    def draft(self) -> Draft:
        """Return it as the engine takes it."""
        sources = tuple(_source(self.name, locale, one) for locale, one in self.variants.items())
        return Draft(name=self.name, sources=sources, note=self.note, is_published=self.publish)


class TemplateBody(Body):
    """A template, in the catalogue or as a source that is not stored."""

    template: str | None = Field(None, examples=["welcome"])
    source: SourceBody | None = Field(None, description="Instead of `template`: nothing of it is stored.")

    def draft(self) -> Draft | None:
        """Return the source that came with the request. Raises InputError unless it is that or a name."""
        if (self.template is None) == (self.source is None):
            problem = Problem(
                code="template-missing",
                field="template",
                cause="exactly one of template and source is needed",
                fix="Name a template of GET /v1/templates, or give a `source`.",
            )
            raise InputError([problem])
        if self.source is None:
            return None
        return Draft(name=INLINE_NAME, sources=(_source(INLINE_NAME, "", self.source),))


class LintBody(TemplateBody):
    """A template to check."""

    clients: list[str] = Field(
        default_factory=list,
        max_length=100,
        description="Mail programs to ask about: families, single ones as `outlook.windows`, or `all`. "
        "Default: the usual ones.",
        examples=[["gmail", "outlook.windows"]],
    )


class PreviewBody(TemplateBody):
    """A mail that is not sent. Who sends and gets it matters for its size and its bytes alone."""

    locale: str | None = Field(None, description=LOCALE_HELP, examples=["fr-CA"])
    variables: dict[str, Any] | None = None
    examples: bool = Field(False, description="Take the template's examples where `variables` has nothing.")
    subject: str | None = Field(None, description="Instead of the template's.")
    from_: AddressValue = Field(None, alias="from", description="Default: the transport's sender.")
    to: AddressValues = Field((), description=f"Default: {SOMEBODY}.")

    def mail(self) -> dict[str, Any]:
        """Return the mail that this is, in the form of ``POST /v1/messages``."""
        mail = {
            "template": self.template or INLINE_NAME,
            "variables": self.variables,
            "locale": self.locale,
            "subject": self.subject,
            "from": self.from_,
            "to": self.to or SOMEBODY,
            "tags": [TEST_TAG],
        }
        return {name: value for name, value in mail.items() if value is not None}


class TestBody(PreviewBody):
    """A preview that is sent, to one address."""

    __test__ = False  # no test, whatever its name begins with

    to: AddressValue = Field(description="One address.", examples=["you@example.com"])


def example_values(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return an example of each variable that has one."""
    found = {name: _example(one) for name, one in schema.get("properties", {}).items()}
    return {name: value for name, value in found.items() if value is not None}


def with_examples(schema: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return variables with examples where they lack something, inside of objects too."""
    return _over(example_values(schema), variables)


def _source(name: str, locale: str, body: SourceBody) -> TemplateSource:
    form = SourceForm(body.form)
    return TemplateSource(name=name, locale=locale, form=form, text=body.text, text_part=body.text_part)


def _example(schema: Mapping[str, Any]) -> Any:
    """Return an example, ``None`` without one."""
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("default") is not None:
        return schema["default"]
    if "properties" in schema:
        return example_values(schema) or None  # an empty object would be a wrong example
    item = _example(schema.get("items") or {}) if "items" in schema else None
    return None if item is None else [item]


def _over(examples: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    both = {name for name in examples.keys() & given.keys() if isinstance(given[name], dict)}
    deeper = {name: _over(examples[name], given[name]) for name in both if isinstance(examples[name], dict)}
    return {**examples, **given, **deeper}

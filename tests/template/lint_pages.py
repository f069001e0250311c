"""Pages to check: one that is clean, and what is put into it."""

from collections.abc import Mapping
from typing import Any

from postroom.mime.html import html_to_text
from postroom.model.template import CompiledTemplate, Rendered, Shelf, SourceForm, TemplateSource
from postroom.template.lint.case import Checked

WORDS = "Your order has been packed and will be with you within the next two working days."
SCHEMA = {
    "properties": {"name": {"type": "string"}, "page_url": {"type": "string"}, "note": {"type": "string"}},
    "required": ["name", "page_url"],
}


def page(body: str = "", *, head: str = "", html: str = '<html lang="en">', title: str = "Your order") -> str:
    return (
        f"<!DOCTYPE html>\n{html}\n<head><title>{title}</title>{head}</head>\n"
        f'<body style="color: #1e293b; background-color: #ffffff">\n<p>{WORDS}</p>\n{body}\n</body></html>\n'
    )


def checked(  # noqa: PLR0913 - what a variant has
    html: str,
    *,
    source: str | None = None,
    form: SourceForm = SourceForm.JINJA,
    front: Mapping[str, Any] | None = None,
    subject: str = "Your order",
    preheader: str = "It is on its way.",
    text: str | None = None,
    locale: str = "",
    name: str = "order",
    rendered: Rendered | None = None,
    components: Mapping[str, str] | None = None,
    example_error: str = "",
) -> Checked:
    """Return a page as if it had been compiled."""
    return Checked(
        source=TemplateSource(
            name=name,
            locale=locale,
            form=form,
            text=html if source is None else source,
            file=f"{name}{'.' if locale else ''}{locale}.html",
        ),
        front=front or {},
        shelf=Shelf(components=components or {}),
        compiled=CompiledTemplate(
            name=name,
            locale=locale or "en",
            subject=subject,
            preheader=preheader,
            html=html,
            text=html_to_text(html) if text is None else text,
            schema=SCHEMA,
            digest="",
        ),
        rendered=rendered,
        example_error=example_error,
    )

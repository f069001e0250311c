"""From a source to what the check of templates looks at: compiled, and rendered with its examples.

Runs in the process of whoever asks, for authors check their own files. It never raises for what an author
wrote: a source that does not compile carries its errors.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from postroom.errors import InputError
from postroom.mime.html import html_to_text
from postroom.model.template import CompiledTemplate, Rendered, Shelf, TemplateSource
from postroom.renderer.compiling import compile_source
from postroom.renderer.deadline import in_time
from postroom.template.errors import SourceError
from postroom.template.jinja.rendering import load
from postroom.template.language.front_matter import FrontMatter, read_front_matter
from postroom.template.lint.case import Checked

_ADDRESS = "https://app.acme.example/"
_WORDS = "Acme"


def checked(
    source: TemplateSource,
    shelf: Shelf,
    *,
    names: Mapping[str, Any],
    at: datetime,
    compiler: Callable[[TemplateSource, Shelf], CompiledTemplate] = compile_source,
) -> Checked:
    """Return one variant, ready to be checked.

    Args:
        source: As its author wrote it.
        shelf: The author's own; what comes with Postroom lies below it.
        names: The globals.
        at: Gives the year.
        compiler: What remembers what it has compiled, or fails as ``compile_source`` does.
    """
    try:
        front, _, _ = read_front_matter(source.text, file=source.file or source.name)
    except SourceError:  # compiling says the same
        front = FrontMatter()
    try:
        compiled = compiler(source, shelf)
    except SourceError as error:
        return Checked(source=source, front=front.page, shelf=shelf, errors=error.findings)
    rendered, problem = _rendered(compiled, names, at)
    return Checked(
        source=source,
        front=front.page,
        shelf=shelf,
        compiled=compiled,
        rendered=rendered,
        example_error=problem,
    )


def _rendered(
    compiled: CompiledTemplate, names: Mapping[str, Any], at: datetime
) -> tuple[Rendered | None, str]:
    """Return the mail with the example values, or why it cannot be; neither when there are too few."""
    properties: Mapping[str, Any] = compiled.schema.get("properties", {})
    examples = {name: one["examples"][0] for name, one in properties.items() if one.get("examples")}
    if any(name not in examples for name in compiled.schema.get("required", ())):
        return None, ""
    given = {name: _ADDRESS if name.endswith("_url") else _WORDS for name in compiled.globals}
    try:
        loaded = load(compiled, html_to_text)
        with in_time():
            return loaded.render(examples, {**given, **{k: v for k, v in names.items() if v}}, at), ""
    except InputError as error:
        problem = error.problems[0]
        return None, f"{problem.field.removeprefix('variables.')} {problem.cause}"

"""Templates of one place while somebody works on them: compiled again as they change, rendered on request.

Everything happens in the calling process, with the functions that the server's workers use, and blocks. What
has been compiled is kept until its source or the place's components change. Unlike the server's catalogue, a
broken source stays broken: its author wants to see why.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from postroom.clock import Clock
from postroom.engine.catalogue import chosen
from postroom.errors import InputError, NotFoundError
from postroom.mime.html import html_to_text
from postroom.model.template import (
    Collection,
    CompiledTemplate,
    Finding,
    Rendered,
    Severity,
    Shelf,
    TemplateSource,
)
from postroom.renderer.checking import checked
from postroom.renderer.compiling import compile_source
from postroom.renderer.deadline import in_time
from postroom.schema.template_bodies import with_examples
from postroom.template.errors import SourceError
from postroom.template.getters import ALWAYS, LOGO
from postroom.template.jinja.rendering import load
from postroom.template.lint.linting import lint

Look = Callable[[], Collection]
"""Returns what is there, the very same object as before while nothing has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """One variant as it stands."""

    source: TemplateSource
    compiled: CompiledTemplate | None
    """``None``: it does not compile; ``findings`` say why."""
    findings: tuple[Finding, ...]

    @property
    def locale(self) -> str:
        """Return the locale as far as it is known."""
        return self.source.locale if self.compiled is None else self.compiled.locale

    def usable(self) -> CompiledTemplate:
        """Return the compiled form. Raises SourceError."""
        if self.compiled is None:
            raise SourceError(self.findings)
        return self.compiled


class Workshop:
    """The templates of one place."""

    def __init__(self, look: Look, *, clock: Clock, names: Mapping[str, Any]) -> None:
        """Take the place, and the globals every template can read."""
        self._look = look
        self._clock = clock
        self.names = names
        """The globals."""
        self._seen = Collection(sources={})
        self._worked: dict[TemplateSource, Worked] = {}
        self._checked: dict[TemplateSource, tuple[Finding, ...]] = {}
        self.generation = 0
        """Counts the changes that were seen."""

    def look(self) -> Collection:
        """Look at the place again, and forget what is not as it was."""
        now = self._look()
        if now is not self._seen:
            self.generation += 1
            if now.shelf != self._seen.shelf:
                self._worked.clear()
            here = {source for sources in now.sources.values() for source in sources}
            self._worked = {source: worked for source, worked in self._worked.items() if source in here}
            self._checked.clear()
            self._seen = now
        return now

    def variants(self, name: str) -> tuple[Worked, ...]:
        """Return every variant of a template, the default first. Raises NotFoundError."""
        return tuple(self._work(source) for source in self._sources(name))

    def locales(self, name: str) -> tuple[str, ...]:
        """Return the locales of a template; only the default variant is compiled. Raises NotFoundError."""
        first, *others = self._sources(name)
        return (self._work(first).locale, *(source.locale for source in others))

    def variant(self, name: str, locale: str = "") -> Worked:
        """Return the variant for a locale. Raises NotFoundError, InputError."""
        index = chosen(self.locales(name), locale)[0] if locale else 0
        return self._work(self._sources(name)[index])

    def known(self, name: str) -> tuple[Worked, ...]:
        """Return the variants of a template that have been compiled. Raises NotFoundError."""
        return tuple(self._worked[source] for source in self._sources(name) if source in self._worked)

    def advance(self) -> int:
        """Compile one source that nobody has asked for yet; return how many are compiled."""
        sources = (source for variants in self.look().sources.values() for source in variants)
        waiting = next((source for source in sources if source not in self._worked), None)
        if waiting is not None:
            self._work(waiting)
        return len(self._worked)

    def work(self, source: TemplateSource) -> Worked:
        """Compile a source that need not belong to the place, with the components of the place."""
        self.look()
        return self._work(source)

    def said(self, worked: Worked) -> tuple[Finding, ...]:
        """Return everything there is to say about a variant: the compiler's findings and those of lint."""
        found = self._checked.get(worked.source)
        if found is None:
            ready = checked(
                worked.source,
                self._seen.shelf,
                names=self.names,
                at=self._clock.now(),
                compiler=lambda *_: worked.usable(),
            )
            found = self._checked[worked.source] = tuple(lint(ready))
        return found

    def rendered(self, worked: Worked, variables: Mapping[str, Any]) -> Rendered:
        """Render one mail. Raises SourceError; InputError with every missing or wrong variable."""
        loaded = load(worked.usable(), html_to_text)
        with in_time():
            return loaded.render(variables, self.names, self._clock.now())

    def _sources(self, name: str) -> tuple[TemplateSource, ...]:
        sources = self.look().sources.get(name)
        if sources is None:
            raise NotFoundError(f"there is no template {name!r}")
        return sources

    def _work(self, source: TemplateSource) -> Worked:
        worked = self._worked.get(source)
        if worked is None:
            worked = self._worked[source] = _compiled(source, self._seen.shelf)
        return worked


def _compiled(source: TemplateSource, shelf: Shelf) -> Worked:
    try:
        compiled = compile_source(source, shelf)
        load(compiled, html_to_text)
    except SourceError as error:
        return Worked(source=source, compiled=None, findings=error.findings)
    except InputError as error:  # it compiles, and what comes of it is no Jinja
        file = source.file or source.name
        findings = tuple(
            Finding(code=one.code, severity=Severity.ERROR, file=file, cause=one.cause, fix=one.fix)
            for one in error.problems
        )
        return Worked(source=source, compiled=None, findings=findings)
    return Worked(source=source, compiled=compiled, findings=compiled.findings)


def shown_values(compiled: CompiledTemplate, names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the examples of a template's variables; one without gets a value that shows its name.

    So does a global that nobody set, but for the logo: cards do without one.
    """
    properties: Mapping[str, Mapping[str, Any]] = compiled.schema.get("properties", {})
    found = with_examples(compiled.schema, {})
    for name, schema in properties.items():
        if name not in found or not has_example(schema):
            found[name] = _stand_in(name, schema)
    for name in compiled.globals:
        if name not in names and name not in ALWAYS and name != LOGO:
            found[name] = _text(name, "")
    return found


def has_example(schema: Mapping[str, Any]) -> bool:
    """Say whether the author gave a variable an example, or a default."""
    return bool(schema.get("examples")) or "default" in schema


def _stand_in(name: str, schema: Mapping[str, Any]) -> Any:
    kinds = schema.get("type")
    kind = kinds[0] if isinstance(kinds, Sequence) and not isinstance(kinds, str) and kinds else kinds
    match kind:
        case "integer" | "number":
            return 1
        case "boolean":
            return True
        case "array":
            return [_stand_in(name, schema.get("items", {}))]
        case "object":
            return {key: _stand_in(key, one) for key, one in schema.get("properties", {}).items()}
        case _:
            return _text(name, str(schema.get("format", "")))


def _text(name: str, form: str) -> str:
    if name.endswith(("url", "link", "href")) or form == "uri-reference":
        return f"https://example.com/{name}"
    return {"date": "2030-01-31", "date-time": "2030-01-31T08:00:00Z"}.get(form, f"[{name}]")

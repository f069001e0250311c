"""Render a mail from a compiled template: subject, preheader, HTML and text in one go, strictly.

Everything that is missing, unknown or of the wrong type is named before anything is rendered; what only shows
while rendering (a key of an object, ``null`` that would be printed, an empty link) stops it with its name.

Rules: equal arguments give equal texts; values never become template source; only the HTML is escaped. A line
end in the subject's source is a blank; one that a value brings is left in, so that whoever reads the mail
refuses it by name.
Bounds of time and memory are the caller's (``renderer.worker``).
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any

from jinja2 import Template
from jinja2.exceptions import SecurityError, TemplateSyntaxError, UndefinedError
from jinja2.runtime import Context

from postroom.errors import InputError, Problem
from postroom.model.template import CompiledTemplate, Rendered
from postroom.template.jinja.inference import reads
from postroom.template.jinja.marking import marked, open_links
from postroom.template.jinja.sandbox import Sandbox, sandbox
from postroom.template.jinja.variables import defaults, problems
from postroom.template.jinja.wrong import Wrong, crossed, empty_link, forbidden, missing_value

MAX_PART = 2 * 1024 * 1024
"""Bytes of one rendered text (security limit)."""

_EMPTY_LINK = re.compile(r"""(?<![\w-])(?:href|src)\s*=\s*(?:"\s*"|'\s*')""", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n{3,}")
_LINE_ENDS = re.compile(r"[\r\n]+")
_BLANKS = re.compile(r" {2,}")
_LINE_TAILS = re.compile(r"[ \t]+(?=\n)")


class Loaded:
    """A compiled template whose Jinja sources were read."""

    def __init__(self, template: CompiledTemplate, plain: Callable[[str], str]) -> None:
        """Take a template and what makes text of markup. Raises TemplateSyntaxError, RecursionError."""
        self._template = template
        html = sandbox(template.locale, is_html=True, plain=plain)
        text = sandbox(template.locale, is_html=False, plain=plain)
        self._subject = _Part("subject", _LINE_ENDS.sub(" ", template.subject), text)
        self._preheader = _Part("preheader", template.preheader, text)
        self._html = _Part("html", template.html, html)
        self._text = _Part("text", template.text, text)
        self._defaults = defaults(template.schema)
        parts = (self._subject, self._preheader, self._html, self._text)
        trees = [part.tree for part in parts if part.tree is not None]
        self._globals = reads(trees).required_globals if template.globals else ()
        self._open_links = [name for tree in trees for name in open_links(tree)]
        for part in parts:
            part.finish()
        self._environments = (html, text)
        self._plain = plain
        """Makes the text of the HTML where a template has none of its own."""

    def render(self, variables: Mapping[str, Any], names: Mapping[str, Any], at: datetime) -> Rendered:
        """Render one mail; ``names`` are the globals.

        Raises InputError with every problem that is known.
        """
        found = problems(self._template.schema, variables)
        values = {
            **self._environments[0].globals,
            "_year": at.year,
            "_locale": self._template.locale,
            **names,
            **self._defaults,
            **variables,
        }
        found += [missing_value(name).problem for name in self._globals if values.get(name) is None]
        if found:
            raise InputError(found)
        for environment in self._environments:
            environment.begin(values)
        html = self._html.render(values)
        if self._open_links and _EMPTY_LINK.search(html):
            raise InputError([empty_link(self._open_links[0]).problem])
        return Rendered(
            subject=_BLANKS.sub(" ", self._subject.render(values)).strip(" "),
            preheader=_one_line(self._preheader.render(values)),
            html=html,
            text=_tidy(self._text.render(values) if self._template.text else self._plain(html)),
        )


class _Part:
    """One of the four texts."""

    def __init__(self, name: str, source: str, environment: Sandbox) -> None:
        self._name = name
        self._environment = environment
        self._fixed = source
        self._template: Template | None = None
        is_fixed = not ("{%" in source or "{{" in source or "{#" in source)
        self.tree = None if is_fixed else environment.parse_plain(source)
        """Until it is finished; ``None``: always the same text."""

    def finish(self) -> None:
        """Make code of the tree."""
        if self.tree is not None:
            self._template = self._environment.from_string(marked(self.tree, self._environment))
            self.tree = None

    def render(self, values: dict[str, Any]) -> str:
        """Raises InputError."""
        template = self._template
        if template is None:
            return self._fixed
        try:
            context = Context(self._environment, values, None, template.blocks)
            text = "".join(template.root_render_func(context))
        except Exception as error:  # supervision: a template may raise whatever Python can
            raise InputError([self._problem(error, template)]) from error
        if len(text) > MAX_PART // 4 and len(text.encode("utf-8", "replace")) > MAX_PART:
            raise InputError([crossed(f"the {self._name} takes more than {MAX_PART} bytes").problem])
        return text

    def _problem(self, error: Exception, template: Template) -> Problem:
        match error:
            case Wrong():
                return error.problem
            case SecurityError():
                return self._at(str(error), error.__traceback__, template)
            case UndefinedError() if (path := str(error)) and " " not in path:
                return missing_value(path).problem
            case MemoryError():
                return crossed("it takes more memory than a rendering may have").problem
            case RecursionError():
                return crossed("it calls itself too often").problem
        return self._at(f"{error}" or type(error).__name__, error.__traceback__, template)

    def _at(self, text: str, traceback: TracebackType | None, template: Template) -> Problem:
        line = 0
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == "<template>":
                line = template.get_corresponding_lineno(traceback.tb_lineno)
            traceback = traceback.tb_next
        where = f" (line {line} of the {self._name})" if line else f" (in the {self._name})"
        return forbidden(text[:300] + where).problem


def load(template: CompiledTemplate, plain: Callable[[str], str]) -> Loaded:
    """Read the sources of a template, to render it often.

    Args:
        template: As compiled.
        plain: Makes text of markup, for values that are marked as safe.

    Raises InputError: a source is no Jinja, or is nested too deep.
    """
    try:
        return Loaded(template, plain)
    except TemplateSyntaxError as error:
        text = f"{error.message} (line {error.lineno})"
        raise InputError([forbidden(text).problem]) from error
    except (RecursionError, MemoryError, SyntaxError) as error:
        raise InputError([forbidden("its expressions are nested too deep").problem]) from error


def _one_line(text: str) -> str:
    """Fold line ends and runs of blanks to one blank: what a header may have."""
    return " ".join(text.split())


def _tidy(text: str) -> str:
    """Collapse the blank lines that conditions leave behind."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if " \n" in text or "\t\n" in text:
        text = _LINE_TAILS.sub("", text)
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    return text.strip("\n ")

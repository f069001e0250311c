"""From a source to a compiled template: components, styles, text part, variables, in that order.

Runs in a process of its own (``worker``), for it evaluates what authors wrote. Every form ends in the same
four Jinja sources. Findings carry the file and line of the author's source where the step knows them.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from jinja2 import nodes
from jinja2.exceptions import TemplateSyntaxError

from postroom.mime.html import html_to_text
from postroom.model.template import (
    MAX_SOURCE,
    CompiledTemplate,
    Finding,
    Severity,
    Shelf,
    SourceForm,
    TemplateSource,
)
from postroom.template.errors import SourceError
from postroom.template.jinja.block_languages import with_languages
from postroom.template.jinja.inference import reads
from postroom.template.jinja.marking import marked
from postroom.template.jinja.sandbox import Sandbox, sandbox
from postroom.template.jinja.text_part import derived
from postroom.template.jinja.tokens import shield
from postroom.template.language.front_matter import FrontMatter, read_front_matter
from postroom.template.shelves import with_shipped

DEFAULT_LOCALE = "en"
_PARTS = ("subject", "preheader", "html", "text")
MAX_COMPILED = 1024 * 1024
"""Bytes of the HTML a source compiles to (security limit)."""
ASCII_SHARE = 0.05
"""Of a page's letters: with more it is of another script, and references would take more than encoding."""
_LITERAL = re.compile(
    r"(<!--.*?-->|<style\b.*?</style\s*>|<script\b.*?</script\s*>)", re.DOTALL | re.IGNORECASE
)
"""Where references are not read."""
MAX_PLACED = 100
"""Findings about styles that are told: each is looked for in the files."""
_QUOTED = re.compile("«([^»]+)»")
_MJML_FLOW = re.compile(
    r"<(?P<slash>/?)(?P<name>mj-(?:text|button|table|raw|title|preview|style|attributes|navbar-link|accordion-"
    r"title|accordion-text|social-element))\b[^>]*?(?P<empty>/?)>"
)
"""Elements of MJML whose content is text or markup."""


def compile_source(source: TemplateSource, shelf: Shelf) -> CompiledTemplate:
    """Compile one variant. Raises SourceError with every finding known by then."""
    if len(source.text.encode("utf-8", "surrogatepass")) > MAX_SOURCE:
        raise SourceError(
            [_error(source, "source-size", f"more than {MAX_SOURCE} bytes", "Make it smaller.")]
        )
    html, front, findings = _html(source, shelf)
    locale = source.locale or front.language or DEFAULT_LOCALE
    environment = sandbox(locale, is_html=True, plain=html_to_text)
    try:
        html = with_languages(html, environment)
    except TemplateSyntaxError as error:
        raise _syntax(source, "html", html, error) from error
    if len(html.encode("utf-8", "surrogatepass")) > MAX_COMPILED:
        raise SourceError([_error(source, "source-size", f"compiles to more than {MAX_COMPILED} bytes", "")])
    own = source.text_part if source.text_part is not None else front.text
    template = CompiledTemplate(
        name=source.name,
        locale=locale,
        subject=_jinja(front.subject),
        preheader=_jinja(front.preheader),
        html=html,
        text=_jinja(own) if own is not None else derived(html, html_to_text),
        digest="",
        findings=tuple(findings),
    )
    return _finished(source, front, template, is_derived=own is None)


def _html(source: TemplateSource, shelf: Shelf) -> tuple[str, FrontMatter, list[Finding]]:
    """Return Jinja source of the HTML."""
    file = source.file or source.name
    if source.form is SourceForm.COMPONENTS:
        # A process that only renders does not pay for scripts and style sheets.
        from postroom.template.language.expansion import expand  # noqa: PLC0415
        from postroom.template.styles.styling import styled  # noqa: PLC0415

        own, shelf = shelf, with_shipped(shelf)
        expanded = expand(source, shelf)
        parts = {f"{path}.html": own.components[path] for path in expanded.used if path in own.components}
        texts = {file: source.text, **parts}
        try:
            dressed = styled(expanded.html, styles=shelf.styles, theme=shelf.theme)
        except SourceError as error:
            first = sorted(error.findings, key=lambda one: one.severity is not Severity.ERROR)[:MAX_PLACED]
            raise SourceError([_placed(one, texts) for one in first]) from error
        findings = [*expanded.findings, *[_placed(one, texts) for one in dressed.findings[:MAX_PLACED]]]
        return _in_ascii(dressed.html), expanded.front, findings
    front, body, _ = read_front_matter(source.text, file=file)
    if source.form is SourceForm.JINJA:
        return body, front, []
    return _mjml(source, _jinja(body)), front, []


def _placed(found: Finding, texts: Mapping[str, str]) -> Finding:
    """Give a finding about the styled page the place of the words that it quotes, if it is clear which."""
    words = _QUOTED.search(found.cause)
    if words is not None and not found.file:
        exact = re.compile(rf"(?<![\w-]){re.escape(words[1])}(?![\w-])")
        for file, text in texts.items():
            if (at := exact.search(text)) is not None:
                if found.code == "css-syntax" and sum(len(exact.findall(one)) for one in texts.values()) > 1:
                    break
                line = text.count("\n", 0, at.start()) + 1
                return replace(
                    found, file=file, line=line, column=at.start() - text.rfind("\n", 0, at.start())
                )
    return replace(found, file=found.file or next(iter(texts)))


def _in_ascii(html: str) -> str:
    """Write the few letters of a page that are not ASCII as references: it needs no encoding as mail."""
    letters = len(html) - len(html.encode("ascii", "ignore"))
    if not 0 < letters < len(html) * ASCII_SHARE:
        return html
    page = shield(html)
    parts = _LITERAL.split(page.text)
    parts[::2] = [part.encode("ascii", "xmlcharrefreplace").decode("ascii") for part in parts[::2]]
    return page.unshield("".join(parts))


def _mjml(source: TemplateSource, body: str) -> str:
    """Return what the MJML engine makes of a source. Raises SourceError."""
    try:
        from mjml import mjml2html  # noqa: PLC0415 - an optional extra
    except ImportError:
        cause, fix = "this installation does not know MJML", "Run pip install postroom[mjml]."
        raise SourceError([_error(source, "mjml-missing", cause, fix)]) from None
    page = shield(body, for_text=True)
    word = re.compile(rf"(?:\s*{page.prefix}\d+z)+")
    parts: list[str] = []
    position, depth = 0, 0
    for tag in [*re.finditer(r"<[^>]*>", page.text), None]:
        between = page.text[position : tag.start() if tag else None]
        parts.append(
            word.sub(lambda match: f"<mj-raw>{match[0].strip()}</mj-raw>", between)
            if depth == 0 and "<mj-body" in page.text[:position]
            else between
        )
        if tag is None:
            break
        position = tag.end()
        parts.append(tag[0])
        if (flow := _MJML_FLOW.match(tag[0])) and not flow["empty"]:
            depth = max(depth - 1, 0) if flow["slash"] else depth + 1
    try:
        return page.unshield(mjml2html("".join(parts)))
    except (ValueError, OSError) as error:
        raise SourceError([_error(source, "mjml", str(error)[:300], "Correct the MJML.")]) from error


def _finished(
    source: TemplateSource, front: FrontMatter, template: CompiledTemplate, *, is_derived: bool
) -> CompiledTemplate:
    """Check the four sources, find out what they read, and sign them."""
    trees: dict[str, nodes.Template] = {}
    for part in _PARTS:
        text = getattr(template, part)
        try:
            with _told(source, part, text):
                trees[part] = _environment(template, part).parse_plain(text)
        except SourceError:
            if part != "text" or not is_derived:
                raise
            template = replace(template, text="")  # its statements do not come out in pairs
    with _told(source, "html", template.html):
        found = reads([*trees.values()], front.variables)
    if is_derived:
        trees.pop("text", None)  # its constructs are those of the HTML; code is made of them once
    for part, tree in trees.items():
        environment = _environment(template, part)
        with _told(source, part, getattr(template, part)):
            environment.compile(marked(tree, environment))
    template = replace(template, schema=found.schema, globals=found.globals)
    return replace(template, digest=_digest(template))


def _environment(template: CompiledTemplate, part: str) -> Sandbox:
    return sandbox(template.locale, is_html=part == "html", plain=html_to_text)


@contextmanager
def _told(source: TemplateSource, part: str, text: str) -> Iterator[None]:
    """Say what is wrong with one of the four sources. Raises SourceError."""
    try:
        yield
    except TemplateSyntaxError as error:
        raise _syntax(source, part, text, error) from error
    except (RecursionError, MemoryError, SyntaxError):  # Python nests some twenty blocks
        cause = f"the expressions or blocks of the {part} are nested too deep"
        raise SourceError([_error(source, "nesting", cause, "Make them simpler.")]) from None


def _digest(template: CompiledTemplate) -> str:
    parts = [
        template.name,
        template.locale,
        template.subject,
        template.preheader,
        template.html,
        template.text,
        template.schema,
        template.globals,
    ]
    written = json.dumps(parts, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()


def _jinja(text: str) -> str:
    """Return an author's text with its expressions as Jinja reads them: ``@{{ x }}`` is ``{{ x }}``."""
    return text.replace("@{{", "{{")


def _syntax(source: TemplateSource, part: str, text: str, error: TemplateSyntaxError) -> SourceError:
    """Return the error for what is no Jinja, with the line of the author's source where it is found."""
    lines = text.split("\n")
    wrong = lines[error.lineno - 1].strip() if 0 < error.lineno <= len(lines) else ""
    own = [number for number, line in enumerate(source.text.split("\n"), 1) if wrong and wrong in line]
    cause = f"{error.message} (in the {part}: {wrong[:80]})"
    finding = _error(source, "jinja", cause, "Correct the expression.")
    return SourceError([replace(finding, line=own[0] if own else 0)])


def _error(source: TemplateSource, code: str, cause: str, fix: str) -> Finding:
    return Finding(code=code, severity=Severity.ERROR, file=source.file or source.name, cause=cause, fix=fix)

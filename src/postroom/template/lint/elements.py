"""How a page is built: images, tables, ids, tags that do not close, and what mail programs remove.

Sources: WCAG 2.2 success criteria 1.1.1, 1.3.1, 2.4.2 and 3.1.1; HTML Living Standard.
"""

from collections.abc import Iterator

from postroom.model.template import Finding
from postroom.template.lint.case import Case
from postroom.template.lint.contrast import is_visible, shown
from postroom.template.lint.css import declarations_of
from postroom.template.lint.page import VARIABLE, Element, mask

_RUNS = ("script", "iframe", "frame", "object", "embed", "applet")
_FORMS = ("form", "input", "select", "textarea", "button")
_MEDIA = ("video", "audio")
_EVENT = "on"
_DATA = frozenset({"th", "caption", "thead"})


def elements(case: Case) -> Iterator[Finding]:
    """Yield what is said about the elements of a page."""
    yield from _tags(case)
    yield from _page(case)
    for image in case.page.elements("img"):
        yield from _image(case, image)
    yield from _tables(case)
    yield from _ids(case)
    yield from _removed(case)
    yield from _remote(case)


def _tags(case: Case) -> Iterator[Finding]:
    """Judge the author's own tags: the compiled page has been closed by a tree builder."""
    page = case.source_page
    if not case.is_components:  # the reader of components says so itself
        for one in page.unclosed:
            yield case.found_in_source("unclosed-element", f"<{one.name}> is not closed", one.at)
    for name, at in page.stray:
        yield case.found_in_source("stray-end-tag", f"</{name}> closes nothing", at)


def _page(case: Case) -> Iterator[Finding]:
    html = next(case.page.elements("html"), None)
    if html is None:
        return
    if not html.get("lang").strip():
        yield case.found("missing-lang", "<html> has no lang", at=html)
    title = next(case.page.elements("title"), None)
    if title is None or not title.text().strip():
        yield case.found("missing-title", "there is no title", at=html)


def _image(case: Case, image: Element) -> Iterator[Finding]:
    source = shown(image.get("src") or image.tag)
    width, height = _width(image), image.get("height").strip()
    if width in {"0", "1"} and height in {"0", "1"}:
        yield case.found("tracking-pixel", f"the image {source} has one pixel", at=image)
        return
    if "alt" not in image.attributes:
        yield case.found("image-alt", f"the image {source} has no alt", at=image)
    elif not image.get("alt").strip():
        link = next((one for one in image.above() if one.name == "a"), None)
        if link is not None and not is_visible(link.text()) and not link.get("aria-label"):
            others = [one for one in link.walk() if one.name == "img" and one.get("alt").strip()]
            if not others:
                cause = f"the image {source} is all a link shows, and its alt is empty"
                yield case.found("image-alt", cause, at=image)
    if not image.get("width").strip():
        yield case.found("image-width", f"the image {source} has no attribute width", at=image)


def _width(image: Element) -> str:
    style = {one.name: one.value for one in declarations_of(image.get("style"))}
    return image.get("width").strip() or style.get("width", "").removesuffix("px")


def _tables(case: Case) -> Iterator[Finding]:
    bare = [
        table
        for table in case.page.elements("table")
        if not table.get("role") and not any(one.name in _DATA for one in table.walk())
    ]
    if bare:
        more = f" and {len(bare) - 1} more" if len(bare) > 1 else ""
        yield case.found("layout-table", f"a table without role{more}", at=bare[0])


def _ids(case: Case) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for one in case.page.elements():
        name = one.get("id").strip()
        if name and VARIABLE not in mask(name)[0]:
            seen[name] = seen.get(name, 0) + 1
            if seen[name] == 2:
                yield case.found("duplicate-id", f'the id "{name}" is used twice', at=one)


def _removed(case: Case) -> Iterator[Finding]:
    """Yield what mail programs take out, and filters count."""
    for one in case.page.elements(*_RUNS):
        if one.get("type") != "application/ld+json":  # data for an inbox, which runs nothing
            yield case.found("active-content", f"there is a <{one.name}>", at=one)
    for one in case.page.elements():
        handlers = [name for name in one.attributes if name.startswith(_EVENT) and name.isalpha()]
        if handlers:
            yield case.found("active-content", f"<{one.name}> has {handlers[0]}", at=one)
    form = next(case.page.elements(*_FORMS), None)
    if form is not None:
        yield case.found("form", f"there is a <{form.name}>", at=form)
    for one in case.page.elements(*_MEDIA):
        yield case.found("media", f"there is a <{one.name}>", at=one)


def _remote(case: Case) -> Iterator[Finding]:
    """Yield what a program would have to load before it shows the text."""
    for link in case.page.elements("link"):
        address = link.get("href")
        if "stylesheet" in link.get("rel").lower().split():
            code = "remote-font" if "font" in address.lower() else "remote-style"
            yield case.found(code, f"the page loads {shown(address, 60)}", at=link)
    sheet = case.sheet
    for name, prelude, at in sheet.at_rules:
        if name == "import":
            code = "remote-font" if "font" in prelude.lower() else "remote-style"
            yield case.found(code, f"the page imports {shown(prelude, 60)}", at=at)
        elif name == "font-face":
            yield case.found("remote-font", "the page loads a font by @font-face", at=at)

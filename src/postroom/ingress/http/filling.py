"""From a body that names a template to a submission: rendered before it is accepted, problems all told.

What was rendered goes through the same reading as a caller's own texts. A mail without a template never comes
here. When nothing but the rendering failed, the error has the submission without its texts: under its
idempotency key it may repeat a mail that was accepted when the template was another one.
"""

import asyncio
import difflib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from postroom.engine.templates import TemplateOrder, Templating
from postroom.errors import InputError, NotFoundError, Problem
from postroom.model.ids import TenantId
from postroom.model.message import Submission
from postroom.model.template import Rendered, TemplatePin
from postroom.schema.bodies import AttachmentBody
from postroom.schema.submission import FileFacts, Problems
from postroom.schema.templates import Use, filled, read_use

Content = tuple[Submission, list[FileFacts], list[AttachmentBody]]
"""A submission without its files, what is said of them, and where each one's content is."""
Render = Callable[[TemplateOrder], Awaitable[tuple[Rendered, TemplatePin]]]
"""Raises NotFoundError, InputError, OverloadError."""
_SHOWN_NAME = 100
"""Characters of a reference in a problem."""
_COMPARED = 20
"""Names that are compared letter by letter, which takes half a millisecond each."""
_FAR = 0.1
"""How much less alike than the nearest another name may be that is said too: all of a package begin alike."""


class UnrenderedError(InputError):
    """The template could not be rendered; nothing else is wrong."""

    def __init__(self, problems: Problems, submission: Submission) -> None:
        """Take what is wrong, and the submission without texts."""
        super().__init__(problems.found)
        self.submission = submission


async def read_filled(value: Mapping[str, Any], read: Callable[[object], Content], render: Render) -> Content:
    """Render what a body asks for, and ``read`` the body with its texts in place.

    Raises InputError with everything that is wrong, OverloadError.
    """
    problems = Problems()
    use = read_use(value, problems)
    is_sound = not problems.found
    rendered, pin = None, None
    if use is not None:
        pin = TemplatePin(name=use.order.template, version="", locale="")
        try:
            rendered, pin = await _rendered(use, render)
        except InputError as error:
            problems.take(error.problems)
    try:
        submission, files, sources = read(filled(value, rendered))
    except InputError as error:
        for problem in error.problems:
            problems.take([problem] if use is None or rendered is None else use.causes(problem, rendered))
        raise InputError(problems.found) from None
    if use is None:
        raise InputError(problems.found)
    submission = replace(submission, template=pin, template_asked=use.digests())
    if is_sound and problems.found and not files:
        raise UnrenderedError(problems, submission)
    return problems.unless_any(submission), files, sources


async def _rendered(use: Use, render: Render) -> tuple[Rendered, TemplatePin]:
    rendered, pin = await render(use.order)
    if not rendered.subject and "subject" not in use.own:
        raise InputError([_no_subject(pin)])
    return rendered, pin


def rendering(templates: Templating, tenant: TenantId) -> Render:
    """Return the rendering of a mail that is sent."""

    async def render(order: TemplateOrder) -> tuple[Rendered, TemplatePin]:
        return await templates.rendered(order, tenant)

    return naming(render, templates, tenant)


def naming(render: Render, templates: Templating, tenant: TenantId) -> Render:
    """Return a rendering that says which templates there are when one is not there."""

    async def named(order: TemplateOrder) -> tuple[Rendered, TemplatePin]:
        try:
            return await render(order)
        except NotFoundError:
            raise InputError([await unknown(order.template, templates, tenant)]) from None

    return named


async def unknown(reference: str, templates: Templating, tenant: TenantId) -> Problem:
    """Return what is wrong with a template that is not there; the fix names the nearest ones."""
    names = tuple(await templates.catalogue.names(tenant))
    near = await asyncio.to_thread(_nearest, reference[:_SHOWN_NAME], names)
    return Problem(
        code="template-unknown",
        field="template",
        cause=f"there is no template {reference[:_SHOWN_NAME]!r}",
        fix=f"Did you mean {' or '.join(near)}?" if near else "GET /v1/templates lists what there is.",
    )


@lru_cache(maxsize=64)
def _nearest(reference: str, names: tuple[str, ...]) -> Sequence[str]:
    """Return the nearest of some thousand names; takes some ten milliseconds, and a batch asks it often."""
    wanted = _pairs(reference)
    likely = sorted(names, key=lambda name: len(wanted ^ _pairs(name)))[:_COMPARED]
    near = {one: _likeness(reference, one) for one in difflib.get_close_matches(reference, likely, 3)}
    return [one for one in near if near[one] > max(near.values()) - _FAR]


def _likeness(reference: str, name: str) -> float:
    return difflib.SequenceMatcher(None, reference, name).ratio()


def _pairs(name: str) -> set[str]:
    return {name[start : start + 2] for start in range(len(name))}


def _no_subject(pin: TemplatePin) -> Problem:
    return Problem(
        code="subject-missing",
        field="subject",
        cause=f"the template {pin.name} renders no subject",
        fix="Give `subject` beside `template`, or write one in the template's front matter.",
    )

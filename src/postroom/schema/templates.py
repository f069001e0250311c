"""What a mail says about its template: the reference, the variables and the locale. Pure.

A body with a template is read in two steps. ``read_use`` judges these three fields; what they render to is
put into the body as subject, text and html (``filled``), which is then read and judged like any other.

Rules: the caller's own subject and text go before the template's, his own html beside a template is refused.
Variables are plain JSON; NUL and lone surrogates are refused by their path, because no mail can carry them.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from pydantic import ValidationError

from postroom.engine.templates import TemplateOrder
from postroom.errors import Problem
from postroom.grammar import CONTROL
from postroom.model.template import Rendered
from postroom.schema.bodies import Body, add_shape_problems
from postroom.schema.submission import Problems

MAX_VARIABLES = 256 * 1024
"""Bytes of the variables of one mail as JSON (security limit)."""
USE_FIELDS = frozenset({"template", "variables", "locale"})
_TEXTS = frozenset({"subject", "text", "html"})
_OWN = frozenset({"subject", "text"})
_NOT_GIVEN = (None, "")
"""Programs write both for a text they do not have."""
_NO_DEFAULTS = {
    "idempotency_key": "one key for every mail would make one mail of them",
    "attachments": "files are stored for each mail",
}
_SHOWN = 100
"""Characters of a member's name in a path."""


class UseBody(Body):
    """The fields of a mail that are about its template."""

    template: str
    variables: dict[str, Any] | None = None
    locale: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A template as a mail asks for it."""

    order: TemplateOrder
    canonical: bytes
    """The variables in the one form that equal ones have."""
    own: Mapping[str, str]
    """Subject and text that the caller wrote himself."""

    def digests(self) -> Mapping[str, str]:
        """Return what makes two uses the same mail, by field; the version of the template is not in it."""
        name = self.order.template.partition("@")[0]
        asked = {"template": name, "locale": self.order.locale, **self.own}
        digests = {name: _digest(text.encode("utf-8", "surrogatepass")) for name, text in asked.items()}
        return digests | {"variables": _digest(self.canonical)}

    def causes(self, problem: Problem, rendered: Rendered) -> Sequence[Problem]:
        """Return a problem of a rendered text, by the variables that brought it where these are found."""
        if problem.field not in _TEXTS or problem.field in self.own or problem.code == "wrong-type":
            return [problem]
        culprits: list[str] = []
        if problem.field == "subject" and problem.code == "control-character":
            culprits = [
                path
                for path, text in _texts(self.order.variables, "variables")
                if CONTROL.search(text) and text in rendered.subject
            ]
        return [
            Problem(
                code=problem.code,
                field=field,
                cause=f"the {problem.field} as rendered: {problem.cause}",
                fix=problem.fix,
            )
            for field in culprits or [problem.field]
        ]


def has_template(value: object) -> TypeGuard[dict[str, Any]]:
    """Say whether a body names a template. Almost none does, so this is all that others pay."""
    return type(value) is dict and value.get("template") is not None


def read_use(value: Mapping[str, Any], problems: Problems) -> Use | None:
    """Read what a body says about its template; ``None`` when it cannot be rendered."""
    body, canonical = None, b"{}"
    try:
        body = UseBody.model_validate({name: one for name, one in value.items() if name in USE_FIELDS})
        canonical = _canonical(body.variables or {}, problems)
    except ValidationError as error:
        add_shape_problems(error, UseBody, problems)
    can_render = not problems.found
    if value.get("html") not in _NOT_GIVEN:
        fix = "Leave out `html`, or `template`; a text of your own may stand beside a template."
        problems.add("html-with-template", "html", "html beside a template", fix)
    if body is None or not can_render:
        return None
    own = {name: one for name, one in value.items() if name in _OWN and one and isinstance(one, str)}
    order = TemplateOrder(template=body.template, variables=body.variables or {}, locale=body.locale or "")
    return Use(order=order, canonical=canonical, own=own)


def filled(value: Mapping[str, Any], rendered: Rendered | None) -> dict[str, Any]:
    """Return the body with the rendered texts it lacks instead of a template; ``None``: nothing rendered."""
    body = {name: one for name, one in value.items() if name not in USE_FIELDS and name != "html"}
    if rendered is not None:
        texts = {"subject": rendered.subject, "text": rendered.text, "html": rendered.html}
        body |= {name: text for name, text in texts.items() if body.get(name) in _NOT_GIVEN}
    return body


def with_defaults(defaults: Mapping[str, Any] | None, items: Sequence[object]) -> Sequence[object]:
    """Return the mails of a batch with what they do not bring themselves; variables are merged, one level.

    A mail that says ``"template": null`` has none, and no variables but its own. Raises InputError.
    """
    if defaults is None:
        return items
    problems = Problems()
    for name, cause in _NO_DEFAULTS.items():
        if name in defaults:
            problems.add("no-default", f"defaults.{name}", cause, f"Give each mail its own {name}.")
    problems.raise_any()
    return [_merged(defaults, item) if type(item) is dict else item for item in items]


def _merged(defaults: Mapping[str, Any], item: Mapping[str, Any]) -> Mapping[str, Any]:
    body = {**defaults, **item}
    if body.get("template") is None:
        return {name: one for name, one in body.items() if name not in USE_FIELDS or name in item}
    common, own = defaults.get("variables"), item.get("variables")
    if isinstance(common, dict) and isinstance(own, dict):
        body["variables"] = {**common, **own}
    return body


def _canonical(variables: Mapping[str, Any], problems: Problems) -> bytes:
    """Return the variables as bytes; what no mail can carry is a problem of its path."""
    text = json.dumps(variables, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    try:
        canonical = text.encode()
        is_clean = b"\\u0000" not in canonical
    except UnicodeEncodeError:
        canonical, is_clean = b"", False
    if len(canonical) > MAX_VARIABLES:
        cause = f"{len(canonical)} bytes, at most {MAX_VARIABLES}"
        problems.add("limit-exceeded", "variables", cause, "Attach long content as a file.")
    if not is_clean:
        for path, one in _texts(variables, "variables"):
            if "\0" in one or not _is_encodable(one):
                cause = "contains NUL or a lone surrogate"
                problems.add(
                    "control-character", path, cause, "Remove it; nothing here is changed in silence."
                )
    return canonical


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Walk every text, names of members included, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, one in value.items():
            below = f"{path}.{_shown(name)}"
            yield below, name
            yield from _texts(one, below)
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _texts(one, f"{path}.{number}")


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name[:_SHOWN])


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]

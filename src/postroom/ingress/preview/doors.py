"""The pages of the preview server: what the templates of a directory look like, while they are written.

Rules: nothing is changed by any request; only this machine is answered, by one of its own names (so that no
other site can read the pages through a browser); what a mail contains runs no script, and loads nothing from
anywhere unless the author asks for its images.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from postroom.errors import InputError, NotFoundError, Problem
from postroom.ingress.preview.picture import picture, state
from postroom.ingress.preview.workshop import Workshop
from postroom.template.errors import SourceError
from postroom.web.auth import Doorkeeper
from postroom.web.gate import SECURITY_HEADERS, Gate, Operation
from postroom.web.keyless import KeylessRule

_ASSETS = files("postroom.ingress.preview").joinpath("assets")
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FRAME_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:{images}; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; sandbox allow-same-origin"
)
"""The page measures the height of the frame, so they share an origin; without scripts that gives nothing."""
_SCHEME = re.compile(r"\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)", re.IGNORECASE)
_HEAD = re.compile(r"<head\b[^>]*>", re.IGNORECASE)
_FROM_A_LINK = KeylessRule(is_open=True, judges_origin=False)
_FROM_THE_PAGE = KeylessRule(is_open=True)


class PreviewDoors:
    """The pages over one workshop."""

    def __init__(self, workshop: Workshop, title: str) -> None:
        """Take the workshop, and what to call it."""
        self._workshop = workshop
        self._title = title
        self._one_at_a_time = asyncio.Lock()
        """The workshop is used by one thread at a time."""

    def gate(self) -> Gate:
        """Return the application."""
        told = (
            ("/", self.page, _FROM_A_LINK, "The page"),
            ("/preview.css", self.asset, _FROM_THE_PAGE, "Its style sheet"),
            ("/preview.js", self.asset, _FROM_THE_PAGE, "Its script"),
            ("/api/generation", self.generation, _FROM_THE_PAGE, "A number that changes with the files"),
            ("/api/state", self.state, _FROM_THE_PAGE, "Every template, and one of them rendered"),
            ("/frame", self.frame, _FROM_A_LINK, "The HTML of a mail"),
        )
        operations = [
            Operation(method="GET", path=path, endpoint=door, needs="read", keyless=rule, summary=summary)
            for path, door, rule, summary in told
        ]
        return Gate(operations, Doorkeeper(lambda _: None))

    async def page(self, _request: Request) -> Response:
        """Return the page."""
        headers = {
            **SECURITY_HEADERS,
            "content-security-policy": _PAGE_POLICY,
            "referrer-policy": "no-referrer",
        }
        return Response(_asset("preview.html"), headers=headers, media_type="text/html; charset=utf-8")

    async def asset(self, request: Request) -> Response:
        """Return what the page loads; the two names are all there are."""
        name = request.url.path.removeprefix("/")
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        return Response(_asset(name), headers=SECURITY_HEADERS, media_type=f"{kind}; charset=utf-8")

    async def generation(self, _request: Request) -> Response:
        """Say whether anything has changed; each question compiles a template that nobody has looked at."""
        async with self._one_at_a_time:
            compiled = await asyncio.to_thread(self._workshop.advance)
        told = {"generation": self._workshop.generation, "compiled": compiled}
        return JSONResponse(told, headers=SECURITY_HEADERS)

    async def state(self, request: Request) -> Response:
        """Return everything the page shows."""
        name, locale, variables = _asked(request)
        async with self._one_at_a_time:
            found = await asyncio.to_thread(state, self._workshop, name, locale, variables)
        return JSONResponse({"title": self._title, **found}, headers=SECURITY_HEADERS)

    async def frame(self, request: Request) -> Response:
        """Return a mail's HTML as a client would show it; what is wrong instead, as text."""
        name, locale, variables = _asked(request)
        query = request.query_params
        async with self._one_at_a_time:
            try:
                shown = await asyncio.to_thread(picture, self._workshop, name, locale, variables)
            except (NotFoundError, InputError, SourceError):
                shown = None  # the page says what is wrong
        html = "" if shown is None or shown.rendered is None else shown.rendered.html
        images = " http: https:" if query.get("images") == "1" else ""
        headers = {**SECURITY_HEADERS, "content-security-policy": _FRAME_POLICY.format(images=images)}
        text = in_scheme(html, "dark" if query.get("scheme") == "dark" else "light")
        return Response(text, headers=headers, media_type="text/html; charset=utf-8")


def in_scheme(html: str, scheme: str) -> str:
    """Return HTML as it looks where the reader prefers ``light`` or ``dark``, with links that lead nowhere.

    No browser lets a page choose that for a frame, so the question is answered in the text.
    """
    answered = _SCHEME.sub(
        lambda found: "(min-width: 0)" if found[1].lower() == scheme else "(max-width: 0)", html
    )
    more = f'<base target="_blank"><style>:root{{color-scheme:only {scheme}}}</style>'
    return _HEAD.sub(lambda found: found[0] + more, answered, count=1)


def _asked(request: Request) -> tuple[str, str, Mapping[str, Any] | None]:
    """Return name, locale and variables of a request. Raises InputError."""
    query = request.query_params
    given = query.get("variables", "")
    try:
        variables = json.loads(given) if given else None
    except ValueError:
        variables = ()
    if variables is not None and not isinstance(variables, dict):
        fix = "Write them as one JSON object."
        problem = Problem(code="variables", field="variables", cause="are no JSON object", fix=fix)
        raise InputError([problem])
    return query.get("name", ""), query.get("locale", ""), variables


def _asset(name: str) -> bytes:
    return _ASSETS.joinpath(name).read_bytes()

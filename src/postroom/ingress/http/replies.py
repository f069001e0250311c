"""Answers as bytes: JSON that is never cached, and the preferences a caller may state."""

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from postroom.errors import InputError, Problem
from postroom.web.problem import HttpError

MAX_WAIT_S = 30
"""Seconds an answer may be delayed by ``Prefer: wait`` (RFC 7240 section 4.3)."""

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?([0-9]{1,6})\"?\s*(?=$|[,;])")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a JSON value."""
    return Response(
        _ENCODER.encode(value).encode("utf-8", "replace"),
        status,
        {"cache-control": "no-store", **(headers or {})},
        "application/json",
    )


def wait_preference(request: Request) -> int | None:
    """Return the seconds of ``Prefer: wait=N``, at most ``MAX_WAIT_S``; ``None`` without one."""
    prefer = request.headers.get("prefer")
    match = _WAIT.search(prefer) if prefer else None
    return min(int(match[1]), MAX_WAIT_S) if match else None


def idempotency_header(request: Request) -> str | None:
    """Return the Idempotency-Key header. Raises InputError when it is given twice."""
    given = [value for name, value in request.scope["headers"] if name == b"idempotency-key"]
    if len(given) > 1:
        raise InputError(
            [
                Problem(
                    code="given-twice",
                    field="idempotency_key",
                    cause="the header Idempotency-Key stands twice",
                    fix="Give it once.",
                )
            ]
        )
    return given[0].decode("latin-1") if given else None


def path_number(request: Request, name: str) -> int:
    """Return a path parameter that is a number. Raises HttpError 404."""
    text: str = request.path_params[name]
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        problem = Problem(
            code="not-found", field=name, cause=f"{text[:50]!r} is not a number", fix="Use a number."
        )
        raise HttpError(404, problem)
    return int(text)

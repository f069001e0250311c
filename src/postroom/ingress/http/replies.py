"""Answers as bytes: JSON that is never cached, and the preferences a caller may state."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from postroom.errors import InputError, Problem
from postroom.web.problem import HttpError

MAX_WAIT_S = 30
"""Seconds an answer may be delayed by ``Prefer: wait`` (RFC 7240 section 4.3)."""

_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?([0-9]{1,6})\"?\s*(?=$|[,;])")
_WEIGHT = re.compile(r"[01](?:\.[0-9]{0,3})?\Z")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class JsonReply(Response):
    """A JSON answer that is never cached; its head is written without the framework's detours."""

    media_type = "application/json"

    def __init__(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Encode ``value``, unless it is JSON as bytes already; header names in lower case."""
        self.status_code = status
        self.background = None
        self.body = value if type(value) is bytes else _ENCODER.encode(value).encode("utf-8", "replace")
        self.raw_headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self.body)),
            (b"cache-control", b"no-store"),
        ]
        for name, text in headers.items() if headers else ():
            if name != "cache-control":
                self.raw_headers.append((name.encode("latin-1"), text.encode("latin-1")))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send head and body."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


def wait_preference(request: Request) -> int | None:
    """Return the seconds of ``Prefer: wait=N``, at most ``MAX_WAIT_S``; ``None`` without one."""
    for name, value in request.scope["headers"]:
        if name == b"prefer" and (match := _WAIT.search(value.decode("latin-1"))):
            return min(int(match[1]), MAX_WAIT_S)
    return None


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


def accepted_kind(request: Request, kinds: Sequence[str]) -> str:
    """Return which of these media types the caller likes best; the first one unless another is named."""
    best, most = kinds[0], 0.0
    for name, value in request.scope["headers"]:
        if name != b"accept":
            continue
        for part in value.decode("latin-1").split(","):
            kind, *parameters = [piece.strip().lower() for piece in part.split(";")]
            weight = next((one[2:] for one in parameters if one.startswith("q=")), "1")
            quality = float(weight) if _WEIGHT.match(weight) else 0.0
            if kind in kinds and quality > most:
                best, most = kind, quality
    return best


def path_number(request: Request, name: str) -> int:
    """Return a path parameter that is a number. Raises HttpError 404."""
    text: str = request.path_params[name]
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        problem = Problem(
            code="not-found", field=name, cause=f"{text[:50]!r} is not a number", fix="Use a number."
        )
        raise HttpError(404, problem)
    return int(text)

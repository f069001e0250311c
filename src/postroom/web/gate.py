"""The gate: finds the operation, admits the caller, judges the head, and only then lets the body be read.

One table of ``Operation`` values is the truth about every door: the gate dispatches by it and the OpenAPI
document is written from it. The framework's own dispatch is not on the way of a request: it costs more
than everything here together, and it reads the body before it asks who is calling.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from postroom.errors import OverloadError, Problem
from postroom.web.auth import Caller, Doorkeeper, SharedSecret
from postroom.web.keyless import NEVER_KEYLESS, KeylessRule
from postroom.web.limits import refuse_body
from postroom.web.problem import HttpError, problem_of

Endpoint = Callable[[Request], Awaitable[Response]]
Dialect = Callable[[Exception], Response]

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""On every answer the gate itself gives and every page: nothing is sniffed, embedded elsewhere or cached."""

OVERLOAD_RETRY_S = 2.0
"""What is behind is done in less, once nothing is added."""

_NONE: Mapping[str, "Operation"] = {}
_CALLER = "postroom.caller"
_MEDIA_TYPE = "postroom.media_type"


def as_problem(error: Exception) -> Response:
    """Answer an error as a problem document."""
    return problem_of(error).as_response()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    """With parameters as ``{name}``, each one segment."""
    endpoint: Endpoint
    needs: str | None
    """The scope a key must have; ``None``: open to everybody."""
    summary: str
    keyless: KeylessRule = NEVER_KEYLESS
    """When a request without a key is admitted; by default never."""
    shared_secret: SharedSecret | None = None
    """What a request may have instead of a key."""
    media_types: frozenset[str] = frozenset()
    """Content types of the body; empty when the operation reads none."""
    max_body: int = 64 * 1024
    """Bytes."""
    dialect: Dialect = as_problem
    """How this door words an error."""
    description: str = ""
    body: type[BaseModel] | None = None
    """Model of the JSON body, for the document."""
    answers: Mapping[int, tuple[str, type[BaseModel] | str]] = field(default_factory=dict)
    """Status to description and model (or content type), for the document."""
    parameters: Sequence[Mapping[str, Any]] = ()
    """Query and header parameters in OpenAPI form."""


def caller_of(request: Request) -> Caller:
    """Return who was admitted."""
    caller: Caller = request.scope[_CALLER]
    return caller


def media_type_of(request: Request) -> str:
    """Return the body's media type, in lower case without parameters."""
    kind: str = request.scope[_MEDIA_TYPE]
    return kind


class Gate:
    """An ASGI application over a table of operations."""

    def __init__(
        self,
        operations: Sequence[Operation],
        doorkeeper: Doorkeeper,
        *,
        is_overloaded: Callable[[], bool] = lambda: False,
    ) -> None:
        """Build the look-up. Raises ValueError when two operations share method and path.

        While the process ``is_overloaded`` no body is read: callers are told to come back (rule F3).
        """
        self.operations = tuple(operations)
        self._doorkeeper = doorkeeper
        self._is_overloaded = is_overloaded
        self._static: dict[str, dict[str, Operation]] = {}
        patterns: dict[str, dict[str, Operation]] = {}
        for operation in operations:
            table = patterns if "{" in operation.path else self._static
            methods = table.setdefault(operation.path, {})
            if operation.method in methods:
                raise ValueError(f"{operation.method} {operation.path} is given twice")
            methods[operation.method] = operation
        self._patterns = [(_pattern(path), methods) for path, methods in patterns.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise ValueError(f"the gate serves HTTP, not {scope['type']}")
        dialect: Dialect = as_problem
        try:
            operation = self._find(scope)
            dialect = operation.dialect
            scope[_CALLER] = self._doorkeeper.admit(
                scope, needs=operation.needs, keyless=operation.keyless, shared=operation.shared_secret
            )
            scope[_MEDIA_TYPE] = refuse_body(
                scope["headers"], max_body=operation.max_body, media_types=operation.media_types
            )
            if operation.media_types and operation.needs != "operate":  # who can end it is let in
                self._refuse_overload()
            response = await operation.endpoint(Request(scope, receive))
        except Exception as error:  # noqa: BLE001 - the supervision point of a request: every error is an answer
            response = dialect(error)
        await response(scope, receive, send)

    def _refuse_overload(self) -> None:
        if self._is_overloaded():
            raise OverloadError("the server is behind with its work", retry_after_s=OVERLOAD_RETRY_S)

    def _find(self, scope: Scope) -> Operation:
        path: str = scope["path"]
        method: str = "GET" if scope["method"] == "HEAD" else scope["method"]
        methods = self._static.get(path, _NONE)
        if method not in methods:  # a thing may have the name of a verb: a transport called "check"
            methods = {**(self._matched(scope, path) or self._matched_encoded(scope) or _NONE), **methods}
            if not methods:
                raise HttpError(
                    404,
                    Problem(
                        code="no-such-path",
                        field="path",
                        cause=f"there is nothing at {path[:200]!r}",
                        fix="/docs lists every path.",
                    ),
                )
        operation = methods.get(method)
        if operation is None:
            allowed = ", ".join(sorted(methods))
            raise HttpError(
                405,
                Problem(
                    code="method-not-allowed",
                    field="method",
                    cause=f"{scope['method'][:20]} is not allowed here",
                    fix=f"Use {allowed}.",
                ),
                {"allow": allowed},
            )
        return operation

    def _matched(self, scope: Scope, path: str) -> Mapping[str, Operation] | None:
        for pattern, methods in self._patterns:
            if match := pattern.match(path):
                scope["path_params"] = match.groupdict()
                return methods
        return None

    def _matched_encoded(self, scope: Scope) -> Mapping[str, Operation] | None:
        """Match before decoding: an address may hold a slash, which stands in its segment as ``%2F``."""
        raw: bytes = scope.get("raw_path") or b""
        if b"%2" not in raw:
            return None
        methods = self._matched(scope, raw.decode("latin-1"))
        if methods is not None:
            scope["path_params"] = {name: unquote(text) for name, text in scope["path_params"].items()}
        return methods


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path)) + r"\Z")

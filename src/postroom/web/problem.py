"""Errors as answers: RFC 9457 problem documents.

``problem_of`` is the one place where the error tree meets HTTP status codes. Every document carries
``type title status detail code errors``; ``errors`` lists each wrong field with ``code field cause fix``.
An error of ours is logged with its trace and answered without it.

The codes are explained in ``docs/errors.md``; ``type`` points at the same text on this server's ``/docs``.
"""

import errno
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from math import ceil
from typing import Any

from starlette.responses import Response

from postroom.errors import (
    CallerError,
    ConflictError,
    DiskFullError,
    InputError,
    MalformedError,
    NotFoundError,
    OverloadError,
    Problem,
    SecretKeyError,
    StoreError,
    TooLargeError,
    UnknownOutcomeError,
)
from postroom.telemetry import logger
from postroom.telemetry.catalogue import REFUSED

DISK_RETRY_AFTER_S = 60
"""A full disk needs a person or a purge; asking more often helps nobody."""
STORE_RETRY_AFTER_S = 30
KEY_RETRY_AFTER_S = 60
"""A person has to put the key back."""
UNKNOWN_RETRY_AFTER_S = 5
DESCRIPTORS_RETRY_AFTER_S = 2

_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})

_log = logger("web")


class HttpError(CallerError):
    """A refusal that only HTTP knows, for example 401, 405, 415 or 431."""

    def __init__(self, status: int, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        """Take the status, the problem to show and extra response headers."""
        super().__init__(problem.cause)
        self.status = status
        self.problem = problem
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemDocument:
    """One refusal, before it becomes bytes."""

    status: int
    code: str
    detail: str
    errors: tuple[Problem, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_json(self, **extensions: Any) -> dict[str, Any]:
        """Return the document with RFC 9457 extension members added."""
        return {
            "type": f"/docs#{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "errors": [
                {"code": each.code, "field": each.field, "cause": each.cause, "fix": each.fix}
                for each in self.errors
            ],
            **extensions,
        }

    def as_response(self, **extensions: Any) -> Response:
        """Return the answer; never cached."""
        return Response(
            json.dumps(self.as_json(**extensions)),
            self.status,
            {"cache-control": "no-store", **self.headers},
            "application/problem+json",
        )


def problem_of(error: Exception) -> ProblemDocument:
    """Say what an exception means to an HTTP caller; it is counted, and logged when the fault is ours."""
    document = _problem_of(error)
    REFUSED.count((document.code,))
    return document


def _problem_of(error: Exception) -> ProblemDocument:  # noqa: C901, PLR0911, PLR0912 - a table of the errors
    match error:
        case MalformedError():
            return _listed(400, error.problems)
        case InputError():
            return _listed(422, error.problems)
        case TooLargeError():
            return _listed(413, [error.problem])
        case ConflictError():
            return _listed(409, [error.problem])
        case HttpError():
            return _listed(error.status, [error.problem], error.headers)
        case NotFoundError():
            return ProblemDocument(
                status=404, code="not-found", detail=str(error) or "there is no such thing"
            )
        case OverloadError():
            return _later(503, "overloaded", str(error), error.retry_after_s)
        case DiskFullError():
            return _later(507, "disk-full", "intake is stopped before the disk is full", DISK_RETRY_AFTER_S)
        case UnknownOutcomeError():
            detail = (
                "the store failed while committing and the message may or may not be stored; "
                "repeat the request with the same Idempotency-Key and the answer will be exact"
            )
            return _later(503, "unknown-outcome", detail, UNKNOWN_RETRY_AFTER_S)
        case OSError() if error.errno in _OUT_OF_DESCRIPTORS:
            _log.error("no descriptors left for a request")
            return _later(503, "overloaded", "the server has no descriptors left", DESCRIPTORS_RETRY_AFTER_S)
        case SecretKeyError():
            _log.error("a secret cannot be sealed or opened", cause=error.cause, error=str(error))
            return _sealed(error)
        case StoreError():
            _log.error("store unusable", error=str(error))
            return _later(503, "store-unavailable", "the store cannot be used now", STORE_RETRY_AFTER_S)
        case _:
            _log.error("request failed", exc_info=error)
            return ProblemDocument(
                status=500, code="internal-error", detail="a fault of this program; the log has the details"
            )


def _listed(
    status: int, problems: Sequence[Problem], headers: Mapping[str, str] | None = None
) -> ProblemDocument:
    return ProblemDocument(
        status=status,
        code=problems[0].code if len(problems) == 1 else "invalid-fields",
        detail="; ".join(
            f"{each.field}: {each.cause}" if each.field else each.cause for each in problems[:10]
        ),
        errors=tuple(problems),
        headers=headers or {},
    )


def _sealed(error: SecretKeyError) -> ProblemDocument:
    fix = "Put the key back (secret.key of the data directory, or POSTROOM_SECRET_KEY) and start again."
    problem = Problem(code="secret-key-missing", field="", cause=str(error), fix=fix)
    if error.cause == "secret-key-wrong":
        problem = Problem(code="secret-key-wrong", field="", cause=str(error), fix="Enter the secret anew.")
    return _listed(503, [problem], {"retry-after": str(KEY_RETRY_AFTER_S)})


def _later(status: int, code: str, detail: str, seconds: float) -> ProblemDocument:
    return ProblemDocument(
        status=status, code=code, detail=detail, headers={"retry-after": str(max(1, ceil(seconds)))}
    )

"""One call without its wire: what to send, what the answer means, and whether to ask again. Pure.

A call is repeated when no answer came or the server asks to come back; the idempotency key is the same each
time, so a mail whose answer was lost is not stored twice.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any
from uuid import uuid4

from postroom_client.errors import BY_STATUS, PostroomError, Problem, ServerError, UnreachableError
from postroom_client.messages import Mail, Message, body_of, message_of

MAX_WAIT_S = 30.0
"""What the server grants in one answer."""
FIRST_PAUSE_S = 0.25
"""Before the first repetition; doubles from there."""
MAX_PAUSE_S = 10.0
"""A server that asks for more is not waited for: the error carries its wish."""
_REPEATED = frozenset({429, 502, 503, 504})
"""Asked again. 507 is not: a full disk needs a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    wait_s: float = 0.0
    """Seconds that the server may take on purpose."""


def submission(mail: Mail, *, wait: float | None, idempotency_key: str | None) -> Call:
    """Return the call that hands in a mail; without a key it makes one."""
    headers = {"content-type": "application/json", "idempotency-key": idempotency_key or uuid4().hex}
    wait_s = min(wait or 0.0, MAX_WAIT_S)
    if wait_s > 0:
        headers["prefer"] = f"wait={ceil(wait_s)}"
    content = json.dumps(body_of(mail)).encode()
    return Call(method="POST", path="/v1/messages", headers=headers, content=content, wait_s=wait_s)


def look(message_id: str) -> Call:
    """Return the call that asks for one message. Raises ValueError for what no id looks like."""
    if not message_id.replace(".", "").isalnum():
        msg = f"{message_id!r} is not the id of a message"
        raise ValueError(msg)
    return Call(method="GET", path=f"/v1/messages/{message_id}")


def read(status: int, headers: Mapping[str, str], content: bytes) -> Message:
    """Return the message that an answer tells. Raises PostroomError."""
    try:
        document: Any = json.loads(content)
    except ValueError:
        document = None
    if status < 300 and isinstance(document, dict):
        try:
            return message_of(document, is_replay=headers.get("idempotency-replayed") == "true")
        except (KeyError, TypeError, AttributeError, IndexError):
            pass
    raise _error(status, headers, document if isinstance(document, dict) else {})


def _error(status: int, headers: Mapping[str, str], document: Mapping[str, Any]) -> PostroomError:
    listed = document.get("errors")
    problems = tuple(
        Problem(**{name: str(one.get(name, "")) for name in ("code", "field", "cause", "fix")})
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, dict)
    )
    after = headers.get("retry-after", "")
    kind = BY_STATUS.get(status, ServerError)
    detail = document.get("detail") or f"the answer {status} is not one of a Postroom server"
    return kind(
        str(detail),
        status=status,
        code=str(document.get("code", "")),
        problems=problems,
        retry_after=float(after) if after.isdecimal() else None,
    )


def unreachable(url: str, error: Exception) -> UnreachableError:
    """Return the error of a call without an answer; ``url`` has no secret in it."""
    why = str(error) or type(error).__name__
    return UnreachableError(f"no answer from {url}: {why}")


def pause_after(error: PostroomError, attempt: int, *, retries: int) -> float | None:
    """Return the seconds before the call is repeated, ``None`` when it is not; ``attempt`` counts from 0."""
    if attempt >= retries or not (isinstance(error, UnreachableError) or error.status in _REPEATED):
        return None
    pause_s = max(error.retry_after or 0.0, FIRST_PAUSE_S * 2.0**attempt)
    return None if (error.retry_after or 0.0) > MAX_PAUSE_S else min(pause_s, MAX_PAUSE_S)

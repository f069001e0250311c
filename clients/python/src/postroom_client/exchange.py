"""One call without its wire: what to send, what the answer means, and whether to ask again. Pure.

A call is repeated when no answer came or the server asks to come back; the idempotency key is the same each
time, so a mail whose answer was lost is not stored twice.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Generic, TypeVar
from uuid import uuid4

from postroom_client.alerts import Alert, TakenAlert, taken_of
from postroom_client.errors import BY_STATUS, PostroomError, Problem, ServerError, UnreachableError
from postroom_client.messages import Mail, Message, TemplateLook, body_of, message_of
from postroom_client.templates import Preview, Template, preview_of, templates_of

MAX_WAIT_S = 30.0
"""What the server grants in one answer."""
FIRST_PAUSE_S = 0.25
"""Before the first repetition; doubles from there."""
MAX_PAUSE_S = 10.0
"""A server that asks for more is not waited for: the error carries its wish."""
_REPEATED = frozenset({429, 502, 503, 504})
"""Asked again. 507 is not: a full disk needs a person."""


T_co = TypeVar("T_co", covariant=True)
_MESSAGES = "/v1/messages"
_JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T_co]):
    """One request, and how its answer is read."""

    method: str
    path: str
    answer: Callable[[Mapping[str, Any], bool], T_co]
    """From the JSON of a good answer and whether it is a replay. May raise what reading raises."""
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    wait_s: float = 0.0
    """Seconds that the server may take on purpose."""


def submission(mail: Mail, *, wait: float | None, idempotency_key: str | None) -> Call[Message]:
    """Return the call that hands in a mail; without a key it makes one."""
    return _sending(_MESSAGES, body_of(mail), wait=wait, key=idempotency_key)


def batch(
    mails: Sequence[Mail], *, defaults: Mail | None, idempotency_key: str | None
) -> Call[list[Message | PostroomError]]:
    """Return the call that hands in many mails; without a key it makes one."""
    body: dict[str, Any] = {"messages": [body_of(mail) for mail in mails]}
    if defaults is not None:
        body["defaults"] = body_of(defaults)
    return Call(
        method="POST",
        path=f"{_MESSAGES}/batch",
        headers={**_JSON, "idempotency-key": idempotency_key or uuid4().hex},
        content=json.dumps(body).encode(),
        answer=lambda document, _: [_item(one, document) for one in document["messages"]],
    )


def look(message_id: str) -> Call[Message]:
    """Return the call that asks for one message. Raises ValueError for what no id looks like."""
    if not message_id.replace(".", "").isalnum():
        msg = f"{message_id!r} is not the id of a message"
        raise ValueError(msg)
    return Call(method="GET", path=f"{_MESSAGES}/{message_id}", answer=_message)


def alerts(events: Sequence[Alert]) -> Call[list[TakenAlert]]:
    """Return the call that reports alert events, all or none of them."""
    return Call(
        method="POST",
        path="/v1/alerts",
        headers=_JSON,
        content=json.dumps({"alerts": list(events)}).encode(),
        answer=lambda document, _: taken_of(document),
    )


def templates() -> Call[tuple[Template, ...]]:
    """Return the call that lists templates."""
    return Call(method="GET", path="/v1/templates", answer=lambda document, _: templates_of(document))


def preview(look: TemplateLook) -> Call[Preview]:
    """Return the call that renders a mail and sends nothing."""
    return Call(
        method="POST",
        path="/v1/templates/preview",
        headers=_JSON,
        content=json.dumps(look).encode(),
        answer=lambda document, _: preview_of(document),
    )


def template_test(to: str, look: TemplateLook, *, wait: float | None) -> Call[Message]:
    """Return the call that sends a preview to one address."""
    return _sending("/v1/templates/test", {**look, "to": to}, wait=wait, key=None)


def _sending(path: str, body: Mapping[str, Any], *, wait: float | None, key: str | None) -> Call[Message]:
    headers = {**_JSON, "idempotency-key": key or uuid4().hex}
    wait_s = min(wait or 0.0, MAX_WAIT_S)
    if wait_s > 0:
        headers["prefer"] = f"wait={ceil(wait_s)}"
    content = json.dumps(body).encode()
    return Call(method="POST", path=path, headers=headers, content=content, wait_s=wait_s, answer=_message)


def _message(document: Mapping[str, Any], is_replay: bool) -> Message:
    return message_of(document, is_replay=is_replay)


def _item(one: Mapping[str, Any], document: Mapping[str, Any]) -> Message | PostroomError:
    """Read one result of a batch."""
    if "problem" in one:
        return _error(int(one["status"]), {}, one["problem"])
    return message_of({**one, "mode": document["mode"]})


def read(call: Call[T_co], status: int, headers: Mapping[str, str], content: bytes) -> T_co:
    """Return what an answer tells. Raises PostroomError."""
    try:
        document: Any = json.loads(content)
    except ValueError:
        document = None
    if status < 300 and isinstance(document, dict):
        try:
            return call.answer(document, headers.get("idempotency-replayed") == "true")
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

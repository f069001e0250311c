"""What a webhook's answer to a posted mail means: to evidence, whose cause the rules know.

| answer | means |
|---|---|
| 2xx | accepted, unless the mapping's success rule says otherwise |
| 3xx | refused: a mail is not posted to where nobody configured |
| 408, 425, 500, 503 and other 5xx | not taken now, tried again |
| 429 | not taken now; nothing is posted for a while (``Retry-After``) |
| 502, 504, 520, 522, 524 | nobody knows: what stands behind a proxy may have taken it |
| other 4xx | HAP form: the account is to blame, the transport waits; mapped form: the mail is refused |

A loss after the last byte of the request is uncertain, before it nothing was posted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.reply import Reply
from postroom.model.step import Step
from postroom.model.transport import HookForm
from postroom.policy.hook_url import HookUrl

UNAVAILABLE = "webhook-unavailable"
THROTTLED = "webhook-throttled"
GATEWAY = "webhook-gateway"
REDIRECT = "webhook-redirect"
NOT_TAKEN = "webhook-not-taken"
REFUSED = "webhook-refused"
LOST = "webhook-answer-lost"
UNSENT = "webhook-unsent"
EARLY = "webhook-early-answer"
PUBLIC_URL_MISSING = "public-url-missing"

_AGAIN = frozenset({408, 425})
_GATEWAYS = frozenset({502, 504, 520, 522, 524})
"""From 520 on as a wide-spread proxy service gives them for a server that it had reached."""
_MAX_TEXT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class HookReply:
    """An answer whose head came whole."""

    status: int
    text: str = ""
    """The beginning of its body, for people."""
    retry_after_s: float | None = None
    said: str | None = None
    """What the member of the success rule says; ``None`` when there is no such rule."""
    is_cut: bool = False
    """The body did not come whole."""
    is_early: bool = False
    """It came before the last byte of the request was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessRule:
    """The member of a JSON answer that says whether the mail was taken."""

    member: str
    equals: Sequence[str]
    defer: Sequence[str] = ()
    """Values that mean "not now"; any other one refuses."""


def evidence_of(reply: HookReply, *, form: HookForm, success: SuccessRule | None, at: HookUrl) -> Evidence:
    """Return what an answer means. One to half a request is never an acceptance, nor in doubt."""
    if 200 <= reply.status < 300:
        if reply.is_early:
            return _fault(EARLY, FaultKind.PROTOCOL, said(reply), at)
        return _of_success(reply, success, at)
    cause, kind = _cause(reply.status, form)
    if reply.is_early and cause == GATEWAY:
        cause = UNAVAILABLE
    return _fault(cause, kind, said(reply), at)


def said(reply: HookReply) -> str:
    """Return an answer as one line."""
    try:
        phrase = f" {HTTPStatus(reply.status).phrase}"
    except ValueError:
        phrase = ""
    hint = "" if reply.retry_after_s is None else f", retry after {max(round(reply.retry_after_s), 1)} s"
    text = f": {reply.text}" if reply.text else ""
    return f"{reply.status}{phrase}{hint}{text}"[:_MAX_TEXT]


def lost(text: str, *, is_posted: bool, at: HookUrl, is_timeout: bool = False) -> Evidence:
    """Return what a lost connection means: before the last byte nothing was posted."""
    kind = FaultKind.TIMEOUT if is_timeout else FaultKind.CLOSED
    step, cause = (Step.BODY_END, LOST) if is_posted else (Step.BODY, UNSENT)
    return Evidence(step=step, fault=Fault(kind=kind, text=text, cause=cause), host=at.host, port=at.port)


def _of_success(reply: HookReply, success: SuccessRule | None, at: HookUrl) -> Evidence:
    if success is not None and reply.said not in success.equals:
        if reply.is_cut or reply.said is None:
            text = f"{said(reply)} (its {success.member!r} cannot be read)"
            return _fault(GATEWAY, FaultKind.PROTOCOL, text, at)
        is_later = reply.said in success.defer
        cause = UNAVAILABLE if is_later else REFUSED
        kind = FaultKind.PROTOCOL if is_later else FaultKind.CAPABILITY
        return _fault(cause, kind, said(reply), at)
    line = said(reply).partition(" ")[2]
    return Evidence(
        step=Step.BODY_END,
        reply=Reply(code=reply.status, lines=(line,), raw=b""),
        host=at.host,
        port=at.port,
    )


def _cause(status: int, form: HookForm) -> tuple[str, FaultKind]:
    if status < 400:
        return REDIRECT, FaultKind.CAPABILITY
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return THROTTLED, FaultKind.PROTOCOL
    if status in _GATEWAYS:
        return GATEWAY, FaultKind.PROTOCOL
    if status in _AGAIN or status >= 500:
        return UNAVAILABLE, FaultKind.PROTOCOL
    return (NOT_TAKEN if form is HookForm.HAP else REFUSED), FaultKind.CAPABILITY


def _fault(cause: str, kind: FaultKind, text: str, at: HookUrl) -> Evidence:
    fault = Fault(kind=kind, text=text, cause=cause)
    return Evidence(step=Step.ANSWER, fault=fault, host=at.host, port=at.port)


def member_of(answer: object, path: str) -> str | None:
    """Return a member of a JSON answer as text, its path with dots; ``None`` when it is not there."""
    for name in path.split("."):
        if not isinstance(answer, Mapping) or name not in answer:
            return None
        answer = answer[name]
    if isinstance(answer, bool):
        return "true" if answer else "false"
    return str(answer) if isinstance(answer, str | int | float) else None

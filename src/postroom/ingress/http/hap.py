"""The HAP doors: ``POST /hap/email`` and ``POST /email/webhook``, where Mingdao HAP posts its mail.

HAP looks at the HTTP status alone: 200 means that the mail is on stable storage, everything else that it is
not. Who may call is decided by the gate: the header with the shared secret, an API key, or the rule for
callers without either.

Not here: what the members of the body mean (``schema.hap``), how the files are fetched (``engine.fetching``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.service import Service
from postroom.errors import InputError, Problem
from postroom.ingress.http.messages import beside, parsed
from postroom.ingress.http.replies import JsonReply, idempotency_header
from postroom.model.address import Mailbox
from postroom.model.ids import TenantId
from postroom.model.message import Submission
from postroom.schema import hap
from postroom.telemetry import logger
from postroom.web.auth import SharedSecret
from postroom.web.budget import ByteBudget
from postroom.web.gate import Operation, as_problem, caller_of
from postroom.web.keyless import KeylessRule
from postroom.web.uploads import read_body

PATHS = {"/hap/email": "Send one mail (HAP dialect)", "/email/webhook": "The same as `/hap/email`"}
_DESCRIPTION = """The body that Mingdao HAP posts to its `WebhookUrl`. From is the configured sender with
`Signature` as its name; `Attachments` (name to link) are fetched before the mail is sent."""
_UTF8_MARK = b"\xef\xbb\xbf"

_log = logger("hap")


@dataclass(frozen=True, slots=True, kw_only=True)
class HapSetup:
    """How the doors take mail; from ``[hap]`` of the settings."""

    from_: Callable[[], Mailbox | None] = lambda: None
    """The sender, asked at each call; ``None``: nobody configured one."""
    duplicate_window: timedelta = timedelta(0)
    """The same mail within it is the first one."""
    max_body: int = 72 * 1024 * 1024
    """Bytes of one body."""


class HapDoors:
    """Both doors; one object for the life of the server."""

    def __init__(self, *, service: Service, budget: ByteBudget, setup: HapSetup) -> None:
        """Take the engine, the memory all request bodies share, and the settings."""
        self._service = service
        self._budget = budget
        self._setup = setup
        self._told: set[str] = set()
        """Members that mean nothing here and were logged."""

    def operations(self, keyless: KeylessRule, secret: SharedSecret | None) -> list[Operation]:
        """Return the operations for the gate; ``keyless`` says who needs neither secret nor key."""
        return [
            Operation(
                method="POST",
                path=path,
                endpoint=self.send,
                needs="send",
                summary=summary,
                description=_DESCRIPTION,
                keyless=keyless,
                shared_secret=secret,
                media_types=frozenset({"application/json"}),
                max_body=self._setup.max_body,
                dialect=self.failure,
                body=hap.HapBody,
                answers={200: ("Stored; it will be sent.", hap.HapAnswer)},
            )
            for path, summary in PATHS.items()
        ]

    async def send(self, request: Request) -> Response:
        """Take one call and answer it after the commit."""
        caller = caller_of(request)
        with self._budget.hold() as hold:
            body = await read_body(request, max_body=self._setup.max_body, hold=hold)
            value = await parsed(body.removeprefix(_UTF8_MARK))
            call, submission = await beside(
                body, partial(self._read, value, caller.tenant, idempotency_header(request))
            )
            receipt = await self._service.submit(submission, senders=caller.senders)
        self._tell_unknown(call)
        answer = {
            "status": "success",
            "message": hap.stored(call, is_replay=receipt.is_replay),
            "id": receipt.message_id,
        }
        if self._service.mode == "capture":
            answer["mode"] = "capture"
        return JsonReply(answer, headers={"idempotency-replayed": "true"} if receipt.is_replay else {})

    def _read(self, value: object, tenant: TenantId, key: str | None) -> tuple[hap.HapCall, Submission]:
        if not isinstance(value, dict):
            fix = 'Send {"ToEmails": [...], ...}.'
            problem = Problem(code="not-an-object", field="body", cause="not a JSON object", fix=fix)
            raise InputError([problem])
        call, problems = hap.read_call(value, limits=self._service.limits)
        submission = hap.build(
            call,
            problems,
            limits=self._service.limits,
            tenant=tenant,
            from_=self._setup.from_(),
            idempotency_key=key,
            duplicate_window=self._setup.duplicate_window,
        )
        return call, submission

    def failure(self, error: Exception) -> Response:
        """Word an error as a problem document, with the names of the body's members."""
        return as_problem(hap.in_dialect(error))

    def _tell_unknown(self, call: hap.HapCall) -> None:
        """Log once each what a newer HAP may mean something by."""
        new = [name for name in call.unknown if name not in self._told]
        if new and len(self._told) < hap.MAX_TOLD:
            self._told.update(new)
            _log.warning("members of HAP's body that mean nothing here", members=hap.names_of(new))

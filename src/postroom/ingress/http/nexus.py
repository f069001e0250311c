"""The Nexus doors: ``POST /email/send``, ``/email/multipart/send``, and two for calls that bring an account.

All take JSON and forms, told apart by the Content-Type alone, because callers of the original differ in
what they send where. The HTTP status is 200 whatever the ``code`` says, except for authentication (401, 403),
size (413) and overload (429, 503, 507), which proxies and clients must see. Code 200 means stored and not
finally refused; how long an answer waits for the first attempt is a setting.

A call that brings an account is for keys with the scope ``tenant-smtp`` and for listed networks; where
everything is captured its account is read, checked and not used.

Not here: what members and codes mean (``schema.nexus``), who may call (``web.gate``), how a
form is read (``web.uploads``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.service import Receipt, Service
from postroom.errors import (
    CallerError,
    InputError,
    Problem,
    StoreError,
    UnknownOutcomeError,
)
from postroom.ingress.http.messages import parsed
from postroom.ingress.http.replies import JsonReply, idempotency_header
from postroom.model.address import Mailbox
from postroom.model.guest import Guest
from postroom.model.ids import TenantId
from postroom.net.guard import Guard
from postroom.schema import nexus
from postroom.schema.nexus_account import PORTS, BroughtAccount, read_account
from postroom.schema.submission import FileFacts, with_files
from postroom.telemetry import logger
from postroom.web.auth import Caller
from postroom.web.budget import ByteBudget, Hold
from postroom.web.gate import Operation, caller_of
from postroom.web.keyless import KeylessRule, Network, is_within
from postroom.web.problem import HttpError, problem_of
from postroom.web.uploads import Form, FormLimits, read_body, read_form

PATHS = {
    "/email/send": "Send one mail (Nexus dialect)",
    "/email/multipart/send": "Send one mail with files (Nexus dialect)",
    "/email/tenant/send": "Send one mail by an account of one's own (Nexus dialect)",
    "/email/multipart/tenant/send": "Send one mail with files by an account of one's own (Nexus dialect)",
}
SCOPE = "tenant-smtp"

_log = logger("nexus")

_NOT_ADMITTED = Problem(
    code="account-not-allowed",
    field="smtp_url",
    cause="only a key with the scope tenant-smtp or a caller in nexus.tenant_networks may bring an account",
    fix="Use such a key (`postroom keys create NAME --scope send --scope tenant-smtp`),"
    " or leave out smtp_url, user and password.",
)

_UTF8_MARK = b"\xef\xbb\xbf"
_UNKNOWN_TYPE = "application/octet-stream"
"""What clients (and curl for most files) say when they know nothing; the suffix may know more."""
_REFUSALS = {
    401: "No key, or a wrong one.",
    403: "The key may not do this.",
    413: "Too large.",
    429: "Too many calls.",
    503: "Too busy; Retry-After says when to come back.",
    507: "The disk is nearly full.",
}
"""Statuses that are not hidden behind 200."""
_DESCRIPTION = """The mail API of Nexus JEDAI. Members are `to` and `subject`, and as wanted `cc`, `bcc`,
`body`, `use_html` and `reply_id`, in JSON or in a form whose file parts are attached. Addresses are
`<a@example.com>`, in a list with commas. With `smtp_url`, `user`, `password` and `ssl` the mail is sent as
that user by that server: for keys with the scope `tenant-smtp` and listed networks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRule:
    """Who may bring an account, and which."""

    networks: tuple[Network, ...] = ()
    """Whose callers may without a key."""
    ports: frozenset[int] = PORTS
    allow_plaintext_login: bool = False
    guard: Guard = field(default_factory=Guard)
    """Where its server may be."""

    def admits(self, caller: Caller) -> bool:
        """Say whether a caller may bring an account."""
        return SCOPE in caller.scopes or is_within(caller.peer, self.networks)


@dataclass(frozen=True, slots=True, kw_only=True)
class NexusSetup:
    """How the doors answer; from ``[nexus]`` of the settings."""

    tenants: TenantRule = field(default_factory=TenantRule)
    waits: bool = True
    """Answer after the first attempt; else at the commit."""
    wait_s: float = 10.0
    """Seconds an answer waits for the first attempt at most."""
    from_: Mailbox | None = None
    """``None`` takes the transport's default sender."""
    message_id_domain: str | None = None
    """Right side of the Message-ID; ``None`` takes From's domain."""
    max_json: int = 72 * 1024 * 1024
    """Bytes of a JSON body."""
    forms: FormLimits = field(default_factory=FormLimits)


class NexusDoors:
    """Both doors; one object for the life of the server."""

    def __init__(self, *, service: Service, budget: ByteBudget, setup: NexusSetup) -> None:
        """Take the engine, the memory all request bodies share, and the settings."""
        self._service = service
        self._budget = budget
        self._setup = setup

    def operations(self, keyless: KeylessRule) -> list[Operation]:
        """Return the operations for the gate; ``keyless`` says who needs no key."""
        return [
            Operation(
                method="POST",
                path=path,
                endpoint=self.send,
                needs="send",
                summary=summary,
                keyless=keyless,
                max_body=max(self._setup.max_json, self._setup.forms.max_body),
                dialect=self.failure,
                description=_DESCRIPTION,
                answers={
                    status: (text, nexus.NexusReply)
                    for status, text in ((200, "Every outcome; `code` says which."), *_REFUSALS.items())
                },
            )
            for path, summary in PATHS.items()
        ]

    async def send(self, request: Request) -> Response:
        """Take one call and answer it. What it raises the gate answers through ``failure``."""
        caller = caller_of(request)
        with self._budget.hold() as hold:
            receipt, has_account = await self._submit(request, hold, caller)
        answer = await self._answer(receipt, caller.tenant, has_account=has_account)
        headers = {"idempotency-replayed": "true"} if receipt.is_replay else {}
        return self._response(200, answer, headers, receipt.message_id)

    def failure(self, error: Exception) -> Response:
        """Word an error in the dialect; before the commit only, so there is no id to show."""
        document = problem_of(error)
        if isinstance(error, CallerError) and document.errors:
            answer = nexus.refusal(document.errors)
        else:
            answer = nexus.server_fault(document.detail)
        if isinstance(error, StoreError | UnknownOutcomeError) or document.status not in _REFUSALS:
            return self._response(200, answer, {})
        return self._response(document.status, answer, document.headers)

    async def _submit(self, request: Request, hold: Hold, caller: Caller) -> tuple[Receipt, bool]:
        """Read, check and store one call; files that were staged and not stored are removed.

        Also returns whether it brought an account.
        """
        fields, form = await self._read(request, hold, caller.tenant)
        try:
            call, problems = nexus.read_call(fields, is_tenant="/tenant/" in request.url.path)
            account = self._account(call, problems, caller, is_form=_is_form(request))
            files = [
                FileFacts(
                    filename=each.filename,
                    content_type=None if each.content_type == _UNKNOWN_TYPE else each.content_type,
                )
                for each in form.files
            ]
            submission = nexus.build(
                call,
                problems,
                files=files,
                limits=self._service.limits,
                tenant=caller.tenant,
                from_=self._setup.from_ if account is None else Mailbox(address=account.sender),
                idempotency_key=idempotency_header(request),
                message_id_domain=self._setup.message_id_domain,
            )
            submission = with_files(submission, files, await form.store())
        finally:
            form.discard()
        guest = None
        if account is not None and self._service.mode != "capture":
            guest = Guest(tenant=caller.tenant, account=account.account, ehlo_name=account.ehlo_name)
        receipt = await self._service.submit(submission, senders=caller.senders, guest=guest)
        return receipt, guest is not None

    def _account(
        self, call: nexus.Call, problems: list[Problem], caller: Caller, *, is_form: bool
    ) -> BroughtAccount | None:
        """Return the account that a call brings; what is wrong with it is added to ``problems``.

        Raises HttpError for a caller who may bring none.
        """
        if call.account is None:
            return None
        rule = self._setup.tenants
        if not rule.admits(caller) and (caller.key or self._service.mode != "capture"):
            raise HttpError(403, _NOT_ADMITTED)
        account, found = read_account(
            call.account,
            ports=rule.ports,
            needs_password=is_form,
            allow_plaintext_login=rule.allow_plaintext_login,
        )
        named = {problem.field for problem in problems}
        problems[:0] = [problem for problem in found if problem.field not in named]
        if account is not None and (why := rule.guard.problem_with_host(account.account.host)):
            fix = "Use the name or address of a public mail server."
            problems.insert(0, Problem(code="egress-refused", field="smtp_url", cause=why, fix=fix))
        return account

    async def _read(
        self, request: Request, hold: Hold, tenant: TenantId
    ) -> tuple[Mapping[str, object], Form]:
        if _is_form(request):
            form = await read_form(
                request,
                stage=partial(self._service.stage, tenant),
                limits=self._setup.forms,
                hold=hold,
                text_parts=nexus.TEXT_MEMBERS,
            )
            return nexus.form_members(form.fields), form
        body = await read_body(request, max_body=self._setup.max_json, hold=hold)
        value = await parsed(body.removeprefix(_UTF8_MARK))
        if isinstance(value, dict):
            return value, Form()
        raise InputError(
            [Problem(code="not-an-object", field="body", cause="not a JSON object", fix='Send {"to": ...}.')]
        )

    async def _answer(self, receipt: Receipt, tenant: TenantId, *, has_account: bool) -> nexus.Answer:
        if not self._setup.waits:
            return nexus.stored()
        try:
            view = await self._service.first_attempt(
                receipt.message_id, tenant=tenant, wait_s=self._setup.wait_s
            )
        except Exception as error:  # noqa: BLE001 - supervision point: nothing after the commit unsays it
            _log.error("outcome unknown to the caller", message_id=receipt.message_id, exc_info=error)
            return nexus.stored()
        return nexus.outcome(view, self._service.words, has_account=has_account)

    def _response(
        self, status: int, answer: nexus.Answer, headers: Mapping[str, str], message_id: str = ""
    ) -> Response:
        body = {"code": answer.code, "message_id": message_id, "message": answer.message}
        if self._service.mode == "capture":
            body["mode"] = "capture"
        return JsonReply(body, status, headers)


def _is_form(request: Request) -> bool:
    content_type = request.headers.get("content-type", "")
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"

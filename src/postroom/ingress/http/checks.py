"""The doors that look at an account and send no mail, and the one that sends a test mail.

Checks speak to servers that somebody names: they are for administrators of the house, a few at a time. A
``*****`` in what is to be checked is the stored secret of the transport of that name; what the settings
configure gives its secrets to its own server only, whatever else the body says.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from postroom.clock import Clock
from postroom.engine.accounts import Accounts
from postroom.engine.health import Health
from postroom.engine.service import Service
from postroom.engine.trials import Trials
from postroom.errors import InputError, NotFoundError, Problem
from postroom.ingress.http.acting import said
from postroom.ingress.http.language import headers_in, language_asked, tongue_of
from postroom.ingress.http.replies import JsonReply
from postroom.ingress.http.transports import refuse_tenants
from postroom.model.address import Address, AddressError, parse_address
from postroom.model.checkup import Checkup, Stage, StageResult, StageStatus
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, TransportSpec, redacted_url
from postroom.policy.diagnosing import diagnose
from postroom.policy.hook_url import HookUrl
from postroom.ports.doctor import Doctor
from postroom.schema.bodies import read_as, read_submission
from postroom.schema.checking import (
    RecipientBody,
    TestMailBody,
    names_hidden,
    secrets_stay,
    test_answer,
    test_mail,
)
from postroom.schema.checkup_answers import checkup
from postroom.schema.credentials import HIDDEN
from postroom.schema.diagnosed import DiagnoseBody, diagnosis, step_of
from postroom.schema.json_text import read_json
from postroom.schema.transport_body import read_body, read_stored
from postroom.schema.transport_secrets import LOGIN, PROXY
from postroom.schema.transport_spec import Setting
from postroom.web.budget import ByteBudget
from postroom.web.problem import HttpError, problem_of
from postroom.web.uploads import read_body as read_body_of

MAX_CHECKS = 4
"""Checks at a time: each may hold a few connections for 15 seconds (security limit)."""
_BUSY_RETRY_S = 15
MAX_TEXT = 1024 * 1024
"""Bytes of a body with a text to be diagnosed (security limit): a whole bounce may be pasted."""


async def diagnose_text(request: Request, budget: ByteBudget) -> Response:
    """Say what a pasted text means."""
    with budget.hold() as hold:
        body = read_as(DiagnoseBody, read_json(await read_body_of(request, max_body=MAX_TEXT, hold=hold)))
    language = body.language or language_asked(request)
    found = await asyncio.to_thread(
        diagnose, body.text, host=body.host, provider=body.provider, step=step_of(body.step)
    )
    return JsonReply(diagnosis(found, language=language), headers=headers_in(language))


class CheckDoors:
    """``check`` and ``test`` under ``/v1/transports``."""

    def __init__(
        self,
        service: Service,
        accounts: Accounts,
        health: Health,
        doctor: Doctor,
        *,
        budget: ByteBudget,
        clock: Clock,
    ) -> None:
        """Take the parts."""
        self._service = service
        self._accounts = accounts
        self._health = health
        self._doctor = doctor
        self._budget = budget
        self._trials = Trials(service, clock)
        self._running = 0

    async def diagnose(self, request: Request) -> Response:
        """Say what a pasted text means; nobody is asked and nothing is kept."""
        return await diagnose_text(request, self._budget)

    async def check_given(self, request: Request) -> Response:
        """Check what the body describes; nothing is stored."""
        refuse_tenants(request)
        body = await said(request, self._budget)
        if not isinstance(body, Mapping):
            problem = Problem(code="wrong-type", field="body", cause="not an object", fix="Send an object.")
            raise InputError([problem])
        fields = dict(body)
        recipient = _address(fields.pop("recipient", None))
        return await self._checked(request, await self.given(fields), recipient)

    async def check_known(self, request: Request) -> Response:
        """Check a transport as it is."""
        refuse_tenants(request)
        name = request.path_params["name"]
        body = read_as(RecipientBody, await said(request, self._budget))
        recipient = _address(body.recipient)
        spec, problem = await self._known(name)
        if problem or spec is None:
            language = language_asked(request)
            result = StageResult(stage=Stage.NAME, status=StageStatus.FAILED, cause=problem)
            target = _target(name, spec)
            return _shown(Checkup(target=target, stages=(result,)), language)
        return await self._checked(request, spec, recipient)

    async def test(self, request: Request) -> Response:
        """Send a test mail by a transport and say what became of it."""
        refuse_tenants(request)
        name, tongue = request.path_params["name"], tongue_of(request, self._service)
        body = read_as(TestMailBody, await said(request, self._budget))
        spec, _ = await self._known(name)
        if not self._accounts.is_at_work(name):
            raise NotFoundError(f"no mail goes by {name[:100]!r} in this run")
        submission, _, _ = read_submission(
            test_mail(body, spec, name, tongue.language),
            limits=self._service.limits,
            tenant=DEFAULT_TENANT,
            idempotency_key=None,
        )
        if (remaining_s := self._trials.remaining_s(name)) > 0:
            return problem_of(too_soon(remaining_s)).as_response(remaining_s=ceil(remaining_s))
        view = await self._trials.send(name, submission)
        answer = test_answer(view, self._service.mode, tongue.words, tongue.language)
        return JsonReply(answer, headers=tongue.headers)

    # ------------------------------------------------------------------ parts

    async def _checked(self, request: Request, spec: TransportSpec, recipient: Address | None) -> Response:
        with self._one_more():
            worked_until = await self._worked_until(spec)
            found = await self._doctor.check(spec, recipient=recipient, worked_until=worked_until)
        return _shown(found, language_asked(request))

    @contextmanager
    def _one_more(self) -> Iterator[None]:
        if self._running >= MAX_CHECKS:
            problem = Problem(
                code="checks-running",
                field="",
                cause=f"{MAX_CHECKS} checks are running",
                fix="Repeat after the seconds in Retry-After.",
            )
            raise HttpError(429, problem, {"retry-after": str(_BUSY_RETRY_S)})
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    async def _known(self, name: str) -> tuple[TransportSpec | None, str]:
        """Return a transport as it is, and the cause why its secrets cannot be read. Raises NotFoundError."""
        ground = self._accounts.ground
        if (spec := ground.configured.get(name)) is not None:
            return spec, ""
        record = (await self._accounts.all()).get(name)
        if record is not None:
            read = read_stored(record, default_from=ground.default_from)
            if read.spec is None and not record.problem:
                raise InputError(read.problems)
            return read.spec, record.problem
        if (inbox := ground.placeholder) is not None and name == inbox.name:
            return inbox, ""
        raise NotFoundError(f"there is no transport {name[:100]!r}")

    async def given(self, fields: Mapping[str, Any]) -> TransportSpec:
        """Return what a body describes, with the stored secrets it asks for. Raises InputError."""
        name = str(fields.get("name", "default"))
        ground = self._accounts.ground
        configured, secrets = ground.configured.get(name), {}
        if names_hidden(fields, HIDDEN):
            if configured is not None and configured.account is not None:
                secrets = _secrets_of(configured.account)
            elif (record := (await self._accounts.all()).get(name)) is not None:
                secrets = dict(record.secrets)
        read = read_body(fields, secrets=secrets, setting=Setting(default_from=ground.default_from))
        if read.spec is None:
            raise InputError(read.problems)
        known = None if configured is None else configured.account
        wanted = read.spec.account
        if secrets and known is not None and wanted is not None and not secrets_stay(wanted, known):
            fix = "Type the secret: the one of the settings goes to its own server only."
            cause = "the secret of the settings would go elsewhere"
            raise InputError([Problem(code="secret-elsewhere", field="password", cause=cause, fix=fix)])
        return read.spec

    async def _worked_until(self, spec: TransportSpec) -> Any:
        """Return when a login as this user at this server last worked, as far as is known."""
        try:
            known, _ = await self._known(spec.name)
        except (NotFoundError, InputError):
            return None
        if known is None or known.account is None or spec.account is None:
            return None
        before, now = known.account, spec.account
        is_same = (before.host, before.username) == (now.host, now.username)
        return await self._health.worked_until(spec.name) if is_same else None


def _target(name: str, spec: TransportSpec | None) -> str:
    if spec is not None and spec.hook is not None:
        return HookUrl.of(spec.hook.url).origin
    return name if spec is None or spec.account is None else redacted_url(spec.account)


def _address(text: object) -> Address | None:
    if text is None:
        return None
    try:
        return parse_address(str(text))
    except AddressError as error:
        fix = "Give one address, such as name@example.com."
        problem = Problem(code="address-invalid", field="recipient", cause=str(error), fix=fix)
        raise InputError([problem]) from None


def _secrets_of(account: SmtpAccount) -> dict[str, Secret]:
    found = {LOGIN: account.password}
    if account.proxy is not None:
        found[PROXY] = account.proxy.password
    if account.oauth is not None:
        found |= {"oauth.secret": account.oauth.secret, "oauth.client_secret": account.oauth.client_secret}
    return {path: secret for path, secret in found.items() if secret is not None}


def _shown(found: Checkup, language: str) -> Response:
    return JsonReply(checkup(found, language=language), headers=headers_in(language))


def too_soon(remaining_s: float) -> HttpError:
    """Return the refusal of a test mail within a minute of the last one."""
    seconds = ceil(remaining_s)
    problem = Problem(
        code="test-too-soon",
        field="",
        cause="a test mail went by this transport less than a minute ago",
        fix=f"Try again in {seconds} s.",
    )
    return HttpError(429, problem, {"retry-after": str(seconds)})

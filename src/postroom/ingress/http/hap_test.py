"""``POST /hap/smtp/test``: HAP's SMTP form with a test mail, answered as HAP's own button is.

The account is used for this one mail and stored nowhere longer than the mail waits; it stands under the rules
of every account that comes with a call (``engine.guests``). What the first attempt did not send is cancelled:
somebody who tests does not wait for a mail an hour later.
"""

from collections.abc import Mapping
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.service import Service
from postroom.errors import ConflictError, InputError, Problem
from postroom.ingress.http.acting import JSON, said
from postroom.ingress.http.language import ACCEPT_LANGUAGE, tongue_of
from postroom.ingress.http.replies import JsonReply
from postroom.ingress.http.transports import refuse_tenants
from postroom.model.guest import Guest
from postroom.model.ids import DEFAULT_TENANT
from postroom.schema import hap
from postroom.schema.bodies import read_submission
from postroom.schema.checking import TestMailBody, test_answer, test_mail
from postroom.schema.mailbox_lists import mailbox_text
from postroom.schema.transport_body import read_body
from postroom.web.budget import ByteBudget
from postroom.web.gate import Operation

PATH = "/hap/smtp/test"
WAIT_S = 30.0
"""Seconds for the first attempt."""


class HapTestDoor:
    """One test mail by an account that need not be stored."""

    def __init__(self, service: Service, budget: ByteBudget) -> None:
        """Take the engine and the memory all request bodies share."""
        self._service = service
        self._budget = budget

    def operations(self) -> list[Operation]:
        """Return the operation for the gate."""
        return [
            Operation(
                method="POST",
                path=PATH,
                endpoint=self.test,
                needs="admin",
                summary="Send a test mail by HAP's SMTP form",
                description="The seven keys of HAP's form and `toEmail`; a real mail, of class code.",
                media_types=JSON,
                body=hap.HapSmtpTest,
                parameters=[ACCEPT_LANGUAGE],
                answers={200: ("What became of it.", hap.HapSmtpAnswer)},
            )
        ]

    async def test(self, request: Request) -> Response:
        """Send a test mail and say what became of it."""
        refuse_tenants(request)
        tongue = tongue_of(request, self._service)
        value = await said(request, self._budget)
        if not isinstance(value, Mapping):
            problem = Problem(code="wrong-type", field="body", cause="not an object", fix="Send an object.")
            raise InputError([problem])
        fields, to = hap.without_receiver(value)
        read = read_body(fields)
        if read.spec is None or read.spec.account is None or read.spec.default_from is None:
            raise InputError(list(read.problems))
        sender = read.spec.default_from
        body = TestMailBody.model_validate({"to": to, "from": mailbox_text(sender.address.spec, sender.name)})
        submission, _, _ = read_submission(
            test_mail(body, read.spec, read.spec.account.host, tongue.language),
            limits=self._service.limits,
            tenant=DEFAULT_TENANT,
            idempotency_key=None,
        )
        guest = Guest(tenant=DEFAULT_TENANT, account=read.spec.account)
        is_capturing = self._service.mode == "capture"
        receipt = await self._service.submit(submission, guest=None if is_capturing else guest)
        view = await self._service.first_attempt(receipt.message_id, tenant=DEFAULT_TENANT, wait_s=WAIT_S)
        answer = test_answer(view, self._service.mode, tongue.words, tongue.language)
        if not answer["success"]:
            with suppress(ConflictError):  # nothing waits any more
                await self._service.cancel(receipt.message_id, tenant=DEFAULT_TENANT)
        return JsonReply(hap.test_result(answer), headers=tongue.headers)

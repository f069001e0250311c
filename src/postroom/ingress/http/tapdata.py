"""``POST /api/Settings/testEmail``: TapData's connection test, with what is typed and not saved yet.

A real mail by an account that is stored nowhere (``engine.trials``); it stands under the rules of every
account that comes with a call. Whatever goes wrong is told in the two members that TapData's page reads.
"""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.service import Service
from postroom.engine.trials import Trials
from postroom.engine.ways import Ways
from postroom.errors import InputError, Problem
from postroom.ingress.http.acting import JSON, said
from postroom.ingress.http.checks import CheckDoors, too_soon
from postroom.ingress.http.language import ACCEPT_LANGUAGE, tongue_of
from postroom.ingress.http.replies import JsonReply
from postroom.ingress.http.transports import refuse_tenants
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.transport import redacted_url
from postroom.schema import tapdata
from postroom.schema.bodies import read_submission
from postroom.schema.checking import test_answer
from postroom.web.budget import ByteBudget
from postroom.web.gate import Operation
from postroom.web.problem import problem_of

PATH = "/api/Settings/testEmail"


class TapdataDoor:
    """One test mail by an account that need not be stored."""

    def __init__(
        self, service: Service, checks: CheckDoors, ways: Ways, trials: Trials, *, budget: ByteBudget
    ) -> None:
        """Take the engine, the doors that know stored secrets, and the memory all bodies share."""
        self._service = service
        self._checks = checks
        self._ways = ways
        self._trials = trials
        self._budget = budget

    def operation(self) -> Operation:
        """Return the one operation."""
        return Operation(
            method="POST",
            path=PATH,
            endpoint=self.test,
            needs="admin",
            summary="Send a test mail by TapData's settings",
            description="The ten keys, underscored as TapData's page sends them or dotted; a real mail, of "
            "class code. One a minute for each account, else 429.",
            media_types=JSON,
            body=tapdata.TapdataTest,
            parameters=[ACCEPT_LANGUAGE],
            answers={200: ("What became of it.", tapdata.TapdataAnswer)},
            dialect=_refused,
        )

    async def test(self, request: Request) -> Response:
        """Send a test mail and say what became of it."""
        refuse_tenants(request)
        tongue = tongue_of(request, self._service)
        value = await said(request, self._budget)
        if not isinstance(value, Mapping):
            problem = Problem(code="wrong-type", field="body", cause="not an object", fix="Send an object.")
            raise InputError([problem])
        fields, title, text = tapdata.parted(value)
        fields["name"] = fields.get("name") or self._ways.default.name
        account, mail = tapdata.test_mail(await self._checks.given(fields), title, text)
        submission, _, _ = read_submission(
            mail, limits=self._service.limits, tenant=DEFAULT_TENANT, idempotency_key=None
        )
        if (remaining_s := self._trials.remaining_s(redacted_url(account))) > 0:
            raise too_soon(remaining_s)
        view = await self._trials.send_unsaved(account, submission)
        answer = test_answer(view, self._service.mode, tongue.words, tongue.language)
        return JsonReply(tapdata.test_result(answer), headers=tongue.headers)


def _refused(error: Exception) -> Response:
    """Answer in TapData's members, with the status that every other door has."""
    document = problem_of(error)
    body = tapdata.refusal_of(document.errors, document.detail)
    return JsonReply(body, document.status, document.headers)

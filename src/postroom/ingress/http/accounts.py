"""The doors that make, change and remove transports.

What the settings configure is read-only here: the refusal carries the lines that make the change there. All
problems of a body are told at once and nothing is stored then; no answer has a secret.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.accounts import Accounts, Draft
from postroom.errors import ConfigError, ConflictError, InputError, Problem
from postroom.ingress.http.acting import actor_of, said
from postroom.ingress.http.transports import TransportDoors, refuse_tenants
from postroom.model.transport import StoredTransport
from postroom.schema.transport_body import ReadBody, read_body, read_stored
from postroom.schema.transport_changes import merged, patch_of
from postroom.schema.transport_forms import plain_form
from postroom.schema.transport_names import name_by_provider
from postroom.schema.transport_spec import Setting
from postroom.web.budget import ByteBudget
from postroom.web.problem import HttpError, problem_of

READ_ONLY = "transport-read-only"
CHANGED = "transport-changed"


class AccountDoors:
    """Endpoints that change what is under ``/v1/transports``."""

    def __init__(self, accounts: Accounts, shown: TransportDoors, *, budget: ByteBudget) -> None:
        """Take the accounts, the doors that show them and the byte budget of the process."""
        self._accounts = accounts
        self._shown = shown
        self._budget = budget

    async def create(self, request: Request) -> Response:
        """Make a transport; it is in use when this is answered."""
        refuse_tenants(request)
        body = _mapping(await said(request, self._budget))
        reads: list[ReadBody] = []

        def draft_of(taken: Collection[str]) -> Draft:
            read = read_body(body, setting=self._setting)
            if read.spec is not None and "name" not in body:
                named = {**body, "name": name_by_provider(read.spec, taken)}
                read = read_body(named, setting=self._setting)
            reads.append(read)
            return _draft(read)

        try:
            record = await self._accounts.create(draft_of, author=actor_of(request).name)
        except ConflictError as error:
            return self._refused(error, _name_in(reads), body)
        except ConfigError as error:
            raise InputError(error.problems) from error
        headers = {"location": f"/v1/transports/{record.name}"}
        return await self._shown.changed(
            request, record.name, reads[-1].warnings, status=201, headers=headers
        )

    async def change(self, request: Request) -> Response:
        """Change what the body names; mail that waits goes by what it is then."""
        refuse_tenants(request)
        name = request.path_params["name"]
        body = dict(_mapping(await said(request, self._budget)))
        expected = _expected(request, body.pop("version", None))
        _refuse_rename(name, body)
        change = plain_form(body)
        if change.problems:
            raise InputError(change.problems)
        setting = replace(self._setting, names=change.names)
        reads: list[ReadBody] = []

        def draft_of(record: StoredTransport) -> Draft:
            stored = read_stored(record, default_from=self._accounts.ground.default_from)
            account = None if stored.spec is None else stored.spec.account
            fields = merged(record, account, change.document)
            read = read_body(fields, secrets=record.secrets, setting=setting)
            reads.append(read)
            return _draft(read)

        try:
            await self._accounts.change(name, draft_of, author=actor_of(request).name, version=expected)
        except ConflictError as error:
            return self._refused(error, name, body, is_precondition="if-match" in request.headers)
        except ConfigError as error:
            raise InputError(error.problems) from error
        return await self._shown.changed(request, name, (*change.warnings, *reads[-1].warnings))

    async def remove(self, request: Request) -> Response:
        """Remove a transport; mail that waits for it needs another one."""
        refuse_tenants(request)
        name = request.path_params["name"]
        move_to = _move_to(request)
        try:
            await self._accounts.remove(
                name,
                author=actor_of(request).name,
                version=_expected(request, None),
                move_to=move_to,
            )
        except ConflictError as error:
            return self._refused(error, name, None, is_precondition="if-match" in request.headers)
        return Response(status_code=204)

    # ------------------------------------------------------------------ parts

    @property
    def _setting(self) -> Setting:
        return Setting(default_from=self._accounts.ground.default_from)

    def _refused(
        self,
        error: ConflictError,
        name: str,
        body: Mapping[str, Any] | None,
        *,
        is_precondition: bool = False,
    ) -> Response:
        """Answer a conflict: one with the settings carries what to write there."""
        spec = self._accounts.ground.configured.get(name)
        if error.problem.code == READ_ONLY and spec is not None:
            return problem_of(error).as_response(patch=patch_of(spec, body))
        if error.problem.code == CHANGED and is_precondition:
            raise HttpError(412, error.problem) from error
        raise error


def _mapping(body: object) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        problem = Problem(code="wrong-type", field="body", cause="not an object", fix="Send a JSON object.")
        raise InputError([problem])
    return body


def _name_in(reads: Sequence[ReadBody]) -> str:
    spec = reads[-1].spec if reads else None
    return spec.name if spec is not None else ""


def _draft(read: ReadBody) -> Draft:
    """Return what was understood. Raises InputError with every problem."""
    if read.spec is None:
        raise InputError(read.problems)
    return Draft(spec=read.spec, fields=read.fields, secrets=read.secrets)


def _refuse_rename(name: str, body: Mapping[str, Any]) -> None:
    if body.get("name", name) != name:
        cause, fix = "a name stays", "Make a transport of the new name, then remove this one with move_to."
        raise InputError([Problem(code="name-fixed", field="name", cause=cause, fix=fix)])


def _expected(request: Request, member: object) -> str | None:
    """Return the version that a change is of: the header If-Match, else the member; ``None`` for any."""
    header = request.headers.get("if-match")
    if header is not None:
        return None if header.strip() == "*" else header.strip().removeprefix("W/").strip('"')
    if member is None or isinstance(member, str):
        return member
    cause = "not text"
    raise InputError(
        [Problem(code="wrong-type", field="version", cause=cause, fix="Send it as it was shown.")]
    )


def _move_to(request: Request) -> str | None:
    given = request.query_params.multi_items()
    unknown = [key for key, _ in given if key != "move_to"]
    if unknown or len(given) > 1:
        field = unknown[0][:100] if unknown else "move_to"
        problem = Problem(
            code="unknown-field", field=field, cause="not known here", fix="Give move_to, once."
        )
        raise InputError([problem])
    return given[0][1] if given else None

"""The doors to templates: list, show, store, publish, remove; preview one, and send a preview to one address.

Rules: a preview, a test and a mail are rendered by the same call and read by the same reader, so that what is
shown is what is sent. A page of a preview cannot run a script. A template that is not there is 404 where the
path names it and 422 where the body does.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.explain import Explainer
from postroom.engine.service import Service
from postroom.engine.templates import Preview, TemplateOrder
from postroom.errors import InputError, NotFoundError, OverloadError, Problem
from postroom.ingress.http.filling import naming, read_filled, unknown
from postroom.ingress.http.messages import MessageDoors, parsed
from postroom.ingress.http.replies import JsonReply, accepted_kind, idempotency_header, path_number
from postroom.mime.rendered import BlobSegment, RawSegment
from postroom.model.message import Submission
from postroom.model.template import Rendered, TemplatePin
from postroom.schema import template_answers
from postroom.schema.bodies import Body, read_as, read_submission
from postroom.schema.template_bodies import (
    INLINE_NAME,
    LintBody,
    PreviewBody,
    StoreBody,
    TestBody,
    with_examples,
)
from postroom.web.auth import Caller
from postroom.web.budget import MIB, ByteBudget
from postroom.web.gate import SECURITY_HEADERS, caller_of
from postroom.web.problem import HttpError
from postroom.web.uploads import read_body

MAX_STORE = 16 * MIB
"""Bytes of a version: its variants with their text parts, escaped as JSON."""
MAX_LOOK = 2 * MIB
"""Bytes of a source and its variables, escaped as JSON."""
SOURCES_RETRY_S = 2.0
SOURCES_AT_ONCE = 8
"""Sources of requests that are compiled or checked at a time (security limit): one takes up to ten seconds,
and templates of the directory wait behind them."""
PREVIEW_KINDS = ("application/json", "text/html", "message/rfc822")
NO_SCRIPT = {
    **SECURITY_HEADERS,
    "content-security-policy": "sandbox; default-src 'none'; img-src * data:; font-src *; "
    "style-src 'unsafe-inline'",
}
"""A mail program runs no script and loads no frame either."""

_Model = TypeVar("_Model", bound=Body)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """A preview, and the mail it would be."""

    preview: Preview
    values: Mapping[str, Any]
    mail: Submission


class TemplateDoors:
    """Endpoints under ``/v1/templates``."""

    def __init__(
        self, service: Service, explainer: Explainer, *, messages: MessageDoors, budget: ByteBudget
    ) -> None:
        """Take the parts; ``messages`` answers for a mail that was sent."""
        self._service = service
        self._explainer = explainer
        self._messages = messages
        self._budget = budget
        self._sources = 0

    # ------------------------------------------------------------------ the catalogue

    async def all(self, request: Request) -> Response:
        """Show every template."""
        found = await self._service.templates.list(caller_of(request).tenant)
        return JsonReply(template_answers.template_list(found, self._service.mode))

    async def one(self, request: Request) -> Response:
        """Show one template with its sources."""
        return await self._shown(request, request.path_params["name"])

    async def versions(self, request: Request) -> Response:
        """Show the versions of a stored template."""
        name, caller = request.path_params["name"], caller_of(request)
        try:
            found = await self._service.templates.show(name, caller.tenant)
        except (NotFoundError, InputError):
            raise await self._absent(name, caller) from None
        return JsonReply(template_answers.version_list(name, found.versions, self._service.mode))

    async def version(self, request: Request) -> Response:
        """Show one version with its sources."""
        number = path_number(request, "number")
        return await self._shown(request, f"{request.path_params['name']}@{number}")

    async def _shown(self, request: Request, reference: str) -> Response:
        caller = caller_of(request)
        try:
            found = await self._service.templates.show(reference, caller.tenant)
        except (NotFoundError, InputError):
            raise await self._absent(reference, caller) from None
        return JsonReply(template_answers.shown(found, self._service.mode))

    async def _absent(self, reference: str, caller: Caller) -> HttpError:
        return HttpError(404, await unknown(reference, self._service.templates, caller.tenant))

    async def store(self, request: Request) -> Response:
        """Store a new version."""
        body = await self._said(request, StoreBody, MAX_STORE)
        caller = caller_of(request)
        version = await self._service.templates.save(body.draft(), caller.tenant, author=caller.key)
        shown = template_answers.stored(version, self._service.mode)
        location = f"/v1/templates/{version.name}/versions/{version.number}"
        return JsonReply(shown, 201, {"location": location})

    async def publish(self, request: Request) -> Response:
        """Make a version the one in use."""
        name, number, caller = request.path_params["name"], path_number(request, "number"), caller_of(request)
        try:
            version = await self._service.templates.publish(name, number, caller.tenant)
        except (NotFoundError, InputError):
            raise await self._absent(f"{name}@{number}", caller) from None
        return JsonReply(template_answers.stored(version, self._service.mode))

    async def remove(self, request: Request) -> Response:
        """Remove a stored template with all its versions."""
        name, caller = request.path_params["name"], caller_of(request)
        try:
            await self._service.templates.remove(name, caller.tenant)
        except (NotFoundError, InputError):
            raise await self._absent(name, caller) from None
        return Response(status_code=204)

    # ------------------------------------------------------------------ previews

    async def preview(self, request: Request) -> Response:
        """Render a mail and show it as JSON, as a page or in its bytes."""
        body = await self._said(request, PreviewBody, MAX_LOOK)
        looked = await self._looked(body, caller_of(request))
        kind = accepted_kind(request, PREVIEW_KINDS)
        if kind == "text/html":
            return Response(looked.mail.html, headers=NO_SCRIPT, media_type=kind)
        rendered = self._explainer.written(looked.mail)
        if kind == "message/rfc822":
            source = b"".join(
                segment for segment in rendered.segments if not isinstance(segment, BlobSegment | RawSegment)
            )
            return Response(source, headers=SECURITY_HEADERS, media_type=kind)
        shown = template_answers.preview(
            looked.preview, looked.mail, looked.values, size=rendered.size, mode=self._service.mode
        )
        return JsonReply(shown)

    async def test(self, request: Request) -> Response:
        """Send a preview."""
        body, caller = await self._said(request, TestBody, MAX_LOOK), caller_of(request)
        looked = await self._looked(body, caller, key=idempotency_header(request))
        if len(looked.mail.to) != 1:
            cause, fix = f"{len(looked.mail.to)} addresses", "Send a test to one address."
            raise InputError([Problem(code="limit-exceeded", field="to", cause=cause, fix=fix)])
        receipt = await self._service.submit(looked.mail, senders=caller.senders)
        return await self._messages.receipt_reply(request, receipt, caller)

    async def lint(self, request: Request) -> Response:
        """Check a template or a source."""
        body, caller = await self._said(request, LintBody, MAX_LOOK), caller_of(request)
        templates, draft = self._service.templates, body.draft()
        try:
            with self._turn():
                found = await templates.linted(
                    draft or body.template or "", caller.tenant, clients=body.clients
                )
        except NotFoundError:
            problem = await unknown(body.template or "", templates, caller.tenant)
            raise InputError([problem]) from None
        return JsonReply(template_answers.linted(body.template or INLINE_NAME, found, self._service.mode))

    async def _looked(self, body: PreviewBody, caller: Caller, *, key: str | None = None) -> _Looked:
        """Render what a body asks for, and read the mail that makes, as any other that names a template."""
        templates, draft = self._service.templates, body.draft()
        looks: list[tuple[Preview, Mapping[str, Any]]] = []

        async def render(order: TemplateOrder) -> tuple[Rendered, TemplatePin]:
            if body.examples:
                if draft is None:
                    compiled = (await templates.find(order, caller.tenant)).compiled
                else:
                    with self._turn():
                        compiled = await templates.catalogue.compiled(draft.sources[0])
                order = replace(order, variables=with_examples(compiled.schema, order.variables))
            if draft is None:
                preview = await templates.preview(order, caller.tenant)
            else:
                with self._turn():
                    preview = await templates.tried(draft, order)
            looks.append((preview, order.variables))
            return preview.rendered, preview.pin

        read = partial(
            read_submission, limits=self._service.limits, tenant=caller.tenant, idempotency_key=key
        )
        mail, _, _ = await read_filled(body.mail(), read, naming(render, templates, caller.tenant))
        preview, values = looks[0]
        return _Looked(preview=preview, values=values, mail=mail)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Compile a source of a request. Raises OverloadError when enough others are being compiled."""
        if self._sources >= SOURCES_AT_ONCE:
            raise OverloadError("too many sources are being compiled", retry_after_s=SOURCES_RETRY_S)
        self._sources += 1
        try:
            yield
        finally:
            self._sources -= 1

    async def _said(self, request: Request, model: type[_Model], max_body: int) -> _Model:
        with self._budget.hold() as hold:
            return read_as(model, await parsed(await read_body(request, max_body=max_body, hold=hold)))

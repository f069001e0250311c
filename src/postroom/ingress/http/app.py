"""The HTTP application: the table of operations, and the OpenAPI document written from it.

FastAPI describes the operations; requests go through ``web.gate``, which admits a caller before a byte of
the body is read and costs a quarter of the framework's dispatch.
"""

from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from postroom.engine.service import Service
from postroom.ingress.http.inbox import InboxDoors
from postroom.ingress.http.messages import MessageDoors
from postroom.ingress.http.operator import OperatorDoors
from postroom.ingress.http.page import PageDoors
from postroom.ingress.http.settings import HttpSettings
from postroom.ingress.http.table import v1_operations
from postroom.schema.answers import ProblemAnswer
from postroom.web.auth import Doorkeeper
from postroom.web.budget import ByteBudget
from postroom.web.gate import Gate, Operation

JSON = "application/json"
_REFS = "#/components/schemas/{model}"


def build_app(
    service: Service,
    settings: HttpSettings,
    *,
    budget: ByteBudget | None = None,
    more: Iterable[Operation] = (),
) -> Gate:
    """Put the doors together.

    Args:
        service: The engine.
        settings: Settings of the doors.
        budget: The byte budget of the process, to be shared with doors in ``more``.
        more: Operations of other doors, such as the Nexus ones.
    """
    budget = budget or ByteBudget(settings.max_bodies)
    messages = MessageDoors(service, budget, max_body=settings.max_body, max_parts=settings.max_parts)
    pages = PageDoors(service, settings)
    operations = [
        *v1_operations(messages, InboxDoors(service), OperatorDoors(service, budget), settings),
        *more,
        *pages.operations(),
    ]
    pages.describe = cache(lambda: openapi_document(operations))
    return Gate(operations, Doorkeeper(service.key_for, trusted_proxies=settings.trusted_proxies))


def openapi_document(operations: Iterable[Operation]) -> dict[str, Any]:
    """Write the OpenAPI 3.1 document of the operations."""
    operations = list(operations)
    api = FastAPI(title="Postroom", version=version("postroom"))
    for operation in operations:
        api.router.routes.append(_route(operation))
    document: dict[str, Any] = get_openapi(
        title="Postroom",
        version=version("postroom"),
        summary="The gateway for outgoing mail.",
        routes=api.router.routes,
    )
    bodies: list[type[BaseModel]] = [ProblemAnswer, *(one.body for one in operations if one.body)]
    _, schemas = models_json_schema([(model, "validation") for model in bodies], ref_template=_REFS)
    components = document.setdefault("components", {})
    components["schemas"] = {**components.get("schemas", {}), **schemas["$defs"]}
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return document


def _route(operation: Operation) -> APIRoute:
    return APIRoute(
        operation.path,
        operation.endpoint,
        methods=[operation.method],
        summary=operation.summary,
        description=f"{operation.summary}. {operation.description}".strip(),
        operation_id=f"{operation.method.lower()}_{operation.endpoint.__name__}_{operation.path}",
        response_model=None,
        responses={status: _answer(*answer) for status, answer in operation.answers.items()},
        status_code=min(operation.answers, default=200),
        openapi_extra=_extra(operation),
    )


def _answer(description: str, shown: type[BaseModel] | str) -> dict[str, Any]:
    if isinstance(shown, str):
        return {"description": description, "content": {shown: {}}}
    return {"description": description, "model": shown}


def _extra(operation: Operation) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": _REFS.format(model="ProblemAnswer")}}}
    extra: dict[str, Any] = {
        "parameters": [*operation.parameters, *_path_parameters(operation.path)],
        "responses": {"default": {"description": "A refusal (RFC 9457).", "content": problem}},
        "security": [] if operation.needs is None else [{"key": [operation.needs]}],
    }
    if operation.body is not None:
        schema = {"$ref": _REFS.format(model=operation.body.__name__)}
        content: dict[str, Any] = {JSON: {"schema": schema}}
        if "multipart/form-data" in operation.media_types:
            content["multipart/form-data"] = {
                "schema": {
                    "type": "object",
                    "properties": {"message": schema},
                    "required": ["message"],
                    "additionalProperties": {"type": "string", "format": "binary"},
                }
            }
        extra["requestBody"] = {"required": True, "content": content}
    return extra


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]

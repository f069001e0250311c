"""Write the OpenAPI document from the table of operations into the package.

FastAPI describes the operations and nothing else: it is needed here and not by the program. A test calls
``drawn`` and compares, so a changed table with an old document fails.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from postroom.clock import Clock
from postroom.engine.explain import Explainer
from postroom.engine.limits import MessageLimits
from postroom.engine.mail_files import SharedFiles
from postroom.engine.service import Service
from postroom.ingress.http.alert_table import alert_operations
from postroom.ingress.http.alerts import AlertRoom
from postroom.ingress.http.app import build_app
from postroom.ingress.http.desk_table import DeskRoom
from postroom.ingress.http.files import FileDoors
from postroom.ingress.http.hap import HapDoors, HapSetup
from postroom.ingress.http.hap_test import HapTestDoor
from postroom.ingress.http.nexus import NexusDoors, NexusSetup
from postroom.ingress.http.settings import HttpSettings
from postroom.schema.answers import ProblemAnswer
from postroom.web.budget import ByteBudget
from postroom.web.gate import Operation
from postroom.web.keyless import NEVER_KEYLESS

DOCUMENT = Path(__file__).resolve().parents[1] / "src/postroom/ingress/http/assets/openapi.json"
JSON = "application/json"
_REFS = "#/components/schemas/{model}"
_VERSION = "0"
"""The program puts its own in."""


def drawn() -> str:
    """Return the document of every operation there is."""
    described = SimpleNamespace(limits=MessageLimits(), key_for=None)  # the table asks for nothing else
    service = cast("Service", described)
    nexus = NexusDoors(service=service, budget=ByteBudget(), setup=NexusSetup()).operations(NEVER_KEYLESS)
    hap = HapDoors(service=service, budget=ByteBudget(), setup=HapSetup()).operations(NEVER_KEYLESS, None)
    hap += HapTestDoor(service, ByteBudget()).operations()
    files = FileDoors(cast("SharedFiles", None), keys=lambda: None, clock=cast("Clock", None)).operations()
    parts = ("desk", "endpoints", "ways", "health", "accounts", "doctor", "clock")
    desk = cast("DeskRoom", SimpleNamespace(**dict.fromkeys(parts)))  # nor for anything of these
    explainer = cast("Explainer", SimpleNamespace())
    alerts = cast("AlertRoom", SimpleNamespace(alerts=None, clock=None, keys=None))
    more = (*nexus, *hap, *files, *alert_operations(service, alerts, ByteBudget()))
    gate = build_app(service, HttpSettings(), desk=desk, explainer=explainer, more=more)
    return json.dumps(openapi_document(gate.operations), indent=1) + "\n"


def openapi_document(operations: Iterable[Operation]) -> dict[str, Any]:
    """Write the OpenAPI 3.1 document of the operations."""
    operations = list(operations)
    api = FastAPI(title="Postroom", version=_VERSION)
    for operation in operations:
        api.router.routes.append(_route(operation))
    document: dict[str, Any] = get_openapi(
        title="Postroom",
        version=_VERSION,
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
        extra["requestBody"] = {"required": "" not in operation.media_types, "content": content}
    elif operation.media_types:
        kinds = sorted(operation.media_types - {""})
        extra["requestBody"] = {
            "required": "" not in operation.media_types,
            "content": {kind: {} for kind in kinds},
        }
    return extra


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def main() -> int:
    """Write the document when it changed."""
    fresh = drawn()
    if not DOCUMENT.exists() or DOCUMENT.read_text(encoding="utf-8") != fresh:
        DOCUMENT.write_text(fresh, encoding="utf-8")
        print(f"drawn again: {DOCUMENT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The HTTP application: the table of operations, and the OpenAPI document that describes them.

The document is a packaged file, written from the same table by ``tools/draw_openapi.py``: writing it takes
a framework that would cost a second of every start. A test holds the file to the table.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from postroom.engine.explain import Explainer
from postroom.engine.service import Service
from postroom.ingress.http.app_builder import AppBuilderDoor
from postroom.ingress.http.desk_table import DeskRoom, desk_operations
from postroom.ingress.http.explain import ExplainDoors
from postroom.ingress.http.inbox import InboxDoors
from postroom.ingress.http.messages import MessageDoors
from postroom.ingress.http.operator import OperatorDoors
from postroom.ingress.http.page import PageDoors
from postroom.ingress.http.raw import RawDoors
from postroom.ingress.http.settings import HttpSettings
from postroom.ingress.http.state import StateDoors
from postroom.ingress.http.table import v1_operations
from postroom.ingress.http.template_table import template_operations
from postroom.ingress.http.templates import TemplateDoors
from postroom.telemetry.exposition import Scrape
from postroom.web.auth import Doorkeeper
from postroom.web.budget import ByteBudget
from postroom.web.gate import Gate, Operation

DOCUMENT = files("postroom.ingress.http").joinpath("assets/openapi.json")


def build_app(
    service: Service,
    settings: HttpSettings,
    *,
    budget: ByteBudget | None = None,
    desk: DeskRoom | None = None,
    explainer: Explainer | None = None,
    more: Iterable[Operation] = (),
    scrape: Scrape | None = None,
    is_overloaded: Callable[[], bool] = lambda: False,
) -> Gate:
    """Put the doors together.

    Args:
        service: The engine.
        settings: Settings of the doors.
        budget: The byte budget of the process, to be shared with doors in ``more``.
        desk: What the doors of a person at the desk stand before; without it there are none.
        explainer: Says what would become of a mail; without it neither that nor templates have doors.
        more: Operations of other doors, such as the Nexus ones.
        scrape: The sources of the metrics.
        is_overloaded: Whether the process is behind, so that no new mail is read.
    """
    budget = budget or ByteBudget(settings.max_bodies)
    messages = MessageDoors(service, budget, max_body=settings.max_body, max_parts=settings.max_parts)
    pages = PageDoors(service, settings)
    state = StateDoors(service, scrape or Scrape())
    operator = OperatorDoors(service, budget)
    raw = RawDoors(service, budget, messages=messages, max_body=settings.max_body)
    operations = [
        *raw.operations(),
        *v1_operations(messages, InboxDoors(service), operator, state, settings=settings),
        *(desk_operations(service, desk, budget) if desk is not None else ()),
        *_explain_operations(service, explainer, messages=messages, budget=budget, settings=settings),
        AppBuilderDoor(service, budget, max_body=settings.max_body).operation(),
        *more,
        *pages.operations(),
    ]
    pages.describe = cache(lambda: described(operations))
    doorkeeper = Doorkeeper(service.key_for, trusted_proxies=settings.trusted_proxies)
    return Gate(operations, doorkeeper, is_overloaded=is_overloaded)


def _explain_operations(
    service: Service,
    explainer: Explainer | None,
    *,
    messages: MessageDoors,
    budget: ByteBudget,
    settings: HttpSettings,
) -> list[Operation]:
    if explainer is None:
        return []
    doors = ExplainDoors(service, explainer, messages=messages, budget=budget)
    templates = TemplateDoors(service, explainer, messages=messages, budget=budget)
    return [*doors.operations(max_body=settings.max_body), *template_operations(templates)]


def described(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the packaged OpenAPI 3.1 document with these operations."""
    document: dict[str, Any] = json.loads(DOCUMENT.read_text("utf-8"))
    document["info"]["version"] = version("postroom")
    served = {(operation.path, operation.method.lower()) for operation in operations}
    document["paths"] = {
        path: methods
        for path, item in document["paths"].items()
        if (methods := {method: one for method, one in item.items() if (path, method) in served})
    }
    return document

"""What the doors of an operator share: who acts, and the small JSON bodies that say what to do."""

from starlette.requests import Request

from postroom.engine.desk import Actor
from postroom.schema.json_text import read_json
from postroom.web.budget import ByteBudget
from postroom.web.gate import caller_of
from postroom.web.uploads import read_body

JSON = frozenset({"application/json"})
JSON_OR_NOTHING = frozenset({"application/json", ""})
"""For verbs that need to be told nothing."""
MAX_BODY = 64 * 1024
"""Bytes of the small bodies these doors read."""


def actor_of(request: Request) -> Actor:
    """Return who acts, and on whose mail."""
    caller = caller_of(request)
    return Actor(tenant=caller.tenant, name=caller.key)


async def said(request: Request, budget: ByteBudget) -> object:
    """Return the JSON value of a small body; an empty body says ``{}``."""
    with budget.hold() as hold:
        body = await read_body(request, max_body=MAX_BODY, hold=hold)
        return read_json(body) if body else {}

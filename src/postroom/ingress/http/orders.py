"""The doors to standing orders: holds, and the suppression list with its CSV out and in."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from postroom.clock import Clock
from postroom.engine.desk import Actor, Desk
from postroom.engine.service import Service
from postroom.errors import InputError
from postroom.ingress.http.acting import actor_of, said
from postroom.ingress.http.replies import JsonReply
from postroom.model.hold import Suppression
from postroom.schema import desk_answers
from postroom.schema.bodies import read_as
from postroom.schema.filters import read_hold_page, read_removal, read_suppression_page
from postroom.schema.operating import HoldBody, SuppressionBody
from postroom.schema.suppression_csv import MAX_LINE, RowReader, as_row_problem, header_line, row_line
from postroom.web.budget import MIB, ByteBudget
from postroom.web.gate import SECURITY_HEADERS
from postroom.web.uploads import read_lines

MAX_IMPORT = 64 * MIB
"""Bytes of one upload: more than a million addresses, of which only a batch is in memory."""
ROWS_AT_ONCE = 500
"""Rows of an upload that are stored together, and of a download that are read together."""
ROWS_A_TURN = 200
"""Rows of an upload that are read before others get their turn: some 10 ms (reliability rule F6)."""
MAX_ROW_PROBLEMS = 1000
"""Problems of rows listed in one answer; all are counted."""


class OrderDoors:
    """Endpoints under ``/v1/holds`` and ``/v1/suppressions``."""

    def __init__(self, service: Service, desk: Desk, budget: ByteBudget, clock: Clock) -> None:
        """Take the service, the desk, the byte budget of the process and the clock."""
        self._service = service
        self._desk = desk
        self._budget = budget
        self._clock = clock

    # ------------------------------------------------------------------ holds

    async def add_hold(self, request: Request) -> Response:
        """Hold what waits and what comes."""
        body = read_as(HoldBody, await said(request, self._budget))
        hold, _ = await self._desk.add_hold(
            body.filter.as_filter(),
            actor_of(request),
            reason=body.reason,
            until=body.until,
            then=body.then,
        )
        return JsonReply({"mode": self._service.mode, **desk_answers.hold(hold)}, 201)

    async def holds(self, request: Request) -> Response:
        """Show the holds."""
        is_open = read_hold_page(request.query_params.multi_items())
        found = await self._desk.holds(actor_of(request), is_open=is_open)
        return JsonReply({"mode": self._service.mode, "holds": [desk_answers.hold(one) for one in found]})

    async def end_hold(self, request: Request) -> Response:
        """End a hold and release what it holds."""
        changed = await self._desk.end_hold(request.path_params["id"], actor_of(request))
        return JsonReply({"mode": self._service.mode, **desk_answers.changed(changed)})

    # ------------------------------------------------------------------ suppressions

    async def suppress(self, request: Request) -> Response:
        """Put an address on the list."""
        body = read_as(SuppressionBody, await said(request, self._budget))
        actor = actor_of(request)
        one = Suppression(
            tenant=actor.tenant,
            address=body.address,
            reason=body.reason,
            mail_class=body.mail_class,
            note=body.note or "",
            author=actor.name,
            created_at=self._clock.now(),
            until=body.until,
        )
        await self._desk.suppress([one])
        return JsonReply({"mode": self._service.mode, **desk_answers.suppression(one)}, 201)

    async def suppressions(self, request: Request) -> Response:
        """Show one page of the list."""
        after, address, limit = read_suppression_page(request.query_params.multi_items())
        page, following = await self._desk.suppressions(
            actor_of(request), after=after, limit=limit, address=address
        )
        answer = {
            "mode": self._service.mode,
            "suppressions": [desk_answers.suppression(one) for one in page],
            "next": following,
        }
        return JsonReply(answer)

    async def unsuppress(self, request: Request) -> Response:
        """Take an address off the list."""
        address, mail_class, note = read_removal(
            request.query_params.multi_items(), request.path_params["address"]
        )
        await self._desk.unsuppress(address, actor_of(request), mail_class=mail_class, note=note)
        return Response(status_code=204)

    # ------------------------------------------------------------------ CSV

    async def export(self, request: Request) -> Response:
        """Give the whole list, row by row."""
        headers = {
            **SECURITY_HEADERS,
            "content-disposition": 'attachment; filename="suppressions.csv"',
        }
        return StreamingResponse(
            self._rows(actor_of(request)), headers=headers, media_type="text/csv; charset=utf-8"
        )

    async def _rows(self, actor: Actor) -> AsyncIterator[str]:
        yield header_line()
        after: str | None = ""
        while after is not None:
            page, after = await self._desk.suppressions(actor, after=after, limit=ROWS_AT_ONCE)
            yield "".join(map(row_line, page))

    async def import_rows(self, request: Request) -> Response:
        """Store the good rows of an upload as they come; tell of the others."""
        actor, now = actor_of(request), self._clock.now()
        reader = RowReader(tenant=actor.tenant, author=actor.name, now=now)
        batch: list[Suppression] = []
        problems: list[dict[str, str | int]] = []
        stored = refused = 0
        with self._budget.hold() as hold:
            hold.grow(ROWS_AT_ONCE * MAX_LINE // 8)
            async for line in read_lines(request, max_body=MAX_IMPORT, max_line=MAX_LINE):
                try:
                    if (one := reader.read(line)) is not None:
                        batch.append(one)
                except InputError as error:
                    if not reader.columns:
                        raise
                    refused += 1
                    problems += [as_row_problem(reader.rows, problem) for problem in error.problems]
                    del problems[MAX_ROW_PROBLEMS:]
                if len(batch) == ROWS_AT_ONCE:
                    stored += await self._stored(batch)
                if reader.rows % ROWS_A_TURN == 0:
                    await asyncio.sleep(0)
            stored += await self._stored(batch)
        answer = {
            "mode": self._service.mode,
            "rows": reader.rows,
            "stored": stored,
            "refused": refused,
            "problems": problems,
        }
        return JsonReply(answer)

    async def _stored(self, batch: list[Suppression]) -> int:
        """Store a batch, the last row of an address counting, and empty it."""
        count = len(batch)
        if batch:
            await self._desk.suppress(list({(one.address, one.mail_class): one for one in batch}.values()))
        batch.clear()
        return count

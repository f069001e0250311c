"""The doors for the person who runs Postroom: health, status, keys, backup."""

import asyncio
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.service import Service
from postroom.errors import InputError, Problem
from postroom.ingress.http.replies import JsonReply
from postroom.model.lifecycle import RecipientState
from postroom.schema import answers
from postroom.schema.bodies import BackupBody, KeyBody, read_as
from postroom.schema.json_text import read_json
from postroom.web.budget import ByteBudget
from postroom.web.gate import caller_of
from postroom.web.keyless import is_loopback, parse_networks
from postroom.web.uploads import read_body

MAX_BODY = 64 * 1024
"""Bytes of the small bodies these doors read."""
NOT_READY_RETRY_S = 5


class OperatorDoors:
    """``/healthz``, ``/readyz`` and the rest of ``/v1``."""

    def __init__(self, service: Service, budget: ByteBudget) -> None:
        """Take the service and the byte budget of the process."""
        self._service = service
        self._budget = budget

    async def alive(self, _request: Request) -> Response:
        """Say that the process answers."""
        return JsonReply({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        """Say whether new mail is taken; 503 with the reasons when it is not.

        Callers from elsewhere need no key here, so what only needs a look is shown on this machine alone.
        """
        status = await self._service.status()
        is_shown = not status.ready or is_loopback(caller_of(request).peer)
        answer = {
            "mode": status.mode,
            "ready": status.ready,
            "durability": status.durability,
            "problems": list(status.problems) if is_shown else [],
        }
        if status.ready:
            return JsonReply(answer)
        return JsonReply(answer, 503, {"retry-after": str(NOT_READY_RETRY_S)})

    async def status(self, _request: Request) -> Response:
        """Show queue and transports."""
        status = await self._service.status()
        oldest = status.queue.oldest_open_at
        transports = []
        for transport in status.transports:
            pause = transport.pause
            words = self._service.words(pause.cause if pause else "")
            transports.append(
                {
                    "name": transport.name,
                    "target": transport.target,
                    "paused_until": answers.instant(pause.until) if pause else None,
                    "cause": pause.cause if pause else "",
                    "meaning": words.meaning,
                    "remedy": words.remedy,
                    "evidence": pause.text if pause else "",
                }
            )
        answer = {
            "mode": status.mode,
            "ready": status.ready,
            "problems": list(status.problems),
            "durability": status.durability,
            "counts": {state: status.queue.by_state.get(state, 0) for state in RecipientState},
            "oldest_open_at": None if oldest is None else answers.instant(oldest),
            "transports": transports,
        }
        return JsonReply(answer)

    async def create_key(self, request: Request) -> Response:
        """Create a key; its secret is in this answer and nowhere else."""
        body = read_as(KeyBody, await self._json(request))
        try:
            parse_networks(body.networks)
        except ValueError as error:
            problem = Problem(
                code="network-syntax",
                field="networks",
                cause=str(error),
                fix="Write networks in CIDR form, such as 10.0.0.0/8.",
            )
            raise InputError([problem]) from None
        key, secret = await self._service.create_key(
            body.name,
            scopes=frozenset(body.scopes),
            tenant=caller_of(request).tenant,
            senders=tuple(body.senders),
            networks=tuple(body.networks),
        )
        return JsonReply({"mode": self._service.mode, **answers.key(key), "key": secret}, 201)

    async def keys(self, _request: Request) -> Response:
        """Show every key."""
        keys = await self._service.keys()
        return JsonReply({"mode": self._service.mode, "keys": [answers.key(key) for key in keys]})

    async def revoke_key(self, request: Request) -> Response:
        """Revoke a key by id or name."""
        await self._service.revoke_key(request.path_params["id"])
        return Response(status_code=204)

    async def backup(self, request: Request) -> Response:
        """Write an online copy of the store to a new file on the server."""
        path = Path(read_as(BackupBody, await self._json(request)).path)
        if "\0" in str(path) or not path.is_absolute() or not await asyncio.to_thread(path.parent.is_dir):
            problem = Problem(
                code="path-invalid",
                field="path",
                cause="not an absolute path in a directory that exists on the server",
                fix="Name a new file, such as /var/backups/postroom-2030-01-31.db.",
            )
            raise InputError([problem])
        await self._service.backup(path)
        return JsonReply({"mode": self._service.mode, "path": str(path)}, 201)

    async def _json(self, request: Request) -> object:
        with self._budget.hold() as hold:
            return read_json(await read_body(request, max_body=MAX_BODY, hold=hold))

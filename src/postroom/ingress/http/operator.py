"""The doors for the person who runs Postroom: keys and backup."""

import asyncio
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.service import Service
from postroom.errors import InputError, Problem
from postroom.ingress.http.replies import JsonReply
from postroom.schema import answers
from postroom.schema.bodies import BackupBody, KeyBody, read_as
from postroom.schema.json_text import read_json
from postroom.web.budget import ByteBudget
from postroom.web.gate import caller_of
from postroom.web.keyless import parse_networks
from postroom.web.uploads import read_body

MAX_BODY = 64 * 1024
"""Bytes of the small bodies these doors read."""


class OperatorDoors:
    """``/v1/keys`` and ``/v1/backup``."""

    def __init__(self, service: Service, budget: ByteBudget) -> None:
        """Take the service and the byte budget of the process."""
        self._service = service
        self._budget = budget

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

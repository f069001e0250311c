"""Without a server: one message sent from the data directory or by an account, and a copy of the store."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog
import uvloop

from postroom.bootstrap.engine import running_engine
from postroom.bootstrap.seeing import begin_log
from postroom.bootstrap.store import open_store, refuse_silent_capture
from postroom.clock import SystemClock, SystemDice
from postroom.config.settings import Settings
from postroom.errors import InputError
from postroom.ingress.http.filling import read_filled, rendering
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.message import BlobRef, Door
from postroom.ports import StagedBlob
from postroom.schema import answers
from postroom.schema.bodies import read_submission
from postroom.schema.submission import with_files
from postroom.schema.templates import has_template
from postroom.schema.transport_body import read_body
from postroom.telemetry import configure_logging


def send_direct(
    settings: Settings, message: Mapping[str, Any], files: Mapping[str, Path], *, wait_s: float
) -> Mapping[str, Any]:
    """Store one message in the data directory, attempt it for up to ``wait_s`` seconds, and stop.

    What is still open stays in the store for the next start; what waited there is attempted as well.

    Args:
        settings: Of this run.
        message: In the form of ``POST /v1/messages``.
        files: Path of each part named by ``upload``.
        wait_s: Seconds.

    Returns:
        The message in the form of ``GET /v1/messages/{id}``.

    Raises:
        InputError: Fields are wrong; nothing was stored.
        StoreError: A server uses the directory.
    """
    begin_log(settings, level=logging.WARNING)
    return uvloop.run(_send_direct(settings, message, files, wait_s))


def send_alone(account: Mapping[str, Any], message: Mapping[str, Any], *, wait_s: float) -> Mapping[str, Any]:
    """Send one message by one account and keep nothing: for a program that Postroom lives inside.

    The thread must have no event loop. The log stays that of the program around; without any it is silent.

    Args:
        account: In the form of ``POST /v1/transports``.
        message: In the form of ``POST /v1/messages``, without files.
        wait_s: Seconds for the one attempt; what is still open then is given up.

    Returns:
        The message in the form of ``GET /v1/messages/{id}``.

    Raises:
        InputError: Fields are wrong; nothing was sent.
        StoreError: The directory for temporary files cannot be used.
    """
    read = read_body(account)
    if read.spec is None:
        raise InputError(read.problems)
    if not structlog.is_configured():
        configure_logging(json=False, level=logging.CRITICAL)
    with TemporaryDirectory(prefix="postroom-") as directory:
        settings = Settings(data=Path(directory), listeners=(), transports=(read.spec,), sender_process=False)
        return asyncio.run(_send_direct(settings, message, {}, wait_s))


async def _send_direct(
    settings: Settings, message: Mapping[str, Any], files: Mapping[str, Path], wait_s: float
) -> Mapping[str, Any]:
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        store = open_store(settings, clock)
        stack.push_async_callback(store.close)
        await refuse_silent_capture(settings, store)
        room = await stack.enter_async_context(
            running_engine(settings, store, clock=clock, dice=SystemDice())
        )
        service = room.service
        read = partial(
            read_submission,
            limits=service.limits,
            tenant=DEFAULT_TENANT,
            idempotency_key=None,
            uploads={name: (path.name, "application/octet-stream") for name, path in files.items()},
        )
        if has_template(message):
            content = await read_filled(message, read, rendering(service.templates, DEFAULT_TENANT))
        else:
            content = read(message)
        submission, facts, sources = content
        submission = replace(submission, door=Door.CLI)
        refs = [
            await asyncio.to_thread(_stored, service.stage(DEFAULT_TENANT), files[source.upload or ""])
            for source in sources
        ]
        receipt = await service.submit(with_files(submission, facts, refs))
        view = await service.first_attempt(receipt.message_id, tenant=DEFAULT_TENANT, wait_s=wait_s)
        return answers.message(view, service.mode, service.words)


def _stored(blob: StagedBlob, path: Path) -> BlobRef:
    """Copy a file into the blob store. Blocking; raises OSError when it cannot be read."""
    try:
        with path.open("rb") as file:
            while data := file.read(1024 * 1024):
                blob.write(data)
        return blob.commit()
    finally:
        blob.discard()


def backup_offline(settings: Settings, target: Path) -> None:
    """Copy the store of a stopped server to ``target``, which must not exist. Raises StoreError."""
    asyncio.run(_backup_offline(settings, target))


async def _backup_offline(settings: Settings, target: Path) -> None:
    store = open_store(settings, SystemClock())
    try:
        await store.spool.backup(target)
    finally:
        await store.close()

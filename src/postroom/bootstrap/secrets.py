"""The sealed secrets of a data directory: looked through, and sealed with a new key while no server runs."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from postroom.bootstrap.seeing import begin_log
from postroom.bootstrap.store import bounds_of, open_store
from postroom.clock import SystemClock, SystemDice
from postroom.config.settings import Settings
from postroom.spool.rotation import Rotation, rotate
from postroom.spool.sqlite.opening import look_at_secrets
from postroom.spool.sqlite.sealed import SealedRow


def check_secrets(settings: Settings) -> tuple[tuple[str, ...], Sequence[SealedRow]]:
    """Return the ids of the keys, the current one first, and every row with secrets. Raises StoreError."""
    return look_at_secrets(settings.data, bounds_of(settings))


def rotate_secrets(settings: Settings, *, new_key_file: Path | None, leave_unreadable: bool) -> Rotation:
    """Seal every secret with a new key.

    Args:
        settings: Of this run.
        new_key_file: As of ``spool.rotation.rotate``.
        leave_unreadable: Go on when some cannot be opened.

    Raises:
        SecretKeyError: One cannot be opened; nothing was changed.
        StoreError: A server uses the directory, or a file cannot be written.
    """
    begin_log(settings, level=logging.CRITICAL)  # what cannot be opened is in the answer
    return asyncio.run(_rotate(settings, new_key_file, leave_unreadable=leave_unreadable))


async def _rotate(settings: Settings, new_key_file: Path | None, *, leave_unreadable: bool) -> Rotation:
    store = open_store(settings, SystemClock())
    try:
        return await rotate(
            store.secrets,
            settings.data,
            given=bounds_of(settings).secret_key,
            new_key_file=new_key_file,
            leave_unreadable=leave_unreadable,
            dice=SystemDice(),
        )
    finally:
        await store.close()

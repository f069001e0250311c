"""A new key for everything that is sealed.

Order: the new key is on the disk beside the old ones - every row is sealed anew in one transaction - the old
keys go. Killed anywhere in between, the rows open with the keys that are there. Where the settings give the
key, the new one is a file that they are to name afterwards: until then the rows are sealed with what the
server does not have, so both steps belong together while it is stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from postroom.clock import Dice
from postroom.errors import SecretKeyError, StoreError
from postroom.model.secret import Secret
from postroom.spool.sealing import KEY_BYTES, SealingKeys, key_id
from postroom.spool.secret_key import FILE_NAME, given_keys, read_key_file, write_key_file
from postroom.spool.sqlite.sealed import SealedRow, SqliteSecrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What became of a rotation."""

    key_id: str
    """The new key."""
    key_file: Path
    rows: Sequence[SealedRow]
    """As they were; those with a problem were left as they are."""


async def rotate(
    secrets: SqliteSecrets,
    data: Path,
    *,
    given: Secret | None,
    new_key_file: Path | None,
    leave_unreadable: bool,
    dice: Dice,
) -> Rotation:
    """Seal every row of an open store with a new key.

    Args:
        secrets: Of the store.
        data: Its directory.
        given: The key of the settings.
        new_key_file: The file of the new key, made when it is not there; needed when the settings give the
            key. ``None``: the file of the data directory gets a new one.
        leave_unreadable: Leave rows alone that cannot be opened.
        dice: Makes the key.

    Raises:
        SecretKeyError: A row cannot be opened; nothing was changed.
        StoreError: A file cannot be read or written, or there is nothing to rotate.
    """
    if new_key_file is not None:
        new = read_key_file(new_key_file)
        if not new:
            new = (dice.token(KEY_BYTES),)
            write_key_file(new_key_file, new)
        keys = SealingKeys((*new, *given_keys(given), *read_key_file(data / FILE_NAME)))
        rows = await secrets.reseal(keys, leave_unreadable=leave_unreadable)
        return Rotation(key_id=keys.current_id, key_file=new_key_file, rows=rows)
    if given is not None:
        raise StoreError("the key is given by the settings: name a file for the new one (--new-key-file)")
    return await _rotate_file(
        secrets, data / FILE_NAME, dice.token(KEY_BYTES), leave_unreadable=leave_unreadable
    )


async def _rotate_file(secrets: SqliteSecrets, path: Path, new: bytes, *, leave_unreadable: bool) -> Rotation:
    old = read_key_file(path)
    if not old and not leave_unreadable:
        raise StoreError(f"there is no key {path}: nothing can be opened to be sealed anew")
    write_key_file(path, (new, *old))
    try:
        rows = await secrets.reseal(SealingKeys((new, *old)), leave_unreadable=leave_unreadable)
    except SecretKeyError:
        write_key_file(path, old)
        raise
    write_key_file(path, (new,))
    return Rotation(key_id=key_id(new), key_file=path, rows=rows)

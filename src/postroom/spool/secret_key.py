"""The keys that seal secrets: given by the settings, else in ``DATA/secret.key``.

Form of both: keys in Base64 (32 bytes) or as 64 hex digits, the current one first, older ones after it,
parted by line ends, blanks or commas. A key given by the settings is the current one; those of the file open
what was sealed before it was given.

Rules: the file is private (0600) and nobody else's, or it is refused; it is written beside and renamed, with
file and directory synced, so a crash leaves the old one or the new one; no error shows a key. It is not part
of a backup: whoever has the backup and the key has the secrets.
"""

import os
import re
import stat
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path

from postroom.clock import Dice
from postroom.errors import StoreError
from postroom.model.secret import Secret
from postroom.spool.blobs import sync_directory
from postroom.spool.sealing import KEY_BYTES, SealingKeys

FILE_NAME = "secret.key"
_MAX_FILE = 64 * 1024
"""Bytes; a thousand keys. Security limit: whatever lies under the name is not read whole."""
_PARTS = re.compile(r"[\s,]+")
_FIX = "each key is 32 bytes in Base64 or 64 hex digits (`openssl rand -base64 32` makes one)"


def read_keys(data: Path, given: Secret | None) -> SealingKeys | None:
    """Return the keys of a data directory, ``None`` when there are none yet. Raises StoreError."""
    keys = given_keys(given) + read_key_file(data / FILE_NAME)
    return SealingKeys(keys) if keys else None


def given_keys(given: Secret | None) -> tuple[bytes, ...]:
    """Return the keys of the settings. Raises StoreError."""
    return () if given is None else parse_keys(given.reveal(), source="the secret key of the settings")


def make_keys(data: Path, *, dice: Dice) -> SealingKeys:
    """Make the file with one new key, unless there is one by now. Raises StoreError."""
    keys = read_key_file(data / FILE_NAME)
    if not keys:
        keys = (dice.token(KEY_BYTES),)
        write_key_file(data / FILE_NAME, keys)
    return SealingKeys(keys)


def parse_keys(text: str, *, source: str) -> tuple[bytes, ...]:
    """Read the text form. Raises StoreError, which names ``source``."""
    keys = tuple(_key(part, source) for part in _PARTS.split(text) if part)
    if not keys:
        raise StoreError(f"{source} holds no key: {_FIX}")
    return keys


def _key(text: str, source: str) -> bytes:
    try:
        key = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise StoreError(f"{source} is not of its form: {_FIX}")
    return key


def read_key_file(path: Path) -> tuple[bytes, ...]:
    """Return the keys of a private file, none when it is not there. Raises StoreError."""
    try:
        # Without waiting for whoever writes, should it be a pipe.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            _check_privacy(path, os.fstat(file.fileno()))
            text = file.read(_MAX_FILE)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}; {_chown(path)}") from None
    return parse_keys(text.decode("latin-1"), source=str(path))


def _check_privacy(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(f"{path} is not a regular file: move it away")
    if found.st_uid not in (os.geteuid(), 0):
        raise StoreError(f"{path} belongs to another user (id {found.st_uid}): {_chown(path)}")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise StoreError(f"{path} may be used by others (mode {mode:04o}): run `chmod 600 {path}`")


def _chown(path: Path) -> str:
    return f"run `chown {os.geteuid()} {path}` and `chmod 600 {path}`"


def write_key_file(path: Path, keys: Sequence[bytes]) -> None:
    """Put a private file with these keys in place of what is there. Raises StoreError."""
    path = path.resolve()
    beside = path.with_name(path.name + ".new")
    text = "".join(b64encode(key).decode("ascii") + "\n" for key in keys)
    try:
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None

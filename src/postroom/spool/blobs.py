"""Content-addressed files: ``blobs/<tenant>/<first two hex digits>/<sha256>``.

A blob is written to ``incoming``, synced, moved to its content's name, and the directory is synced, all
before any row may name it (reliability rule A2). Equal content of a tenant is stored once. Only the
sweep deletes, in the writer thread, and only what no row names and is older than the grace; using an
existing file again makes it young.
"""

import contextlib
import errno
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from postroom.errors import DiskFullError, InvariantError, StoreError
from postroom.model.ids import TenantId
from postroom.model.message import BlobRef
from postroom.spool.disk import DiskWatch

READ_SIZE = 1024 * 1024
_SAFE_TENANT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}\Z")
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_BROKEN = frozenset({errno.EIO, errno.EROFS, errno.EUCLEAN})
"""What a dying disk or a file system that shut itself down answers."""


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class BlobFiles:
    """The files of a data directory for reading; makes and removes nothing."""

    def __init__(self, data: Path) -> None:
        """Take the data directory."""
        self._blobs = data / "blobs"

    def open(self, tenant: TenantId, ref: BlobRef) -> BinaryIO:
        """Open for reading. Raises FileNotFoundError."""
        return self.path(tenant, ref.sha256).open("rb")

    def is_intact(self, tenant: TenantId, ref: BlobRef) -> bool:
        """Read the file and say whether size and hash are as named."""
        hashed = hashlib.sha256()
        size = 0
        try:
            with self.open(tenant, ref) as file:
                while data := file.read(READ_SIZE):
                    hashed.update(data)
                    size += len(data)
        except OSError:
            return False
        return size == ref.size and hashed.hexdigest() == ref.sha256

    def has(self, tenant: TenantId, ref: BlobRef) -> bool:
        """Say whether the file is there in its size."""
        try:
            found = self.path(tenant, ref.sha256).stat()
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size == ref.size

    def path(self, tenant: TenantId, sha256: str) -> Path:
        """Return the place of a blob. Raises InvariantError for a tenant that is no plain name."""
        if _SAFE_TENANT.match(tenant) is None or tenant.startswith("."):
            raise InvariantError(f"tenant {tenant!r} cannot name a directory")
        return self._blobs / tenant / sha256[:2] / sha256


class FileBlobs(BlobFiles):
    """The port ``Blobs`` on a directory."""

    def __init__(self, data: Path, disk: DiskWatch, *, grace: timedelta) -> None:
        """Make the directories and remove what an earlier life left in ``incoming``."""
        super().__init__(data)
        self.grace = grace
        self._disk = disk
        self._incoming = data / "incoming"
        for directory in (self._blobs, self._incoming):
            directory.mkdir(mode=0o700, exist_ok=True)
        sync_directory(data)
        for left in self._incoming.iterdir():
            left.unlink()

    def stage(self, tenant: TenantId) -> "StagedFile":
        """Begin a blob. Raises DiskFullError, and StoreError when the disk fails."""
        return StagedFile(self, self._incoming, tenant, self._disk)

    def place(self, temporary: Path, tenant: TenantId, ref: BlobRef) -> None:
        """Move a synced file to its name, durably; an equal one that is there already is used again."""
        target = self.path(tenant, ref.sha256)
        if self.has(tenant, ref):
            # The sweep leaves young files alone. When it was quicker, the file is put there anew.
            with contextlib.suppress(FileNotFoundError):
                os.utime(target)
        if self.has(tenant, ref):
            temporary.unlink()
        else:
            self._make_directory(target.parent)
            temporary.rename(target)
        sync_directory(target.parent)

    def _make_directory(self, directory: Path) -> None:
        if directory.is_dir():
            return
        for made in (directory.parent, directory):
            made.mkdir(mode=0o700, exist_ok=True)
            sync_directory(made.parent)

    def older_than(self, limit_s: float) -> Iterator[tuple[str, str]]:
        """Yield tenant and hash of files last used before ``limit_s`` (seconds since 1970)."""
        for file in self._blobs.glob("*/??/*"):
            with contextlib.suppress(FileNotFoundError):
                if file.stat().st_mtime < limit_s:
                    yield file.parent.parent.name, file.name

    def sweep(self, tenant: str, sha256: str, *, limit_s: float) -> bool:
        """Delete a file that no row names; in the writer thread only. ``False`` when it was used again.

        The file is set aside first: one that became young in between goes back to its place.
        """
        target = self.path(TenantId(tenant), sha256)
        aside = self._incoming / f"swept-{sha256}"
        try:
            target.rename(aside)
            if aside.stat().st_mtime < limit_s:
                aside.unlink()
                return True
            aside.rename(target)
        except OSError:
            return False
        return False


class StagedFile:
    """A blob being written."""

    def __init__(self, blobs: FileBlobs, incoming: Path, tenant: TenantId, disk: DiskWatch) -> None:
        """Make the temporary file. Raises as ``commit``."""
        disk.admit(0)
        blobs.path(tenant, "00")
        self._blobs = blobs
        self._tenant = tenant
        self._disk = disk
        self._hash = hashlib.sha256()
        self._size = 0
        with _disk_named():
            descriptor, name = tempfile.mkstemp(dir=incoming)
        self._path = Path(name)
        self._file: BinaryIO | None = os.fdopen(descriptor, "wb", buffering=0)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    def write(self, data: bytes) -> None:
        """Append. Raises as ``commit``."""
        if self._file is None:
            raise InvariantError("a blob cannot be written after its end")
        self._disk.admit(len(data))
        try:
            with _disk_named():
                rest = memoryview(data)
                while rest:
                    rest = rest[self._file.write(rest) :]
        finally:
            self._disk.stored(len(data))
        self._hash.update(data)
        self._size += len(data)

    def commit(self) -> BlobRef:
        """Sync and move to the content's name. Raises DiskFullError, and StoreError when the disk fails."""
        if self._file is None:
            raise InvariantError("a blob can be committed once")
        ref = BlobRef(self._hash.hexdigest(), self._size)
        try:
            with _disk_named():
                os.fsync(self._file.fileno())
                self._close()
                self._blobs.place(self._path, self._tenant, ref)
        except BaseException:
            self._close()
            self._unlink()
            raise
        return ref

    def discard(self) -> None:
        """Remove the temporary file; does nothing after ``commit``."""
        if self._file is not None:
            self._close()
            self._unlink()

    def _unlink(self) -> None:
        with contextlib.suppress(OSError):  # on a dying disk; the next start removes it
            self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


@contextlib.contextmanager
def _disk_named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise DiskFullError(f"the disk is full: {error.strerror}") from error
        if error.errno in _BROKEN:
            raise StoreError(f"a file cannot be stored: {error.strerror}") from error
        raise

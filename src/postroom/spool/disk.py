"""The disk below the store: what may be used, when intake stops, and the ballast.

On a full disk the result of a delivery could not be recorded, and a gateway that goes on sending would
send duplicates for ever; so intake stops before the disk is full, and a ballast file is given up for
results when it is full all the same (reliability rule B6).
"""

import contextlib
import os
from pathlib import Path

from postroom.clock import Clock
from postroom.errors import DiskFullError, StoreError
from postroom.spool.settings import SpoolSettings

LOOK_EVERY_S = 1.0
_UNSAFE = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuseblk", "ncpfs", "afs", "ceph"})
_MOUNTS = Path("/proc/self/mountinfo")


def refuse_unsafe_file_system(data: Path, *, mounts: Path = _MOUNTS) -> None:
    """Raise StoreError when ``data`` lies on a network or FUSE file system."""
    kind = file_system_of(data, mounts=mounts)
    if kind in _UNSAFE or kind.startswith("fuse"):
        raise StoreError(
            f"{data} lies on {kind}: locks and syncs of network and FUSE file systems cannot be trusted;"
            " use a local disk, or force it"
        )


def file_system_of(path: Path, *, mounts: Path = _MOUNTS) -> str:
    """Return the type of the file system that holds ``path``, ``""`` when the system does not tell."""
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    resolved = path.resolve()
    best, kind = -1, ""
    for line in lines:
        left, _, right = line.partition(" - ")
        mount = Path(_unescaped(left.split()[4]))
        # Later lines cover earlier ones at the same place.
        if len(mount.parts) >= best and resolved.is_relative_to(mount):
            best, kind = len(mount.parts), right.split()[0]
    return kind


def _unescaped(field: str) -> str:
    # proc(5): space, tab, newline and backslash are written as three octal digits.
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, char)
    return field


class DiskWatch:
    """Says whether there is room for more; asks the system at most once in ``LOOK_EVERY_S``."""

    def __init__(self, data: Path, settings: SpoolSettings, clock: Clock) -> None:
        """Lay the ballast when there is room for it."""
        self._data = data
        self._settings = settings
        self._clock = clock
        self._ballast = data / "ballast"
        self._admitted = 0
        self._since_look = 0
        self._look_again_at = 0.0
        self._free = 0
        self._reserve = 0
        self._sending_reserve = 0
        self._look()

    def admit(self, size: int) -> None:
        """Count bytes that are about to be written. Raises DiskFullError below the watermark."""
        if self._clock.monotonic() >= self._look_again_at:
            self._look()
        room = self._free - self._since_look - self._admitted - self._reserve
        if size > room:
            raise DiskFullError(
                f"intake is stopped: {self._free} bytes are free and {self._reserve} stay reserved"
            )
        self._admitted += size

    def admit_attempts(self) -> None:
        """Raise DiskFullError when so little is free that the results of attempts could not be stored."""
        if self._clock.monotonic() >= self._look_again_at:
            self._look()
        if self._free - self._since_look < self._sending_reserve:
            raise DiskFullError(
                f"sending is stopped: {self._free} bytes are free, results need {self._sending_reserve}"
            )

    def stored(self, size: int) -> None:
        """Count admitted bytes as written, or as given up."""
        self._admitted -= size
        self._since_look += size

    def look(self) -> tuple[int, int]:
        """Ask the system now; return the bytes that are free, and those below which intake stops."""
        self._look()
        return self._free, self._reserve

    def spend_ballast(self) -> bool:
        """Give the ballast up; say whether there was one. Intake stops until it is laid again."""
        self._look_again_at = 0.0
        try:
            self._ballast.unlink()
        except OSError:
            return False
        return True

    def _look(self) -> None:
        volume = os.statvfs(self._data)
        size = volume.f_frsize * volume.f_blocks
        self._free = volume.f_frsize * volume.f_bavail
        self._reserve = min(self._settings.reserve, int(size * self._settings.reserve_share))
        wished = self._settings.sending_reserve
        self._sending_reserve = self._reserve // 2 if wished is None else min(wished, self._reserve)
        self._since_look = 0
        self._look_again_at = self._clock.monotonic() + LOOK_EVERY_S
        wanted = min(self._settings.ballast, int(size * self._settings.ballast_share))
        if wanted and not self._ballast.exists():
            if self._free > self._reserve + wanted:
                self._lay_ballast(wanted)
            else:
                self._reserve += wanted

    def _lay_ballast(self, size: int) -> None:
        descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError:
            with contextlib.suppress(OSError):  # without ballast the watermark still holds
                self._ballast.unlink()
        finally:
            os.close(descriptor)

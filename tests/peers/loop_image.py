"""A file system in a file, on a loop device, whose power can be cut: what was not synced is gone.

The cut is the file system's own shutdown call without a flush of its log (FS_IOC_SHUTDOWN), which ext4 and
XFS know. Needs root and loop devices. Mounts left over from a run that was killed are removed by name at the
next one.
"""

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

_FS_IOC_SHUTDOWN = 0x8004587D
_WITHOUT_LOG_FLUSH = 2
PREFIX = "postroom-image-"
MAKE = {
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
}
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def why_not(kind: str) -> str | None:
    """Return why images of this kind cannot be used here, ``None`` when they can."""
    if os.geteuid() != 0:
        return "needs root: mounting an image"
    if shutil.which(MAKE[kind][0], path=PATH) is None:
        return f"needs the program {MAKE[kind][0]}"
    if not Path("/dev/loop-control").exists():
        return "needs loop devices (/dev/loop-control)"
    try:
        _run("losetup", "-f")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"needs a free loop device: {error}"
    return None


class Image:
    """A mounted image; ``root`` is its directory."""

    def __init__(self, directory: Path, kind: str) -> None:
        """Take what ``image`` has made."""
        self._file = directory / "image"
        self.root = directory / "root"
        self._kind = kind

    def mount(self) -> None:
        """Put it in its place; the file system recovers by its log."""
        _run("mount", "-t", self._kind, "-o", "loop", str(self._file), str(self.root))

    def unmount(self) -> None:
        """Take it away; nothing may use it any more."""
        _run("umount", str(self.root))

    def cut_power(self) -> None:
        """Drop everything that was not synced; every later write fails."""
        directory = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(directory, _FS_IOC_SHUTDOWN, struct.pack("I", _WITHOUT_LOG_FLUSH))
        finally:
            os.close(directory)

    def remount(self, options: str) -> None:
        """Change mount options in place, say ``ro``."""
        _run("mount", "-o", f"remount,{options}", str(self.root))


@contextlib.contextmanager
def image(kind: str, *, size_mib: int = 320, options: tuple[str, ...] = ()) -> Iterator[Image]:
    """Make and mount a file system; it is gone afterwards."""
    with _directory() as directory:
        made = Image(directory, kind)
        made.root.mkdir()
        file = directory / "image"
        with file.open("wb") as sparse:
            sparse.truncate(size_mib * 1024 * 1024)
        _run(*MAKE[kind], *options, str(file))
        made.mount()
        yield made


@contextlib.contextmanager
def small_memory(size_kib: int, *, inodes: int = 0) -> Iterator[Path]:
    """Mount a small tmpfs; it is gone afterwards."""
    with _directory() as directory:
        options = f"size={size_kib}k" + (f",nr_inodes={inodes}" if inodes else "")
        root = directory / "root"
        root.mkdir()
        _run("mount", "-t", "tmpfs", "-o", options, "postroom-test", str(root))
        yield root


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    _clear_leftovers()
    directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    try:
        yield directory
    finally:
        _remove(directory)


def _clear_leftovers() -> None:
    """Remove what earlier test processes that no longer live have left."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = left.name.removeprefix(PREFIX).split("-")[0]
        if not Path(f"/proc/{owner}").exists():
            _remove(left)


def _remove(directory: Path) -> None:
    root = directory / "root"
    while root.is_mount():
        # Lazily: a process that was told to end may still be ending.
        _run("umount", "-l", str(root))
    shutil.rmtree(directory, ignore_errors=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PATH": PATH}, timeout=60)

"""A directory of templates, usually a checkout of git, looked at again while it is used.

Rules: files are read again only when a name, a size or a time has changed, looked at no more than once a
second. One look reads all files until nothing changes meanwhile, so that a template is not compiled with the
components of another commit. What cannot be used (a link that leads outside, a file that is too large or no
UTF-8) is a finding, and what was read of it before stays in use.

What it does not do: compiling; watching: nobody reads while nobody asks.
"""

import asyncio
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from postroom.clock import Clock
from postroom.model.template import MAX_SOURCE, Collection, Finding
from postroom.renderer.layout import (
    SHELF_FOLDERS,
    STYLE_FOLDERS,
    TEMPLATE_FOLDERS,
    THEME,
    collection_of,
    finding,
    is_used,
    theme_of,
)

LOOK_S: Final = 1.0
"""The least time between two looks."""
MAX_FILES: Final = 2000
"""Files of one directory that are read (security limit)."""
MAX_BYTES: Final = 32 * 1024 * 1024
"""All of them together (security limit)."""
MAX_DEPTH: Final = 8
"""Folders within folders."""
SETTLED_NS: Final = 2_000_000_000
"""A file changed less than this before it was read may change again within one tick of its file system's
clock, with the same size: it is read once more at the next look. Coarse clocks have two seconds."""
TRIES: Final = 3
"""Readings of one look while files change."""

_FOLDERS: Final = frozenset({*TEMPLATE_FOLDERS[1:], *SHELF_FOLDERS, *STYLE_FOLDERS})
_FLAT: Final = frozenset(TEMPLATE_FOLDERS)

Signature = tuple[tuple[str, int, int, int, int], ...]
"""Path, inode, size, time of change and of status change of every file, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One walk along the directory."""

    files: Signature
    findings: tuple[Finding, ...]

    @property
    def newest_ns(self) -> int:
        return max((max(changed, status) for _, _, _, changed, status in self.files), default=0)


class Directory:
    """The port ``Collections`` over files."""

    def __init__(self, root: Path, *, clock: Clock) -> None:
        """Take the directory; nothing is read before it is asked for."""
        self._root = root
        self._clock = clock
        self._next_s = 0.0
        self._seen: _Seen | None = None
        """``None`` to read again whatever the walk tells."""
        self._texts: dict[str, str] = {}
        """As they were when they were sound."""
        self._theme: Mapping[str, Any] = {}
        self._collection: Collection | None = None
        self._look: asyncio.Task[Collection] | None = None

    async def look(self) -> Collection:
        """Return what is there, read again when it has changed. Never raises."""
        if self._collection is not None and self._clock.monotonic() < self._next_s:
            return self._collection
        if self._look is None:
            self._look = asyncio.create_task(self._look_again(), name="look at the templates")
        return await asyncio.shield(self._look)

    async def _look_again(self) -> Collection:
        try:
            found = await asyncio.to_thread(self.read)
            self._next_s = self._clock.monotonic() + LOOK_S
            return found
        finally:
            self._look = None

    def read(self) -> Collection:
        """Look now, blocking; the very same object as before when nothing has changed."""
        seen = _walk(self._root)
        if self._collection is not None and seen == self._seen:
            return self._collection
        if isinstance(seen, Finding):
            return self._gone(seen)
        for _ in range(TRIES):
            texts, findings = _read(self._root, seen, self._texts)
            again = _walk(self._root)
            if again == seen:
                break
            if isinstance(again, Finding):
                return self._gone(again)
            seen = again
        else:
            if self._collection is not None:  # somebody is writing: what is in use stays until it is quiet
                return self._collection
        is_settled = seen.newest_ns < self._clock.now().timestamp() * 1e9 - SETTLED_NS
        self._seen = seen if is_settled else None
        return self._taken(texts, (*seen.findings, *findings))

    def _gone(self, why: Finding) -> Collection:
        """Keep what is in use while the directory cannot be read."""
        self._seen = None
        kept = self._collection or Collection(sources={})
        if kept.findings != (why,):
            kept = self._collection = replace(kept, findings=(why,))
        return kept

    def _taken(self, texts: dict[str, str], findings: tuple[Finding, ...]) -> Collection:
        self._texts = texts
        theme = theme_of(texts[THEME]) if THEME in texts else {}
        if isinstance(theme, Finding):
            findings = (*findings, theme)
        else:
            self._theme = theme
        made = collection_of(texts, self._theme)
        made = replace(made, findings=(*findings, *made.findings))
        if made != self._collection or self._collection is None:
            self._collection = made
        return self._collection


def _walk(root: Path) -> _Seen | Finding:
    """Return every file that may be used, or why the directory cannot be read."""
    files: list[tuple[str, int, int, int, int]] = []
    findings: list[Finding] = []
    try:
        real = root.resolve(strict=True)
        for path, found in _files(root, "", (real,), findings):
            if len(files) == MAX_FILES:
                cause = f"more than {MAX_FILES} files; the rest is not used"
                findings.append(finding(path, "too-many-files", cause, "Name a directory of templates only."))
                break
            files.append((path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
    except OSError as error:
        cause = f"the directory cannot be read: {(error.strerror or 'unknown reason').lower()}"
        return finding(str(root), "directory", cause, "See that it exists and may be read.")
    return _Seen(files=tuple(sorted(files)), findings=tuple(findings))


def _files(
    root: Path, folder: str, above: tuple[Path, ...], findings: list[Finding]
) -> Iterator[tuple[str, os.stat_result]]:
    """Walk along what may be used; yield regular files by their path below the directory.

    ``above`` are the folders on the way, the directory first, without links.
    """
    with os.scandir(root / folder) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        path = f"{folder}/{name}" if folder else name
        full = root / path
        if name.startswith((".", "#")) or name.endswith("~"):
            continue  # of version control and editors
        try:
            found = full.stat()
            is_folder = stat.S_ISDIR(found.st_mode)
            if not (_is_folder(path) if is_folder else is_used(path)):
                continue
            real = full.resolve()
        except OSError as error:
            if is_used(path):
                findings.append(_unreadable(path, error))
            continue
        wrong = _wrong(path, found, is_inside=real.is_relative_to(above[0]))
        if wrong is not None:
            findings.append(wrong)
        elif not is_folder:
            yield path, found
        elif real not in above:  # a link back would be followed again and again
            yield from _files(root, path, (*above, real), findings)


def _wrong(path: str, found: os.stat_result, *, is_inside: bool) -> Finding | None:
    if _shown(path) != path:
        return finding(
            _shown(path), "template-file-name", "the name of the file is not UTF-8", "Rename the file."
        )
    if not is_inside:
        cause, fix = "a link that leads outside of the directory", "Copy the file into the directory."
        return finding(path, "outside", cause, fix)
    if not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)):
        return finding(path, "no-file", "not a regular file", "Put a text file there.")
    return None


def _shown(path: str) -> str:
    """Return a path with question marks for what is not UTF-8; neither JSON nor a digest takes that."""
    return path.encode("utf-8", "replace").decode()


def _is_folder(path: str) -> bool:
    top, _, rest = path.partition("/")
    if top not in _FOLDERS or path.count("/") >= MAX_DEPTH:
        return False
    return not (rest and top in _FLAT)


def _read(root: Path, seen: _Seen, before: Mapping[str, str]) -> tuple[dict[str, str], list[Finding]]:
    """Read every file; in place of one that cannot be used stands what was read of it before."""
    texts: dict[str, str] = {}
    findings: list[Finding] = []
    total = 0
    for path, *_ in seen.files:
        text = _text(root / path, path)
        if isinstance(text, Finding):
            findings.append(text)
            if path not in before:
                continue
            text = before[path]
        total += len(text)
        if total > MAX_BYTES:
            cause = f"more than {MAX_BYTES} bytes in all; the rest is not used"
            findings.append(finding(path, "too-many-files", cause, "Name a directory of templates only."))
            break
        texts[path] = text
    return texts, findings


def _text(file: Path, path: str) -> str | Finding:
    try:
        # A pipe put in its place since it was looked at would block the one who opens it.
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:  # noqa: PTH123
            content = opened.read(MAX_SOURCE + 1)
    except OSError as error:
        return _unreadable(path, error)
    if len(content) > MAX_SOURCE:
        cause = f"more than {MAX_SOURCE} bytes"
        return finding(path, "template-too-large", cause, "Move what repeats into components.")
    if not content.strip():
        return finding(path, "template-empty", "an empty file", "Write something into it, or remove it.")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        cause = f"not UTF-8 at byte {error.start}"
        return finding(path, "template-coding", cause, "Save it as UTF-8.")


def _unreadable(path: str, error: OSError) -> Finding:
    cause = f"cannot be read: {(error.strerror or 'unknown reason').lower()}"
    return finding(_shown(path), "unreadable", cause, "See that the file exists and may be read.")

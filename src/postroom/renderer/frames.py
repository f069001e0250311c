"""What goes between the server and a process that compiles or renders: a length, then a marshalled tuple.

Pure. Both ends are the same program, joined by a socket pair that nobody else holds, so the fastest form that
Python has will do; it is never stored and never read from anybody else.

    to the worker    SETTINGS time_limit_s memory_bytes   TEMPLATE template
                     RENDER digest variables names at   COMPILE (source, shelf)
                     CHECK (sources, shelf, names, at, clients)
    to the server    READY   RENDERED subject preheader html text   COMPILED template
                     PROBLEMS problems   FINDINGS findings   CHECKED findings

``READY`` is said once, when the process can work. Requests are answered in the order in which they came, each
before the next one is begun: what is not answered when a process ends is what it was at, and those behind it.
"""

import marshal
import pickle
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from postroom.errors import Problem
from postroom.model.template import CompiledTemplate, Rendered

SETTINGS, TEMPLATE, RENDER, COMPILE, RENDERED, COMPILED, PROBLEMS, FINDINGS, READY, CHECK, CHECKED = range(11)

LENGTH = 4
"""Octets of the length before each frame."""
COMPILE_LIMIT_S = 10.0
"""How long compiling one source may take; a page of 256 KiB takes less than a second."""
MAX_TEMPLATES = 256
"""Templates a worker keeps."""
MAX_KEPT = 8 * 1024 * 1024
"""Characters of these templates together: read, they take several times as much of the worker's memory."""
_PLAIN = 2
"""Marshal's form without references: half the work, and nothing here is shared."""

Frame = tuple[Any, ...]


class Kept:
    """The templates a worker has, the longest unused first; both ends count alike, so both know."""

    def __init__(self) -> None:
        """Start empty."""
        self._kept: OrderedDict[str, tuple[int, Any]] = OrderedDict()
        self._size = 0

    def __contains__(self, digest: str) -> bool:
        """Say whether a template is there."""
        return digest in self._kept

    def add(self, template: CompiledTemplate, value: Any) -> None:
        """Take a template in, and drop others until there is room."""
        size = len(template.html) + len(template.text) + len(template.subject) + len(template.preheader)
        self._kept[template.digest] = (size, value)
        self._size += size
        while len(self._kept) > 1 and (len(self._kept) > MAX_TEMPLATES or self._size > MAX_KEPT):
            self._size -= self._kept.popitem(last=False)[1][0]

    def use(self, digest: str) -> Any:
        """Return what is kept of a template, and keep it longer than the others."""
        self._kept.move_to_end(digest)
        return self._kept[digest][1]

    def change(self, digest: str, value: Any) -> None:
        """Keep something else of a template."""
        self._kept[digest] = (self._kept[digest][0], value)

    def clear(self) -> None:
        """Drop all."""
        self._kept.clear()
        self._size = 0


def packed(*fields: Any) -> bytes:
    """Return one frame as bytes. Raises ValueError for what is not plain or nested too deep."""
    body = marshal.dumps(fields, _PLAIN)
    return len(body).to_bytes(LENGTH, "big") + body


def frames_in(data: bytearray) -> Iterator[Frame]:
    """Take every whole frame from the front of ``data``."""
    start = 0
    with memoryview(data) as view:
        found = []
        while len(data) - start >= LENGTH:
            after = start + LENGTH + int.from_bytes(view[start : start + LENGTH], "big")
            if after > len(data):
                break
            found.append(marshal.loads(view[start + LENGTH : after]))  # noqa: S302 - from our own process, see above
            start = after
    del data[:start]
    yield from found


def packed_object(kind: int, value: object) -> bytes:
    """Return a frame with one value of the model."""
    return packed(kind, pickle.dumps(value))


def object_in(frame: Frame) -> Any:
    """Return the value of the model in a frame."""
    return pickle.loads(frame[1])  # noqa: S301 - from our own process, see above


def packed_render(digest: str, variables: Mapping[str, Any], names: Mapping[str, Any], at: datetime) -> bytes:
    """Return the frame that asks for a rendering. Raises ValueError for what is not plain."""
    return packed(RENDER, digest, dict(variables), dict(names), at.timestamp())


def packed_rendered(rendered: Rendered) -> bytes:
    """Return the answer to it."""
    return packed(RENDERED, rendered.subject, rendered.preheader, rendered.html, rendered.text)


def packed_problems(problems: Sequence[Problem]) -> bytes:
    """Return the answer to what cannot be done."""
    return packed(PROBLEMS, [(one.code, one.field, one.cause, one.fix) for one in problems])


def problems_in(frame: Frame) -> list[Problem]:
    """Return the problems in a frame."""
    return [Problem(code=code, field=field, cause=cause, fix=fix) for code, field, cause, fix in frame[1]]

"""The process that compiles and renders: ``python -m postroom.renderer.worker DESCRIPTOR``, of a pool.

One request after the other, each answered before the next is begun. A request that takes too long is ended by
an alarm; one that the alarm cannot end is ended with the process, by the pool. The kernel bounds memory.

Nothing of the server's is here: no store, no network, no secrets in arguments or environment.
"""

import ctypes
import json
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from postroom.errors import InputError, Problem
from postroom.mime.html import html_to_text
from postroom.model.template import CompiledTemplate
from postroom.renderer.frames import (
    CHECK,
    CHECKED,
    COMPILE,
    COMPILE_LIMIT_S,
    COMPILED,
    FINDINGS,
    READY,
    RENDER,
    SETTINGS,
    Frame,
    Kept,
    frames_in,
    object_in,
    packed,
    packed_object,
    packed_problems,
    packed_rendered,
)
from postroom.template.errors import SourceError
from postroom.template.jinja.rendering import Loaded, load
from postroom.template.jinja.variables import out_of_bounds, too_large
from postroom.template.jinja.wrong import crossed, forbidden

_READ = 256 * 1024
_PR_SET_PDEATHSIG = 1
"""linux/prctl.h: the signal this process gets when the thread that started it ends."""


class _TimeUp(BaseException):
    """The alarm rang. Not an ``Exception``, so that nothing between takes it for an error of its own."""


def fault_line(error: Exception) -> str:
    """Return a fault as a line of JSON: kind and place, never its words, which may quote a variable."""
    places = [f"{Path(one.filename).name}:{one.lineno}" for one in traceback.extract_tb(error.__traceback__)]
    fault = {"level": "error", "event": "fault while rendering", "kind": type(error).__name__, "at": places}
    return json.dumps(fault)


class Worker:
    """What one process knows: its limits, and the templates it was sent."""

    def __init__(self) -> None:
        """Start without templates."""
        self._time_limit_s = 1.0
        self._templates = Kept()

    def answer(self, frame: Frame) -> bytes | None:
        """Return the answer to a frame, if it has one."""
        kind = frame[0]
        if kind == RENDER:
            return self._within(self._time_limit_s, self._render, frame)
        if kind == COMPILE:
            return self._within(COMPILE_LIMIT_S, self._compile, frame)
        if kind == CHECK:
            return self._within(COMPILE_LIMIT_S, self._check, frame)
        if kind == SETTINGS:
            _, self._time_limit_s, memory = frame
            bound_memory(memory)
            return packed(READY)
        template: CompiledTemplate = object_in(frame)
        self._templates.add(template, template)
        return None

    def _within(self, limit_s: float, work: Callable[[Frame], bytes], frame: Frame) -> bytes:
        """Do one request until it is done or the alarm rings."""
        try:
            signal.setitimer(signal.ITIMER_REAL, limit_s)
            try:
                return work(frame)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except _TimeUp:
            return packed_problems([crossed(f"it takes longer than {limit_s:g} s").problem])
        except InputError as error:
            return packed_problems(error.problems)
        except MemoryError:
            return packed_problems([crossed("it takes more memory than it may have").problem])
        except Exception as error:  # noqa: BLE001 - supervision: the process goes on with the next request
            print(fault_line(error), file=sys.stderr, flush=True)  # noqa: T201 - the server's own error stream
            return packed_problems([forbidden("it meets a fault of the program; see its log").problem])

    def _loaded(self, digest: str) -> Loaded:
        template: CompiledTemplate | Loaded | InputError = self._templates.use(digest)
        if isinstance(template, CompiledTemplate):
            try:
                template = load(template, html_to_text)
            except InputError as error:
                template = error
            self._templates.change(digest, template)
        if isinstance(template, InputError):
            raise template
        return template

    def _render(self, frame: Frame) -> bytes:
        _, digest, variables, names, at = frame
        loaded = self._loaded(digest)  # first, whatever comes of it: both ends count uses
        if (problem := out_of_bounds(variables) or too_large(variables)) is not None:
            raise InputError([problem])
        rendered = loaded.render(variables, names, datetime.fromtimestamp(at, UTC))
        return packed_rendered(rendered)

    def _compile(self, frame: Frame) -> bytes:
        # Only a process that compiles pays for style sheets and scripts.
        from postroom.renderer.compiling import compile_source  # noqa: PLC0415

        source, shelf = object_in(frame)
        try:
            return packed_object(COMPILED, compile_source(source, shelf))
        except SourceError as error:
            return packed_object(FINDINGS, error.findings)
        except RecursionError as error:
            raise InputError([forbidden("it is nested too deep").problem]) from error

    def _check(self, frame: Frame) -> bytes:
        # As above: the rules have tables of their own.
        from postroom.renderer.checking import checked  # noqa: PLC0415
        from postroom.template.lint.clients import chosen  # noqa: PLC0415
        from postroom.template.lint.linting import lint_all  # noqa: PLC0415

        sources, shelf, names, at, clients = object_in(frame)
        try:
            asked = chosen(clients) if clients else None
        except ValueError as error:
            problem = Problem(code="client-unknown", field="clients", cause=str(error), fix="Correct it.")
            raise InputError([problem]) from error
        found = lint_all([checked(one, shelf, names=names, at=at) for one in sources], clients=asked)
        return packed_object(CHECKED, tuple(found))


def bound_memory(size: int) -> None:
    """Let this process have so many bytes of address space beyond what it has now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    limit = pages * resource.getpagesize() + size
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(arguments: Sequence[str]) -> None:
    """Serve until the server's end of the socket pair closes."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the server ends its workers itself
    ring_on_alarm()
    # A server killed between two system calls cannot tell us; the kernel does.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    end = socket.socket(fileno=int(arguments[0]))
    worker = Worker()
    waiting = bytearray()
    while data := end.recv(_READ):
        waiting += data
        for frame in frames_in(waiting):
            answer = worker.answer(frame)
            if answer is not None:
                end.sendall(answer)


def ring_on_alarm() -> None:
    """Let the alarm end the request that is worked on."""
    signal.signal(signal.SIGALRM, _ring)


def _ring(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _TimeUp


if __name__ == "__main__":
    main(sys.argv[1:])

"""Compiling and rendering in processes of their own, seen from the server's process (the ``Renderer`` port).

Processes start at their first request. Requests are handed over without waiting for earlier answers while
these are quick; many that come in one turn of the event loop leave in one write. Templates take turns. One
process compiles, the others render, so that mail does not wait for a page that is being compiled.

When a process does not answer in time it is killed, and so it is when its server dies. What it was at fails,
at once when it was late, else after a second try; what waited behind that goes to the process that is started
next. One that ends again and again before it can work is started after longer and longer pauses, in which
requests are refused.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from postroom.clock import Clock
from postroom.errors import InputError, OverloadError, Problem
from postroom.model.template import CompiledTemplate, Finding, Rendered, Severity, Shelf, TemplateSource
from postroom.renderer.frames import (
    CHECK,
    CHECKED,
    COMPILE,
    COMPILE_LIMIT_S,
    COMPILED,
    FINDINGS,
    RENDERED,
    SETTINGS,
    Frame,
    object_in,
    packed,
    packed_object,
    packed_render,
    problems_in,
)
from postroom.renderer.process import WorkerProcess
from postroom.renderer.turns import Job, Turns
from postroom.telemetry.catalogue import RENDERER_RESIDENT
from postroom.telemetry.process import resident_bytes_of

MAX_WAITING = 4096
"""Requests that wait for a process (security limit)."""
MAX_FRAME = 4 * 1024 * 1024
"""Bytes of the variables of one mail as they are handed over (security limit); the worker counts them as
JSON."""
REFUSE_FROM_S = 4.0
"""A pause from which on requests are refused instead of waiting it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """What templates may take."""

    workers: int = 1
    """Processes that render."""
    time_limit_s: float = 1.0
    """Seconds of one rendering (security limit)."""
    memory_bytes: int = 256 * 1024 * 1024
    """Address space of a process beyond what it starts with (security limit)."""


class RendererPool:
    """The ``Renderer`` port. Use it in one event loop, and close it there."""

    def __init__(self, settings: PoolSettings, *, clock: Clock) -> None:
        """Take the settings; nothing is started yet."""
        first = packed(SETTINGS, settings.time_limit_s, settings.memory_bytes)
        self._renderers = _Queue(settings.workers, settings.time_limit_s, first, clock)
        self._compilers = _Queue(1, COMPILE_LIMIT_S, first, clock)

    async def compile(self, source: TemplateSource, shelf: Shelf) -> CompiledTemplate:
        """Compile one source. Raises InputError with every error found (``field``: ``file:line``)."""
        frame = packed_object(COMPILE, (source, shelf))
        answer = await self._compilers.ask(frame, None, source.name)
        if answer[0] == COMPILED:
            compiled: CompiledTemplate = object_in(answer)
            return compiled
        if answer[0] == FINDINGS:
            raise InputError(_problems(object_in(answer), source))
        raise InputError(problems_in(answer))

    async def check(
        self,
        sources: Sequence[TemplateSource],
        shelf: Shelf,
        *,
        names: Mapping[str, Any],
        at: datetime,
        clients: Sequence[str] = (),
    ) -> Sequence[Finding]:
        """Say what is to be said about the variants of a template; see the port."""
        frame = packed_object(CHECK, (tuple(sources), shelf, dict(names), at, tuple(clients)))
        answer = await self._compilers.ask(frame, None, sources[0].name if sources else "")
        if answer[0] == CHECKED:
            findings: tuple[Finding, ...] = object_in(answer)
            return findings
        raise InputError(problems_in(answer))

    async def render(
        self,
        template: CompiledTemplate,
        variables: Mapping[str, Any],
        *,
        names: Mapping[str, Any],
        at: datetime,
    ) -> Rendered:
        """Render one mail from plain JSON values; see the port."""
        try:
            frame = packed_render(template.digest, variables, names, at)
        except ValueError:
            raise InputError([_unusable("are no plain JSON values, or are nested too deep")]) from None
        if len(frame) > MAX_FRAME:
            raise InputError([_unusable("are too large")])
        answer = await self._renderers.ask(frame, template, template.digest)
        if answer[0] == RENDERED:
            _, subject, preheader, html, text = answer
            return Rendered(subject=subject, preheader=preheader, html=html, text=text)
        raise InputError(problems_in(answer))

    def show(self) -> None:
        """Fill the gauge of the processes' memory."""
        pids = [*self._renderers.pids(), *self._compilers.pids()]
        RENDERER_RESIDENT.show(sum(resident_bytes_of(pid) for pid in pids))

    def pids(self) -> list[int]:
        """Return the numbers of the processes that run."""
        return [*self._renderers.pids(), *self._compilers.pids()]

    async def close(self) -> None:
        """End the processes; what is not answered yet is refused."""
        await asyncio.gather(self._renderers.close(), self._compilers.close())


def _unusable(cause: str) -> Problem:
    return Problem(code="template-limit", field="variables", cause=cause, fix="Send plain values, and fewer.")


def _problems(findings: "tuple[Finding, ...]", source: TemplateSource) -> list[Problem]:
    """Return the errors among findings as problems of a request."""
    return [
        Problem(
            code=found.code,
            field=f"{found.file or source.file or source.name}:{found.line}",
            cause=found.cause,
            fix=found.fix,
        )
        for found in findings
        if found.severity is Severity.ERROR
    ]


class _Queue:
    """Requests of one kind, and the processes that take them in turn."""

    def __init__(self, workers: int, limit_s: float, first: bytes, clock: Clock) -> None:
        self._waiting = Turns()
        self._processes = [
            WorkerProcess(self._waiting, time_limit_s=limit_s, first=first, clock=clock, paused=self._paused)
            for _ in range(max(workers, 1))
        ]
        self._is_closed = False

    async def ask(self, frame: bytes, template: CompiledTemplate | None, turn: str) -> Frame:
        """Have one request answered. Raises OverloadError, InputError."""
        pause_s = self._pause_s()
        if self._is_closed or len(self._waiting) >= MAX_WAITING or pause_s >= REFUSE_FROM_S:
            raise _overload(pause_s)
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._waiting.append(Job(frame=frame, template=template, turn=turn, answer=answer))
        self._feed()
        return await answer

    def _feed(self) -> None:
        for process in sorted(self._processes, key=_load):
            if not self._waiting:
                break
            process.feed()  # one that is not ready takes nothing

    def _pause_s(self) -> float:
        return min(process.pause_s for process in self._processes)

    def _paused(self) -> None:
        """Let others work meanwhile; refuse what waits when no process works and none will soon."""
        pause_s = self._pause_s()
        if pause_s < REFUSE_FROM_S:
            self._feed()
            return
        for job in self._waiting:
            if not job.answer.done():
                job.answer.set_exception(_overload(pause_s))
        self._waiting.clear()

    def pids(self) -> list[int]:
        """Return the numbers of the processes that run."""
        return [process.pid for process in self._processes if process.pid is not None]

    async def close(self) -> None:
        self._is_closed = True
        await asyncio.gather(*[process.close() for process in self._processes])
        for job in self._waiting:
            if not job.answer.done():
                job.answer.set_exception(_overload(1.0))
        self._waiting.clear()


def _overload(pause_s: float) -> OverloadError:
    return OverloadError("no process can be had that renders templates", retry_after_s=max(pause_s, 1.0))


def _load(process: WorkerProcess) -> int:
    return len(process.jobs)

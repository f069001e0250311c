"""The processes that compile and render: real ones, killed and started again."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from postroom.clock import SystemClock
from postroom.errors import InputError, OverloadError
from postroom.model.template import CompiledTemplate, Rendered, Shelf, SourceForm, TemplateSource
from postroom.renderer import process
from postroom.renderer.frames import MAX_KEPT, MAX_TEMPLATES, Kept, frames_in, packed
from postroom.renderer.pool import PoolSettings, RendererPool

AT = datetime(2026, 3, 1, tzinfo=UTC)


def source(text: str, name: str = "mail") -> TemplateSource:
    return TemplateSource(name=name, form=SourceForm.JINJA, text=text)


def run(work: Any, **settings: Any) -> None:
    """Run ``work(pool)`` and close the pool."""

    async def main() -> None:
        pool = RendererPool(PoolSettings(**settings), clock=SystemClock())
        try:
            await work(pool)
        finally:
            await pool.close()
        assert [] == pool.pids()

    asyncio.run(main())


def render(pool: RendererPool, template: CompiledTemplate, **variables: Any) -> Coroutine[Any, Any, Rendered]:
    return pool.render(template, variables, names={"_product_name": "Acme"}, at=AT)


async def refused(work: Coroutine[Any, Any, Any]) -> tuple[str, str, str]:
    with pytest.raises(InputError) as caught:
        await work
    (problem,) = caught.value.problems
    return problem.code, problem.field, problem.cause


def test_compile_and_render() -> None:
    """One pool compiles and renders many mails at once, and says what is wrong in the words of the port."""

    async def work(pool: RendererPool) -> None:
        assert [] == pool.pids()
        template = await pool.compile(source("{{ _product_name }} {{ name }}"), Shelf())
        mails = await asyncio.gather(*[render(pool, template, name=f"{number}<") for number in range(300)])
        assert [f"Acme {number}&lt;" for number in range(300)] == [mail.html for mail in mails]
        assert 2 == len(pool.pids())
        assert ("variable-missing", "variables.name") == (await refused(render(pool, template)))[:2]
        code, field, cause = await refused(pool.compile(source("<p>\n{{ x"), Shelf()))
        assert ("jinja", "mail:2", True) == (code, field, "{{ x" in cause)
        for value in ({1, 2}, "x" * 300_000, "x" * 5_000_000):
            assert (await refused(render(pool, template, name=value)))[0] in (
                "template-limit",
                "variable-type",
            )
        others = [await pool.compile(source("{{ 1 }}", f"mail-{n}"), Shelf()) for n in range(3)]
        many = [
            CompiledTemplate(name="m", locale="en", html=f"{n}", text="t", digest=f"d{n}")
            for n in range(MAX_TEMPLATES + 10)
        ]
        await asyncio.gather(*[render(pool, one) for one in (*many, *others)])
        assert "Acme 1" == (await render(pool, template, name="1")).html  # sent again after it was dropped

    run(work)


def test_limits_end_a_rendering_and_nothing_else() -> None:
    """What takes too much time or memory is refused; those beside it are rendered by the same process."""

    async def work(pool: RendererPool) -> None:
        fine = await pool.compile(source("{{ n }}"), Shelf())
        slow = await pool.compile(
            source("{% for i in range(9000) %}{% set x = 'abc' * 30000 %}{{ x|upper|length }}{% endfor %}"),
            Shelf(),
        )
        large = await pool.compile(
            source(
                "{% set x = namespace(v='a' * 99) %}{% for i in range(40) %}{% set x.v = x.v ~ x.v %}"
                "{% endfor %}{{ x.v|length }}"
            ),
            Shelf(),
        )
        await render(pool, fine, n=0)
        pids = pool.pids()
        (late, heavy), *mails = await asyncio.gather(
            asyncio.gather(refused(render(pool, slow)), refused(render(pool, large))),
            *[render(pool, fine, n=number) for number in range(40)],
        )
        assert ("template-limit", "it takes longer than 0.2 s") == late[::2]
        assert "template-limit" == heavy[0]  # more memory than it may have, or on a slow machine time
        assert [str(number) for number in range(40)] == [one.html for one in mails]
        assert pids == pool.pids()

    run(work, time_limit_s=0.2)


def test_a_killed_process_fails_what_it_was_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that hears no alarm is killed; what waited behind goes to the next one, in order."""
    monkeypatch.setattr(process, "GRACE_S", 0.1)

    async def work(pool: RendererPool) -> None:
        fine = CompiledTemplate(name="f", locale="en", html="{{ n }}", text="t", digest="fine")
        assert "0" == (await render(pool, fine, n=0)).html
        (pid,) = pool.pids()
        os.kill(pid, signal.SIGSTOP)  # hears nothing
        first = render(pool, fine, n=1)
        found = await asyncio.gather(refused(first), *[render(pool, fine, n=number) for number in range(40)])
        assert ("template-limit", "template", "takes longer than 0.3 s") == found[0]
        assert [str(number) for number in range(40)] == [one.html for one in found[1:]]
        assert [pid] != pool.pids()

        (pid,) = pool.pids()
        os.kill(pid, signal.SIGKILL)  # by another: no fault of the mail it is at
        mails = await asyncio.gather(*[render(pool, fine, n=number) for number in range(3)])
        assert ["0", "1", "2"] == [one.html for one in mails]
        task = asyncio.ensure_future(render(pool, fine, n=9))
        await asyncio.sleep(0)
        task.cancel()
        assert "8" == (await render(pool, fine, n=8)).html  # not the answer of who has gone

    run(work, time_limit_s=0.3)


def test_a_process_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that end at once are started after longer and longer pauses; then requests are refused."""
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", "raise SystemExit(1)"))
    slept: list[float] = []

    class Clock(SystemClock):
        async def sleep(self, seconds: float) -> None:
            slept.append(seconds)
            if seconds >= 4:
                await asyncio.Event().wait()

    async def main() -> None:
        pool = RendererPool(PoolSettings(), clock=Clock())
        template = CompiledTemplate(name="f", locale="en", html="x", text="t", digest="f")
        with pytest.raises(OverloadError) as caught:
            await render(pool, template)
        assert 4.0 == caught.value.retry_after_s
        with pytest.raises(OverloadError):
            await render(pool, template)
        await pool.close()

    asyncio.run(main())
    assert [0.5, 1.0, 2.0, 4.0] == slept


def test_what_ends_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail that ends two processes is refused, and the pool is no slower for the others."""
    fatal = (
        "import os, sys; from postroom.renderer import worker; Worker = worker.Worker;"
        "render = Worker._render;"
        "Worker._render = lambda self, frame: os._exit(1) if frame[1] == 'fatal' else render(self, frame);"
        "worker.main(sys.argv[1:])"
    )
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", fatal))

    async def work(pool: RendererPool) -> None:
        fine = CompiledTemplate(name="f", locale="en", html="{{ n }}", text="t", digest="fine")
        bad = CompiledTemplate(name="f", locale="en", html="{{ n }}", text="t", digest="fatal")
        for _ in range(2):
            problem, mail = await asyncio.gather(refused(render(pool, bad, n=1)), render(pool, fine, n=2))
            assert ("template-limit", "2") == (problem[0], mail.html)

    run(work)


def test_templates_take_turns() -> None:
    """A mail does not wait for all that somebody has rendered from a slow template."""

    async def work(pool: RendererPool) -> None:
        fine = await pool.compile(source("{{ n }}"), Shelf())
        slow = await pool.compile(
            source("{% for i in range(300) %}{% set x = 'abc' * 30000 %}{{ x|upper|length }}{% endfor %}"),
            Shelf(),
        )
        await render(pool, slow)
        many = [asyncio.ensure_future(render(pool, slow)) for _ in range(10)]
        await many[0]
        assert "2" == (await render(pool, fine, n=2)).html
        assert sum(one.done() for one in many) <= 3
        for one in many:
            one.cancel()

    run(work)


def test_one_process_works_while_another_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process that cannot start does not hold up what another one can do."""
    broken = (
        f"import sys; open({str(tmp_path / 'first')!r}, 'x');"  # the second finds it there
        "sys.exit(1)"
    )
    code = f"try:\n {broken}\nexcept FileExistsError:\n from postroom.renderer import worker\n"
    code += " worker.main(sys.argv[1:])"
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", code))
    monkeypatch.setattr(process, "RESTART_FIRST_S", 1000.0)

    async def work(pool: RendererPool) -> None:
        fine = CompiledTemplate(name="f", locale="en", html="{{ n }}", text="t", digest="fine")
        assert ["1", "2"] == [(await render(pool, fine, n=n)).html for n in (1, 2)]

    run(work, workers=2)


def known_of(pid: int) -> tuple[str, str]:
    """Return the environment and the limits of a process."""
    environ, limits = (Path(f"/proc/{pid}/{name}").read_text("utf-8") for name in ("environ", "limits"))
    return environ, limits


def test_what_a_process_knows() -> None:
    """A process has no settings of the server in its environment, and ends when its server does."""

    async def work(pool: RendererPool) -> None:
        await render(pool, CompiledTemplate(name="f", locale="en", html="x", text="t", digest="f"))
        (pid,) = pool.pids()
        environ, limits = await asyncio.to_thread(known_of, pid)
        assert "POSTROOM" not in environ
        assert "PATH=" in environ
        assert "unlimited" not in next(line for line in limits.split("\n") if line.startswith("Max address"))

    os.environ["POSTROOM_RENDERER_TEST"] = "secret"
    try:
        run(work)
    finally:
        del os.environ["POSTROOM_RENDERER_TEST"]


def test_the_server_imports_none_of_it() -> None:
    """The server's process has neither Jinja nor Babel nor the makers of styles and scripts in it."""
    script = (
        "import sys, postroom.bootstrap.serve, postroom.renderer.pool; "
        "print({'jinja2', 'babel', 'quickjs', 'css_inline', 'tinycss2', 'mjml'} & sys.modules.keys())"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "set()" == found.stdout.strip()


def test_frames_are_cut_anywhere() -> None:
    """A stream of frames is read the same however it is cut."""
    whole = packed(1, "a", {"b": [1.5, None, True]}) + packed(2) + packed(3, "é" * 300)
    for size in (1, 3, len(whole)):
        found, data = [], bytearray()
        for start in range(0, len(whole), size):
            data += whole[start : start + size]
            found += list(frames_in(data))
        assert [(1, "a", {"b": [1.5, None, True]}), (2,), (3, "é" * 300)] == found
    assert not data


def test_templates_are_kept_alike_at_both_ends() -> None:
    """The longest unused goes when there are too many, or too many letters; one alone is always kept."""
    kept = Kept()

    def one(digest: str, size: int = 1) -> CompiledTemplate:
        return CompiledTemplate(name="m", locale="en", html="x" * size, text="", digest=digest)

    for number in range(MAX_TEMPLATES):
        kept.add(one(f"{number}"), number)
    assert 0 == kept.use("0")
    kept.add(one("new"), "new")
    assert [True, False, True] == ["0" in kept, "1" in kept, "new" in kept]
    kept.change("new", "other")
    assert "other" == kept.use("new")
    kept.add(one("huge", MAX_KEPT + 1), 0)
    assert [False, True] == ["new" in kept, "huge" in kept]
    kept.add(one("small"), 0)
    assert [False, True] == ["huge" in kept, "small" in kept]

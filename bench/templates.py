"""What a mail from a template costs: rendered in the worker, handed over, written as MIME, and by others.

The mail is the two button cards of the guide, English and French, compiled by our components; Jinja alone
renders the built page of the calypsso wheel, and MJML makes a page of the same content, which it does for
every mail it is asked for. Single-threaded; the least of several rounds, for other work only adds.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment
from mjml import mjml2html

from bench.report import Bar
from postroom.clock import SystemClock
from postroom.mime.html import html_to_text
from postroom.mime.writer import render as write
from postroom.model.address import Address, Mailbox
from postroom.model.message import Content
from postroom.model.template import CompiledTemplate, Rendered, Shelf, TemplateSource
from postroom.renderer.compiling import compile_source
from postroom.renderer.frames import TEMPLATE, frames_in, packed_object, packed_render
from postroom.renderer.pool import PoolSettings, RendererPool
from postroom.renderer.worker import Worker, ring_on_alarm
from postroom.template.jinja.rendering import load

BAR_RENDER_US = 150.0
BAR_PER_SECOND = 5_000
ROUNDS = 7
PER_ROUND = 500
HANDED_OVER = 4_000
AT = datetime(2026, 3, 1, tzinfo=UTC)
NAMES: dict[str, Any] = {
    "_product_name": "Acme",
    "_entity_name": "Acme",
    "_entity_site_url": "https://acme.example/",
    "_logo_url": "https://acme.example/logo.png",
}
URL = "https://acme.example/create?token=6f1c2a9b7d3e4f50"
SOURCE = """---
subject: Welcome to @{{ _product_name }}
preheader: Welcome to @{{ _product_name }}! Please create your account.
---
<x-default>
  <x-button-card title="Welcome, @{{ _product_name }}!" url="@{{ creation_url }}" button="Create account">
    You have been invited to join @{{ _product_name }}! To complete your registration, please create your
    account by clicking the button below:
  </x-button-card>
  <x-spacer height="24px" />
  <x-button-card lang="fr" title="Bienvenue !" url="@{{ creation_url }}" button="Créer votre compte">
    Tu as été invité à rejoindre @{{ _product_name }} ! Pour finaliser ton inscription, nous te prions de
    créer ton compte en cliquant sur le bouton ci-dessous :
  </x-button-card>
</x-default>
"""
MJML = """<mjml><mj-head><mj-preview>Welcome to Acme!</mj-preview></mj-head><mj-body><mj-section><mj-column>
<mj-image width="70px" src="https://acme.example/logo.png" /><mj-text>Welcome to Acme!</mj-text>
<mj-text>You have been invited to join Acme! Please create your account by clicking the button:</mj-text>
<mj-button href="https://acme.example/create">Create your account</mj-button></mj-column></mj-section>
<mj-section><mj-column><mj-text>Bienvenue !</mj-text><mj-button href="https://acme.example/create">Créer votre
compte</mj-button></mj-column></mj-section></mj-body></mjml>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """Microseconds for one mail."""

    compile_us: float
    render_us: float
    """The four texts."""
    worker_us: float
    """All that the worker does for a mail: reading the request, the alarm, the checks, the answer."""
    handed_over_us: float
    """From ``render`` to its answer, many at once: the worker and both ends of the socket pair."""
    mime_us: float
    jinja_us: float
    mjml_us: float
    html_bytes: int

    @property
    def per_second(self) -> float:
        """Mails a second on one processor: rendered in the worker, and written."""
        return 1e6 / (self.worker_us + self.mime_us)


def measure() -> Templates:
    """Measure everything."""
    source = TemplateSource(name="welcome", text=SOURCE)
    compiled = compile_source(source, Shelf())
    loaded = load(compiled, html_to_text)
    rendered = loaded.render({"creation_url": URL}, NAMES, AT)
    page = Environment(autoescape=True).from_string(  # the wheel's own settings
        files("calypsso").joinpath("mail_templates/account-invitation.html").read_text("utf-8")
    )
    content = _content(rendered)
    return Templates(
        compile_us=_least(lambda: compile_source(source, Shelf()), 3),
        render_us=_least(lambda: loaded.render({"creation_url": URL}, NAMES, AT)),
        worker_us=_in_worker(compiled),
        handed_over_us=asyncio.run(_handed_over(compiled)),
        mime_us=_least(lambda: write(content)),
        jinja_us=_least(lambda: page.render(creation_url=URL, **NAMES)),
        mjml_us=_least(lambda: mjml2html(MJML)),
        html_bytes=len(rendered.html),
    )


def templates_lines(found: Templates) -> str:
    """Return the figures for people."""
    return (
        f"\ntemplates: a mail of {found.html_bytes:,} bytes of HTML, in microseconds\n"
        f"  render {found.render_us:.0f}, all in the worker {found.worker_us:.0f}, "
        f"handed over and back {found.handed_over_us:.0f}, MIME {found.mime_us:.0f}\n"
        f"  plain Jinja, HTML alone {found.jinja_us:.0f}; MJML {found.mjml_us:.0f}; "
        f"our compiler, once {found.compile_us:,.0f}"
    )


def templates_bars(found: Templates | None) -> list[Bar]:
    """Return the bars of templates."""
    if found is None:
        return []
    return [
        Bar(
            name="template render",
            wanted=f"< {BAR_RENDER_US:.0f} us",
            found=f"{found.worker_us:.0f} us",
            is_met=found.worker_us < BAR_RENDER_US,
        ),
        Bar(
            name="render + MIME",
            wanted=f">= {BAR_PER_SECOND:,} /s per core",
            found=f"{found.per_second:,.0f} /s",
            is_met=found.per_second >= BAR_PER_SECOND,
        ),
    ]


def _least(work: Callable[[], object], times: int = PER_ROUND) -> float:
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(times):
            work()
        found.append((time.perf_counter() - began) / times * 1e6)
    return min(found)


def _in_worker(compiled: CompiledTemplate) -> float:
    ring_on_alarm()
    worker = Worker()
    for frame in frames_in(bytearray(packed_object(TEMPLATE, compiled))):
        worker.answer(frame)
    request = packed_render(compiled.digest, {"creation_url": URL}, NAMES, AT)

    def one() -> None:
        for frame in frames_in(bytearray(request)):
            worker.answer(frame)

    return _least(one)


async def _handed_over(compiled: CompiledTemplate) -> float:
    pool = RendererPool(PoolSettings(), clock=SystemClock())
    found = []
    try:
        for _ in range(4):  # the first also starts the process
            began = time.perf_counter()
            asked = [
                pool.render(compiled, {"creation_url": URL}, names=NAMES, at=AT) for _ in range(HANDED_OVER)
            ]
            await asyncio.gather(*asked)
            found.append((time.perf_counter() - began) / HANDED_OVER * 1e6)
    finally:
        await pool.close()
    return min(found)


def _content(rendered: Rendered) -> Content:
    return Content(
        message_id="01ABCDEFGHIJKLMNOPQRST@example.com",
        date=AT,
        boundary="01ABCDEFGHIJKLMNOPQRST",
        from_=Mailbox(address=Address("app", "example.com")),
        to=(Mailbox(address=Address("kim", "example.net")),),
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
    )

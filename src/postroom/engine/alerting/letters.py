"""Makes the mail of a letter: the words, rendered with a template, and the curves that it shows.

The template is the type's when all news are of one type that has one, else the receiver's, else
``alert-letter`` (an own one of that name goes before the shipped one). One that cannot be rendered is told in
the log and passed over: a mistake in a template never keeps an alert from its reader. When nothing can be
rendered the mail is plain text.

The same letter makes the same mail but for the ends of its links. Nothing is stored or sent here.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html import escape

from postroom.clock import Clock
from postroom.engine.templates import TemplateOrder, Templating
from postroom.errors import InputError, NotFoundError, OverloadError
from postroom.model.alert import Letter, LetterKind
from postroom.model.alert_rules import AlertRules, Receiver
from postroom.model.template import Rendered, TemplatePin
from postroom.policy.alerting.chart import chart
from postroom.policy.alerting.filling import plain
from postroom.policy.alerting.links import AlertLinks
from postroom.policy.alerting.phrasing import MAX_OWN_SUBJECT, Manner, Phrased, phrased
from postroom.telemetry import logger

SHIPPED = ("alert-letter", "postroom:alert-letter")

log = logger("alerts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A picture that the HTML shows."""

    content_id: str
    data: bytes
    """PNG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenLetter:
    """A letter as its readers will see it."""

    subject: str
    text: str
    html: str | None
    """``None``: no template could be rendered."""
    template: TemplatePin | None
    drawings: tuple[Drawing, ...]
    phrased: Phrased

    @property
    def page(self) -> str:
        """The HTML with its pictures in it, to be shown by a browser."""
        page = self.html or f"<pre>{escape(self.text)}</pre>"
        for one in self.drawings:
            page = page.replace(
                f"cid:{one.content_id}", f"data:image/png;base64,{b64encode(one.data).decode()}"
            )
        return page


class LetterWriter:
    """Writes letters; the preview of one is what would be sent."""

    def __init__(
        self,
        *,
        templating: Templating,
        rules: Callable[[], AlertRules],
        clock: Clock,
        installation: str = "Postroom",
        links: Callable[[], AlertLinks | None] = lambda: None,
    ) -> None:
        """Take the parts.

        Args:
            templating: Renders.
            rules: Returns those that hold now.
            clock: For the ends of links.
            installation: The name that readers know this installation by.
            links: Returns what makes the links by which readers act; ``None``: there are none.
        """
        self._templating = templating
        self._rules = rules
        self._clock = clock
        self._installation = installation
        self._links = links

    def phrased(self, letter: Letter, *, first: Letter | None = None) -> Phrased:
        """Return the words of a letter; ``first`` is the first one of its incident when this is not it."""
        manner = Manner(
            rules=self._rules(),
            installation=self._installation,
            links=self._links(),
            now=self._clock.now(),
        )
        return phrased(letter, manner, first=first)

    async def written(
        self, letter: Letter, *, first: Letter | None = None, is_hurried: bool = False
    ) -> WrittenLetter:
        """Return the mail of a letter.

        Raises OverloadError when nothing can be rendered now; one that ``is_hurried`` is plain text then.
        """
        said = await asyncio.to_thread(self.phrased, letter, first=first)  # draws up to 50 alerts
        for name in self._templates(letter):
            try:
                rendered, pin = await self._rendered(name, letter, said)
            except (InputError, NotFoundError) as error:
                if name != SHIPPED[0] or isinstance(error, InputError):
                    log.warning("an alert is told by another template", template=name, error=str(error)[:500])
            except OverloadError:
                if not is_hurried:
                    raise
                break
            else:
                drawings = await asyncio.to_thread(_drawings, said, rendered.html)
                return WrittenLetter(
                    subject=self._subject(letter, said, rendered),
                    text=rendered.text,
                    html=rendered.html,
                    template=pin,
                    drawings=drawings,
                    phrased=said,
                )
        return WrittenLetter(
            subject=said.subject, text=said.text, html=None, template=None, drawings=(), phrased=said
        )

    def _templates(self, letter: Letter) -> Iterator[str]:
        rules = self._rules()
        heads = [item.alert.key for item in letter.items if item.is_news]
        keys = set(heads or [item.alert.key for item in letter.items])
        if letter.kind is LetterKind.ALERT and len(keys) == 1:
            key = keys.pop()
            kind = rules.types.get(key) or rules.types.get("*")
            if kind is not None and kind.template:
                yield kind.template
        receiver = rules.receivers.get(letter.receiver)
        if receiver is not None and receiver.template:
            yield receiver.template
        yield from SHIPPED

    async def _rendered(self, name: str, letter: Letter, said: Phrased) -> tuple[Rendered, TemplatePin]:
        order = TemplateOrder(template=name, locale=letter.language or self._rules().language)
        found = await self._templating.find(order, letter.tenant)
        wanted = found.compiled.schema.get("properties", {})
        variables = {key: value for key, value in said.variables.items() if key in wanted}
        return await self._templating.rendered(replace(order, variables=variables), letter.tenant)

    def _subject(self, letter: Letter, said: Phrased, rendered: Rendered) -> str:
        if not rendered.subject or rendered.subject == said.subject:
            return said.subject
        receiver = self._rules().receivers.get(letter.receiver, Receiver(name=""))
        return plain(receiver.subject_prefix + rendered.subject, MAX_OWN_SUBJECT)


def _drawings(said: Phrased, html: str) -> tuple[Drawing, ...]:
    """Draw what the HTML shows: a template need not show any curve."""
    return tuple(
        Drawing(content_id=one.content_id, data=chart(one.values))
        for one in said.pictures
        if f"cid:{one.content_id}" in html
    )

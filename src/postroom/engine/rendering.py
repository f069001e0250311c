"""Rendered messages kept between acceptance and the first attempt, bounded by bytes.

Rendering is a pure function, so losing an entry costs time and nothing else.
"""

import asyncio

from postroom.engine.limits import MessageLimits
from postroom.errors import InvariantError, Problem
from postroom.mime import parseback
from postroom.mime.rendered import RenderedMessage, Variant
from postroom.mime.writer import render
from postroom.model.ids import MessageId
from postroom.model.message import Content, Message

MAX_KEPT_BYTES = 16 * 1024 * 1024
"""About 4,000 messages of 4 KB: what a burst holds between two commits, and little memory."""
SMALL = 64 * 1024
"""Characters of texts: making a plain text of HTML takes up to a tenth of a second for so many."""


async def proven(content: Content, variant: Variant) -> RenderedMessage:
    """Return a content rendered and read back; one with long texts is written beside the event loop.

    Raises InvariantError when what was written is not what was asked for.
    """
    if len(content.text or "") + len(content.html or "") <= SMALL:
        return _proven(content, variant)
    return await asyncio.to_thread(_proven, content, variant)


def _proven(content: Content, variant: Variant) -> RenderedMessage:
    rendered = render(content, variant)
    parseback.check(rendered, content, variant)
    return rendered


def size_problem(rendered: RenderedMessage, limits: MessageLimits) -> Problem | None:
    """Return what is wrong with a message that is too large once it is encoded."""
    if rendered.size <= limits.max_wire:
        return None
    return Problem(
        code="message-too-large",
        field="attachments",
        cause=f"{rendered.size} bytes once encoded, at most {limits.max_wire}",
        fix="Send links to large files.",
    )


class RenderedMessages:
    """A first-in first-out store of rendered messages, taken at most once each."""

    def __init__(self) -> None:
        """Start empty."""
        self._kept: dict[MessageId, tuple[Variant, RenderedMessage]] = {}
        self._bytes = 0

    def keep(self, message_id: MessageId, variant: Variant, rendered: RenderedMessage) -> None:
        """Keep a message that is whole in memory; the oldest go when it gets too much."""
        if not rendered.is_whole:
            return
        self._kept[message_id] = (variant, rendered)
        self._bytes += rendered.size
        while self._bytes > MAX_KEPT_BYTES:
            oldest = next(iter(self._kept))
            self._bytes -= self._kept.pop(oldest)[1].size

    def forget(self, message_id: MessageId) -> None:
        """Give up the bytes of a message that was not stored."""
        entry = self._kept.pop(message_id, None)
        if entry is not None:
            self._bytes -= entry[1].size

    async def take(self, message: Message, variant: Variant) -> RenderedMessage:
        """Return the message rendered for ``variant``, from memory, or anew and read back.

        Raises InvariantError when what was written is not what was asked for, and for a mail that still lacks
        files: it is never sent without them.
        """
        if message.content.remote_files:
            raise InvariantError("files of the mail were not fetched")
        entry = self._kept.pop(message.id, None)
        if entry is not None:
            self._bytes -= entry[1].size
            if entry[0] == variant:
                return entry[1]
        return await proven(message.content, variant)

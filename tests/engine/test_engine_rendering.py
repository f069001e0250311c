"""Where messages are rendered."""

import asyncio
import threading
from datetime import UTC, datetime

import pytest

from postroom.engine import rendering
from postroom.engine.rendering import SMALL, proven
from postroom.mime.rendered import DEFAULT_VARIANT, RenderedMessage, Variant
from postroom.mime.writer import render
from postroom.model.address import parse_mailbox
from postroom.model.message import Content


def content(html: str) -> Content:
    return Content(
        message_id="1@example.com",
        date=datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
        boundary="abcdefgh",
        from_=parse_mailbox("a@example.com"),
        to=(parse_mailbox("b@example.net"),),
        html=html,
    )


def test_long_texts_are_written_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of megabytes takes seconds to become plain text; other mail goes on meanwhile."""
    threads = []

    def noted(mail: Content, variant: Variant) -> RenderedMessage:
        threads.append(threading.get_ident())
        return render(mail, variant)

    monkeypatch.setattr(rendering, "render", noted)
    large = content("<p>x</p>" * (SMALL // 8 + 1))

    async def both() -> None:
        assert render(large).digest == (await proven(large, DEFAULT_VARIANT)).digest
        await proven(content("<p>x</p>"), DEFAULT_VARIANT)

    asyncio.run(both())
    assert [False, True] == [thread == threading.get_ident() for thread in threads]

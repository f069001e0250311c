"""What goes wrong while letters of alerts are handed in keeps no other one back, and tells nothing twice."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine.courier_room import RULES, life
from peers.alert_letters import AT, alert, letter, news
from postroom.errors import DiskFullError
from postroom.model.alert import Letter, Severity
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.view import MessageFilter

WEBHOOK = replace(RULES, fallback=("webhook:https://x.example.com/s",))


def test_a_letter_that_finds_no_words_is_told_in_the_barest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A severe one goes by a fallback, with its key and object; it is closed, and others are mailed."""

    async def main() -> None:
        async with life(tmp_path, rules=WEBHOOK) as room:
            phrased = room.writer.phrased

            def fails(one: Letter, **more: Any) -> Any:
                if one.number == 1:
                    raise ValueError("a bug")
                return phrased(one, **more)

            monkeypatch.setattr(room.writer, "phrased", fails)
            await room.write(letter(number=1, incident="a"), letter(number=2, incident="b"))
            with capture_logs():
                for _ in range(5):
                    await room.courier._turn()
            assert ["webhook", "mail"] == [(await room.stored(number)).sent_by for number in (1, 2)]
            assert ["[critical] disk-full storage-2"] == [body["subject"] for _, _, body in room.post.posts]

    asyncio.run(main())


def test_a_way_at_which_the_program_fails_leaves_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has it at least, and the letter is closed."""

    async def main() -> None:
        async with life(tmp_path, rules=WEBHOOK) as room:

            async def fails(*_args: object, **_options: object) -> None:
                raise ValueError("https://x.example.com/s has a secret")

            monkeypatch.setattr(room.post, "post", fails)
            for name in room.transports:
                room.down(name)
            await room.write(letter(number=1))
            room.clock.advance(61)
            with capture_logs() as logged:
                await room.courier._turn()
            assert "journal" == (await room.stored(1)).sent_by
            assert ["ValueError"] == [one["problem"] for one in logged if one["log_level"] == "error"]

    asyncio.run(main())


def test_what_was_told_is_not_told_again_while_its_record_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full for hours is no reason to post the same alert every few seconds."""

    async def main() -> None:
        async with life(tmp_path, rules=WEBHOOK) as room:
            for name in room.transports:
                room.down(name)
            await room.write(letter(number=1))
            room.clock.advance(61)

            async def full(*_args: object, **_options: object) -> None:
                raise DiskFullError("the disk is full")

            with monkeypatch.context() as patch:
                patch.setattr(room.store.alerts, "sent", full)
                for _ in range(3):
                    with pytest.raises(DiskFullError):
                        await room.courier._turn()
            await room.courier._turn()
            assert (1, "webhook") == (len(room.post.posts), (await room.stored(1)).sent_by)

    asyncio.run(main())


def test_nothing_is_rendered_while_nothing_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter that waits through an outage costs a look at the ways, not a mail that nobody sends."""

    async def main() -> None:
        async with life(tmp_path) as room:
            for name in room.transports:
                room.down(name)
            written: list[Letter] = []

            async def write(one: Letter, **_options: object) -> None:
                written.append(one)

            monkeypatch.setattr(room.writer, "written", write)
            await room.write(letter(news(alert(severity=Severity.WARNING)), number=1))
            assert 0 < await room.courier._turn()
            assert ([], "") == (written, (await room.stored(1)).sent_by)

    asyncio.run(main())


def test_very_many_recipients_are_told_in_several_mails(tmp_path: Path) -> None:
    """A mail has a bound, a receiver's groups have none; handed in again they are told nothing."""

    async def main() -> None:
        async with life(tmp_path) as room:
            people = tuple(f"p{number}@example.net" for number in range(1001))
            many = letter(number=1, recipients=people)
            await room.write(many)
            for _ in range(2):
                await room.courier._told(many)
            found = await room.store.spool.list(MessageFilter(tenant=DEFAULT_TENANT))
            assert [1, 1000] == sorted(sum(one.counts.values()) for one in found)

    asyncio.run(main())


def test_a_letter_from_tomorrow_is_late_today(tmp_path: Path) -> None:
    """Before a start the clock was set back: a severe one that finds no way is told by a fallback now."""

    async def main() -> None:
        async with life(tmp_path, rules=WEBHOOK) as room:
            for name in room.transports:
                room.down(name)
            await room.write(replace(letter(number=1), at=AT + timedelta(days=1)))
            await room.courier._turn()
            assert "webhook" == (await room.stored(1)).sent_by

    asyncio.run(main())

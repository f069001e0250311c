"""Letters of alerts become mails: once, in their order, by a way that works, or by a fallback."""

import asyncio
import base64
import email
from dataclasses import replace
from datetime import timedelta
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine.courier_room import RULES, life, mail_of
from peers.alert_letters import AT, alert, letter, news
from peers.manual import ManualClock
from postroom.egress.local_sendmail import LocalSendmail
from postroom.errors import OverloadError
from postroom.model.alert import AlertState, Letter, Severity
from postroom.model.alert_rules import Receiver
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.message import Door, MailClass
from postroom.model.view import MessageFilter


def test_a_letter_becomes_a_mail(tmp_path: Path) -> None:
    """With subject, lead, links, the curve, the tag and the class; its record says which message it is."""

    async def main() -> None:
        async with life(tmp_path) as room:
            curve = alert(history=tuple(80.0 + one for one in range(12)), link="https://m.example.com/1")
            await room.write(letter(news(curve)))
            await room.courier.start()
            await room.until(lambda: len(room.works()) == 1)
            (work,) = room.works()
            mail = await mail_of(room, work)
            assert ("[ops] [Critical] Disk almost full · storage-2", "auto-generated", "ops@example.net") == (
                mail["subject"],
                mail["auto-submitted"],
                mail["to"],
            )
            assert mail["in-reply-to"] is None
            text, html = mail.get_body(("plain",)), mail.get_body(("html",))
            assert text is not None
            assert html is not None
            lead = "Critical: Disk almost full, storage-2, since 09:05 (for 12 minutes)"
            assert text.get_content().startswith(lead)
            page = html.get_content()
            assert "https://mail.example.com/alerts/act?do=ack" in page
            (picture,) = [part for part in mail.walk() if part.get_content_type() == "image/png"]
            assert f"cid:{picture['content-id'].strip('<>')}" in page
            assert picture.get_content().startswith(b"\x89PNG")
            preview = await room.writer.written(letter(news(curve)))
            assert preview.subject == mail["subject"]
            assert base64.b64encode(picture.get_content()).decode() in preview.page
            while not (stored := await room.stored()).sent_by:  # noqa: ASYNC110 - the store rings no bell
                await asyncio.sleep(0.002)
            assert ("mail", work.message_id) == (stored.sent_by, stored.message_id)
            view = await room.store.spool.view(work.message_id, tenant=DEFAULT_TENANT)
            assert view is not None
            assert (Door.ALERTS, MailClass.ALERT, ("alert",)) == (view.door, view.mail_class, view.tags)
            assert ("postroom:alert-letter", {"alert-letter": "17"}) == (
                view.template and view.template.name,
                view.metadata,
            )

    asyncio.run(main())


def test_letters_of_an_incident_are_one_thread_in_their_order(tmp_path: Path) -> None:
    """A later, urgent one waits for the first; both refer to it, and keep its subject."""

    async def main() -> None:
        async with life(tmp_path) as room:
            mild = alert(severity=Severity.WARNING, title="Disk 91 %")
            await room.write(
                letter(news(mild)),
                letter(
                    news(replace(mild, severity=Severity.CRITICAL, title="Disk 97 %", told_at=AT)),
                    number=18,
                    nth=2,
                ),
                letter(news(replace(mild, state=AlertState.RESOLVED, resolved_at=AT)), number=19, nth=3),
            )
            for _ in range(2):
                await room.courier._turn()
            await room.until(lambda: len(room.works()) == 3)
            works = {work.message_id: work for work in room.works()}
            ids = [(await room.stored(number)).message_id for number in (17, 18, 19)]
            mails = [await mail_of(room, works[one]) for one in ids if one is not None]
            assert [
                "[ops] [Warning] Disk 91 % · storage-2",
                "[ops] [Critical (still)] Disk 91 % · storage-2",
            ] == [mail["subject"] for mail in mails[:2]]
            assert "[ops] [Resolved] Disk 91 % · storage-2" == mails[2]["subject"]
            first = mails[0]["message-id"]
            assert [(None, None), (first, first), (first, first)] == [
                (mail["in-reply-to"], mail["references"]) for mail in mails
            ]

    asyncio.run(main())


@pytest.mark.parametrize("has_template", [True, False])
def test_a_crash_between_mail_and_record_doubles_nothing(tmp_path: Path, *, has_template: bool) -> None:
    """The next life hands the same letter in again, days later and in newer words: there is one message."""

    async def main() -> None:
        clock = ManualClock(AT + timedelta(minutes=2))
        async with life(tmp_path, clock=clock) as room:
            await room.write(letter())
            room.renderer.is_busy = not has_template
            told = await room.courier._told(letter())  # and then the lights go out
            assert told is not None
            assert told[0] is not None
            await room.until(lambda: len(room.works()) == 1)
        clock.advance(6 * 86400)
        changed = replace(RULES, receivers={})
        async with life(tmp_path, clock=clock, rules=changed) as room:
            assert await room.courier._carry(letter())
            stored = await room.stored()
            assert "mail" == stored.sent_by
            assert stored.message_id == (told[0] if has_template else None)
            assert 0.0 < await room.courier._turn()
            assert 1 == len(await room.store.spool.list(MessageFilter(tenant=DEFAULT_TENANT)))
            assert [] == room.works()

    asyncio.run(main())


def test_a_letter_goes_by_a_way_that_works_and_that_it_is_not_about(tmp_path: Path) -> None:
    """The receiver's, else what the rules choose, else any that works."""

    async def main() -> None:
        async with life(tmp_path) as room:
            cases = [
                (letter(number=1), "main"),
                (letter(number=2, receiver="spare"), "spare"),
                (letter(number=3, avoid=("main",)), "spare"),
                (letter(number=4, receiver="spare", avoid=("spare",)), "main"),
            ]
            for one, name in cases:
                await room.write(replace(one, incident=f"i{one.number}"))
                before = len(room.transports[name].works)
                await room.courier._turn()
                await room.until(lambda name=name, before=before: len(room.transports[name].works) > before)  # type: ignore[misc]
            room.down("main")
            await room.write(letter(number=5, incident="i5"))
            await room.courier._turn()
            await room.until(lambda: len(room.transports["spare"].works) == 3)

    asyncio.run(main())


def test_what_finds_no_way_for_a_minute_is_told_by_a_fallback(tmp_path: Path) -> None:
    """A severe letter, in the order of the settings; what is not severe waits until something works."""
    rules = replace(
        RULES, fallback=("webhook:http://10.0.0.1/", "webhook:https://x.example.com/s", "journal")
    )

    async def main() -> None:
        async with life(tmp_path, rules=rules) as room:
            for name in room.transports:
                room.down(name)
            mild = letter(news(alert(severity=Severity.WARNING)), number=18, incident="mild")
            await room.write(letter(), mild)
            assert 0 < await room.courier._turn()
            assert "" == (await room.stored()).sent_by
            room.clock.advance(60)
            await room.courier._turn()
            ((url, headers, body),) = room.post.posts
            assert ("https://x.example.com/s", "postroom-alert-17") == (url, headers["webhook-id"])
            assert ("no transport works", "disk-full") == (
                body["not_mailed_because"],
                body["alerts"][0]["key"],
            )
            assert body["text"].startswith("Critical: Disk almost full, storage-2")
            assert ["webhook", ""] == [(await room.stored(number)).sent_by for number in (17, 18)]
            room.post.status = None
            await room.write(letter(number=19, incident="again"))
            with capture_logs() as logged:
                await room.courier._turn()
            assert "journal" == (await room.stored(19)).sent_by
            (said,) = [one for one in logged if one["log_level"] == "critical"]
            assert "[ops] [Critical] Disk almost full · storage-2" == said["event"]
            assert "storage-2" in said["text"]
            for way in room.ways:
                way.pauses.clear()
            await room.courier._turn()
            assert "mail" == (await room.stored(18)).sent_by

    asyncio.run(main())


def test_sendmail_gets_a_whole_mail(tmp_path: Path) -> None:
    """With -t and -i, lines ended by LF; a program of our own, or one that fails, has not taken it."""
    program = tmp_path / "sendmail"
    taken = tmp_path / "taken"
    program.write_text(f'#!/bin/sh\necho "$@" > {taken}\ncat >> {taken}\n')
    program.chmod(0o755)
    own, failing = tmp_path / "postroom-sendmail", tmp_path / "failing"
    for path in (own, failing):
        path.write_text("#!/bin/sh\necho no room >&2\nexit 75\n")
        path.chmod(0o755)

    async def main() -> None:
        assert "Postroom's own" in await LocalSendmail(own).hand_in(b"x")
        assert "it ended with 75: no room" == await LocalSendmail(failing).hand_in(b"x")
        assert "cannot be run" in await LocalSendmail(tmp_path / "absent").hand_in(b"x")
        rules = replace(RULES, fallback=("sendmail",))
        async with life(tmp_path / "data", rules=rules, local=program) as room:
            for name in room.transports:
                room.down(name)
            room.clock.advance(61)
            await room.write(letter())
            await room.courier._turn()
            assert "sendmail" == (await room.stored()).sent_by
        head, _, source = taken.read_bytes().partition(b"\n")
        assert b"-t -i" == head
        assert b"\r" not in source
        mail = email.message_from_bytes(source, policy=default)
        assert ("ops@example.net", "<postroom-alert-17@example.net>") == (mail["to"], mail["message-id"])

    asyncio.run(main())


def test_what_can_never_be_sent_is_closed_and_said_loudly(tmp_path: Path) -> None:
    """An address that is none is left out; with no other one the letter ends, a severe one in the log."""

    async def main() -> None:
        async with life(tmp_path) as room:
            await room.write(
                letter(number=1, recipients=("no address", "ops@example.net")),
                letter(number=2, incident="b", recipients=("none",)),
                letter(news(alert(severity=Severity.INFO)), number=3, incident="c", recipients=("none",)),
            )
            with capture_logs() as logged:
                await room.courier._turn()
            assert ["mail", "journal", "failed"] == [(await room.stored(n)).sent_by for n in (1, 2, 3)]
            assert 6 == sum(one["log_level"] == "critical" for one in logged)

    asyncio.run(main())


def test_a_template_that_fails_keeps_no_alert_back(tmp_path: Path) -> None:
    """Another template is told by its own variables, a missing one by the shipped one, none by plain text."""

    async def main() -> None:
        async with life(tmp_path) as room:
            own = await room.writer.written(letter(receiver="own"))
            assert "alert" != (own.template and own.template.name)  # only the directory has bare names
            by_name = replace(RULES, receivers={"own": Receiver(name="own", template="postroom:alert")})
            room.writer._rules = lambda: by_name
            other = await room.writer.written(letter(receiver="own"))
            assert ("postroom:alert", "[Critical] Disk almost full") == (
                other.template and other.template.name,
                other.subject,
            )
            room.writer._rules = lambda: RULES
            broken = await room.writer.written(letter(receiver="broken"))
            assert "postroom:alert-letter" == (broken.template and broken.template.name)
            words = await room.writer.written(letter(news(alert("own-words", object="<b>"))))
            assert "<p>&lt;b&gt; &amp; {x}</p>" in (words.html or "")
            assert "<b> & {x}" in words.text
            assert "[ops] S <b>" == words.subject
            room.renderer.is_busy = True
            with pytest.raises(OverloadError):
                await room.writer.written(letter())
            plain = await room.writer.written(letter(), is_hurried=True)
            assert (None, plain.phrased.text) == (plain.html, plain.text)

    asyncio.run(main())


def test_a_letter_at_which_the_program_fails_keeps_no_other_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go; after some tries it is closed, and the log has it."""

    async def main() -> None:
        async with life(tmp_path) as room:
            await room.write(letter(number=1, incident="a"), letter(number=2, incident="b"))
            told = room.courier._told

            async def fails(one: Letter) -> Any:
                if one.number == 1:
                    raise ValueError("a bug")
                return await told(one)

            monkeypatch.setattr(room.courier, "_told", fails)
            with capture_logs():
                for _ in range(4):
                    await room.courier._turn()
                assert ["", "mail"] == [(await room.stored(number)).sent_by for number in (1, 2)]
                await room.courier._turn()
            assert "journal" == (await room.stored(1)).sent_by

    asyncio.run(main())

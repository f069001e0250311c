"""Raw mail through the engine: stored, completed, handed to a way out, the same on every repetition."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from peers.engine_room import OK, EngineRoom, engine_room
from peers.manual import ManualClock
from postroom.engine.freezing import Sending, freeze, problems
from postroom.engine.limits import MessageLimits
from postroom.errors import InputError
from postroom.mime.rendered import RawSegment, Variant
from postroom.mime.writer import wire_chunks
from postroom.model.address import NULL_PATH, Address, Mailbox, parse_address, parse_mailbox
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.message import BlobRef, Door, RawMail, ReportWish, Submission
from postroom.model.transport import FromPolicy
from postroom.policy.retry import CLASS_RULES

HEAD = b"From: Ann <ann@example.com>\r\nSubject: Hello\r\nMessage-ID: <one@example.com>\r\nDate: then\r\n"
MAIL = Submission(
    door=Door.SMTP,
    from_=parse_mailbox("Ann <ann@example.com>"),
    bcc=(parse_mailbox("bob@example.org"),),
    subject="Hello",
    raw=RawMail(head=HEAD, body=b"Hello\r\n", trace="by mx.example.net with ESMTP"),
    message_id="one@example.com",
    reports=ReportWish(to=parse_address("ann@example.com"), full=True, envelope_id="e1"),
)


def sent(room: EngineRoom, number: int = 0) -> bytes:
    rendered = room.transport.works[number].rendered
    blobs = room.service._blobs
    return b"".join(wire_chunks(rendered, lambda ref: blobs.open(DEFAULT_TENANT, ref)))


def test_the_bytes_go_out_with_a_received_in_front(tmp_path: Path) -> None:
    """The wire has the client's mail octet by octet, and before it who took it when under which id."""

    async def go() -> None:
        async with engine_room(tmp_path, lambda *_: OK) as room:
            receipt = await room.service.submit(MAIL)
            await room.becomes(receipt.message_id, "accepted")
            trace, _, rest = sent(room).partition(b"From:")
            assert HEAD + b"\r\nHello\r\n" == b"From:" + rest
            assert trace.startswith(
                b"Received: by mx.example.net with ESMTP\r\n\tid " + receipt.message_id.encode()
            )
            stored = await room.spool.message(receipt.message_id, tenant=DEFAULT_TENANT)
            assert stored is not None
            assert (MAIL.reports, "one@example.com") == (stored.reports, stored.content.message_id)
            view = await room.service.view(receipt.message_id, tenant=DEFAULT_TENANT)
            assert ("Hello", "ann@example.com") == (view.subject, view.sender)

    asyncio.run(go())


def test_what_lacks_is_added(tmp_path: Path) -> None:
    """Date and Message-ID are written where the mail has none; the Message-ID is the message's own id."""

    async def go() -> None:
        async with engine_room(tmp_path, lambda *_: OK) as room:
            head = b"From: Ann <ann@example.com>\r\n"
            mail = replace(MAIL, message_id=None, raw=RawMail(head=head, body=b"x\r\n", is_dated=False))
            receipt = await room.service.submit(mail)
            await room.becomes(receipt.message_id, "accepted")
            lines = sent(room).split(b"\r\n")
            assert lines[0].startswith(b"Date: ")
            assert b"Message-ID: <%b@example.com>" % receipt.message_id.encode() == lines[1]

    asyncio.run(go())


def test_a_body_in_a_file_goes_out_and_stays_named(tmp_path: Path) -> None:
    """A large body is a segment of its own, and the store names its file so that no sweep takes it."""

    async def go() -> None:
        async with engine_room(tmp_path, lambda *_: OK) as room:
            staged = room.service.stage(DEFAULT_TENANT)
            staged.write(b"line\r\n" * 20_000)
            ref = staged.commit()
            assert MAIL.raw is not None
            receipt = await room.service.submit(replace(MAIL, raw=replace(MAIL.raw, body=ref)))
            await room.becomes(receipt.message_id, "accepted")
            assert RawSegment(ref) == room.transport.works[0].rendered.segments[1]
            assert sent(room).endswith(b"\r\n\r\n" + b"line\r\n" * 20_000)
            missing = replace(MAIL.raw, body=BlobRef("0" * 64, 5))
            with pytest.raises(Exception, match="was not committed"):
                await room.service.submit(replace(MAIL, raw=missing))

    asyncio.run(go())


def test_a_repeated_mail_is_one_message(tmp_path: Path) -> None:
    """The key tells the client's bytes, not what was added to them; other bytes are named."""

    async def go() -> None:
        async with engine_room(tmp_path, lambda *_: OK) as room:
            mail = replace(MAIL, idempotency_key="k")
            first = await room.service.submit(mail)
            room.clock.advance(60)
            assert mail.raw is not None
            again = replace(
                mail, raw=replace(mail.raw, trace="by other.example.net with ESMTPS"), reports=None
            )
            receipt = await room.service.submit(again)
            assert (first.message_id, True) == (receipt.message_id, receipt.is_replay)
            with pytest.raises(InputError) as caught:
                await room.service.submit(replace(mail, raw=replace(mail.raw, body=b"other\r\n")))
            assert ["raw"] == [problem.field for problem in caught.value.problems]

    asyncio.run(go())


def test_a_variant_edits_the_named_fields(tmp_path: Path) -> None:
    """A transport's prefix and account show in the mail that goes out there, and nowhere else."""

    async def go() -> None:
        async with engine_room(tmp_path, lambda *_: OK) as room:
            room.transport.variant = Variant(
                subject_prefix="[Test] ", account=Address("account", "example.com")
            )
            receipt = await room.service.submit(MAIL)
            await room.becomes(receipt.message_id, "accepted")
            found = sent(room)
            assert b"\r\nFrom: Ann <account@example.com>\r\nSubject: [Test] Hello\r\n" in found
            assert found.endswith(b"Date: then\r\nReply-To: Ann <ann@example.com>\r\n\r\nHello\r\n")

    asyncio.run(go())


@pytest.mark.parametrize(
    ("head", "codes"),
    [
        (b"", []),
        (b"Sender: Robot <robot@example.com>\r\nResent-From: x@example.com\r\n", []),
        (b"Sender: eve@example.net\r\n", ["sender-not-allowed"]),
        (b"Resent-Sender: eve@example.net\r\n", ["sender-not-allowed"]),
        (b"Sender: ann@example.com, eve@example.net\r\n", ["sender-not-allowed"]),
        (b"Sender: <@a:ann@example.com>\r\n", ["address-invalid"]),
    ],
)
def test_a_key_for_some_senders_binds_the_whole_header(head: bytes, codes: list[str]) -> None:
    """Whoever may send as one domain names no other in Sender and Resent fields either."""
    mail = replace(MAIL, raw=RawMail(head=HEAD + head, body=b"x\r\n"))
    found = problems(
        mail,
        sending=Sending(transport="main", default_from=None, account=None),
        limits=MessageLimits(),
        senders=["@example.com"],
        now=ManualClock().now(),
    )
    assert codes == [problem.code for problem in found]


def test_a_null_reverse_path_stays_null() -> None:
    """Whoever answers such a mail may loop, so no way out puts its account there."""
    account = parse_address("account@example.com")
    for policy in FromPolicy:
        sending = Sending(transport="main", default_from=None, account=account, from_policy=policy)
        message = freeze(
            replace(MAIL, sender=Mailbox(NULL_PATH)),
            sending=sending,
            rules=CLASS_RULES[MAIL.mail_class],
            id_domain=None,
            now=ManualClock().now(),
            entropy=b"x" * 36,
        )
        assert NULL_PATH == message.envelope.reverse_path

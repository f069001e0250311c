"""The shell of the SMTP door: TLS on a live connection, deadlines, bounds, and the end of the server."""

import asyncio
import os
import socket
from base64 import b64encode
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from ingress.submission_room import ENVELOPE, LOGIN, MAIL, Client, opened, run, until
from postroom.clock import SystemDice
from postroom.errors import DiskFullError, InputError, OverloadError, Problem, UnknownOutcomeError
from postroom.ingress.submission.session import SessionLimits
from postroom.model.message import BlobRef
from postroom.net.authority import own_certificate
from postroom.telemetry.catalogue import SMTP_SESSIONS_CUT

HURRIED = SessionLimits(command_s=-1.0, grace_s=-1.0, min_rate=10**9, stalled_s=-1.0)
"""Every deadline is over at the first look."""


async def hand_in(client: Client, mail: bytes = MAIL) -> bytes:
    client.send(ENVELOPE + b"DATA\r\n")
    assert [250, 250, 354] == await client.replies(3)
    return await client.ask(mail)


@pytest.mark.parametrize("on_uvloop", [True, False])
def test_starttls_on_a_live_connection(tmp_path: Path, *, on_uvloop: bool) -> None:
    """After STARTTLS everything begins anew under TLS, on both event loops."""

    async def scene() -> None:
        async with opened(tmp_path) as room, room.client() as client:
            assert (await client.ask(LOGIN)).startswith(b"235")
            assert (await client.ask(b"STARTTLS\r\n")).startswith(b"220 ")
            await client.writer.start_tls(room.trust(), server_hostname="localhost")
            assert (await client.ask(b"MAIL FROM:<app@example.com>\r\n")).startswith(b"503")
            ehlo = await client.ask(b"EHLO client.example.com\r\n")
            assert b"STARTTLS" not in ehlo
            assert b"AUTH PLAIN" in ehlo
            assert (await client.ask(ENVELOPE[:29])).startswith(b"530")
            assert (await client.ask(LOGIN)).startswith(b"235")
            assert (await hand_in(client)).startswith(b"250 2.0.0 queued as ")
            (submission,) = room.service.submissions.values()
            assert submission.raw is not None
            assert "ESMTPSA" in submission.raw.trace
            assert "TLSv1.3" in submission.raw.trace

    run(scene(), on_uvloop=on_uvloop)


def test_what_comes_behind_starttls_ends_the_session(tmp_path: Path) -> None:
    """A command that was put behind STARTTLS is never answered, under TLS or before."""

    async def scene() -> None:
        async with opened(tmp_path) as room, room.client() as client:
            client.send(b"STARTTLS\r\nRSET\r\n")
            rest = await client.reader.read()
            assert b"250" not in rest
            assert not room.service.submissions

    run(scene())


def test_a_handshake_that_fails_gives_its_seat_back(tmp_path: Path) -> None:
    """Garbage instead of TLS ends the connection, with STARTTLS and without."""

    async def scene() -> None:
        async with opened(tmp_path) as room:
            async with room.client() as client:
                assert (await client.ask(b"STARTTLS\r\n")).startswith(b"220 ")
                client.send(b"MAIL FROM:<app@example.com>\r\n" * 10)
                assert await client.is_closed()
            reader, writer = await asyncio.open_connection("127.0.0.1", room.port(1))
            writer.write(b"EHLO client.example.com\r\n")
            await reader.read()
            writer.close()
            await until(lambda: not room.door.household._taken)

    run(scene())


def test_a_large_mail_is_staged(tmp_path: Path) -> None:
    """Above 64 KiB the body is in a file, byte for byte; below it is in memory."""

    async def scene() -> None:
        body = (b"x" * 70 + b"\r\n..dot\r\n") * 4000
        head = b"From: app@example.com\r\nSubject: Large\r\n\r\n"
        async with opened(tmp_path) as room, room.known() as client:
            assert (await hand_in(client, head + body + b".\r\n")).startswith(b"250")
            assert (await hand_in(client)).startswith(b"250")
            large, small = [one.raw for one in room.service.submissions.values()]
            assert large is not None
            assert small is not None
            assert isinstance(large.body, BlobRef)
            assert body.replace(b"\r\n..", b"\r\n.") == room.service.blobs[large.body.sha256]
            assert b"Dear reader,\r\nbye\r\n" == small.body
            assert 1 == len(room.service.staged)

    run(scene())


def test_a_mail_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    """A connection that ends within a large content stores nothing and removes what was staged."""

    async def scene() -> None:
        async with opened(tmp_path) as room:
            async with room.known() as client:
                client.send(ENVELOPE + b"DATA\r\n")
                assert [250, 250, 354] == await client.replies(3)
                client.send(b"From: app@example.com\r\n\r\n" + b"line\r\n" * 50_000)
                await until(lambda: room.service.staged)
            await until(lambda: room.service.staged[0].is_discarded)
            assert not room.service.submissions

    run(scene())


@pytest.mark.parametrize(
    ("failure", "reply"),
    [
        (
            OverloadError("too many operations wait", retry_after_s=2.5),
            b"451 4.3.2 Too many operations wait;",
        ),
        (DiskFullError("full"), b"452 4.3.1 "),
        (UnknownOutcomeError("commit failed"), b"451 4.3.0 "),
        (RuntimeError("a bug"), b"451 4.3.0 A fault of this server"),
        (
            InputError([Problem(code="sender-not-allowed", field="from", cause="no", fix="Do.")] * 2),
            b"550-5.7.1 from: no. Do.\r\n550 5.7.1 from: no. Do.\r\n",
        ),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_becomes_of_a_mail_is_the_reply(tmp_path: Path, failure: Exception, reply: bytes) -> None:
    """4yz for what passes, 5yz for what does not; the session goes on and the next mail is taken."""

    async def scene() -> None:
        async with opened(tmp_path) as room, room.known() as client:
            room.service.failure = failure
            assert (await hand_in(client)).startswith(reply)
            room.service.failure = None
            assert (await hand_in(client)).startswith(b"250 ")

    run(scene())


def test_wishes_of_the_envelope_reach_the_mail(tmp_path: Path) -> None:
    """FUTURERELEASE, DELIVERBY, MT-PRIORITY and DSN become send_at, expires_at, class and reports."""

    async def scene() -> None:
        async with opened(tmp_path) as room, room.known() as client:
            client.send(
                b"MAIL FROM:<app@example.com> HOLDFOR=3600 BY=7200;R MT-PRIORITY=4 RET=FULL ENVID=q+2B7\r\n"
                b"RCPT TO:<someone@example.org> NOTIFY=NEVER ORCPT=rfc822;other@example.org\r\nDATA\r\n"
            )
            assert [250, 250, 354] == await client.replies(3)
            assert (await client.ask(MAIL)).startswith(b"250")
            (one,) = room.service.submissions.values()
            assert one.send_at is not None
            assert one.expires_at is not None
            assert 3600 == (one.expires_at - one.send_at).total_seconds()
            assert "alert" == one.mail_class
            assert one.reports is not None
            assert (True, "q+7") == (one.reports.full, one.reports.envelope_id)
            assert ["rfc822;other@example.org"] == list(one.reports.original.values())
            assert one.reports.is_limited
            client.send(ENVELOPE.replace(b"com>", b"com> BY=60;N") + b"DATA\r\n")
            assert [250, 250, 354] == await client.replies(3)
            assert (await client.ask(MAIL)).startswith(b"250")
            late = list(room.service.submissions.values())[1].reports
            assert late is not None
            assert [{"delay", "failure"}] == list(late.notify.values())
            assert late.late_at is not None
            assert not late.is_limited
            too_late = await client.ask(b"MAIL FROM:<app@example.com> HOLDFOR=99999999\r\n")
            assert too_late.startswith(b"501")

    run(scene())


# ---------------------------------------------------------------------- who may


def test_peers_without_a_key(tmp_path: Path) -> None:
    """Without a key come this machine and listed networks only where a setting says so."""

    async def scene() -> None:
        for changes in ({"keyless": True}, {"networks": (ip_network("127.0.0.0/8"),)}):
            async with opened(tmp_path, **changes) as room, room.client() as client:
                assert (await hand_in(client)).startswith(b"250 ")
        async with opened(tmp_path, networks=(ip_network("192.0.2.0/24"),)) as room, room.client() as client:
            assert (await client.ask(b"MAIL FROM:<app@example.com>\r\n")).startswith(b"530")

    run(scene())


def test_a_key_of_another_network_or_scope(tmp_path: Path) -> None:
    """A key with networks is good from there alone; one without `send` sends nothing."""

    async def scene() -> None:
        async with opened(tmp_path) as room:
            room.service.add_key("k" * 30, "send", networks=("192.0.2.0/24",))
            room.service.add_key("r" * 30, "read")
            for key, word in (("k" * 30, b"address"), ("r" * 30, b"scope")):
                async with room.client() as client:
                    assert (await client.ask(b"AUTH LOGIN\r\n")).startswith(b"334")
                    assert (await client.ask(b"YXBw\r\n")).startswith(b"334")
                    refusal = await client.ask(b64encode(key.encode()) + b"\r\n")
                    assert refusal.startswith(b"535 5.7.8")
                    assert word in refusal

    run(scene())


def test_wrong_keys_wait(tmp_path: Path) -> None:
    """The refusal of a wrong key comes late, later each time, and nothing else is read meanwhile."""

    async def scene() -> None:
        async with opened(tmp_path) as room, room.client() as client:
            clock = asyncio.get_running_loop()
            began = clock.time()
            client.send(b"AUTH PLAIN AGEAd3Jvbmc=\r\nNOOP\r\n")
            assert [535, 250] == await client.replies(2)
            assert clock.time() - began >= 0.9
            assert 1.5 < room.door.wrong_keys.delay_s("127.0.0.1", clock.time()) <= 4.0

    run(scene())


# ---------------------------------------------------------------------- deadlines and bounds


@pytest.mark.parametrize(
    ("sent", "reason"), [(b"", "slow-command"), (b"NOO", "slow-command"), (b"content", "slow-content")]
)
def test_a_slow_client_is_told_and_cut(tmp_path: Path, sent: bytes, reason: str) -> None:
    """Who sends no whole command, or a content byte by byte, gets 421 and the end."""

    async def scene() -> None:
        async with opened(tmp_path, keyless=True, limits=HURRIED) as room, room.client() as client:
            if sent == b"content":
                client.send(ENVELOPE + b"DATA\r\n")
                assert [250, 250, 354] == await client.replies(3)
            client.send(sent)
            before = SMTP_SESSIONS_CUT.value((reason,))
            room.check_deadlines()
            assert (await client.reply()).startswith(b"421 4.4.2 ")
            assert await client.is_closed()
            assert before + 1 == SMTP_SESSIONS_CUT.value((reason,))

    run(scene())


def test_a_commit_has_no_deadline(tmp_path: Path) -> None:
    """A client that waits for us is never cut for being slow."""

    async def scene() -> None:
        async with opened(tmp_path, keyless=True, limits=HURRIED) as room, room.client() as client:
            room.service.gate.clear()
            client.send(ENVELOPE + b"DATA\r\n")
            assert [250, 250, 354] == await client.replies(3)
            client.send(MAIL)
            await room.service.is_reached.wait()
            room.check_deadlines()
            room.service.gate.set()
            assert (await client.reply()).startswith(b"250 ")

    run(scene())


def test_who_sends_on_while_we_work_is_not_read(tmp_path: Path) -> None:
    """Behind a mail that is being committed a bounded number of bytes is taken from the socket."""

    async def scene() -> None:
        async with opened(tmp_path, keyless=True) as room, room.client() as client:
            room.service.gate.clear()
            client.send(ENVELOPE + b"DATA\r\n")
            assert [250, 250, 354] == await client.replies(3)
            client.send(MAIL + b"NOOP\r\n" * 2_000_000)
            await room.service.is_reached.wait()
            (session,) = room.door.household.guests
            await until(lambda: session._is_read_paused)  # type: ignore[attr-defined]
            assert session._dialogue.pending < 1024 * 1024  # type: ignore[attr-defined]
            room.service.gate.set()
            assert (await client.reply()).startswith(b"250 ")
            codes = [int((await client.reply())[:3] or 0) for _ in range(102)]
            assert 421 in codes

    run(scene())


def test_who_reads_no_replies_is_cut(tmp_path: Path) -> None:
    """A client that never reads makes nothing grow, and is cut in time."""

    async def scene() -> None:
        limits = SessionLimits(stalled_s=-1.0)
        async with opened(tmp_path, keyless=True, limits=limits) as room:
            raw = socket.create_connection(("127.0.0.1", room.port()))
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.setblocking(False)
            (line,) = [b"VRFY " + b"x" * 400 + b"\r\n"]
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(20):
                while room.door.household.guests or not room.door.household._taken:
                    with suppress(TimeoutError, OSError):
                        await asyncio.wait_for(loop.sock_sendall(raw, line * 50), 0.2)
                    room.check_deadlines()
                    if not room.door.household.guests:
                        break
            raw.close()

    run(scene())


def test_seats(tmp_path: Path) -> None:
    """The session that is one too many hears 421; the next finds the seat that came free."""

    async def scene() -> None:
        limits = SessionLimits(max_connections=5)
        async with opened(tmp_path, limits=limits) as room:
            async with room.client(), room.client(), room.client(), room.client():
                assert room.door.household.is_stressed
                async with room.client() as hurried, room.client(is_greeted=False) as late:
                    assert (await late.reply()).startswith(b"421 4.3.2 ")
                    assert (await hurried.ask(b"WHAT\r\n")).startswith(b"421 4.7.0 ")
            await until(lambda: not room.door.household._taken)
            async with room.client():
                assert not room.door.household.is_stressed

    run(scene())


def test_an_overloaded_server_takes_no_mail(tmp_path: Path) -> None:
    """While the server is behind, MAIL is told to come back before any content is sent."""

    async def scene() -> None:
        async with (
            opened(tmp_path, keyless=True, is_overloaded=lambda: True) as room,
            room.client() as client,
        ):
            assert (await client.ask(ENVELOPE[:29])).startswith(b"451 4.3.2 ")

    run(scene())


def test_garbage_and_floods_end_in_order(tmp_path: Path) -> None:
    """A megabyte of random bytes and a hundred thousand NOOPs end the session; the door goes on."""

    async def scene() -> None:
        async with opened(tmp_path, keyless=True) as room:
            for flood in (
                os.urandom(1_000_000),
                b"NOOP\r\n" * 100_000,
                b"RCPT TO:<a@example.org>\r\n" * 100_000,
            ):
                async with room.client() as client:
                    client.send(flood)
                    assert await client.is_closed()
            async with room.client() as client:
                assert (await hand_in(client)).startswith(b"250 ")

    run(scene())


def test_a_browser_hands_nothing_in(tmp_path: Path) -> None:
    """A page that makes its visitor post SMTP to a keyless port ends at the first line."""
    mail = b"From: app@example.com\r\n\r\nHello\r\n"
    body = b"EHLO x\r\n" + ENVELOPE + b"BDAT %d LAST\r\n" % len(mail) + mail

    async def scene() -> None:
        async with opened(tmp_path, keyless=True) as room:
            for first in (b"POST / HTTP/1.1\r\n", b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
                async with room.client(is_greeted=False) as client:
                    assert (await client.reply()).startswith(b"220 ")
                    client.send(first + b"Host: 127.0.0.1\r\nContent-Type: text/plain\r\n" + body)
                    assert (await client.reply()).startswith(b"521 5.5.1 ")
                    assert await client.is_closed()
            async with room.client(is_greeted=False) as client:
                assert (await client.reply()).startswith(b"220 ")
                client.send(body)
                assert 250 in await client.replies(4)
            assert 1 == len(room.service.submissions)

    run(scene())


def test_a_client_that_ended_its_side_reads_the_answer(tmp_path: Path) -> None:
    """The reply to a mail reaches a plain client that has closed its sending half."""

    async def scene() -> None:
        async with opened(tmp_path, keyless=True) as room, room.client() as client:
            room.service.gate.clear()
            client.send(ENVELOPE + b"DATA\r\n")
            assert [250, 250, 354] == await client.replies(3)
            client.send(MAIL)
            await room.service.is_reached.wait()
            client.writer.write_eof()
            (session,) = room.door.household.guests
            await until(lambda: session._has_ended)  # type: ignore[attr-defined]
            room.service.gate.set()
            assert (await client.reply()).startswith(b"250 ")
            assert await client.is_closed()

    run(scene())


# ---------------------------------------------------------------------- the end


def test_at_the_end_a_commit_gets_its_answer(tmp_path: Path) -> None:
    """Idle sessions hear 421 at once; one that is being committed hears 250, then 421."""

    async def scene() -> None:
        async with opened(tmp_path, keyless=True) as room, room.client() as idle, room.client() as busy:
            room.service.gate.clear()
            busy.send(ENVELOPE + b"DATA\r\n")
            assert [250, 250, 354] == await busy.replies(3)
            busy.send(MAIL)
            await room.service.is_reached.wait()
            end = asyncio.create_task(room.exits())
            assert (await idle.reply()).startswith(b"421 4.3.2 ")
            assert await idle.is_closed()
            room.service.gate.set()
            assert (await busy.reply()).startswith(b"250 2.0.0 queued as ")
            assert (await busy.reply()).startswith(b"421 4.3.2 ")
            await end
            assert 1 == len(room.service.submissions)

    run(scene())


def test_a_new_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    """Files that changed are loaded; the next handshake shows them, by STARTTLS and at once."""

    async def scene() -> None:
        async with opened(tmp_path) as room:
            async with room.client(index=1):
                pass
            old = room.own.cert.read_bytes()
            made = own_certificate(tmp_path, ("localhost",), now=datetime.now(UTC), dice=SystemDice())
            assert old != made.cert.read_bytes()
            room.door.certificate.look()
            async with room.client(index=1) as client:
                shown = client.writer.get_extra_info("ssl_object").getpeercert()
                assert (("DNS", "localhost"),) == shown["subjectAltName"]

    run(scene())

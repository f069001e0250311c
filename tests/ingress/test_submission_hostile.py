"""Clients of the SMTP door that mean harm, or only hurry: what they take comes back, and others go on."""

import asyncio
import socket
import struct
from contextlib import suppress
from pathlib import Path

import pytest

from ingress.submission_room import ENVELOPE, MAIL, opened, run, until


@pytest.mark.parametrize("on_uvloop", [True, False])
@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"])
def test_a_reset_within_a_handshake_gives_the_seat_back(
    tmp_path: Path, sent: bytes, *, on_uvloop: bool
) -> None:
    """A client that says STARTTLS and resets the connection takes no seat with it, and the door can end."""

    async def scene() -> None:
        async with opened(tmp_path) as room:
            async with room.client() as client:
                assert (await client.ask(b"STARTTLS\r\n")).startswith(b"220 ")
                client.send(sent)
                connection = client.writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.writer.transport.abort()
            await until(lambda: not room.door.household._taken)
            assert set() == room.door.household.guests

    run(scene(), on_uvloop=on_uvloop)


def test_a_key_that_is_revoked_ends_its_sessions(tmp_path: Path) -> None:
    """A session that is open already hands nothing more in with a key that was revoked."""

    async def scene() -> None:
        async with opened(tmp_path) as room, room.known() as client:
            client.send(ENVELOPE + b"DATA\r\n")
            assert [250, 250, 354] == await client.replies(3)
            assert (await client.ask(MAIL)).startswith(b"250")
            await room.service.revoke_key("id-all")
            assert (await client.ask(b"MAIL FROM:<app@example.com>\r\n")).startswith(b"421 4.7.0 ")
            assert await client.is_closed()
            assert 1 == len(room.service.submissions)

    run(scene())


def test_a_quick_client_leaves_others_their_turn(tmp_path: Path) -> None:
    """However much of a content has come, one turn of the loop reads a piece of it, and the next goes on."""

    async def scene() -> None:
        async with opened(tmp_path) as room, room.known() as client:
            client.send(ENVELOPE + b"DATA\r\n")
            assert [250, 250, 354] == await client.replies(3)
            connection = client.writer.get_extra_info("socket").dup()
            rest = memoryview(b"From: app@example.com\r\n\r\n" + b"line\r\n" * 2_000_000 + b".\r\n")
            before, most = 0, 0
            while rest:
                with suppress(BlockingIOError):  # until the system takes no more: nobody reads meanwhile
                    while rest:
                        rest = rest[connection.send(rest) :]
                await asyncio.sleep(0)
                size = room.service.staged[0].size if room.service.staged else 0
                before, most = size, max(most, size - before)
            assert (await client.reply()).startswith(b"250")
            connection.close()
            assert 0 < most < 1024 * 1024

    run(scene())

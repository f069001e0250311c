"""What the SMTP door says to an envelope."""

from pathlib import Path

from ingress.submission_room import MAIL, opened, run
from postroom.model.address import parse_address


def test_postmaster_is_who_the_settings_say(tmp_path: Path) -> None:
    """<postmaster> without a domain goes to the address that is set for it; without one it is refused."""

    async def scene() -> None:
        async with opened(tmp_path, postmaster=parse_address("ops@example.com")) as room:
            async with room.known() as client:
                client.send(b"MAIL FROM:<app@example.com>\r\nRCPT TO:<Postmaster>\r\nDATA\r\n")
                assert [250, 250, 354] == await client.replies(3)
                assert (await client.ask(MAIL)).startswith(b"250")
            (one,) = room.service.submissions.values()
            assert ["ops@example.com"] == [mailbox.address.spec for mailbox in one.bcc]
        async with opened(tmp_path) as room, room.known() as client:
            client.send(b"MAIL FROM:<app@example.com>\r\nRCPT TO:<postmaster>\r\n")
            assert [250, 550] == await client.replies(2)

    run(scene())

"""What the SMTP door says to an envelope."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from ingress.submission_room import LOGIN, MAIL, opened, run
from postroom.ingress.submission import session
from postroom.ingress.submission.session import SessionLimits
from postroom.model.address import parse_address
from postroom.telemetry.catalogue import SMTP_SESSIONS_CUT


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


def test_who_talks_before_the_greeting_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From elsewhere the greeting waits; what comes before it ends the session, and who waits is greeted."""
    monkeypatch.setattr(session, "is_loopback", lambda _peer: False)
    patient = SessionLimits(greeting_wait_s=60.0)

    async def scene() -> None:
        async with opened(tmp_path, limits=patient) as room, room.client(is_greeted=False) as client:
            client.send(b"EHLO x\r\n")
            assert b"554 5.5.0" in await client.reply() + await client.reply()
            assert await client.is_closed()
        async with opened(tmp_path) as room, room.client() as client:
            assert (await client.ask(LOGIN)).startswith(b"235")

    before = SMTP_SESSIONS_CUT.value(("too-soon",))
    run(scene())
    assert before + 1 == SMTP_SESSIONS_CUT.value(("too-soon",))


def test_this_machine_and_listed_networks_are_greeted_at_once(tmp_path: Path) -> None:
    """However long others wait; under stress nobody does."""
    never = SessionLimits(greeting_wait_s=3600.0)
    assert 0.0 == never.under_stress().greeting_wait_s

    async def scene(*networks: str) -> None:
        listed = tuple(ip_network(network) for network in networks)
        async with opened(tmp_path, limits=never, networks=listed) as room, room.client():
            pass

    run(scene())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "is_loopback", lambda _peer: False)
        run(scene("127.0.0.0/8"))

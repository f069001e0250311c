"""Servers and settings that nobody planned for: nothing is hammered, left open, shown or waited for ever."""

import asyncio
from typing import Any

import pytest

from egress.smtp_peer import Dialogue, SmtpPeer, listening
from egress.works import running, told, work
from postroom.model.secret import Secret

LOGIN: dict[str, Any] = {
    "username": "me@example.com",
    "password": Secret("planted-word"),
    "allow_plaintext_login": True,
}


@pytest.mark.parametrize("after", ["EHLO", "AUTH"])
def test_a_server_that_says_too_much_is_not_dialled_again_and_again(after: str) -> None:
    """A reply more than was asked for, in one flight with the last of the opening, is the evidence."""

    def answer(command: str, _dialogue: Dialogue) -> bytes | None:
        if command.startswith(after):
            return (
                b"250 mail.example.com\r\n421 4.3.2 closing\r\n"
                if after == "EHLO"
                else (b"235 2.7.0 ok\r\n421 4.3.2 closing\r\n")
            )
        return None

    async def main() -> None:
        peer = SmtpPeer(extensions=("AUTH PLAIN",), answer=answer)
        login: dict[str, Any] = LOGIN if after == "AUTH" else {}
        async with listening(peer) as port, running(port, **login) as transport:
            async with asyncio.timeout(3):
                report = await transport.attempt(work())
        assert [(after.lower(), "protocol")] == told(report)
        assert 1 == len(peer.dialogues)

    asyncio.run(main())


@pytest.mark.parametrize(
    "settings",
    [
        {**LOGIN, "password": Secret("not-utf-8-\udcff")},
        {"ehlo_name": "two words"},
    ],
)
def test_a_mistake_of_ours_while_opening_is_evidence(settings: dict[str, Any]) -> None:
    """It ends the attempts that wait, and the server is not dialled again for them."""

    async def main() -> None:
        peer = SmtpPeer(extensions=("AUTH PLAIN",))
        async with listening(peer) as port, running(port, **settings) as transport:
            async with asyncio.timeout(3):
                reports = await asyncio.gather(transport.attempt(work()), transport.attempt(work()))
        assert [[("connect", "local")], []] == [told(report) for report in reports]
        assert 1 == len(peer.dialogues)

    asyncio.run(main())

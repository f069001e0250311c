"""A server that announces SIZE and refuses it: the message goes without, and so do the next ones."""

import asyncio

import pytest

from egress.smtp_peer import Dialogue, SmtpPeer, listening
from egress.works import running, told, work


@pytest.mark.parametrize(
    "refusal", [b"555 5.5.4 Unsupported option: SIZE\r\n", b"501 5.5.4 Invalid arguments\r\n"]
)
def test_size_is_left_out_where_it_is_refused(refusal: bytes) -> None:
    """Repeated once without SIZE on the same day's connections; the repetition is no attempt of its own."""

    def answer(command: str, _dialogue: Dialogue) -> bytes | None:
        return refusal if command.startswith("MAIL") and "SIZE=" in command else None

    async def main() -> None:
        peer = SmtpPeer(answer=answer)
        async with listening(peer) as port, running(port) as transport:
            for _ in range(2):
                assert [("body_end", 250)] == told(await transport.attempt(work()))
        mails = [line for dialogue in peer.dialogues for line in dialogue.lines if line.startswith("MAIL")]
        assert [True, False, False] == ["SIZE=" in line for line in mails]

    asyncio.run(main())


def test_a_sender_that_is_refused_is_asked_once() -> None:
    """Another refusal of MAIL, also with 501, is reported as it is."""

    async def main() -> None:
        refusal = b"501 5.1.7 Bad sender address syntax\r\n"
        peer = SmtpPeer(answer=lambda command, _: refusal if command.startswith("MAIL") else None)
        async with listening(peer) as port, running(port) as transport:
            assert [("mail", 501)] == told(await transport.attempt(work()))
        mails = [line for dialogue in peer.dialogues for line in dialogue.lines if line.startswith("MAIL")]
        assert 1 == len(mails)

    asyncio.run(main())

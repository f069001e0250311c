"""The SMTP transport against servers on real sockets."""

import asyncio
from dataclasses import replace
from typing import Any

from egress.smtp_peer import SmtpPeer, listening
from egress.works import CONTENT, told, work
from postroom.clock import SystemClock
from postroom.egress.smtp import SmtpTransport
from postroom.model.transport import SmtpAccount, TlsMode, TransportKind, TransportSpec



def transport(port: int, **changes: Any) -> SmtpTransport:
    account = SmtpAccount(host="127.0.0.1", port=port, tls=TlsMode.OPPORTUNISTIC)
    spec = TransportSpec(name="relay", kind=TransportKind.SMTP, account=account, max_connections=1)
    return SmtpTransport(replace(spec, **changes), clock=SystemClock(), blobs=None)


def test_one_message_arrives() -> None:
    """A message is accepted, and the server has it byte for byte."""

    async def main() -> None:
        peer = SmtpPeer()
        async with listening(peer) as port:
            way = transport(port)
            report = await way.attempt(work("a@example.net", "b@example.net"))
            assert [("body_end", 250), ("body_end", 250)] == told(report)
            assert CONTENT == peer.mails[0].content
            assert ["a@example.net", "b@example.net"] == peer.mails[0].recipients
            await way.stop(grace_s=1)

    asyncio.run(main())


def test_messages_ride() -> None:
    async def main() -> None:
        peer = SmtpPeer()
        async with listening(peer) as port:
            way = transport(port)
            reports = await asyncio.gather(*(way.attempt(work(f"r{n}@example.net")) for n in range(5)))
            assert [[("body_end", 250)]] * 5 == [told(report) for report in reports]
            assert ["EHLO [127.0.0.1]", 8] == [peer.dialogues[0].lines[0], peer.dialogues[0].flights]
            await way.stop(grace_s=1)

    asyncio.run(main())

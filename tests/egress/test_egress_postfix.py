"""The SMTP transport against Debian's Postfix."""

import asyncio
import os

import pytest

from egress.works import running, told, work
from peers import postfix


@pytest.mark.slow
@pytest.mark.postfix
@pytest.mark.skipif(os.geteuid() != 0, reason="Postfix's master needs root")
def test_postfix_bears_riding() -> None:
    """Postfix takes messages that ride, with some and with all recipients refused, and finds no fault."""
    refused = "person@unqualified"
    messages = [
        names
        for number in range(15)
        for names in ((f"r{number}@example.net",), (f"r{number}@example.net", refused), (refused,))
    ]

    async def main(port: int) -> None:
        async with running(port, max_connections=2) as transport:
            reports = await asyncio.gather(*(transport.attempt(work(*names)) for names in messages))
        taken, no = ("body_end", 250), ("rcpt", 504)
        assert [[taken], [taken, no], [no]] * 15 == [told(report) for report in reports]

    rules = {"smtpd_recipient_restrictions": "reject_non_fqdn_recipient, permit_mynetworks, reject"}
    with postfix.running(relay_to=None, settings=rules) as relay:
        asyncio.run(main(relay.port))
        log = relay.log
    for word in ("improper", "pipelin", "lost connection after RCPT", "too many errors", "timeout"):
        assert word not in log
    assert 30 == log.count("client=localhost")

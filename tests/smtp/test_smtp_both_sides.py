"""Our client and our server with nothing between them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.model.address import Address
from postroom.model.secret import Secret
from postroom.smtp.client import ClientSession, Done, SendBody
from postroom.smtp.data import stuffed
from postroom.smtp.hosts import Mode
from postroom.smtp.opening import Upgrade
from postroom.smtp.server_events import Offers
from postroom.smtp.transaction import Transaction
from smtp.server_talk import KEY, Shell, pieces
from smtp.talk import LOGIN as ACCOUNT

OFFERS = Offers(host="mail.example.com", max_size=10_000, starttls=True)
LINES = st.lists(st.sampled_from([b".", b"..", b"", b"x", b".x", b"y" * 998]), max_size=9).map(
    lambda lines: b"".join(line + b"\r\n" for line in lines)
)


def handed_over(contents: list[bytes], mode: Mode, step: int) -> tuple[Shell, list[int]]:
    """Send a mail of each content; return the server's side and the code that each mail got."""
    shell = Shell(OFFERS)
    account = type(ACCOUNT)(
        host="mail.example.com", port=587, tls=ACCOUNT.tls, username="any", password=Secret(KEY)
    )
    client: ClientSession[int] = ClientSession(account, ehlo_name="client.example.org", is_loopback=False)
    client.mode = mode
    waiting = [
        Transaction(
            number,
            reverse_path=Address("ann", "example.com"),
            recipients=[Address("bob", "example.net"), Address("kim", "example.org")],
            size=len(content),
            smtputf8=False,
        )
        for number, content in enumerate(contents)
    ]
    told: list[int] = []
    client.receive(shell.greeting)
    flight = b"?"
    while flight:
        flight = b""
        while (event := client.next_event()) is not None:
            if isinstance(event, Upgrade):
                client.tls_done()
            elif isinstance(event, SendBody):
                flight += client.data_to_send() + stuffed(contents[event.transaction.key])
                client.end_body()
            elif isinstance(event, Done):
                told += [one.reply.code for one in event.transaction.results[:1] if one and one.reply]
        if waiting and client.can_begin:
            client.begin(waiting.pop(0))
        flight += client.data_to_send()
        for piece in pieces(flight, step):
            said = shell.send(piece)
            if said:
                client.receive(said.encode())
    client.quit()
    assert shell.send(client.data_to_send()).startswith("221")
    return shell, told


@pytest.mark.parametrize("mode", list(Mode))
@settings(max_examples=50)
@given(st.lists(LINES, min_size=1, max_size=4), st.integers(1, 3000))
def test_mails_arrive_as_they_were_sent(mode: Mode, contents: list[bytes], step: int) -> None:
    """Logged in under TLS, in every mode and in pieces of any size, each content arrives byte for byte."""
    shell, told = handed_over(contents, mode, step)
    assert contents == [mail.content for mail in shell.mails]
    assert [250] * len(contents) == told

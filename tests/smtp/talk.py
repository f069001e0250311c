"""A session and a server without sockets: flights are counted, the wire can be cut anywhere."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from egress.smtp_peer import ServerSide, SmtpPeer
from postroom.model.address import Address
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, TlsMode
from postroom.smtp.client import ClientSession, Done, Failed, SendBody
from postroom.smtp.data import stuffed
from postroom.smtp.hosts import Mode
from postroom.smtp.opening import Opened, Upgrade
from postroom.smtp.transaction import Transaction

ACCOUNT = SmtpAccount(host="mail.example.com", port=587, tls=TlsMode.OPPORTUNISTIC)
LOGIN = replace(ACCOUNT, username="user", password=Secret("correct-horse"))
CLOSED = Fault(kind=FaultKind.CLOSED, text="connection closed by the server")
CONTENT = b"Subject: hello\r\n\r\n.dot\r\n"


class _Wire(asyncio.Transport):
    """Keeps what the server writes."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_over = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.is_over:
            self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.is_over

    def close(self) -> None:
        self.is_over = True


@dataclass
class Talk:
    """Sends ``transactions`` one after the other; afterwards the fields tell what happened."""

    transactions: Sequence[Transaction[int]]
    mode: Mode = Mode.LOCKSTEP
    peer: SmtpPeer = field(default_factory=SmtpPeer)
    account: SmtpAccount = ACCOUNT
    step: int | None = None
    """Bytes of the server that are given to the session at once; ``None``: all that there are."""
    to_client: int | None = None
    """Bytes after which the way to the client is cut."""
    to_server: int | None = None
    """Bytes after which the way to the server is cut."""

    flights: int = 0
    """Writes of the client between two waits, the opening not counted."""
    done: list[Transaction[int]] = field(default_factory=list)
    failed: Evidence | None = None
    sent: bytes = b""
    received: int = 0

    def run(self) -> "Talk":
        self.session: ClientSession[int] = ClientSession(
            self.account, ehlo_name="client.example.org", is_loopback=False
        )
        self.waiting = list(self.transactions)
        self.wire = _Wire()
        self.server = ServerSide(self.peer)
        self.server.connection_made(self.wire)
        while not self.session.is_over:
            self._deliver()
            if not self._react() and not self.session.is_over:
                break
        self._react()
        return self

    def _deliver(self) -> None:
        """Give the session what the server wrote."""
        data, self.wire.written = self.wire.written, b""
        if self.to_client is not None and self.received + len(data) >= self.to_client:
            data = data[: self.to_client - self.received]
            self.wire.is_over = True
        self.received += len(data)
        for start in range(0, len(data), self.step or len(data) or 1):
            self.session.receive(data[start : start + (self.step or len(data))])
        if self.wire.is_over:
            self.session.lose(CLOSED)

    def _react(self) -> bool:
        """Do what the session asks for; say whether anything was sent."""
        flight = b""
        while (event := self.session.next_event()) is not None:
            if isinstance(event, Done):
                self.done.append(event.transaction)
            elif isinstance(event, SendBody):
                if not self.session.is_over:
                    self.session.end_body()
                    flight += stuffed(CONTENT)
                    if self.mode is Mode.RIDING:
                        self._begin()
            elif isinstance(event, Failed):
                self.failed = event.evidence
            elif isinstance(event, Opened):
                self.flights = 0
            elif isinstance(event, Upgrade):
                self.session.tls_done()
        self._begin()
        flight += self.session.data_to_send()
        if flight:
            self.flights += 1
            self._write(flight)
        return bool(flight)

    def _begin(self) -> None:
        self.session.mode = self.mode
        if self.waiting and self.session.can_begin:
            self.session.begin(self.waiting.pop(0))

    def _write(self, flight: bytes) -> None:
        if self.to_server is not None and len(self.sent) + len(flight) > self.to_server:
            passed = flight[: self.to_server - len(self.sent)]
            self.sent += flight
            if passed:
                self.server.data_received(passed)
            self.wire.is_over = True
            return
        self.sent += flight
        self.server.data_received(flight)


def transaction(key: int = 0, recipients: int = 1, *, size: int = len(CONTENT)) -> Transaction[int]:
    return Transaction(
        key,
        reverse_path=Address("from", "example.com"),
        recipients=[Address(f"r{number}.m{key}", "example.net") for number in range(recipients)],
        size=size,
        smtputf8=False,
    )


def told(transaction: Transaction[int]) -> list[tuple[str, int | str] | None]:
    """Return for each recipient the step and the reply's code, or the fault's kind."""
    return [
        None
        if evidence is None
        else (
            evidence.step.value,
            evidence.reply.code if evidence.reply else str(evidence.fault and evidence.fault.kind),
        )
        for evidence in transaction.results
    ]


def hear(session: ClientSession[int], data: bytes) -> None:
    """Write what the session has to say, then give it ``data``, in the order of whoever moves its bytes."""
    session.data_to_send()
    session.receive(data)

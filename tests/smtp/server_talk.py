"""A client and a shell without sockets around the server core."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from postroom.smtp.server import ServerSession
from postroom.smtp.server_events import (
    Aborted,
    ContentBegun,
    ContentChunk,
    ContentEnd,
    Event,
    Login,
    MailGiven,
    Offers,
    RecipientGiven,
    StartTls,
)
from postroom.smtp.server_replies import WRONG_KEY

OPENED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
OPEN = Offers(host="mail.example.com", max_size=4096, needs_login=False)
KEYED = Offers(host="mail.example.com", max_size=4096, starttls=True)
KEY = "pr_correct-horse-battery"


@dataclass(slots=True)
class Taken:
    """A mail that the shell accepted."""

    mail: MailGiven
    recipients: list[RecipientGiven]
    content: bytes


@dataclass
class Shell:
    """Answers every question: the key is KEY, recipients at example.org are refused by ``judge``."""

    offers: Offers = OPEN
    is_encrypted: bool = False
    judge: Callable[[ServerSession, Event], bool] = lambda _session, _event: False
    """Answers a question itself and says so."""
    takes_tls: bool = True
    events: list[Event] = field(default_factory=list)
    mails: list[Taken] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.session = ServerSession(self.offers, opened_at=OPENED_AT, is_encrypted=self.is_encrypted)
        self.greeting = self.session.output()
        self.said = b""
        self.staged: Taken | None = None

    def send(self, data: bytes | Iterable[bytes]) -> str:
        """Give bytes, one flight or several, and return what is answered to all of them."""
        self.said = b""
        for piece in [data] if isinstance(data, bytes) else data:
            self.session.receive(piece)
            self.turn()
            self.said += self.session.output()
        return self.said.decode("ascii")

    def turn(self) -> None:
        """Take events until there are no more, and answer them."""
        while (event := self.session.next_event()) is not None:
            self.events.append(event)
            if not self.judge(self.session, event):
                self._answer(event)

    def _answer(self, event: Event) -> None:
        session = self.session
        match event:
            case MailGiven():
                self.staged = Taken(event, [], b"")
                session.accept()
            case RecipientGiven():
                assert self.staged is not None
                self.staged.recipients.append(event)
                session.accept()
            case ContentBegun():
                session.accept()
            case ContentChunk():
                assert self.staged is not None
                assert event.data
                self.staged.content += event.data
            case ContentEnd():
                self._store(event)
            case Aborted():
                self.staged = None
            case Login() if event.secret.reveal() == KEY:
                session.authenticated()
            case Login():
                session.refuse(WRONG_KEY)
            case StartTls() if self.takes_tls:
                self.said += session.output()
                session.tls_started()

    def _store(self, event: ContentEnd) -> None:
        assert self.staged is not None
        assert len(self.staged.content) == event.size
        self.mails.append(self.staged)
        self.staged = None
        self.session.accept(f"Accepted as m{len(self.mails)}")


def pieces(data: bytes, step: int) -> list[bytes]:
    """Cut ``data`` into pieces of ``step`` bytes."""
    return [data[at : at + step] for at in range(0, len(data), step)]


def greeted(shell: Shell) -> Shell:
    """Say EHLO."""
    shell.send(b"EHLO client.example.org\r\n")
    return shell


def codes(said: str) -> list[str]:
    """Return the code and the enhanced code of each reply."""
    lines = [line for line in said.split("\r\n") if line[3:4] == " "]
    return [" ".join(line.split(" ")[:2]) if "." in line.split(" ")[1] else line[:3] for line in lines]

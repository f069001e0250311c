"""The server core against a simple model, against other pieces of the same bytes, and against garbage."""

import re
from base64 import b64encode
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from postroom.smtp.server_events import ContentChunk, Event, Offers
from smtp.server_talk import KEY, Shell, codes, greeted, pieces

OFFERS = Offers(host="mail.example.com", max_size=300, max_recipients=3, plain_login=True, max_errors=4)
LOGIN = b"AUTH PLAIN " + b64encode(b"\0user\0" + KEY.encode()) + b"\r\n"
REPLY = re.compile(r"[2-5]\d\d[ -][ -~]*\r\n")

COMMANDS = {
    "hello": b"EHLO client.example.org\r\n",
    "login": LOGIN,
    "guess": b"AUTH PLAIN AHVzZXIAd3Jvbmc=\r\n",
    "mail": b"MAIL FROM:<ann@example.com>\r\n",
    "rcpt": b"RCPT TO:<bob@example.net>\r\n",
    "data": b"DATA\r\n",
    "chunk": b"BDAT 3\r\na\r\n",
    "last": b"BDAT 3 LAST\r\nb\r\n",
    "reset": b"RSET\r\n",
    "unknown": b"FETCH ME\r\n",
}


@dataclass
class Model:
    """What a server has to answer, in a few lines."""

    hello: bool = False
    login: bool = False
    mail: bool = False
    recipients: int = 0
    chunks: int = 0
    errors: int = 0
    guesses: int = 0
    mails: list[int] = field(default_factory=list)
    """Recipients of each."""
    refused: int = 0
    """Recipients."""
    is_over: bool = False

    def answer(self, command: str) -> str:
        code = self._code(command)
        if code[0] == "5" and code != "535 5.7.8":
            self.errors += 1
            if self.errors > OFFERS.max_errors:
                code = "421 4.7.0"
        if code[:3] == "421":
            self.is_over = True
        return code

    def _code(self, command: str) -> str:
        match command:
            case "hello" | "reset":
                self.hello = self.hello or command == "hello"
                self._forget()
                return "250" if command == "hello" else "250 2.0.0"
            case "login" | "guess":
                return self._login(command)
            case "data" | "chunk" | "last":
                return self._content(command)
            case "mail" | "rcpt":
                return self._envelope(command)
        return "500 5.5.1"

    def _envelope(self, command: str) -> str:
        if command == "mail" and self.hello and not self.login:
            return "530 5.7.0"
        if command == "mail" and self.hello and not self.mail:
            self.mail = True
            return "250 2.1.0"
        if command == "mail" or not self.mail or self.chunks:
            return "503 5.5.1"
        if self.recipients < OFFERS.max_recipients:
            self.recipients += 1
            return "250 2.1.5"
        self.refused += 1
        return "452 4.5.3" if self.refused <= OFFERS.max_recipients else "421 4.7.0"

    def _content(self, command: str) -> str:
        if not self.recipients and command != "data":
            self._forget()
        if not self.recipients or (command == "data" and self.chunks):
            return "503 5.5.1"
        if command == "chunk":
            self.chunks += 1
            return "250 2.0.0"
        self.mails.append(self.recipients)
        self._forget()
        self.errors = self.refused = 0
        return "250 2.0.0"

    def _login(self, command: str) -> str:
        if not self.hello or self.login or self.mail:
            return "503 5.5.1"
        if command == "login":
            self.login = True
            return "235 2.7.0"
        self.guesses += 1
        return "535 5.7.8" if self.guesses < OFFERS.max_failed_logins else "421 4.7.0"

    def _forget(self) -> None:
        self.mail = False
        self.recipients = self.chunks = 0


USUAL = ["hello", "login", "mail", "rcpt", "data"]
SCRIPTS = st.lists(st.sampled_from(list(COMMANDS)), max_size=25).map(lambda some: [*USUAL[:2], *some])


@given(SCRIPTS | st.lists(st.sampled_from(list(COMMANDS)), max_size=12))
@example([*USUAL, "mail", "rcpt", "chunk", "last"])
def test_every_sequence_of_commands_is_answered_as_the_model_has_it(script: list[str]) -> None:
    """Order, errors and counters: each command's answer, the mails taken and the end are the model's."""
    shell, model = Shell(OFFERS), Model()
    for command in script:
        got = codes(shell.send(COMMANDS[command]))
        if model.is_over:
            assert [] == got
            continue
        if got == ["354"]:
            got = codes(shell.send(b"c\r\n.\r\n"))
        assert [model.answer(command)] == got, command
    assert model.mails == [len(mail.recipients) for mail in shell.mails]
    assert model.is_over == shell.session.is_over


TOKENS = [
    *COMMANDS.values(),
    *(b"NOOP\r\n", b"QUIT\r\n", b"HELP\r\n", b"STARTTLS\r\n", b"AUTH LOGIN\r\n", b"AUTH PLAIN\r\n", b"*\r\n"),
    *(b"dXNlcg==\r\n", b"x\r\n", b".\r\n", b"..\r\n", b"x" * 120 + b"\r\n", b"y" * 999 + b"\r\n", b"\r\n"),
    *(
        b"\n",
        b"\r",
        b"\0",
        b".\n",
        b"\r\r\n",
        b"z" * 2050 + b"\r\n",
        b"z" * 12288,
        b"\xff\xfe\r\n",
        b"\t\r\n",
    ),
    *(b"BDAT 700 LAST\r\n", b"BDAT 5\r\n\r\n\r\n\n", b"RCPT TO:<\xc3\xa9@example.net>\r\n", b"BDAT x\r\n"),
]


def flights(tokens: list[bytes]) -> list[bytes]:
    """Join tokens to flights that end where a client has to wait."""
    found = [b""]
    for token in tokens:
        found[-1] += token
        if token in {b"DATA\r\n", b"STARTTLS\r\n"}:
            found.append(b"")
    return [flight for flight in found if flight]


def told(events: list[Event]) -> list[Event]:
    """Return the events but those that carry content, which the mails show."""
    return [event for event in events if not isinstance(event, ContentChunk)]


OPENED = st.lists(st.sampled_from(TOKENS), max_size=20).map(
    lambda tokens: [COMMANDS[name] for name in USUAL[:4]] + tokens
)


@settings(max_examples=3 * settings().max_examples // 2)
@given(OPENED | st.lists(st.sampled_from(TOKENS), max_size=12), st.integers(1, 40))
def test_other_pieces_of_the_same_bytes_make_no_difference(tokens: list[bytes], step: int) -> None:
    """Answers, events and mails are the same whether a flight comes whole or in pieces of any size."""
    offers = Offers(host=OFFERS.host, max_size=300, plain_login=True, starttls=True)
    whole, cut = Shell(offers), Shell(offers)
    said = [whole.send(flight) for flight in flights(tokens)]
    assert said == [cut.send(pieces(flight, step)) for flight in flights(tokens)]
    assert told(whole.events) == told(cut.events)
    assert whole.mails == cut.mails
    assert whole.session.is_over == cut.session.is_over
    assert whole.session.waits_for is cut.session.waits_for


@settings(max_examples=3 * settings().max_examples // 2)
@given(st.lists(st.sampled_from(TOKENS) | st.binary(max_size=30), max_size=20), st.integers(1, 200))
def test_garbage_gets_answers(tokens: list[bytes], step: int) -> None:
    """Whatever comes, nothing is raised, each answer is a reply, and behind the last one there is silence."""
    shell = greeted(Shell(OFFERS))
    for piece in pieces(b"".join(tokens), step):
        was_over = shell.session.is_over
        said = shell.send(piece)
        assert "" == REPLY.sub("", said)
        assert not (was_over and said)
    assert shell.session.pending <= 12288 or shell.session.is_over

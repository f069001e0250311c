"""The other side of SCRAM, written from RFC 5802 section 3, and a session that logs in against it."""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field

from postroom.model.transport import SmtpAccount
from postroom.smtp.client import ClientSession
from postroom.smtp.opening import Derive
from postroom.smtp.sasl import SignIn

NONCE = "fyko+d2lbbFgONRv9qkxdawL"


@dataclass
class ScramServer:
    """Judges one exchange."""

    digest: str = "sha256"
    password: str = "correct-horse"
    username: str = "user"
    count: int = 4096
    binding: bytes = b""
    """What this end sees of its TLS connection."""
    salt: bytes = b"0123456789abcdef"
    first: str = ""
    gs2: str = ""

    def first_reply(self, message: bytes) -> str:
        """Take the client's first message and answer it."""
        flag, _, bare = message.decode().split(",", 2)
        self.gs2 = f"{flag},,"
        name, nonce = bare.split(",")
        assert f"n={self.username}" == name
        self.first = f"{nonce}server,s={b64encode(self.salt).decode()},i={self.count}"
        self.bare = bare
        return self.first

    def final_reply(self, message: bytes) -> str:
        """Take the client's final message and return the verifier or an error."""
        bare, _, proof = message.decode().rpartition(",p=")
        bound = b64decode(bare.split(",")[0][2:])
        expected = self.gs2.encode() + (self.binding if self.gs2.startswith("p=") else b"")
        if bound != expected:
            return "e=channel-bindings-dont-match"
        signed = f"{self.bare},{self.first},{bare}".encode()
        salted = hashlib.pbkdf2_hmac(self.digest, self.password.encode(), self.salt, self.count)
        key = hmac.digest(salted, b"Client Key", self.digest)
        stored = hashlib.new(self.digest, key).digest()
        signature = hmac.digest(stored, signed, self.digest)
        shown = bytes(a ^ b for a, b in zip(b64decode(proof), signature, strict=True))
        if hashlib.new(self.digest, shown).digest() != stored:
            return "e=invalid-proof"
        server_key = hmac.digest(salted, b"Server Key", self.digest)
        return "v=" + b64encode(hmac.digest(server_key, signed, self.digest)).decode()


def challenge(text: str) -> bytes:
    return b"334 " + b64encode(text.encode()) + b"\r\n"


@dataclass
class LoginTalk:
    """A session after EHLO; ``lines`` are what it says from AUTH on, decoded."""

    account: SmtpAccount
    mechanisms: str
    sign_in: SignIn
    answers: list[Callable[[bytes], bytes] | bytes] = field(default_factory=list)
    """What the server says to each line: a reply, or a function of the decoded line."""
    lines: list[bytes] = field(default_factory=list)

    def run(self) -> "LoginTalk":
        session: ClientSession[int] = ClientSession(
            self.account, ehlo_name="a.example", is_loopback=False, sign_in=self.sign_in
        )
        self.session = session
        session.receive(b"220 hi\r\n")
        session.data_to_send()
        session.receive(b"250-hi\r\n250 AUTH " + self.mechanisms.encode() + b"\r\n")
        answers = list(self.answers)
        self.event = session.next_event()
        while True:
            if isinstance(self.event, Derive):
                session.derived(self.event.run())
            elif self.event is not None:
                return self
            line = session.data_to_send().rstrip(b"\r\n")
            self.lines.append(line)
            if not answers:
                return self
            answer = answers.pop(0)
            session.receive(answer if isinstance(answer, bytes) else answer(decoded(line)))
            self.event = session.next_event()


def decoded(line: bytes) -> bytes:
    """Return what a line of a login carries."""
    words = line.split(b" ")
    return b"" if words == [b"*"] or len(words) == 2 else b64decode(words[-1])

"""From the greeting to a session that takes mail: EHLO, STARTTLS, AUTH, as decisions on replies.

Rules: HELO only after 500, 502 or 504 to EHLO; capabilities are forgotten at STARTTLS and EHLO is sent
again, but never after AUTH (Alibaba's and Sina's servers lose the login); a password goes over a plain
connection only to a loopback peer, or when the account says so; what the settings require and the server
lacks is evidence with a cause, not an exception. A reply to AUTH is kept without what we sent in it.
"""

import binascii
from base64 import b64decode, b64encode
from dataclasses import dataclass, replace

from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.reply import Reply
from postroom.model.step import Step
from postroom.model.transport import SmtpAccount, TlsMode
from postroom.smtp import commands
from postroom.smtp.extensions import NO_EXTENSIONS, Extensions, parse_extensions
from postroom.smtp.sasl import Login, choose
from postroom.smtp.steps import STEPS

MIN_SECRET = 4
"""Characters below which blanking a password out of a reply would only garble it."""


MAX_COMMAND = 512
"""Octets of a command line with its CRLF (RFC 5321 section 4.5.3.1.4); a longer login waits to be asked."""
_NO_INITIAL_RESPONSE = frozenset({500, 501})
"""Replies of servers that want the challenge form: the line is too long or has a word too many (RFC 4954
section 4)."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a command and wait for its reply."""

    step: Step
    data: bytes


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The server is ready for the TLS handshake."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The session takes mail."""


Decision = Send | Upgrade | Opened | Evidence


class Opening:
    """The dialogue before the first message. ``answer`` takes each reply and says what is next."""

    def __init__(self, account: SmtpAccount, *, ehlo_name: str, is_loopback: bool) -> None:
        """Take the account, the name to greet with and whether the peer is this machine."""
        self._account = account
        self._ehlo_name = ehlo_name
        self._is_loopback = is_loopback
        self._login: Login | None = None
        self._is_initial_sent = False
        """The AUTH line carried a response that its server has not answered well yet."""
        self._is_helo = False
        self.is_encrypted = account.tls is TlsMode.IMPLICIT
        self.extensions: Extensions = NO_EXTENSIONS

    def answer(self, step: Step, reply: Reply) -> Decision:
        """Decide on the reply at one of the steps GREETING to AUTH."""
        match step:
            case Step.GREETING:
                return self._hello() if reply.code == 220 else self._unwanted(step, reply)
            case Step.EHLO:
                return self._on_ehlo(reply)
            case Step.STARTTLS:
                return Upgrade() if reply.code == 220 else self._unwanted(step, reply)
            case _:
                return self._on_auth(reply)

    def encrypted(self) -> Decision:
        """Go on after the handshake: what was announced before it is forgotten."""
        self.is_encrypted = True
        self.extensions = NO_EXTENSIONS
        return self._hello()

    def _hello(self) -> Decision:
        return Send(Step.EHLO, commands.ehlo(self._ehlo_name))

    def _on_ehlo(self, reply: Reply) -> Decision:
        if reply.is_positive:
            self.extensions = NO_EXTENSIONS if self._is_helo else parse_extensions(reply.lines)
            return self._after_ehlo()
        if reply.code in (500, 502, 504) and not self._is_helo:
            self._is_helo = True
            return Send(Step.EHLO, commands.helo(self._ehlo_name))
        return self._unwanted(Step.EHLO, reply)

    def _after_ehlo(self) -> Decision:
        account = self._account
        if not self.is_encrypted:
            if self.extensions.starttls and account.tls is not TlsMode.NONE:
                return Send(Step.STARTTLS, commands.STARTTLS)
            if account.tls in (TlsMode.STARTTLS, TlsMode.IMPLICIT) or self._would_show_password:
                text = "the server offers no STARTTLS" + (
                    ", and the password would go over the network in plain text" if account.username else ""
                )
                return self._lacks(Step.STARTTLS, text, "starttls-not-offered")
        return self._log_in() if account.username else Opened()

    @property
    def _would_show_password(self) -> bool:
        account = self._account
        return bool(account.username) and not self._is_loopback and not account.allow_plaintext_login

    def _log_in(self) -> Decision:
        account = self._account
        offered = self.extensions.mechanisms
        mechanism = choose(offered, is_encrypted=self.is_encrypted, forced=account.auth)
        if mechanism is None:
            text = f"no login method in common; the server offers {' '.join(offered) or 'none'}"
            return self._lacks(Step.AUTH, text, "auth-mech")
        password = account.password.reveal() if account.password else ""
        self._login = Login(mechanism, account.username or "", password)
        command = commands.auth(mechanism, self._login.initial)
        self._is_initial_sent = self._login.initial is not None and len(command) <= MAX_COMMAND
        return Send(Step.AUTH, command if self._is_initial_sent else commands.auth(mechanism, None))

    def _on_auth(self, reply: Reply) -> Decision:
        if reply.is_positive:
            self._login = None
            return Opened()
        if reply.code in _NO_INITIAL_RESPONSE and self._is_initial_sent and self._login is not None:
            self._is_initial_sent = False
            return Send(Step.AUTH, commands.auth(self._login.mechanism, None))
        if reply.code != 334 or self._login is None:
            return self._unwanted(Step.AUTH, self._without_secrets(reply))
        try:
            challenge = b64decode(reply.lines[0].strip(), validate=True)
        except (binascii.Error, ValueError):
            # LOGIN prompts are sometimes sent without Base64; only CRAM-MD5 reads its challenge
            challenge = b""
        response = self._login.answer(challenge)
        if response is None:
            return self._broken(Step.AUTH, "too many login challenges")
        return Send(Step.AUTH, commands.auth_response(response))

    def _without_secrets(self, reply: Reply) -> Reply:
        """Blank out what we sent, should the server quote it."""
        password = self._account.password.reveal() if self._account.password else ""
        username = self._account.username or ""
        plain = b64encode(b"\0" + username.encode() + b"\0" + password.encode())
        lines, raw = reply.lines, reply.raw
        for secret in (plain, b64encode(password.encode()), password.encode()):
            if len(secret) >= MIN_SECRET and secret in raw:
                raw = raw.replace(secret, b"*****")
                lines = tuple([line.replace(secret.decode(), "*****") for line in lines])
        return replace(reply, lines=lines, raw=raw)

    def _unwanted(self, step: Step, reply: Reply) -> Evidence:
        if reply.code >= 400:
            return Evidence(step=step, reply=reply, host=self._account.host, port=self._account.port)
        return self._broken(step, f"unexpected reply {reply.code} {reply.text[:120]}")

    def _broken(self, step: Step, text: str) -> Evidence:
        fault = Fault(kind=FaultKind.PROTOCOL, text=f"{text} {STEPS[step].phrase}")
        return Evidence(step=step, fault=fault, host=self._account.host, port=self._account.port)

    def _lacks(self, step: Step, text: str, cause: str) -> Evidence:
        fault = Fault(kind=FaultKind.CAPABILITY, text=text, cause=cause)
        return Evidence(step=step, fault=fault, host=self._account.host, port=self._account.port)

"""From the greeting to a session that takes mail: EHLO, STARTTLS, AUTH, as decisions on replies.

Rules: HELO only after 500, 502 or 504 to EHLO; capabilities are forgotten at STARTTLS and EHLO is sent
again, but never after AUTH (Alibaba's and Sina's servers lose the login); a password goes over a plain
connection only to a loopback peer, or when the account says so; what the settings require and the server
lacks is evidence with a cause, not an exception. Whatever a server says is kept without what we sent in it.

A mechanism that is refused as such, before the server could judge the password or by a reply that says so,
is followed by one other; a refused password or token never is.
"""

import binascii
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.reply import Reply
from postroom.model.step import Step
from postroom.model.transport import SmtpAccount, TlsMode
from postroom.smtp import commands
from postroom.smtp.blanking import Blanking
from postroom.smtp.extensions import NO_EXTENSIONS, Extensions, parse_extensions
from postroom.smtp.sasl import (
    BOUND,
    BY_TOKEN,
    MAX_CHALLENGES,
    SCRAM,
    Credentials,
    Login,
    Mechanism,
    SignIn,
    candidates,
    login,
)
from postroom.smtp.scram import Broken, Derivation
from postroom.smtp.steps import STEPS

MAX_COMMAND = 512
"""Octets of a command line with its CRLF (RFC 5321 section 4.5.3.1.4); a longer login waits to be asked."""
_NO_INITIAL_RESPONSE = frozenset({500, 501, 503})
"""Replies of servers that want the challenge form: the line is too long or has a word too many (RFC 4954
section 4)."""
_NO_MECHANISM = frozenset({502, 504})
"""Replies that refuse the mechanism even after the password was shown; 501 may then mean the password."""
_TOO_WEAK = ("mechanism", "too weak")
"""Words of a 534 that refuses the mechanism (RFC 4954 section 6); others ask for another password."""
_CANCEL = b"*\r\n"
"""RFC 4954 section 4: the client gives up an exchange; the server answers 501."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a command and wait for its reply."""

    step: Step
    data: bytes = field(repr=False)
    """It may be a login."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The server is ready for the TLS handshake."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The session takes mail."""


@dataclass(frozen=True, slots=True)
class Derive:
    """Call ``run``, in a thread when others wait, and give its result to ``derived``."""

    run: Callable[[], bytes]


Decision = Send | Upgrade | Derive | Opened | Evidence


class Opening:
    """The dialogue before the first message. ``answer`` takes each reply and says what is next."""

    def __init__(
        self, account: SmtpAccount, *, ehlo_name: str, is_loopback: bool, sign_in: SignIn | None = None
    ) -> None:
        """Take the account, the name to greet with, whether the peer is this machine, and for the login."""
        self._account = account
        self._ehlo_name = ehlo_name
        self._is_loopback = is_loopback
        self._sign_in = sign_in or SignIn()
        self._who: Credentials | None = None
        self._mechanisms: list[Mechanism] = []
        """Still to be tried, in their order."""
        self._mechanism: Mechanism | None = None
        self._login: Login | None = None
        self._challenges = 0
        self._is_initial_sent = False
        """The AUTH line carried a response that its server has not answered well yet."""
        self._cancelled: Broken | None = None
        """Why the exchange was cancelled; its reply comes next."""
        self.blanking = Blanking()
        self._is_helo = False
        self.is_encrypted = account.tls is TlsMode.IMPLICIT
        self.extensions: Extensions = NO_EXTENSIONS

    @property
    def last_step(self) -> Step:
        """The step whose reply opens the session."""
        return Step.AUTH if self._account.username else Step.EHLO

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

    # ------------------------------------------------------------- the login

    def _log_in(self) -> Decision:
        account, sign_in, offered = self._account, self._sign_in, self.extensions.mechanisms
        password = account.password.reveal() if account.password else None
        token = sign_in.token.reveal() if sign_in.token else None
        for secret in (password, token):
            if secret:
                self.blanking.add_secret(secret)
        takes_token = account.auth is None or account.auth.upper() in frozenset(BY_TOKEN)
        if not password and not (token and takes_token):  # an empty password is never sent
            return self._lacks(Step.AUTH, "the account has a user name and no password", "password-missing")
        is_scram_offered = not frozenset(SCRAM).isdisjoint(offered)
        self._who = Credentials(
            username=account.username or "",
            password=password,
            token=token,
            host=account.host,
            port=account.port,
            nonce=sign_in.nonce,
            binding=sign_in.binding() if self.is_encrypted and is_scram_offered else None,
            is_plus_offered=not frozenset(BOUND).isdisjoint(offered),
        )
        found = candidates(offered, is_encrypted=self.is_encrypted, forced=account.auth, who=self._who)
        if not found:
            text = f"no login method in common; the server offers {' '.join(offered) or 'none'}"
            return self._lacks(Step.AUTH, text, "auth-mech")
        self._mechanisms = list(found)
        return self._begin_login(self._mechanisms.pop(0), self._who)

    def _begin_login(self, mechanism: Mechanism, who: Credentials, *, with_initial: bool = True) -> Decision:
        self._mechanism, self._challenges = mechanism, 0
        self._login = login(mechanism, who)
        initial = self._login.initial if with_initial else None
        command = commands.auth(mechanism, initial)
        self._is_initial_sent = initial is not None and len(command) <= MAX_COMMAND
        if initial is None or not self._is_initial_sent:
            return Send(Step.AUTH, commands.auth(mechanism, None))
        self._login.note_initial()
        self.blanking.add_payload(initial)
        return Send(Step.AUTH, command)

    def _on_auth(self, reply: Reply) -> Decision:
        login, who = self._login, self._who
        if login is None or who is None or self._mechanism is None:
            return self._unwanted(Step.AUTH, reply)
        if (broken := self._cancelled) is not None:
            self._cancelled = None
            return self._next_login(who) or self._of_broken(broken)
        if reply.is_positive:
            objection = login.objection()
            self._login = None
            return Opened() if objection is None else self._of_broken(objection)
        if reply.code == 334:
            return self._on_challenge(login, reply)
        if reply.code in _NO_INITIAL_RESPONSE and self._is_initial_sent:
            return self._begin_login(self._mechanism, who, with_initial=False)
        if reply.is_permanent and (not login.has_shown_secret or _refuses_mechanism(reply)):
            following = self._next_login(who)
            if following is not None:
                return following
        if login.status and reply.is_permanent and not _refuses_mechanism(reply):
            reply = replace(reply, lines=(*reply.lines, login.status))
        return self._unwanted(Step.AUTH, reply)

    def _on_challenge(self, login: Login, reply: Reply) -> Decision:
        self._challenges += 1
        self._is_initial_sent = False
        if self._challenges > MAX_CHALLENGES:
            return self._broken(Step.AUTH, "too many login challenges")
        try:
            challenge = b64decode(reply.lines[0].strip(), validate=True)
        except (binascii.Error, ValueError):
            challenge = None
        match login.answer(challenge):
            case Derivation(run):
                return Derive(run)
            case Broken() as broken:
                return self._give_up(broken)
            case answer:
                return self.derived(answer)

    def derived(self, answer: bytes) -> Decision:
        """Send the answer to a challenge, which ``Derive`` may have asked for."""
        self.blanking.add_payload(answer)
        return Send(Step.AUTH, commands.auth_response(answer))

    def _give_up(self, broken: Broken) -> Decision:
        """Cancel the exchange when another mechanism may work, else end."""
        if not broken.may_try_another or not self._mechanisms:
            return self._of_broken(broken)
        self._cancelled = broken
        return Send(Step.AUTH, _CANCEL)

    def _next_login(self, who: Credentials) -> Decision | None:
        """Try one other mechanism, of another kind if there is one; only once for a connection."""
        rest, self._mechanisms = self._mechanisms, []
        if self._mechanism in SCRAM:  # who has no keys for one SCRAM often has none for the others
            rest = [mechanism for mechanism in rest if mechanism not in SCRAM] or rest
        return self._begin_login(rest[0], who) if rest else None

    def _of_broken(self, broken: Broken) -> Evidence:
        fault = Fault(kind=FaultKind.PROTOCOL, text=broken.text, cause=broken.cause)
        return Evidence(step=Step.AUTH, fault=fault, host=self._account.host, port=self._account.port)

    # ------------------------------------------------------------- evidence

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


def _refuses_mechanism(reply: Reply) -> bool:
    """Say whether a refusal is of the mechanism and not of the password."""
    if reply.code == 534:
        text = reply.text.lower()
        return any(words in text for words in _TOO_WEAK)
    return reply.code in _NO_MECHANISM

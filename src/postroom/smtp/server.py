"""The server side of one SMTP connection, without input or output: bytes in, events and bytes out.

The card::

    session = ServerSession(offers, opened_at=..., is_encrypted=...)
    session.receive(data)       bytes from the client
    session.next_event()        what happened next (``server_events``); None when there is nothing more to do
                                before more bytes come or an event is answered
    session.output()            bytes for the client, in order; write them whenever next_event gave None,
                                and before the handshake that StartTls asks for
    session.is_over             write what output() gives, then close
    session.accept(text)        yes to MailGiven, RecipientGiven, ContentBegun, ContentEnd
    session.refuse(reply)       no to these and to Login
    session.authenticated()     yes to Login
    session.tls_started()       after the handshake that StartTls asked for
    session.close(reply)        the server ends it: 421 for a time limit, a shutdown
    session.waits_for           COMMAND, CONTENT or ANSWER (of the shell): sets the time limit
    session.pending             bytes taken in and not looked at: stop reading the socket above a bound

Theory: bytes are kept until ``next_event`` needs them. It reads one command at a time and stops at each event
that asks something, so commands that came together are answered one after the other, and their replies leave
together (RFC 2920). What a client sends before it may (behind STARTTLS, or content before the reply to DATA)
ends the session: two sides that disagree about where a command ends are what smuggling is made of.

Rules:

* Nothing the client sends raises. Only CR LF ends a line, in commands and in content. A bare CR, a bare LF
  or a NUL ends the session at once, in a command (500) as in DATA (554): the next line end is where this
  server sees it and where another would not. Within BDAT, whose size is told, it only refuses the mail.
* The same bytes in other pieces give the same replies. The one exception is by intent: content that is there
  before the reply to DATA was made.
* A content above the limit, or with a line above 998 octets, is read to its end and refused there; above
  twice the limit the session ends. Where ``lingers``, read and drop for a while before closing: a client that
  is still sending gets no reply from a connection that was reset.
* STARTTLS forgets all but the counters (RFC 3207 section 4.2). They bound what may be done without a mail.

It does not know keys, tenants or stores; it waits for nothing and has no clock.
Sources: RFC 5321, 2920, 3030, 3207, 4954, 6409, 8314; parameters: ``server_words``.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

from postroom.errors import InvariantError
from postroom.smtp import server_replies as replies
from postroom.smtp.server_events import (
    ASKING,
    Aborted,
    ContentBegun,
    ContentChunk,
    ContentEnd,
    Event,
    Login,
    MailGiven,
    Offers,
    Quit,
    RecipientGiven,
    StartTls,
    Waits,
)
from postroom.smtp.server_hello import announced
from postroom.smtp.server_lines import Incoming, LineFault
from postroom.smtp.server_replies import ServerReply
from postroom.smtp.server_sasl import MECHANISMS, SaslExchange
from postroom.smtp.server_taking import Taking
from postroom.smtp.server_words import Refused, parse_mail, parse_rcpt

__all__ = ["ServerSession", "Waits"]

MAX_COMMAND = 2048
"""Octets of a command with CR LF: 512 of RFC 5321 section 4.5.3.1.4, and what the parameters of MAIL and RCPT
may add (AUTH 500, ORCPT 500, ENVID 100 and smaller ones)."""
_CHUNK = re.compile(r"([0-9]{1,18})(?: +(LAST))? *\Z", re.ASCII)
_OF_HTTP = frozenset(["GET", "POST", "PUT", "HEAD", "OPTIONS", "PATCH", "DELETE", "CONNECT", "TRACE", "PRI"])
"""What a browser says first: a page could make its visitor post commands to a port of his own machine."""
_NOT_DONE = frozenset(["EXPN", "ETRN", "TURN", "SEND", "SOML", "SAML"])
_UNSAFE_IN_NAME = re.compile(r"[^A-Za-z0-9.:\[\]_\-]")


class ServerSession:
    """One connection's dialogue; see the card above.

    Attributes:
        hello: the name the client gave, made safe for a header; ``None`` before EHLO.
        is_esmtp: it said EHLO, not HELO.
        is_encrypted, is_authenticated: as it says.
        is_over: write what is left of ``output()``, then close.
        lingers: the client may still be sending; read and drop for a while before closing.
    """

    def __init__(self, offers: Offers, *, opened_at: datetime, is_encrypted: bool = False) -> None:
        """Greet. ``opened_at`` is aware; it is the base of the dates that FUTURERELEASE announces."""
        self.hello: str | None = None
        self.is_esmtp = False
        self.is_encrypted = is_encrypted
        self.is_authenticated = False
        self.is_over = False
        self.lingers = False
        self._offers = offers
        self._opened_at = opened_at
        self._out = [f"220 {offers.host} ESMTP Postroom\r\n".encode()]
        self._is_greeted = False
        self._incoming = Incoming()
        self._events: deque[Event] = deque()
        self._question: Event | None = None
        self._exchange: SaslExchange | None = None
        self._mail: MailGiven | None = None
        self._recipients = 0
        self._taking = Taking(offers.max_size)
        self._errors = 0
        self._idle_commands = 0
        self._refused_recipients = 0
        self._failed_logins = 0

    # ------------------------------------------------------------- what it says

    @property
    def waits_for(self) -> Waits:
        """What it waits for when ``next_event`` gives None."""
        if self._question is not None:
            return Waits.ANSWER
        return Waits.CONTENT if self._taking.is_open else Waits.COMMAND

    @property
    def pending(self) -> int:
        """Bytes that were taken in and not looked at."""
        return self._incoming.size

    def protocol(self, *, smtputf8: bool) -> str:
        """Return the word for ``with`` in a Received field (RFC 3848, RFC 6531 section 4.3)."""
        if not self.is_esmtp:
            return "SMTP"
        word = "UTF8SMTP" if smtputf8 else "ESMTP"
        return f"{word}{'S' * self.is_encrypted}{'A' * self.is_authenticated}"

    def output(self) -> bytes:
        """Return what must be written now, in order."""
        self._is_greeted = True
        out = self._out
        if not out:
            return b""
        self._out = []
        return out[0] if len(out) == 1 else b"".join(out)

    def next_event(self) -> Event | None:
        """Return what happened next; None when more bytes or an answer are needed first."""
        events = self._events
        while self._question is None:
            if events:
                event = events.popleft()
                if type(event) in ASKING:
                    self._question = event
                return event
            if self.is_over or not (self._read_content() if self._taking.is_open else self._read_line()):
                return None
        return None

    # ------------------------------------------------------------- what it is told

    def receive(self, data: bytes) -> None:
        """Take bytes of the client."""
        if self.is_over:
            return
        if not self._is_greeted:
            self._end(replies.TALKED_TOO_SOON)
            return
        self._incoming.add(data)

    def accept(self, text: str = "Accepted") -> None:
        """Say yes to the question; ``text`` stands in the reply to the end of a content."""
        question, self._question = self._question, None
        if isinstance(question, RecipientGiven):
            self._recipients += 1
            self._out.append(replies.RCPT_OK)
        elif isinstance(question, MailGiven):
            self._mail = question
            self._out.append(replies.MAIL_OK)
        elif isinstance(question, ContentEnd):
            self._forget_mail()
            self._errors = self._idle_commands = self._refused_recipients = 0
            self._out.append(replies.accepted(text))
        elif not isinstance(question, ContentBegun):
            raise InvariantError(f"{type(question).__name__} is not accepted")
        elif self._taking.is_open:
            pass  # a chunk, whose bytes may be here already
        elif self._incoming.is_empty:
            self._taking.begin_data()
            self._out.append(replies.GO_AHEAD)
        else:
            self._end(replies.IMPROPER_PIPELINING)

    def refuse(self, reply: ServerReply) -> None:
        """Say no to the question with ``reply``."""
        question = self._answered(Login, MailGiven, RecipientGiven, ContentBegun, ContentEnd)
        if isinstance(question, Login):
            return self._fail_login(reply)
        if isinstance(question, RecipientGiven):
            return self._refuse_recipient(reply)
        if isinstance(question, ContentBegun) and self._taking.is_open:
            return self._taking.refuse_chunk(reply)
        if isinstance(question, ContentEnd):
            self._forget_mail()
        return self._say(reply)

    def authenticated(self) -> None:
        """Say yes to the login."""
        self._answered(Login)
        self.is_authenticated = True
        self._out.append(replies.LOGGED_IN)

    def tls_started(self) -> None:
        """Begin anew under TLS."""
        self._answered(StartTls)
        self.is_encrypted = True
        self.hello = None
        self.is_esmtp = self.is_authenticated = False
        if not self._incoming.is_empty:
            self._end(replies.TLS_INJECTION)

    def close(self, reply: ServerReply) -> None:
        """End the session with a last reply."""
        self._question = None
        self._events.clear()
        if not self.is_over:
            self._end(reply)

    def _answered(self, *kinds: type[Event]) -> Event:
        question = self._question
        if not isinstance(question, kinds):
            raise InvariantError(f"an answer to {type(question).__name__}, which does not ask that")
        self._question = None
        return question

    # ------------------------------------------------------------- saying

    def _say(self, reply: ServerReply) -> None:
        self._out.append(reply.wire)
        if reply.closes:
            self.is_over = self.lingers = True
            self._incoming.clear()

    def _end(self, reply: ServerReply) -> None:
        """Say a reply that ends the session."""
        self._drop_mail(reply)
        self._say(replace(reply, closes=True))

    def _wrong(self, reply: ServerReply) -> None:
        """Refuse a command that should not have come."""
        self._errors += 1
        if self._errors > self._offers.max_errors:
            reply = replies.TOO_MANY_ERRORS
        if reply.closes:
            self._end(reply)
        else:
            self._say(reply)

    def _fail_login(self, reply: ServerReply) -> None:
        if reply.code == 535:
            self._failed_logins += 1
        if self._failed_logins >= self._offers.max_failed_logins:
            reply = replies.TOO_MANY_LOGINS
        self._say(reply)

    def _refuse_recipient(self, reply: ServerReply) -> None:
        self._refused_recipients += 1
        if self._refused_recipients > self._offers.max_recipients:
            self._end(replies.TOO_MANY_ERRORS)
        else:
            self._say(reply)

    # ------------------------------------------------------------- mails

    def _forget_mail(self) -> None:
        self._mail = None
        self._recipients = 0
        self._taking = Taking(self._offers.max_size)

    def _drop_mail(self, reply: ServerReply | None = None) -> None:
        if self._mail is not None:
            self._events.append(Aborted(reply))
        self._forget_mail()

    # ------------------------------------------------------------- lines

    def _read_line(self) -> bool:
        """Read a line and do what it says; say whether there was one."""
        try:
            text = self._incoming.line()
        except LineFault as fault:
            self._exchange = None
            self._wrong(fault.reply)
            return True
        if text is None:
            return False
        if self._exchange is None:
            self._obey(text)
        else:
            self._take_login(self._exchange.take(text))
        return True

    def _obey(self, text: str) -> None:
        word, _, argument = text.partition(" ")
        verb = word.upper()
        if len(text) > MAX_COMMAND - 2 and verb != "AUTH":
            self._wrong(replies.LINE_TOO_LONG)
        elif (obey := _HANDING_IN.get(verb)) is not None:
            obey(self, text, argument)
        elif verb in _OF_HTTP or verb.endswith(":"):
            self._end(replies.NOT_SMTP)
        elif (obey := _IDLE.get(verb)) is None:
            self._wrong(replies.NOT_DONE if verb in _NOT_DONE else replies.UNKNOWN)
        elif self._idle_commands < self._offers.max_idle_commands:
            self._idle_commands += 1
            obey(self, text, argument.strip(" "))
        else:
            self._end(replies.TOO_MUCH_IDLING)

    # ------------------------------------------------------------- the session

    def _ehlo(self, text: str, name: str) -> None:
        if not name:
            return self._wrong(replies.HELLO_NEEDS_NAME)
        self._drop_mail()
        self.hello = _UNSAFE_IN_NAME.sub("?", name[:255])
        self.is_esmtp = text[:1] in "Ee"
        if self.is_esmtp:
            lines = announced(self._offers, opened_at=self._opened_at, is_encrypted=self.is_encrypted)
        else:
            lines = self._offers.host
        return self._say(ServerReply(250, "", lines))

    def _starttls(self, _text: str, argument: str) -> None:
        if argument:
            return self._wrong(replies.NO_ARGUMENT)
        if self.is_encrypted:
            return self._wrong(replies.TLS_ALREADY)
        if not self._offers.starttls:
            return self._wrong(replies.NO_TLS)
        if not self._incoming.is_empty:
            return self._end(replies.TLS_INJECTION)
        self._drop_mail()
        self._out.append(replies.TLS_READY)
        return self._events.append(StartTls())

    def _auth(self, _text: str, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        mechanism = mechanism.upper()
        if self.hello is None:
            self._wrong(replies.HELLO_FIRST)
        elif self.is_authenticated:
            self._wrong(replies.LOGIN_ALREADY)
        elif self._mail is not None:
            self._wrong(replies.LOGIN_WITHIN_MAIL)
        elif not self.is_encrypted and not self._offers.plain_login:
            has_tls = self._offers.starttls
            self._wrong(replies.NO_LOGIN_OVER_PLAIN if has_tls else replies.NO_LOGIN_WITHOUT_TLS)
        elif mechanism not in MECHANISMS:
            self._wrong(replies.UNKNOWN_MECHANISM)
        else:
            self._exchange = SaslExchange(mechanism)
            self._take_login(self._exchange.begin(initial or None))

    def _take_login(self, step: bytes | Login | ServerReply) -> None:
        if isinstance(step, bytes):
            self._out.append(step)
            return
        self._exchange = None
        if isinstance(step, Login):
            self._events.append(step)
        elif step.code == 535:
            self._fail_login(step)
        else:
            self._wrong(step)

    def _rset(self, _text: str, argument: str) -> None:
        if argument:
            return self._wrong(replies.NO_ARGUMENT)
        self._drop_mail()
        return self._out.append(replies.RESET_OK)

    def _noop(self, _text: str, _argument: str) -> None:
        self._out.append(replies.RESET_OK)

    def _vrfy(self, _text: str, argument: str) -> None:
        self._say(replies.CANNOT_VERIFY if argument else replies.NEEDS_ARGUMENT)

    def _help(self, _text: str, _argument: str) -> None:
        self._say(replies.HELP)

    def _quit(self, _text: str, _argument: str) -> None:
        self._forget_mail()
        self._out.append(replies.BYE)
        self.is_over = True
        self._events.append(Quit())

    # ------------------------------------------------------------- mails

    def _mail_from(self, text: str, _argument: str) -> None:
        if self.hello is None:
            return self._wrong(replies.HELLO_FIRST)
        if self._offers.needs_login and not self.is_authenticated:
            can_login = self.is_encrypted or self._offers.plain_login
            return self._wrong(replies.LOGIN_FIRST if can_login else replies.TLS_AND_LOGIN_FIRST)
        if self._mail is not None:
            return self._wrong(replies.NESTED_MAIL)
        try:
            return self._events.append(parse_mail(text, self._offers))
        except Refused as refused:
            return self._wrong(refused.reply)

    def _rcpt(self, text: str, _argument: str) -> None:
        if self._mail is None:
            return self._wrong(replies.MAIL_FIRST)
        if self._taking.has_chunks:
            return self._wrong(replies.NO_DATA_AMONG_CHUNKS)
        if self._recipients >= self._offers.max_recipients:
            return self._refuse_recipient(replies.TOO_MANY_RECIPIENTS)
        try:
            return self._events.append(parse_rcpt(text, self._offers, smtputf8=self._mail.smtputf8))
        except Refused as refused:
            return self._refuse_recipient(refused.reply)

    def _lacking(self) -> ServerReply | None:
        """Return what must come before a content."""
        if self._mail is None:
            return replies.MAIL_FIRST
        return None if self._recipients else replies.RCPT_FIRST

    def _data(self, _text: str, argument: str) -> None:
        if not self._incoming.is_empty:
            self._end(replies.IMPROPER_PIPELINING)
        elif argument.strip(" "):
            self._wrong(replies.NO_ARGUMENT)
        elif (lacking := self._lacking()) is not None:
            self._wrong(lacking)
        elif self._taking.has_chunks:
            self._wrong(replies.NO_DATA_AMONG_CHUNKS)
        else:
            self._events.append(ContentBegun())

    def _bdat(self, _text: str, argument: str) -> None:
        match = _CHUNK.match(argument.upper())
        max_size = self._offers.max_size
        if match is None:
            return self._end(replies.BAD_CHUNK_SIZE)
        size = int(match[1])
        if size > max_size:
            return self._end(replies.too_large(max_size))
        self._idle_commands += not size
        if self._idle_commands > self._offers.max_idle_commands:
            return self._end(replies.TOO_MUCH_IDLING)
        refusal = self._lacking()
        if refusal is None and not self._taking.has_chunks:
            self._events.append(ContentBegun())
        return self._taking.begin_chunk(size, is_last=match[2] is not None, refusal=refusal)

    def _read_content(self) -> bool:
        read = self._taking.read(self._incoming)
        if read is None:
            return False
        data, end = read
        if data:
            self._events.append(ContentChunk(data))
        if end is None:
            return True
        if end.refusal is not None:
            self._drop_mail(end.refusal)
            self._wrong(end.refusal)
        elif end.is_last:
            self._events.append(ContentEnd(end.size))
        else:
            self._out.append(replies.CHUNK_OK % end.size)
        return True

    HANDING_IN: ClassVar[Mapping[str, "_Obey"]] = {"RCPT": _rcpt, "DATA": _data, "BDAT": _bdat, "QUIT": _quit}
    """What hands a mail in or has its own bounds."""
    IDLE: ClassVar[Mapping[str, "_Obey"]] = {
        "EHLO": _ehlo,
        "HELO": _ehlo,
        "STARTTLS": _starttls,
        "AUTH": _auth,
        "MAIL": _mail_from,
        "RSET": _rset,
        "NOOP": _noop,
        "VRFY": _vrfy,
        "HELP": _help,
    }
    """What by itself hands nothing in, MAIL among it: counted until a mail came."""


_Obey = Callable[[ServerSession, str, str], None]
_HANDING_IN, _IDLE = ServerSession.HANDING_IN, ServerSession.IDLE

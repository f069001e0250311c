"""One SMTP connection: moves its bytes, starts TLS, keeps its deadlines; ``smtp.server`` has the protocol.

Rules:

* A complete command must come within ``command_s`` of the reply before it, however its bytes are dealt out;
  a content at ``min_rate`` bytes a second (slow loris). Who reads no replies is cut after ``stalled_s``.
* While a mail is being committed, a login waits or replies are not read, at most one more piece is read from
  the socket, so what a client may make us keep is bounded.
* At the end of the server a mail that is being committed gets its answer, then 421; every other session gets
  421 at once (reliability rule G2).
* No text of a client, no name and no key of it is logged.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from postroom.engine.freezing import sender_problem
from postroom.errors import InputError
from postroom.ingress.submission import answers
from postroom.ingress.submission.incoming import IncomingMail
from postroom.model.message import Door
from postroom.model.secret import Secret
from postroom.ports import StagedBlob
from postroom.schema.raw_submission import Arrival
from postroom.smtp import server_replies as replies
from postroom.smtp.server import ServerSession, Waits
from postroom.smtp.server_events import (
    Aborted,
    ContentBegun,
    ContentChunk,
    ContentEnd,
    Event,
    Login,
    MailGiven,
    Quit,
    RecipientGiven,
    StartTls,
)
from postroom.smtp.server_replies import ServerReply
from postroom.telemetry import logger
from postroom.telemetry.catalogue import LOGINS_REFUSED, SMTP_MAILS, SMTP_SESSIONS_CUT, SMTP_SESSIONS_REFUSED
from postroom.web.auth import Caller
from postroom.web.household import Seat, ServerLimits
from postroom.web.keyless import is_loopback

if TYPE_CHECKING:
    from postroom.ingress.submission.server import SubmissionDoor

LINGER_S = 2.0
LINGER_BYTES = 1024 * 1024
"""What is still read and dropped after a last reply, so that it is not reset away."""
LARGE_PIECE = 16 * 1024
"""Bytes after which a session reads on in the next turn of the loop: the loop would else hand over 8 MB of a
quick client, a fifth of a second of work, before anybody else has a turn."""

_log = logger("smtp")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits(ServerLimits):
    """Security limits of sessions; ``head_s`` is the time for a TLS handshake."""

    head_s: float = 30.0
    command_s: float = 300.0
    """For a complete command; RFC 5321 section 4.5.3.2.7 asks for 5 minutes at least."""
    grace_s: float = 60.0
    greeting_wait_s: float = 0.2
    """Before others than this machine are greeted: who talks within it is a program that does not listen."""

    def under_stress(self) -> "SessionLimits":
        """Return what holds while most sessions are taken (reliability rule F4)."""
        return replace(self, head_s=10.0, command_s=10.0, grace_s=10.0, stalled_s=10.0, greeting_wait_s=0.0)


class Session(asyncio.Protocol):
    """A client's connection."""

    transport: asyncio.Transport

    def __init__(self, door: "SubmissionDoor", seat: Seat) -> None:
        """Take the door, and the seat the connection is counted by."""
        self._door = door
        self._seat = seat
        self._loop = asyncio.get_running_loop()
        self._dialogue: ServerSession
        self._peer = ""
        self._tls = ""
        self._caller: Caller | None = None
        self._key: Secret | None = None
        """What it logged in with: looked up again for each mail, because a key may be revoked meanwhile."""
        self._mail: IncomingMail | None = None
        self.task: asyncio.Task[None] | None = None
        """A commit, or a TLS handshake."""
        self._after_handshake: list[bytes] | None = None
        """Content that came under TLS before the event loop told us of the handshake."""
        self._delay: asyncio.TimerHandle | None = None
        """Until a wrong key is refused."""
        self._greeting: asyncio.TimerHandle | None = None
        """Until it is said."""
        self._is_read_paused = self._is_write_paused = False
        self._is_ending = False
        self._has_ended = False
        """The client will send nothing more."""
        self._waits = Waits.COMMAND
        self._since = 0.0
        """When it began to wait for what it waits for."""
        self._content_size = 0
        self._stalled_since = 0.0
        self._linger_until: float | None = None
        self._linger_left = LINGER_BYTES

    @property
    def _limits(self) -> SessionLimits:
        return cast("SessionLimits", self._door.household.limits)  # the door gives its household no others

    # ------------------------------------------------------------------ begin and end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if peer else ""
        self._note_tls()
        self._caller = self._door.admission.without_key(self._peer)
        offers = self._door.offers(self._peer, needs_login=self._caller is None)
        self._dialogue = ServerSession(offers, opened_at=self._door.clock.now(), is_encrypted=bool(self._tls))
        self._since = self._loop.time()
        self._door.household.guests.add(self)
        wait_s = self._limits.greeting_wait_s
        if self._caller is None and wait_s and not is_loopback(self._peer):
            self._greeting = self._loop.call_later(wait_s, self._greet)
        else:
            self._flush()

    def _greet(self) -> None:
        self._greeting = None
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Count the session out; a mail that is being committed goes on, any other is dropped."""
        self._door.household.guests.discard(self)
        self._door.household.leave(self._seat)
        self._stop_timers()
        if self.task is None:
            self._drop_mail()

    def _stop_timers(self) -> None:
        for timer in (self._delay, self._greeting):
            if timer is not None:
                timer.cancel()

    def shutdown(self) -> None:
        """End with 421, after the answer to a mail that is being committed."""
        self._is_ending = True
        if self.task is None:
            self._end(answers.SHUTTING_DOWN)

    def _note_tls(self) -> None:
        layer = self.transport.get_extra_info("ssl_object")
        if layer is not None:
            cipher = layer.cipher()
            self._tls = f"{layer.version()} {cipher[0] if cipher else ''}".strip()

    # ------------------------------------------------------------------ bytes

    def data_received(self, data: bytes) -> None:
        """Take bytes; what they make happen happens now, unless something is waited for."""
        if self._linger_until is not None:
            self._linger_left -= len(data)
            if self._linger_left < 0:
                SMTP_SESSIONS_CUT.count(("flood",))
                self.transport.abort()
            return
        if self._after_handshake is not None:
            self._after_handshake.append(data)
            return
        if self._greeting is not None:
            self._greeting.cancel()
            self._greeting = None
            SMTP_SESSIONS_CUT.count(("too-soon",))
        self._dialogue.receive(data)
        self._content_size += len(data)
        if self._is_waited_for:
            self._pause_reading()
            return
        self._pump()
        if len(data) >= LARGE_PIECE and self._linger_until is None and not self._is_read_paused:
            self._pause_reading()
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self._is_waited_for:
            self._resume_reading()

    @property
    def _is_waited_for(self) -> bool:
        """Whether nothing more is done for the client until something else has happened."""
        return self.task is not None or self._delay is not None or self._is_write_paused

    def eof_received(self) -> bool:
        """Let a plain client that ends its side while its mail is being committed read the answer."""
        self._has_ended = True
        return self.task is not None and not self._tls

    def _pump(self) -> None:
        """Go on until more bytes, or an answer of somebody else, are needed."""
        dialogue = self._dialogue
        while (event := dialogue.next_event()) is not None:
            self._take(event)
        self._flush()
        waits = dialogue.waits_for
        if waits is not self._waits:
            self._waits = waits
            self._since = self._loop.time()
            self._content_size = 0
        if self._is_read_paused and waits is not Waits.ANSWER and not self._is_write_paused:
            self._resume_reading()

    def _flush(self) -> None:
        out = self._dialogue.output()
        if out:
            self.transport.write(out)
            self._since = self._loop.time()
        if self._dialogue.is_over and self._linger_until is None:
            self._drop_mail()
            self._close()

    def _close(self) -> None:
        """Close when the last reply is written; read and drop for a moment what may still come before it."""
        self._linger_until = self._loop.time() + LINGER_S
        if not self._dialogue.lingers:
            self.transport.close()
            return
        self._resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _pause_reading(self) -> None:
        if not self._is_read_paused and not self.transport.is_closing():
            self._is_read_paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_read_paused and not self.transport.is_closing():
            self._is_read_paused = False
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        """Do nothing more for a client that does not read our replies."""
        self._is_write_paused = True
        self._stalled_since = self._loop.time()
        self._pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._is_write_paused = False
        if self.task is None and self._delay is None and self._linger_until is None:
            self._pump()

    # ------------------------------------------------------------------ events

    def _take(self, event: Event) -> None:
        match event:
            case ContentChunk():
                self._incoming().take(event.data, self._stage)
            case MailGiven():
                self._begin_mail(event)
            case RecipientGiven():
                self._incoming().add(event)
                self._dialogue.accept()
            case ContentBegun():
                self._dialogue.accept()
            case ContentEnd():
                self.task = self._loop.create_task(self._commit(self._incoming()), name="submission")
                self._door.household.exchanges.add(self)
            case Login():
                self._log_in(event)
            case StartTls():
                self._pause_reading()  # the client's next bytes are for the TLS layer
                self._after_handshake = []
                self.task = self._loop.create_task(self._start_tls(), name="starttls")
            case Aborted() | Quit():
                self._drop_mail()

    def _incoming(self) -> IncomingMail:
        assert self._mail is not None, "the dialogue tells of a content without a mail"  # noqa: S101 - for mypy
        return self._mail

    def _begin_mail(self, event: MailGiven) -> None:
        refusal = self._objection(event)
        if refusal is not None:
            self._dialogue.refuse(refusal)
            return
        self._mail = IncomingMail(event)
        self._dialogue.accept()

    def _objection(self, mail: MailGiven) -> ServerReply | None:
        if self._is_key_gone():
            return answers.KEY_GONE
        # No header could make it right: a path that is not From is a sender of its own.
        problem = sender_problem(mail.path, self._sender.senders, field="sender")
        if problem is not None:
            return answers.refusal_of(InputError([problem]))
        return self._door.objection(mail)

    def _is_key_gone(self) -> bool:
        key = self._key
        return key is not None and not isinstance(
            self._door.admission.with_key(key.reveal(), self._peer), Caller
        )

    def _stage(self) -> StagedBlob:
        return self._door.service.stage(self._sender.tenant)

    @property
    def _sender(self) -> Caller:
        assert self._caller is not None, "the dialogue took a mail of nobody"  # noqa: S101 - for mypy
        return self._caller

    def _drop_mail(self) -> None:
        if self._mail is not None:
            self._mail.discard()
            self._mail = None

    async def _commit(self, mail: IncomingMail) -> None:
        """Store the mail, and only then promise it (reliability rule A1)."""
        caller, door = self._sender, self._door
        refusal = None
        promise = ""
        try:
            submission = await mail.end(self._arrival(mail), door.clock.now())
            receipt = await door.service.submit(submission, senders=caller.senders)
            promise = answers.promise_of(receipt)
        except Exception as error:  # noqa: BLE001 - the supervision point of a mail: every error is a reply
            refusal = answers.refusal_of(error)
        finally:
            mail.discard()
            self._mail = self.task = None
            door.household.exchanges.discard(self)
        SMTP_MAILS.count((str(refusal.code) if refusal is not None else "250",))
        if self.transport.is_closing():
            return
        if refusal is None:
            self._dialogue.accept(promise)
        else:
            self._dialogue.refuse(refusal)
        if self._is_ending:
            self._end(answers.SHUTTING_DOWN)
            return
        self._pump()
        if self._has_ended and self.task is None:
            self.transport.close()

    def _arrival(self, mail: IncomingMail) -> Arrival:
        dialogue = self._dialogue
        return Arrival(
            door=Door.SMTP,
            tenant=self._sender.tenant,
            by=self._door.host,
            protocol=dialogue.protocol(smtputf8=mail.given.smtputf8),
            helo=dialogue.hello or "",
            peer=self._peer,
            tls=self._tls,
        )

    def _log_in(self, event: Login) -> None:
        caller = self._door.admission.with_key(event.secret.reveal(), self._peer)
        if isinstance(caller, Caller):
            self._caller, self._key = caller, event.secret
            self._dialogue.authenticated()
            return
        LOGINS_REFUSED.count(())
        if caller is not replies.WRONG_KEY:  # a key that lacks something was not guessed
            self._dialogue.refuse(caller)
            return
        wait_s = self._door.wrong_keys.delay_s(self._peer, self._loop.time())
        _log.warning("login refused", peer=self._peer, wait_s=round(wait_s, 1))
        self._delay = self._loop.call_later(wait_s, self._refuse_login, caller)

    def _refuse_login(self, reply: ServerReply) -> None:
        self._delay = None
        self._dialogue.refuse(reply)
        self._pump()

    async def _start_tls(self) -> None:
        """Make the handshake on the connection as it is, and begin anew (RFC 3207 section 4.2)."""
        try:
            transport = await self._loop.start_tls(
                self.transport,
                self,
                self._door.certificate.context,
                server_side=True,
                ssl_handshake_timeout=self._limits.head_s,
            )
        except (OSError, RuntimeError):  # no TLS, too slow, or gone (uvloop: RuntimeError)
            SMTP_SESSIONS_REFUSED.count(("handshake",))
            transport = None
        finally:
            self.task = None
        if transport is None:
            self.transport.abort()
            # After a reset the event loop tells only its own half-made TLS layer of the end, not us.
            self.connection_lost(None)
            return
        self.transport = transport
        self._is_read_paused = False
        self._note_tls()
        self._caller, self._key = self._door.admission.without_key(self._peer), None
        self._dialogue.tls_started()
        early, self._after_handshake = self._after_handshake or (), None
        for data in early:
            self._dialogue.receive(data)
        if self._is_ending:
            self._end(answers.SHUTTING_DOWN)
        else:
            self._pump()

    def _end(self, reply: ServerReply) -> None:
        if self._linger_until is None:
            self._stop_timers()
            self._dialogue.close(reply)
            self._flush()

    # ------------------------------------------------------------------ deadlines

    def check_deadlines(self) -> None:
        """Cut the session when it is past a deadline; called once a second."""
        now = self._loop.time()
        limits = self._limits
        if self._linger_until is not None:
            if now > self._linger_until:
                self.transport.abort()
        elif self._is_write_paused:
            if now - self._stalled_since > limits.stalled_s:
                SMTP_SESSIONS_CUT.count(("stalled",))
                self.transport.abort()
        elif self._waits is Waits.COMMAND and now - self._since > limits.command_s:
            SMTP_SESSIONS_CUT.count(("slow-command",))
            self._end(answers.SLOW_COMMAND)
        elif self._waits is Waits.CONTENT:
            elapsed = now - self._since
            if elapsed > limits.grace_s and self._content_size < limits.min_rate * elapsed:
                SMTP_SESSIONS_CUT.count(("slow-content",))
                self._end(answers.SLOW_CONTENT)

"""The client side of one SMTP connection, without input or output: bytes in, bytes and events out.

The card::

    session = ClientSession(account, ehlo_name=..., is_loopback=..., charset=...)
    session.data_to_send()      bytes for the peer; ask after every call below
    session.waiting_step        whose reply is awaited (sets the time limit); None when nothing is open
    session.receive(data)       bytes from the peer
    session.lose(fault)         the wire broke: end, time limit, reset
    session.next_event()        Opened, Upgrade, Derive, SendBody, Done, Failed; None when there is none
    session.tls_done()          after the handshake that Upgrade asked for
    session.derived(answer)     with the result of what Derive asked to compute
    session.begin(transaction)  after Opened, when ``can_begin``; rides when a content is unanswered
    session.end_body()          the stuffed content was written: queue the final dot
    session.quit(), session.abandon()

Theory: a send cursor walks the commands of the current transaction, a receive cursor walks the queue of
steps that were sent and not answered. PIPELINING decides only how far the first may run ahead of the second:
not at all (lockstep), to the end of the group (grouped), or beginning behind another message's unanswered
final dot (riding); there is no second code path. EHLO, STARTTLS, AUTH, DATA and QUIT end a group.

Rules: replies are counted; anything that comes while nothing is open ends the session, and so does a reply
that does not fit; refused but in step means RSET together with the next group. ``is_over`` means: close the
socket. Only a transaction whose final dot was put into ``data_to_send`` can end in doubt.
Sources: RFC 5321, RFC 2920, RFC 3207, RFC 4954.
"""

from collections import deque
from dataclasses import dataclass, replace
from itertools import islice
from typing import Generic

from postroom.errors import InvariantError
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.reply import Reply
from postroom.model.step import Step
from postroom.model.transport import SmtpAccount
from postroom.smtp import commands
from postroom.smtp.blanking import Blanking
from postroom.smtp.extensions import Extensions
from postroom.smtp.hosts import Mode
from postroom.smtp.opening import Decision, Derive, Opened, Opening, Send, Upgrade
from postroom.smtp.parser import Malformed, ReplyParser
from postroom.smtp.sasl import SignIn
from postroom.smtp.transaction import Key, Transaction, Turn, placed

MAX_UNANSWERED = 4096
"""Bytes of commands sent ahead of their replies. A peer that stops reading until we read would block both
sides; this much fits into any TCP buffer (Postfix has the same bound)."""

_LOCKSTEP, _GROUPED, _RIDING = Mode
_BODY, _BODY_END = Step.BODY, Step.BODY_END
_GO_ON, _SEND_BODY = Turn.GO_ON, Turn.SEND_BODY
"""By name: reading a member of an enum through its class costs 0.18 us and every reply asks for several."""


@dataclass(slots=True)
class SendBody(Generic[Key]):
    """The server waits for the content of this transaction: write it, then ``end_body``."""

    transaction: Transaction[Key]


@dataclass(slots=True)
class Done(Generic[Key]):
    """The transaction is over; its results stand."""

    transaction: Transaction[Key]


@dataclass(frozen=True, slots=True)
class Failed:
    """The session did not come as far as taking mail."""

    evidence: Evidence


Event = Upgrade | Derive | Opened | SendBody[Key] | Done[Key] | Failed


class ClientSession(Generic[Key]):
    """One connection's dialogue; see the card above."""

    def __init__(
        self,
        account: SmtpAccount,
        *,
        ehlo_name: str,
        is_loopback: bool,
        charset: str = "latin-1",
        sign_in: SignIn | None = None,
    ) -> None:
        """Begin to wait for the greeting. ``charset`` is the guess for replies that are not UTF-8."""
        self.mode = Mode.LOCKSTEP
        """How the next transaction is sent; the caller sets it from its memory of the host."""
        self.is_over = False
        self.trouble: Mode | None = None
        """The mode that the server said it does not bear."""
        self.suspect: Mode | None = None
        """The mode in which it hung up in the middle of a group."""
        self.completed = 0
        """Transactions that came to their end."""
        self.replies = 0
        """Replies read; a change begins a new time limit."""
        self._host = account.host
        self._port = account.port
        self._opening = Opening(account, ehlo_name=ehlo_name, is_loopback=is_loopback, sign_in=sign_in)
        self._is_open = False
        self._parser = ReplyParser(charset)
        self._out: list[bytes] = []
        self._expected: deque[tuple[Step, int]] = deque([(Step.GREETING, 0)])
        self._unanswered = 0
        self._events: deque[Event[Key]] = deque()
        self._current: Transaction[Key] | None = None
        self._ending: Transaction[Key] | None = None
        self._is_in_body = False
        self._needs_reset = False

    # ------------------------------------------------------------- what it says

    @property
    def extensions(self) -> Extensions:
        """What the server announced last."""
        return self._opening.extensions

    @property
    def blanking(self) -> Blanking:
        """What must not be kept of anything the server said."""
        return self._opening.blanking

    @property
    def can_begin(self) -> bool:
        """Whether ``begin`` may be called: nothing is open, or only a content that may be ridden on."""
        if not self._is_open or self.is_over or self._current is not None:
            return False
        return not self._expected or (self._ending is not None and self.mode is _RIDING)

    @property
    def is_past_dot(self) -> bool:
        """Whether a final dot is unanswered."""
        return self._ending is not None

    @property
    def waiting_step(self) -> Step | None:
        """The step whose reply is awaited; BODY while the content is being sent."""
        if self._expected:
            return self._expected[0][0]
        return _BODY if self._is_in_body else None

    def data_to_send(self) -> bytes:
        """Return what must be written now, in order."""
        if not self._out:
            return b""
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out = []
        return data

    def next_event(self) -> Event[Key] | None:
        """Return the oldest event not yet returned."""
        return self._events.popleft() if self._events else None

    # ------------------------------------------------------------- what it is told

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer; ``b""`` is its end."""
        if self.is_over:
            return
        if not data:
            self.lose(Fault(kind=FaultKind.CLOSED, text="connection closed by the server"))
            return
        for reply in self._parser.replies(data):
            if isinstance(reply, Malformed):
                self._malformed(reply)
            elif len(self._expected) > len(self._out) or (self._expected and reply.code == 421):
                # A command still in ``_out`` was not heard yet: no reply can be its own, 421 excepted,
                # which a server says when it likes (RFC 5321 section 3.8).
                self._take(reply)
            else:
                self._unasked(reply)
            if self.is_over:
                return
        if not self._expected and self._parser.has_bytes:
            self._out_of_step("bytes of a reply that nothing was asked for")

    def lose(self, fault: Fault) -> None:
        """Note that the wire broke; nothing more will come."""
        if self.is_over:
            return
        step = self.waiting_step
        if step is None:
            self._close()
            return
        current = self._current
        if current is not None and current.mode is not _LOCKSTEP and not self._is_in_body:
            is_stale = self._ending is None and current.answered == 0 and self.completed > 0
            if fault.kind is FaultKind.CLOSED and not is_stale:
                self.suspect = current.mode
        fault = placed(fault, step)
        if step is Step.GREETING and self._opening.is_encrypted and fault.kind is FaultKind.TIMEOUT:
            # By its port alone silence would mean a server that waits for TLS, and TLS was made.
            fault = replace(fault, cause=fault.cause or "unknown-timeout")
        self._end(self._evidence(step, fault=fault))

    def tls_done(self) -> None:
        """Go on after the handshake."""
        self._decide(self._opening.encrypted())

    def derived(self, answer: bytes) -> None:
        """Go on with the login."""
        if not self.is_over:
            self._decide(self._opening.derived(answer))

    def begin(self, transaction: Transaction[Key]) -> None:
        """Queue a transaction's commands. Raises InvariantError when an address may not stand in one."""
        if not self.can_begin:
            raise InvariantError("a transaction is begun while another is open")
        transaction.mode = self.mode
        if self.mode is _RIDING and self._ending is None:
            transaction.mode = _GROUPED
        transaction.prepare(self.extensions, host=self._host, port=self._port, reset=self._needs_reset)
        self._current = transaction
        if transaction.commands:
            self._needs_reset = False
            self._pump(transaction)
        else:
            self._finish(transaction)

    def end_body(self) -> None:
        """Queue the final dot: from here on the outcome is in doubt until the reply."""
        transaction = self._current
        if transaction is None or not self._is_in_body:
            raise InvariantError("the end of a content that was not asked for")
        self._is_in_body = False
        self._send_dot(transaction)

    def quit(self) -> None:
        """Take leave; call it when nothing is open."""
        self._send(Step.QUIT, commands.QUIT)

    def abandon(self) -> None:
        """Give up at once: what is past its dot is in doubt, what is not counts as not begun."""
        ending, current = self._ending, self._current
        self._close()
        if ending is not None:
            fault = placed(Fault(kind=FaultKind.CLOSED, text="gave up waiting"), _BODY_END)
            ending.finish(self._evidence(_BODY_END, fault=fault))
            self._events.append(Done(ending))
        if current is not None:
            self._events.append(Done(current))

    # ------------------------------------------------------------- sending

    def _send(self, step: Step, command: bytes) -> None:
        self._out.append(command)
        self._expected.append((step, len(command)))
        self._unanswered += len(command)

    def _pump(self, transaction: Transaction[Key]) -> None:
        """Send as many commands as the mode allows ahead of their replies."""
        out, expected, unanswered = self._out, self._expected, self._unanswered
        is_lockstep = transaction.mode is _LOCKSTEP
        for step, command in islice(transaction.commands, transaction.sent, None):
            size = len(command)
            if expected and (is_lockstep or unanswered + size > MAX_UNANSWERED):
                break
            out.append(command)
            expected.append((step, size))
            unanswered += size
            transaction.sent += 1
        self._unanswered = unanswered

    def _send_dot(self, transaction: Transaction[Key]) -> None:
        transaction.is_dot_sent = True
        self._current, self._ending = None, transaction
        self._send(_BODY_END, commands.FINAL_DOT)

    # ------------------------------------------------------------- replies

    def _take(self, reply: Reply) -> None:
        """Match a reply with the oldest command that has none."""
        self.replies += 1
        step, size = self._expected.popleft()
        self._unanswered -= size
        if step is _BODY_END:
            self._on_end(reply)
        elif not self._is_open:
            self._decide(self._opening.answer(step, reply))
        elif self._current is None:  # the reply to QUIT
            self._close()
        else:
            self._on_answer(self._current, step, reply)

    def _on_answer(self, transaction: Transaction[Key], step: Step, reply: Reply) -> None:
        turn = transaction.answer(step, reply)
        if turn is _GO_ON and reply.code != 421:
            if transaction.sent < len(transaction.commands):
                self._pump(transaction)
            elif not self._expected:
                self._needs_reset = transaction.is_begun
                self._finish(transaction)
        elif turn is _SEND_BODY:
            self._is_in_body = True
            self._events.append(SendBody(transaction))
        elif turn is Turn.TROUBLE:
            self.trouble = transaction.mode
            self._repeat(transaction, self._evidence(step, reply=reply))
        elif reply.code == 421:
            self._closing(transaction, step, reply)
        elif turn is Turn.LONE_DOT:
            self._send_dot(transaction)
        else:
            self._misfit(transaction, step, reply)

    def _on_end(self, reply: Reply) -> None:
        """Take the final reply to a content, or to a lone dot, whose reply means nothing."""
        transaction, self._ending = self._ending, None
        if transaction is None:
            raise InvariantError("a final reply without a content")
        is_misfit = reply.is_intermediate
        evidence = Evidence(step=_BODY_END, reply=reply, host=self._host, port=self._port)
        if is_misfit:
            evidence = self._evidence(_BODY_END, fault=_misfit_fault(_BODY_END, reply))
        transaction.finish(evidence)
        self.completed += 1
        self._events.append(Done(transaction))
        current = self._current
        if current is not None and reply.code >= 400 and "pipelin" in reply.text.lower():
            self.trouble = current.mode
        if reply.code == 421 or is_misfit or self.trouble is not None:
            if current is not None:
                self._repeat(current, replace(evidence, step=Step.MAIL))
            self._close()

    def _finish(self, transaction: Transaction[Key]) -> None:
        self._current = None
        self.completed += 1
        self._events.append(Done(transaction))

    def _closing(self, transaction: Transaction[Key], step: Step, reply: Reply) -> None:
        """421: the server ends the session. On a used connection that says nothing about this message."""
        evidence = self._evidence(step, reply=reply)
        told = [result for result in transaction.results if result is not None and result != evidence]
        if not self.completed:
            transaction.fill(evidence)
        elif told:
            transaction.results = [result if result in told else None for result in transaction.results]
        else:
            return self._repeat(transaction, evidence)
        return self._done(transaction)

    def _misfit(self, transaction: Transaction[Key], step: Step, reply: Reply) -> None:
        """A reply that does not fit its command: drop the connection for ever."""
        evidence = self._evidence(step, fault=_misfit_fault(step, reply))
        if step is Step.RSET:
            return self._repeat(transaction, evidence)
        if transaction.mode is not Mode.LOCKSTEP:
            self.trouble = transaction.mode
            return self._repeat(transaction, evidence)
        transaction.fill(evidence)
        return self._done(transaction)

    def _repeat(self, transaction: Transaction[Key], evidence: Evidence) -> None:
        """Nothing was handed over, the connection is to blame; ``evidence`` stands unless it is repeated."""
        transaction.fill(evidence)
        transaction.may_repeat = True
        self._done(transaction)

    def _done(self, transaction: Transaction[Key]) -> None:
        """End the session with this transaction's results as they are."""
        self._events.append(Done(transaction))
        self._close()

    def _decide(self, decision: Decision) -> None:
        match decision:
            case Send(step, data):
                self._send(step, data)
            case Opened():
                self._is_open = True
                self._events.append(decision)
            case Upgrade():
                if self._parser.has_bytes:
                    text = "bytes received before the tls handshake"
                    fault = Fault(kind=FaultKind.PROTOCOL, text=text, cause="starttls-injection")
                    self._end(self._evidence(Step.STARTTLS, fault=fault))
                else:
                    self._events.append(decision)
            case Derive():
                self._events.append(decision)
            case Evidence():
                self._end(decision)

    # ------------------------------------------------------------- the end

    def _malformed(self, found: Malformed) -> None:
        step = self.waiting_step or self._last_step
        cause = "greet-not-smtp" if step is Step.GREETING and found.is_foreign else None
        fault = Fault(kind=FaultKind.PROTOCOL, text=found.text, cause=cause)
        self._end(self._evidence(step, fault=placed(fault, step)))

    @property
    def _last_step(self) -> Step:
        """The step that was answered last when nothing is open."""
        return Step.RSET if self.completed else self._opening.last_step

    def _unasked(self, reply: Reply) -> None:
        """A reply while nothing is open: before the dot a refusal is believed, anything else is not."""
        if self._is_in_body and reply.code >= 400:
            self._end(self._evidence(Step.BODY, reply=reply))
        else:
            self._out_of_step(f"a reply that nothing was asked for: {reply.code} {reply.text[:120]}")

    def _out_of_step(self, text: str) -> None:
        step = self.waiting_step or self._last_step
        fault = placed(Fault(kind=FaultKind.PROTOCOL, text=text), step)
        self._end(self._evidence(step, fault=fault))

    def _end(self, evidence: Evidence) -> None:
        """End the session; ``evidence`` is what ended it, at the oldest open step."""
        if self._events and isinstance(self._events[-1], Opened):  # nobody was told yet: it never opened
            self._events.pop()
            self._is_open = False
        ending, current = self._ending, self._current
        self._close()
        if not self._is_open:
            self._events.append(Failed(self.blanking.evidence(evidence)))
        if ending is not None:
            ending.finish(evidence)
            self._events.append(Done(ending))
        if current is None:
            return
        if ending is not None:
            evidence = replace(evidence, step=Step.MAIL)  # it rode: not begun, whatever became of the other
        is_stale = current.answered == 0 and self.completed > 0
        current.fill(evidence)
        current.may_repeat = ending is not None or is_stale or self.suspect is not None
        self._events.append(Done(current))

    def _close(self) -> None:
        self.is_over = True
        self._current = self._ending = None
        self._expected.clear()
        self._out = []

    def _evidence(self, step: Step, *, reply: Reply | None = None, fault: Fault | None = None) -> Evidence:
        return Evidence(step=step, reply=reply, fault=fault, host=self._host, port=self._port)


def _misfit_fault(step: Step, reply: Reply) -> Fault:
    text = f"the reply {reply.code} {reply.text[:120]!r} does not fit"
    return placed(Fault(kind=FaultKind.PROTOCOL, text=text), step)

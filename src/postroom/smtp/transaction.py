"""One mail transaction: its commands, and what each reply means for each recipient.

Theory: the commands are a list (MAIL, a RCPT for each recipient, DATA) that a send cursor walks; replies
come back in the same order and are counted, never guessed from their codes. Only three things end in a
reply's being evidence: a refusal (4xx, 5xx) of a command, and any final reply to the content. A positive
reply to anything but the content is progress, and one that does not fit its command means that the two
sides no longer speak of the same thing (out of step).
"""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Generic, TypeVar

from postroom.model.address import Address
from postroom.model.message import ReportWish
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.reply import Reply
from postroom.model.step import Step
from postroom.smtp import commands
from postroom.smtp.extensions import Extensions
from postroom.smtp.hosts import Mode
from postroom.smtp.steps import STEPS

Key = TypeVar("Key")

_LOCKSTEP, _RSET, _MAIL, _RCPT, _DATA = Mode.LOCKSTEP, Step.RSET, Step.MAIL, Step.RCPT, Step.DATA
"""By name: reading a member of an enum through its class costs 0.18 us and every reply asks for several."""


class Turn(Enum):
    """What a reply does to the dialogue."""

    GO_ON = auto()
    SEND_BODY = auto()
    LONE_DOT = auto()
    """DATA was agreed to though nobody is left to receive: end it with an empty content."""
    OUT_OF_STEP = auto()
    TROUBLE = auto()
    """The server does not bear grouping."""


_GO_ON = Turn.GO_ON


class Transaction(Generic[Key]):
    """One message to some recipients over one connection.

    Attributes:
        key: whatever the caller knows it by.
        results: for each recipient the evidence, ``None`` while open and for one that was not begun.
        mode: how it was sent.
        may_size: SIZE may be given with MAIL when it is announced, and so may wishes for reports.
        passes_wishes: the server is given the sender's wishes for reports.
        may_repeat: nothing was handed over and the reason lies in the connection: instead of reporting
            the results it may be sent again on a fresh one.
    """

    __slots__ = (
        "_accepted",
        "_asked",
        "_eight_bit",
        "_host",
        "_is_odd",
        "_port",
        "_rcpt_replies",
        "_recipients",
        "_reports",
        "_reverse_path",
        "_size",
        "_smtputf8",
        "answered",
        "commands",
        "is_begun",
        "is_dot_sent",
        "key",
        "may_repeat",
        "may_size",
        "mode",
        "passes_wishes",
        "results",
        "sent",
    )

    def __init__(
        self,
        key: Key,
        *,
        reverse_path: Address,
        recipients: Sequence[Address],
        size: int,
        smtputf8: bool,
        eight_bit: bool = False,
        reports: ReportWish | None = None,
    ) -> None:
        """Take the envelope, the bytes before dot-stuffing, and what the content needs of a server.

        ``smtputf8``: an address in its header; ``eight_bit``: octets above 127.
        ``reports``: what its sender wishes to hear, for a server that takes such wishes.
        """
        self.key = key
        self.results: list[Evidence | None] = [None] * len(recipients)
        self.mode = _LOCKSTEP
        self.may_repeat = False
        self.may_size = True
        self.passes_wishes = False
        self.commands: list[tuple[Step, bytes]] = []
        self.sent = 0
        self.answered = 0
        self.is_begun = False
        self.is_dot_sent = False
        self._reverse_path = reverse_path
        self._recipients = recipients
        self._size = size
        self._smtputf8 = smtputf8 or not reverse_path.is_ascii
        self._eight_bit = eight_bit
        self._reports = reports
        self._asked: list[int] = []
        self._accepted: list[int] = []
        self._rcpt_replies = 0
        self._is_odd = False
        """A recipient was accepted after MAIL was refused: an empty content might reach somebody."""
        self._host = ""
        self._port = 0

    def prepare(self, extensions: Extensions, *, host: str, port: int, reset: bool) -> None:
        """Write the commands for this server; what it lacks becomes evidence and leaves no command.

        ``reset`` puts a RSET in front. Raises InvariantError when an address may not stand in a command.
        """
        self._host = host
        self._port = port
        if extensions.max_size is not None and self._size > extensions.max_size:
            text = f"the message has {self._size} bytes, the server takes {extensions.max_size}"
            return self._lacks(range(len(self.results)), text, "size")
        can_utf8 = extensions.smtputf8
        if self._smtputf8 and not can_utf8:
            return self._lacks(range(len(self.results)), "the server offers no SMTPUTF8", "smtputf8-needed")
        if self._eight_bit and not extensions.eight_bit:
            return self._lacks(range(len(self.results)), "the server offers no 8BITMIME", "needs-8bitmime")
        foreign = [number for number, address in enumerate(self._recipients) if not address.local.isascii()]
        if foreign and not can_utf8:
            self._lacks(foreign, "the server offers no SMTPUTF8", "smtputf8-needed")
        smtputf8 = self._smtputf8 or (bool(foreign) and can_utf8)
        self._asked = [number for number, told in enumerate(self.results) if told is None]
        if extensions.max_recipients is not None:
            del self._asked[extensions.max_recipients :]
        if not self._asked:
            return None
        reports = self._reports if extensions.dsn and self.may_size else None
        self.passes_wishes = reports is not None
        if reset:
            self.commands.append((_RSET, commands.RSET))
        mail = commands.mail(
            self._reverse_path,
            size=self._size if extensions.has_size and self.may_size else None,
            eight_bit=(smtputf8 or self._eight_bit) and extensions.eight_bit,
            smtputf8=smtputf8,
            reports=reports,
        )
        self.commands.append((_MAIL, mail))
        for number in self._asked:
            path = self._recipients[number]
            self.commands.append((_RCPT, commands.rcpt(path, smtputf8=smtputf8, reports=reports)))
        self.commands.append((_DATA, commands.DATA))
        return None

    def answer(self, step: Step, reply: Reply) -> Turn:
        """Take the reply to the oldest unanswered command, which was for ``step``."""
        if step is _RSET:
            return _GO_ON if reply.is_positive else Turn.OUT_OF_STEP
        self.answered += 1
        if reply.code >= 400 and self.mode is not _LOCKSTEP and self._is_trouble(step, reply):
            return Turn.TROUBLE
        if step is _RCPT:
            return self._on_rcpt(reply)
        return self._on_mail(reply) if step is _MAIL else self._on_data(reply)

    def _on_mail(self, reply: Reply) -> Turn:
        if reply.code >= 400:
            self.fill(self._evidence(_MAIL, reply))
            self.sent = len(self.commands)
        elif reply.code >= 300:
            return Turn.OUT_OF_STEP
        else:
            self.is_begun = True
        return _GO_ON

    def _on_rcpt(self, reply: Reply) -> Turn:
        number = self._asked[self._rcpt_replies]
        self._rcpt_replies += 1
        if reply.code < 300:
            if self.is_begun:
                self._accepted.append(number)
            else:
                self._is_odd = True
        elif reply.code < 400:
            return Turn.OUT_OF_STEP
        elif self.results[number] is None:
            self.results[number] = self._evidence(_RCPT, reply)
        if not self._accepted and self._rcpt_replies == len(self._asked):
            self.sent = len(self.commands)  # nobody is left: DATA, when not yet sent, is not
        return _GO_ON

    def _on_data(self, reply: Reply) -> Turn:
        if reply.code == 354:
            if self._is_odd:
                return Turn.OUT_OF_STEP
            return Turn.SEND_BODY if self._accepted else Turn.LONE_DOT
        if reply.code < 400:
            return Turn.OUT_OF_STEP
        self.finish(self._evidence(_DATA, reply))
        return _GO_ON

    def finish(self, evidence: Evidence) -> None:
        """Give ``evidence`` to every recipient that was accepted."""
        for number in self._accepted:
            self.results[number] = evidence

    def fill(self, evidence: Evidence) -> None:
        """Give ``evidence`` to every recipient that was asked for and has none."""
        results = self.results
        for number in self._asked:
            if results[number] is None:
                results[number] = evidence

    def _is_trouble(self, step: Step, reply: Reply) -> bool:
        """Say whether a refusal speaks of grouping and not of the message."""
        if "pipelin" in reply.text.lower():
            return True
        if reply.code != 503:
            return False
        match step:
            case Step.MAIL:
                return self.mode is Mode.RIDING
            case Step.RCPT:
                return self.is_begun
            case _:
                return bool(self._accepted)

    def _evidence(self, step: Step, reply: Reply) -> Evidence:
        return Evidence(step=step, reply=reply, host=self._host, port=self._port)

    def _lacks(self, numbers: Sequence[int], text: str, cause: str) -> None:
        fault = Fault(kind=FaultKind.CAPABILITY, text=text, cause=cause)
        evidence = Evidence(step=Step.MAIL, fault=fault, host=self._host, port=self._port)
        for number in numbers:
            self.results[number] = evidence


def placed(fault: Fault, step: Step) -> Fault:
    """Return ``fault`` with the words that say where it happened."""
    return Fault(kind=fault.kind, text=f"{fault.text} {STEPS[step].phrase}", cause=fault.cause)

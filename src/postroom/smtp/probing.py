"""A transaction that hands nothing over: MAIL, RCPT, RSET, so that a server says what it would say.

Rules: there is no DATA among its commands, whatever the server answers, so no content can ever follow; one
command at a time. ``Transcript`` reads the same bytes once more, to show what was said at each step.
"""

from postroom.model.address import Address
from postroom.model.reply import Reply
from postroom.model.step import Step
from postroom.smtp import commands
from postroom.smtp.extensions import Extensions
from postroom.smtp.parser import ReplyParser
from postroom.smtp.transaction import Transaction, Turn

SIZE = 1024
"""Bytes that MAIL announces where SIZE is known: a small mail."""


class ProbeTransaction(Transaction[None]):
    """Asks for one sender and one recipient, then takes both back."""

    __slots__ = ()

    def __init__(self, *, reverse_path: Address, recipient: Address) -> None:
        """Take the envelope."""
        super().__init__(None, reverse_path=reverse_path, recipients=(recipient,), size=SIZE, smtputf8=False)

    def prepare(self, extensions: Extensions, *, host: str, port: int, reset: bool) -> None:
        """Write the commands for this server: RSET stands where DATA would."""
        super().prepare(extensions, host=host, port=port, reset=reset)
        self.commands = [each for each in self.commands if each[0] is not Step.DATA]
        if self.commands:
            self.commands.append((Step.RSET, commands.RSET))

    def answer(self, step: Step, reply: Reply) -> Turn:
        """Take a reply; a refused recipient is no reason to leave without RSET."""
        turn = super().answer(step, reply)
        if step is Step.RCPT and turn is Turn.GO_ON:
            self.sent = len(self.commands) - 1
        return turn


class Transcript:
    """The last reply at each step."""

    def __init__(self, charset: str) -> None:
        """Take the charset guess for replies that are not UTF-8."""
        self.replies: dict[Step, Reply] = {}
        self._charset = charset
        self._parser = ReplyParser(charset)

    def take(self, step: Step, data: bytes) -> None:
        """Read bytes that came while the reply at ``step`` was awaited."""
        for reply in self._parser.replies(data):
            if isinstance(reply, Reply):
                self.replies[step] = reply

    def restart(self) -> None:
        """Begin anew after the handshake."""
        self._parser = ReplyParser(self._charset)

"""Ways out: one attempt, ready to be made, and the facts of what happened."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from postroom.mime.rendered import RenderedMessage, Variant
from postroom.model.address import Address
from postroom.model.ids import MessageId, TenantId
from postroom.model.message import Content, ReportWish
from postroom.model.outcome import Evidence
from postroom.model.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One attempt, ready to be made."""

    message_id: MessageId
    tenant: TenantId
    reverse_path: Address
    recipients: tuple[tuple[int, Address], ...]
    """Number in the envelope and address, of the recipients of this attempt."""
    rendered: RenderedMessage
    subject: str
    sender: str
    content: Content | None = None
    """What was rendered, as this way out shows it; for ways out that do not send a mail's bytes."""
    reports: ReportWish | None = None
    """To be passed on to a server that takes such wishes (RFC 3461)."""
    priority: int = 3
    """Of the message's class; of two attempts that wait for a connection the smaller number goes first."""
    commit: Callable[[], Awaitable[bool]]
    """Record durably that the final dot is next; awaited exactly once, after the last reply before the
    body's end and before the final dot is handed to the socket. ``False``: do not send the dot, drop the
    connection, report nothing for this work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLine:
    """What happened to one recipient."""

    recipient: int
    evidence: Evidence
    at: datetime
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Facts of one attempt. A recipient without a line was not begun and may be tried again freely."""

    lines: tuple[ReportLine, ...]
    passed_wishes: bool = False
    """The server was given the sender's wishes for reports, and took the commands with them."""


class Transport(Protocol):
    """A way out. ``attempt`` may be called many times at once, up to ``capacity``."""

    @property
    def name(self) -> str:
        """The configured name."""
        ...

    @property
    def capacity(self) -> int:
        """How many attempts it can usefully hold at once (connections, and one more each to ride)."""
        ...

    @property
    def max_recipients(self) -> int:
        """Recipients of one transaction."""
        ...

    @property
    def variant(self) -> Variant:
        """How messages are rendered for it."""
        ...

    @property
    def is_capture(self) -> bool:
        """Whether nothing leaves the machine."""
        ...

    def allow(self, connections: int) -> None:
        """Use at most so many connections from now on; those above it end when their attempt has ended."""
        ...

    async def attempt(self, work: Work) -> Report:
        """Make one attempt. Never raises for what a peer does."""
        ...

    async def stop(self, *, grace_s: float) -> None:
        """Take no new attempt; before the dot abort (not begun), after the dot wait up to ``grace_s``."""
        ...


class TokenSource(Protocol):
    """Where logins with a token get it. One refresh at a time, whoever asks meanwhile waits for it."""

    async def token(self, transport: str, *, rejected: Secret | None = None) -> Secret:
        """Return a token for this transport's account that lives at least another minute.

        ``rejected`` is one that the server refused: it is not returned again, and a token is refreshed at
        most once for it. Raises ``NetFault`` naming the cause when there is none: at step AUTH when it was
        refused, at step CONNECT when nobody could be asked.
        """
        ...

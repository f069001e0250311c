"""What the server core tells the shell, and what it may offer: values only.

Events that ask something (``StartTls``, ``Login``, ``MailGiven``, ``RecipientGiven``, ``ContentBegun``,
``ContentEnd``) are answered with one call of the session; nothing more comes before that.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from postroom.model.address import Address
from postroom.model.message import Notify
from postroom.model.secret import Secret
from postroom.smtp.server_replies import ServerReply


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """What one session announces and bears."""

    host: str
    """Our name, in the greeting and in the reply to EHLO."""
    max_size: int = 72 * 1024 * 1024
    """Bytes of a content (RFC 1870)."""
    max_recipients: int = 1000
    """Of one mail; RFC 5321 section 4.5.3.1.8 asks for at least 100."""
    starttls: bool = False
    """TLS can be started (RFC 3207)."""
    needs_login: bool = True
    """No mail without AUTH."""
    plain_login: bool = False
    """AUTH is taken without TLS: the client is on this machine."""
    max_hold: timedelta | None = None
    """How far ahead a mail may be held (RFC 4865); ``None`` offers no FUTURERELEASE."""
    min_deliver_by_s: int | None = None
    """The shortest BY in seconds (RFC 2852); ``None`` offers no DELIVERBY."""
    priorities: bool = True
    """MT-PRIORITY (RFC 6710)."""
    postmaster: Address | None = None
    """Whom ``<postmaster>`` without a domain means."""
    max_errors: int = 20
    """Wrong commands since the last mail; then 421 (Postfix has 20)."""
    max_idle_commands: int = 100
    """NOOP, RSET, EHLO and the like since the last mail; then 421 (Postfix has 100)."""
    max_failed_logins: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverBy:
    """BY of RFC 2852: a time limit and what to do when it is over."""

    seconds: int
    """From now; not positive only with ``returns`` false."""
    returns: bool
    """By-mode R: give the mail back undelivered; else N: only tell that it is late."""
    traces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What else came with MAIL; most clients give none of it."""

    full: bool | None = None
    """RET=FULL, RET=HDRS, or not said (RFC 3461)."""
    envelope_id: str = ""
    """ENVID, decoded."""
    hold_for: timedelta | None = None
    """HOLDFOR (RFC 4865)."""
    hold_until: datetime | None = None
    """HOLDUNTIL, aware."""
    deliver_by: DeliverBy | None = None
    priority: int | None = None
    """MT-PRIORITY, -9 to 9 (RFC 6710)."""


NO_WISHES = Wishes()


@dataclass(slots=True)
class StartTls:
    """Write ``output()``, make the handshake, then ``tls_started``; close when it fails."""


@dataclass(slots=True)
class Login:
    """Is this so? ``authenticated`` or ``refuse``."""

    username: str
    secret: Secret


@dataclass(slots=True)
class MailGiven:
    """A mail begins: ``accept`` or ``refuse``."""

    path: Address
    """The reverse path; ``NULL_PATH`` for ``<>``."""
    size: int | None = None
    """Announced bytes, not above the limit."""
    eight_bit: bool = False
    smtputf8: bool = False
    wishes: Wishes = NO_WISHES


@dataclass(slots=True)
class RecipientGiven:
    """One more recipient: ``accept`` or ``refuse``."""

    address: Address
    notify: frozenset[Notify] | None = None
    """NOTIFY; ``None`` when not said."""
    original: str = ""
    """ORCPT, ``type;address``, decoded."""


@dataclass(slots=True)
class ContentBegun:
    """The envelope is complete, with at least one recipient: ``accept`` or ``refuse``."""


@dataclass(slots=True)
class ContentChunk:
    """Bytes of the content, no dots stuffed, never empty, cut anywhere."""

    data: bytes


@dataclass(slots=True)
class ContentEnd:
    """The content ends, with CR LF unless it is empty: ``accept`` when it is stored, or ``refuse``."""

    size: int


@dataclass(slots=True)
class Aborted:
    """The mail that was begun is dropped; what was staged of it can go."""

    reply: ServerReply | None = None
    """Why, when the content was at fault; ``None``: the client said so."""


@dataclass(slots=True)
class Quit:
    """The client took leave; a mail that was begun is dropped."""


Event = (
    StartTls | Login | MailGiven | RecipientGiven | ContentBegun | ContentChunk | ContentEnd | Aborted | Quit
)

ASKING: frozenset[type] = frozenset([StartTls, Login, MailGiven, RecipientGiven, ContentBegun, ContentEnd])
"""Events that are answered before anything else happens."""


class Waits(Enum):
    """What a session waits for, which sets the time limit."""

    COMMAND = auto()
    CONTENT = auto()
    ANSWER = auto()
    """Of the shell."""

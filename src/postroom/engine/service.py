"""The engine as the doors see it: one object with every verb a door may use."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from postroom.engine.limits import MessageLimits
from postroom.model.ids import MessageId, TenantId
from postroom.model.message import Submission
from postroom.model.view import (
    ApiKey,
    CapturedMail,
    MessageFilter,
    MessageSummary,
    MessageView,
    QueueCounts,
    TransportPause,
)
from postroom.ports import StagedBlob


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The answer to an accepted submission: it is on stable storage."""

    message_id: MessageId
    transport: str
    is_capture: bool
    """Nothing will leave the machine."""
    is_replay: bool
    """The idempotency key was known: this is the earlier message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A cause in the reader's language; empty strings when the cause is empty or unknown."""

    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportStatus:
    """One transport for people."""

    name: str
    target: str
    """The account's URL without its secret, or ``capture``."""
    pause: TransportPause | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What ``postroom status`` and ``/readyz`` show."""

    mode: str
    """``live`` or ``capture``."""
    ready: bool
    problems: tuple[str, ...]
    """Why it is not ready, or what needs a look."""
    queue: QueueCounts
    transports: tuple[TransportStatus, ...]
    durability: str
    """What an acceptance means on this store, verified at start."""


class Service:
    """Submit, look, cancel. Raises only what ``errors`` draws; a door turns that into its dialect."""

    limits: MessageLimits

    @property
    def mode(self) -> str:
        """``live``, or ``capture`` when nothing leaves the machine."""
        raise NotImplementedError

    def stage(self, tenant: TenantId) -> StagedBlob:
        """Begin a file that a submission will name; discard it or commit it before ``submit``."""
        raise NotImplementedError

    async def submit(self, submission: Submission, *, senders: Sequence[str] = ()) -> Receipt:
        """Check, freeze and store one message; return after the commit.

        ``senders`` are the addresses and ``@domain`` forms the caller's key allows, empty for any.
        Raises InputError (all problems at once), TooLargeError, OverloadError, DiskFullError,
        UnknownOutcomeError.
        """
        raise NotImplementedError

    async def first_attempt(self, message_id: MessageId, *, tenant: TenantId, wait_s: float) -> MessageView:
        """Return the message after its first attempt or the pause of its transport, or after ``wait_s``."""
        raise NotImplementedError

    async def view(self, message_id: str, *, tenant: TenantId) -> MessageView:
        """Return one message. Raises NotFoundError.

        While a transport is paused its cause stands on every recipient that waits for it.
        """
        raise NotImplementedError

    async def list(self, wanted: MessageFilter) -> Sequence[MessageSummary]:
        """Return one page of messages, newest first."""
        raise NotImplementedError

    async def cancel(self, message_id: str, *, tenant: TenantId) -> MessageView:
        """Cancel what waits. Raises NotFoundError; ConflictError when nothing could be cancelled."""
        raise NotImplementedError

    def words(self, cause: str, *, language: str = "en") -> Words:
        """Return meaning and remedy of a cause id."""
        raise NotImplementedError

    async def status(self) -> Status:
        """Return the state of queue and transports."""
        raise NotImplementedError

    async def captured(self, *, before: int | None, limit: int) -> Sequence[CapturedMail]:
        """Return one page of captured mails, newest first."""
        raise NotImplementedError

    async def captured_source(self, number: int) -> tuple[CapturedMail, BinaryIO]:
        """Return one captured mail and its open source file. Raises NotFoundError."""
        raise NotImplementedError

    async def create_key(  # noqa: PLR0913 - the fields of a key
        self,
        name: str,
        *,
        scopes: frozenset[str],
        tenant: TenantId,
        senders: tuple[str, ...] = (),
        networks: tuple[str, ...] = (),
        secret: str | None = None,
    ) -> tuple[ApiKey, str]:
        """Create a key and return it with its secret, which is shown this once and not stored."""
        raise NotImplementedError

    async def keys(self) -> Sequence[ApiKey]:
        """Return every key."""
        raise NotImplementedError

    async def revoke_key(self, key_id: str) -> None:
        """Revoke a key by id or name. Raises NotFoundError."""
        raise NotImplementedError

    def key_for(self, secret: str) -> ApiKey | None:
        """Return the live key with this secret, from memory; constant time in the secret."""
        raise NotImplementedError

    async def backup(self, target: Path, *, now: datetime | None = None) -> None:
        """Write an online copy of the store to a new file."""
        raise NotImplementedError

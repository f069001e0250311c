"""The engine as the doors see it: one object with every verb a door may use."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from postroom.clock import Clock
from postroom.engine import freezing
from postroom.engine.alerting.desk import Alerts
from postroom.engine.alerting.forms import AlertCounts
from postroom.engine.hosting import Hosting, NoGuests
from postroom.engine.intake import Intake
from postroom.engine.keyring import KeyRing
from postroom.engine.limits import MessageLimits
from postroom.engine.signals import Signals
from postroom.engine.standing import Status, show, standing
from postroom.engine.templates import Templating
from postroom.engine.ways import Ways
from postroom.errors import ConflictError, NotFoundError, Problem
from postroom.model.address import Mailbox
from postroom.model.guest import Guest
from postroom.model.ids import DEFAULT_TENANT, MessageId, TenantId, is_message_id
from postroom.model.lifecycle import RecipientState
from postroom.model.message import Submission
from postroom.model.outcome import OutcomeKind
from postroom.model.route import Route
from postroom.model.view import (
    FOREVER,
    ApiKey,
    CapturedMail,
    MessageFilter,
    MessageSummary,
    MessageView,
    TransportPause,
)
from postroom.ports import Blobs, Captures, IdempotencyClaim, Replayed, Spool, StagedBlob
from postroom.ports.gauge import StoreGauge
from postroom.providers import replies


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


class Service:
    """Submit, look, cancel. Raises only what ``errors`` draws; a door turns that into its dialect."""

    templates: Templating
    """Set by the wiring."""
    alerts: Alerts
    """Set by the wiring."""

    def __init__(  # noqa: PLR0913 - the wiring hands over every part by name
        self,
        *,
        spool: Spool,
        blobs: Blobs,
        captures: Captures,
        ways: Ways,
        intake: Intake,
        signals: Signals,
        keyring: KeyRing,
        limits: MessageLimits,
        clock: Clock,
        durability: str,
        gauge: StoreGauge | None = None,
    ) -> None:
        """Take the parts; without a ``gauge`` the state of the store is not told."""
        self._spool = spool
        self._blobs = blobs
        self._captures = captures
        self._ways = ways
        self._intake = intake
        self._signals = signals
        self._keyring = keyring
        self._clock = clock
        self._durability = durability
        self._gauge = gauge
        self._started_at = clock.now()
        self.guests: Hosting = NoGuests()
        """Where accounts that callers bring stay; set by the wiring."""
        self.needs_a_look: Callable[[], Sequence[str]] = tuple
        """Returns sentences for the status beside those about store and transports; set by the wiring."""
        self.counts_of_alerts: Callable[[], Awaitable[AlertCounts]] | None = None
        """How many alerts and letters there are; set by the wiring where there are any."""
        self.limits = limits
        self.smtp_urls: tuple[str, ...] = ()
        """Where the SMTP door listens; set by the wiring."""
        self.is_stopping = False
        """Set by the wiring when the process is asked to end: not ready any more."""

    @property
    def mode(self) -> str:
        """``live``, or ``capture`` when nothing leaves the machine."""
        return self._ways.mode

    @property
    def default_from(self) -> Mailbox | None:
        """Sender of messages that name none, where the first transport sends them."""
        return self._ways.default.default_from

    # ------------------------------------------------------------------ messages

    def stage(self, tenant: TenantId) -> StagedBlob:
        """Begin a file that a submission will name; commit it before ``submit``, or discard it."""
        return self._blobs.stage(tenant)

    async def submit(
        self,
        submission: Submission,
        *,
        senders: Sequence[str] = (),
        route: Route | None = None,
        guest: Guest | None = None,
    ) -> Receipt:
        """Check, freeze and store one message; return after the commit.

        ``senders`` are the addresses and ``@domain`` forms the caller's key allows, empty for any; ``route``
        is taken instead of what the rules would choose; ``guest`` is an account the caller brought, by which
        this mail and no other is sent.
        Raises InputError (all problems at once), TooLargeError, OverloadError, DiskFullError,
        UnknownOutcomeError.
        """
        if guest is None:
            stored = await self._intake.submit(submission, senders=senders, route=route)
        else:
            async with self.guests.hosted(guest) as record:
                stored = await self._intake.submit(submission, senders=senders, guest=record)
        message_id, way, is_replay = stored
        return Receipt(
            message_id=message_id,
            transport=way.name,
            is_capture=way.transport.is_capture,
            is_replay=is_replay,
        )

    async def earlier(self, submission: Submission) -> Receipt | None:
        """Return the message that this submission repeats under its key, ``None`` when it repeats none."""
        if submission.idempotency_key is None:
            return None
        now = self._clock.now()
        claim = IdempotencyClaim(
            key=submission.idempotency_key, fields=freezing.field_digests(submission), keep_until=now
        )
        found = await self._spool.earlier_use(claim, tenant=submission.tenant, now=now)
        if not isinstance(found, Replayed):
            return None
        view = await self.view(found.message_id, tenant=submission.tenant)
        is_capture = self.mode == "capture"
        return Receipt(message_id=view.id, transport=view.transport, is_capture=is_capture, is_replay=True)

    async def first_attempt(self, message_id: MessageId, *, tenant: TenantId, wait_s: float) -> MessageView:
        """Return the message after its first attempt or the pause of its transport, or after ``wait_s``."""
        # The waiter is registered before the look, so that no attempt can fall in between.
        waiter = self._signals.watch(message_id, self._ways.default.name)
        try:
            view = await self.view(message_id, tenant=tenant)
            if not self._is_waiting(view):
                return view
            if view.transport != self._ways.default.name and not waiter.done():
                self._signals.unwatch(message_id, waiter)
                waiter = self._signals.watch(message_id, view.transport)
            try:
                async with asyncio.timeout(wait_s):
                    await waiter
            except TimeoutError:
                pass
            return await self.view(message_id, tenant=tenant)
        finally:
            self._signals.unwatch(message_id, waiter)

    def _is_waiting(self, view: MessageView) -> bool:
        way = self._ways.any_named(view.transport)
        is_sending = any(recipient.state is RecipientState.SENDING for recipient in view.recipients)
        if way is not None and way.is_paused(self._clock.now()) and not is_sending:
            return False
        # Who was suppressed at acceptance gets no attempt; the others are waited for all the same.
        waiting = [one for one in view.recipients if one.state is not RecipientState.SUPPRESSED]
        return bool(waiting) and all(
            recipient.state in (RecipientState.QUEUED, RecipientState.SENDING)
            and not any(attempt.outcome in _SETTLED for attempt in recipient.attempts)
            for recipient in waiting
        )

    async def view(self, message_id: str, *, tenant: TenantId) -> MessageView:
        """Return one message. Raises NotFoundError.

        While a transport is paused its cause stands on every recipient that waits for it.
        """
        view = None
        if is_message_id(message_id):
            view = await self._spool.view(MessageId(message_id), tenant=tenant)
        if view is None:
            raise NotFoundError(f"there is no message {message_id!r}")
        way = self._ways.any_named(view.transport)
        return view if way is None or way.pause is None else _with_pause(view, way.pause)

    async def list(self, wanted: MessageFilter) -> Sequence[MessageSummary]:
        """Return one page of messages, newest first."""
        return await self._spool.list(wanted)

    async def cancel(self, message_id: str, *, tenant: TenantId) -> MessageView:
        """Cancel what waits. Raises NotFoundError; ConflictError when nothing could be cancelled."""
        before = await self.view(message_id, tenant=tenant)
        after = await self._spool.cancel(before.id, tenant=tenant, now=self._clock.now())
        if all(after.get(recipient.number) == recipient.state for recipient in before.recipients):
            states = ", ".join(
                f"{recipient.address}: {recipient.state}" for recipient in before.recipients[:20]
            )
            raise ConflictError(
                Problem(
                    code="nothing-to-cancel",
                    field="id",
                    cause=f"no recipient is queued, deferred or held ({states})",
                    fix="Only mail that still waits can be cancelled.",
                )
            )
        return await self.view(message_id, tenant=tenant)

    def words(self, cause: str, *, language: str = "en") -> Words:
        """Return meaning and remedy of a cause id."""
        meaning, remedy = replies.words(cause, language) if cause else ("", "")
        return Words(meaning=meaning, remedy=remedy)

    # ------------------------------------------------------------------ state

    async def status(self) -> Status:
        """Return the state of queue, transports and store."""
        status = await standing(
            spool=self._spool,
            ways=self._ways,
            gauge=self._gauge,
            clock=self._clock,
            is_stopping=self.is_stopping,
            durability=self._durability,
        )
        return replace(
            status,
            problems=(*status.problems, *self.needs_a_look()),
            started_at=self._started_at,
            smtp_urls=self.smtp_urls,
            alerts=None if self.counts_of_alerts is None else await self.counts_of_alerts(),
        )

    async def show(self) -> None:
        """Fill the gauges that monitoring reads."""
        show(await self.status())

    async def backup(self, target: Path) -> None:
        """Write an online copy of the store to a new file. Raises ConflictError when it exists."""
        if await asyncio.to_thread(target.exists):
            raise ConflictError(
                Problem(
                    code="backup-exists",
                    field="path",
                    cause=f"{target} exists",
                    fix="Name a file that does not exist yet; a backup never overwrites.",
                )
            )
        await self._spool.backup(target)

    # ------------------------------------------------------------------ capture inbox

    async def captured(self, *, before: int | None, limit: int) -> Sequence[CapturedMail]:
        """Return one page of captured mails, newest first."""
        return await self._captures.page(before=before, limit=limit)

    async def captured_source(self, number: int) -> tuple[CapturedMail, BinaryIO]:
        """Return one captured mail and its open source file. Raises NotFoundError."""
        mail = await self._captures.one(number)
        if mail is None:
            raise NotFoundError(f"there is no captured mail {number}")
        return mail, self._blobs.open(DEFAULT_TENANT, mail.source)

    # ------------------------------------------------------------------ keys

    async def create_key(
        self,
        name: str,
        *,
        scopes: frozenset[str],
        tenant: TenantId,
        senders: tuple[str, ...] = (),
        networks: tuple[str, ...] = (),
    ) -> tuple[ApiKey, str]:
        """Create a key and return it with its secret, which is shown this once and not stored."""
        return await self._keyring.create(
            name, scopes=scopes, tenant=tenant, senders=senders, networks=networks
        )

    async def keys(self) -> Sequence[ApiKey]:
        """Return every key, without its hash."""
        return await self._keyring.all()

    async def revoke_key(self, key_id: str) -> None:
        """Revoke a key by id or name. Raises NotFoundError."""
        await self._keyring.revoke(key_id)

    def key_for(self, secret: str) -> ApiKey | None:
        """Return the live key with this secret, from memory."""
        return self._keyring.find(secret)


_SETTLED = frozenset(kind.value for kind in OutcomeKind)


def _with_pause(view: MessageView, pause: TransportPause) -> MessageView:
    """Put a pause's cause on every recipient that waits for the transport."""
    waiting = (RecipientState.QUEUED, RecipientState.DEFERRED)

    def after(due_at: datetime | None) -> datetime | None:
        return None if pause.until >= FOREVER else max(due_at or pause.until, pause.until)

    recipients = tuple(
        replace(recipient, cause=pause.cause, due_at=after(recipient.due_at))
        if recipient.state in waiting
        else recipient
        for recipient in view.recipients
    )
    if all(recipient.state not in waiting for recipient in view.recipients):
        return view
    return replace(view, recipients=recipients, next_attempt_at=after(view.next_attempt_at))

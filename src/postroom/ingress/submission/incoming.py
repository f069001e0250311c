"""One mail while it comes in: its envelope, its header, and its body in bounded memory.

A body above ``SMALL_BODY`` goes into a file as it comes; what is at fault with it or with the disk is kept
until the content has ended, because a client hears a reply only then.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from postroom.model.address import NULL_PATH, Address
from postroom.model.message import BlobRef, Notify, ReportWish, Submission
from postroom.policy.submitting import Terms, and_of_delay, terms_of
from postroom.ports import StagedBlob
from postroom.schema.raw_submission import (
    SMALL_BODY,
    Arrival,
    RawEnvelope,
    RawReader,
    RawWishes,
    raw_submission,
)
from postroom.smtp.server_events import MailGiven, RecipientGiven


class IncomingMail:
    """What was said of a mail, and what came of it."""

    __slots__ = (
        "_blob",
        "_failure",
        "_held",
        "_notify",
        "_original",
        "_reader",
        "given",
        "recipients",
    )

    def __init__(self, given: MailGiven) -> None:
        """Begin with what came with MAIL."""
        self.given = given
        self.recipients: list[Address] = []
        self._notify: dict[Address, frozenset[Notify]] = {}
        self._original: dict[Address, str] = {}
        self._reader = RawReader()
        self._held = bytearray()
        self._blob: StagedBlob | None = None
        self._failure: Exception | None = None

    def add(self, recipient: RecipientGiven) -> None:
        """Take one more recipient."""
        self.recipients.append(recipient.address)
        if recipient.notify is not None:
            self._notify[recipient.address] = recipient.notify
        if recipient.original:
            self._original[recipient.address] = recipient.original

    def take(self, data: bytes, stage: Callable[[], StagedBlob]) -> None:
        """Take the next bytes of the content; a file is begun with ``stage`` when they get many."""
        self._held += self._reader.feed(data)
        if len(self._held) <= SMALL_BODY:
            return
        held, self._held = bytes(self._held), bytearray()
        if self._failure is not None or self._reader.problem is not None:
            return
        try:
            if self._blob is None:
                self._blob = stage()
            self._blob.write(held)
        except Exception as error:  # noqa: BLE001 - supervision point: whatever it is, it is told at the end
            self._failure = error
            self.discard()

    async def end(self, arrival: Arrival, now: datetime) -> Submission:
        """Return the whole mail. Raises InputError, DiskFullError, StoreError, OverloadError, OSError."""
        self._held += self._reader.finish()
        if self._failure is not None:
            raise self._failure
        rest = bytes(self._held)
        body: bytes | BlobRef = rest
        if self._blob is not None and self._reader.problem is None:
            body = await asyncio.to_thread(_stored, self._blob, rest)
        given = self.given
        return raw_submission(
            self._reader,
            body,
            envelope=RawEnvelope(
                reverse_path=given.path, recipients=self.recipients, smtputf8=given.smtputf8
            ),
            arrival=arrival,
            wishes=self._wishes(now),
        )

    def discard(self) -> None:
        """Remove what was staged; does nothing when it is stored."""
        if self._blob is not None:
            self._blob.discard()
            self._blob = None

    def _wishes(self, now: datetime) -> RawWishes:
        terms = terms_of(self.given.wishes, now=now)
        return RawWishes(
            send_at=terms.send_at,
            expires_at=terms.expires_at,
            relative=terms.relative,
            mail_class=terms.mail_class,
            reports=self._reports(terms),
        )

    def _reports(self, terms: Terms) -> ReportWish | None:
        if self.given.path == NULL_PATH:
            return None
        wishes, notify = self.given.wishes, self._notify
        return ReportWish(
            to=self.given.path,
            full=wishes.full,
            envelope_id=wishes.envelope_id,
            notify=notify if terms.late_at is None else and_of_delay(notify, self.recipients),
            original=self._original,
            late_at=terms.late_at,
            is_limited="expires_at" in terms.relative,
        )


def _stored(blob: StagedBlob, rest: bytes) -> BlobRef:
    """Write what is left and make the file durable; blocking."""
    blob.write(rest)
    return blob.commit()

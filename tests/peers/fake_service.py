"""A service in memory for tests of the doors: it stores submissions and answers from what was stored."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from postroom.engine.limits import MessageLimits
from postroom.engine.service import Receipt, Service, Words
from postroom.engine.standing import Status, TransportStatus
from postroom.engine.templates import TemplateOrder, Templating
from postroom.errors import ConflictError, InputError, NotFoundError, Problem
from postroom.model.guest import Guest
from postroom.model.ids import DEFAULT_TENANT, MessageId, TenantId, new_message_id
from postroom.model.lifecycle import RecipientState
from postroom.model.message import BlobRef, Submission
from postroom.model.route import Route
from postroom.model.template import Rendered, TemplatePin
from postroom.model.view import (
    ApiKey,
    AttemptView,
    CapturedMail,
    MessageFilter,
    MessageSummary,
    MessageView,
    QueueCounts,
    RecipientView,
)
from postroom.ports import StagedBlob

NOW = datetime(2030, 1, 31, 12, 0, 0, tzinfo=UTC)
KEY = "test-key-with-all-scopes"
SCOPES = frozenset({"send", "read", "operate", "admin", "tenant-smtp"})
SOURCE = b"Subject: captured\r\n\r\n<script>alert(1)</script>\r\n"


class MemoryBlob:
    """A staged blob in memory."""

    def __init__(self, kept: dict[str, bytes]) -> None:
        self.data = b""
        self.is_discarded = False
        self._kept = kept

    @property
    def size(self) -> int:
        return len(self.data)

    def write(self, data: bytes) -> None:
        self.data += data

    def commit(self) -> BlobRef:
        digest = hashlib.sha256(self.data).hexdigest()
        self._kept[digest] = self.data
        return BlobRef(digest, len(self.data))

    def discard(self) -> None:
        self.is_discarded = True


class NoTemplates(Templating):
    """Refuses every template."""

    def __init__(self) -> None:
        pass

    async def rendered(self, order: TemplateOrder, tenant: TenantId) -> tuple[Rendered, TemplatePin]:  # noqa: ARG002 - as the real one
        problem = Problem(code="template-unknown", field="template", cause="none here", fix="Use none.")
        raise InputError([problem])


class FakeService(Service):
    """Stores what it is given; ``failure`` is raised by the next submissions instead."""

    def __init__(self, *, mode: str = "live") -> None:
        self._mode = mode
        self.templates = NoTemplates()
        self.limits = MessageLimits()
        self.is_ready = True
        self.submissions: dict[str, Submission] = {}
        self.by_key: dict[tuple[str, str], str] = {}
        self.blobs: dict[str, bytes] = {}
        self.staged: list[MemoryBlob] = []
        self.senders: Sequence[str] = ()
        self.failure: Exception | None = None
        self.state = RecipientState.QUEUED
        self.backups: list[Path] = []
        self.asked: list[MessageFilter] = []
        self._keys = {KEY: _key("all", SCOPES)}
        self._number = 0

    @property
    def mode(self) -> str:
        return self._mode

    def add_key(self, secret: str, *scopes: str, networks: tuple[str, ...] = ()) -> None:
        self._keys[secret] = replace(_key(secret, frozenset(scopes)), networks=networks)

    def stage(self, tenant: TenantId) -> StagedBlob:
        assert DEFAULT_TENANT == tenant
        self.staged.append(MemoryBlob(self.blobs))
        return self.staged[-1]

    async def submit(
        self,
        submission: Submission,
        *,
        senders: Sequence[str] = (),
        route: Route | None = None,
        guest: Guest | None = None,
    ) -> Receipt:
        assert route is None
        assert guest is None
        if self.failure is not None:
            raise self.failure
        self.senders = senders
        key = (submission.tenant, submission.idempotency_key or "")
        known = self.by_key.get(key) if submission.idempotency_key else None
        if known is not None and replace(self.submissions[known], subject="") != replace(
            submission, subject=""
        ):
            raise InputError(
                [Problem(code="idempotency-key-reused", field="to", cause="differs", fix="Use a new key.")]
            )
        if known is None:
            self._number += 1
            known = new_message_id(NOW, self._number.to_bytes(16, "big"))
            self.submissions[known] = submission
            self.by_key[key] = known
            is_replay = False
        else:
            is_replay = True
        return Receipt(
            message_id=MessageId(known),
            transport="main",
            is_capture=self._mode == "capture",
            is_replay=is_replay,
        )

    async def first_attempt(self, message_id: MessageId, *, tenant: TenantId, wait_s: float) -> MessageView:
        assert 0 <= wait_s <= 30
        return await self.view(message_id, tenant=tenant)

    async def view(self, message_id: str, *, tenant: TenantId) -> MessageView:
        submission = self.submissions.get(message_id)
        if submission is None or submission.tenant != tenant:
            raise NotFoundError(f"there is no message {message_id!r}")
        refused = self.state is RecipientState.REFUSED
        attempt = AttemptView(
            at=NOW,
            transport="main",
            step="rcpt",
            code=550,
            enhanced="5.1.1",
            text="5.1.1 no such user",
            outcome="refused",
            duration_ms=12,
            cause="unknown-user",
            host="mx.example.com",
        )
        return MessageView(
            id=MessageId(message_id),
            tenant=tenant,
            door=submission.door,
            mail_class=submission.mail_class,
            transport="main",
            created_at=NOW,
            expires_at=NOW,
            next_attempt_at=None,
            sender="shop@example.com",
            subject=submission.subject,
            tags=submission.tags,
            metadata=submission.metadata,
            recipients=tuple(
                RecipientView(
                    number=number,
                    address=box.address.spec,
                    state=self.state,
                    cause="unknown-user" if refused else "",
                    due_at=None,
                    attempts=(attempt,) if refused else (),
                )
                for number, box in enumerate(submission.to)
            ),
        )

    async def list(self, wanted: MessageFilter) -> Sequence[MessageSummary]:
        self.asked.append(wanted)
        return [
            MessageSummary(
                id=MessageId(message_id),
                mail_class=one.mail_class,
                transport="main",
                created_at=NOW,
                next_attempt_at=NOW,
                sender="shop@example.com",
                subject=one.subject,
                tags=one.tags,
                counts={self.state: len(one.to)},
            )
            for message_id, one in list(self.submissions.items())[: wanted.limit]
        ]

    async def cancel(self, message_id: str, *, tenant: TenantId) -> MessageView:
        view = await self.view(message_id, tenant=tenant)
        if self.state is not RecipientState.QUEUED:
            raise ConflictError(
                Problem(code="nothing-to-cancel", field="id", cause="nothing waits", fix="Leave it.")
            )
        self.state = RecipientState.CANCELLED
        return await self.view(view.id, tenant=tenant)

    def words(self, cause: str, *, language: str = "en") -> Words:
        return (
            Words(meaning=f"{cause} ({language})", remedy="Ask.") if cause else Words(meaning="", remedy="")
        )

    async def status(self) -> Status:
        return Status(
            mode=self._mode,
            ready=self.is_ready,
            problems=() if self.is_ready else ("<the server> is stopping",),
            queue=QueueCounts(by_state={RecipientState.QUEUED: 3}, oldest_open_at=NOW),
            seen_at=NOW,
            transports=(TransportStatus(name="main", target="smtps://smtp.example.com:465", pause=None),),
            durability="fsync before every answer",
        )

    async def captured(self, *, before: int | None, limit: int) -> Sequence[CapturedMail]:
        return [_captured(number) for number in (3, 2, 1) if before is None or number < before][:limit]

    async def captured_source(self, number: int) -> tuple[CapturedMail, BinaryIO]:
        if not 1 <= number <= 3:
            raise NotFoundError(f"there is no captured mail {number}")
        return _captured(number), io.BytesIO(SOURCE)

    async def create_key(
        self,
        name: str,
        *,
        scopes: frozenset[str],
        tenant: TenantId,
        senders: tuple[str, ...] = (),
        networks: tuple[str, ...] = (),
    ) -> tuple[ApiKey, str]:
        secret = f"secret-of-{name}-long-enough"
        key = replace(_key(name, scopes), senders=senders, networks=networks, tenant=tenant)
        self._keys[secret] = key
        return key, secret

    async def keys(self) -> Sequence[ApiKey]:
        return list(self._keys.values())

    async def revoke_key(self, key_id: str) -> None:
        for secret, key in self._keys.items():
            if key.id == key_id:
                del self._keys[secret]
                return
        raise NotFoundError(f"there is no key {key_id!r}")

    def key_for(self, secret: str) -> ApiKey | None:
        return self._keys.get(secret)

    async def backup(self, target: Path) -> None:
        self.backups.append(target)


def _key(name: str, scopes: frozenset[str]) -> ApiKey:
    return ApiKey(
        id=f"id-{name}", name=name, sha256=b"", scopes=scopes, tenant=DEFAULT_TENANT, created_at=NOW
    )


def _captured(number: int) -> CapturedMail:
    return CapturedMail(
        number=number,
        message_id=new_message_id(NOW, bytes(16)),
        captured_at=NOW,
        reverse_path="shop@example.com",
        recipients=("kim@example.com",),
        subject="captured",
        sender="shop@example.com",
        source=BlobRef("0" * 64, len(SOURCE)),
    )

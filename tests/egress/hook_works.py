"""A webhook transport for tests, the mails it posts, and what came of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from egress.works import file_blobs, work
from postroom.clock import SystemClock
from postroom.egress.webhook import WebhookTransport
from postroom.engine.mail_files import StoredMailFiles
from postroom.model.address import parse_mailbox
from postroom.model.message import Attachment, BlobRef, Content, Disposition
from postroom.model.secret import Secret
from postroom.model.transport import HookTarget, TransportKind, TransportSpec
from postroom.policy.links import LinkKeys, Links
from postroom.ports import Blobs, Work
from postroom.schema.hook_spec import sent_headers

ACCEPTED_AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LINKS = Links(public_url="https://mail.example.com/", keys=LinkKeys((b"k" * 32,)))


def content(**changes: Any) -> Content:
    """A mail to two people, one of them blind, with HTML."""
    mail = Content(
        message_id="1@example.com",
        date=ACCEPTED_AT,
        boundary="b",
        from_=parse_mailbox("Ann Example <ann@example.com>"),
        to=(parse_mailbox("to@example.net"),),
        cc=(parse_mailbox("cc@example.net"),),
        reply_to=(parse_mailbox("desk@example.com"),),
        subject="hello",
        html="<p>hi</p>",
    )
    return replace(mail, **changes)


def posted(*recipients: str, mail: Content | None = None, **changes: Any) -> Work:
    """An attempt at some of a mail's recipients."""
    addressed = recipients or ("to@example.net", "cc@example.net", "blind@example.org")
    return replace(work(*addressed), content=mail or content(), **changes)


@asynccontextmanager
async def webhook(
    url: str,
    data: Path,
    *,
    links: Links | None = LINKS,
    headers: dict[str, str] | None = None,
    **changes: Any,
) -> AsyncIterator[WebhookTransport]:
    """Run a transport; ``changes`` go to the target or, by name, to the spec."""
    target = HookTarget(
        url=url, headers={name: Secret(value) for name, value in (headers or {}).items()}, timeout_s=5.0
    )
    fields = set(HookTarget.__dataclass_fields__) & set(changes)
    target = replace(target, **{name: changes.pop(name) for name in fields})
    spec = TransportSpec(name="hook", kind=TransportKind.WEBHOOK, hook=target, max_connections=2)
    transport = WebhookTransport(
        replace(spec, **changes),
        files=StoredMailFiles(file_blobs(data)),
        clock=SystemClock(),
        links=links,
        headers=sent_headers(target),
    )
    try:
        yield transport
    finally:
        await transport.stop(grace_s=1.0)


def stored(blobs: Blobs, data: bytes) -> BlobRef:
    staged = blobs.stage(work().tenant)
    staged.write(data)
    return staged.commit()


def attached(blobs: Blobs, name: str, data: bytes, *, content_id: str | None = None) -> Attachment:
    return Attachment(
        filename=name,
        content_type="image/png" if content_id else "application/pdf",
        blob=stored(blobs, data),
        content_id=content_id,
        disposition=Disposition.INLINE if content_id else Disposition.ATTACHMENT,
    )

"""The mail that a webhook is told of, from the stored content: texts, and files with their contents.

A mail in its own bytes is read into the same fields. File names are made harmless as in the MIME writer, so
that a link and the file behind it have one name.
"""

import asyncio
from collections.abc import Sequence

from postroom.errors import InvariantError
from postroom.mime.filenames import safe_filename
from postroom.model.ids import TenantId
from postroom.model.message import BlobRef, Content, Disposition
from postroom.policy.hook_mail import HookFile, HookMail
from postroom.ports import BlobSource, Work


class StoredMailFiles:
    """Reads from the store's files (the ``MailFiles`` of a webhook)."""

    def __init__(self, blobs: BlobSource) -> None:
        """Take the files."""
        self._blobs = blobs

    async def described(self, work: Work, content: Content) -> HookMail:
        """Return the mail with its files, which have no links yet. Recipients are all that To and Cc name."""
        return HookMail(
            id=work.message_id,
            message_id=content.message_id,
            date=content.date,
            from_=content.from_,
            sender=content.sender,
            to=content.to,
            cc=content.cc,
            reply_to=content.reply_to,
            subject=content.subject,
            text=content.text,
            html=content.html,
            headers=content.headers,
            in_reply_to=content.in_reply_to,
            references=content.references,
            files=files_of(content),
        )

    async def contents(self, tenant: TenantId, content: Content) -> Sequence[bytes]:
        """Return each file's content. Raises OSError, InvariantError when one is not as it was stored."""
        return await asyncio.to_thread(
            lambda: [self._read(tenant, attachment.blob) for attachment in content.attachments]
        )

    def _read(self, tenant: TenantId, ref: BlobRef) -> bytes:
        if not self._blobs.is_intact(tenant, ref):
            raise InvariantError("it is missing or not as it was stored")
        with self._blobs.open(tenant, ref) as file:
            return file.read()


def files_of(content: Content) -> tuple[HookFile, ...]:
    """Return the files of a mail that was handed in by fields."""
    return tuple(
        HookFile(
            name=safe_filename(one.filename, number),
            content_type=one.content_type,
            content_id=one.content_id,
            is_inline=one.disposition is Disposition.INLINE,
        )
        for number, one in enumerate(content.attachments, start=1)
    )

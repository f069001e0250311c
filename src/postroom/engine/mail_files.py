"""A stored mail as others are told of it: its texts, and its files by number.

One numbering for the webhooks that post links and for the door that serves them: the mail's attachments in
their order; of a mail in its own bytes, what reading it finds. File names are made harmless as in the MIME
writer, so that a link and the file behind it have one name.
"""

import asyncio
import io
import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO

from postroom.errors import InvariantError
from postroom.mime.filenames import safe_filename
from postroom.mime.reading import ReadFile, ReadMail, Source, read_mail
from postroom.model.address import Mailbox
from postroom.model.ids import MessageId, TenantId, is_message_id
from postroom.model.message import BlobRef, Content, Disposition, RawMail
from postroom.policy.hook_mail import HookFile, HookMail
from postroom.policy.links import FilePlace
from postroom.ports import BlobSource, Spool, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFile:
    """One file, opened for reading."""

    name: str
    content_type: str
    size: int
    """Bytes."""
    source: BinaryIO
    """At its beginning; whoever gets it closes it."""
    is_in_memory: bool = False
    """Decoded from a mail in its own bytes; else read from the disk."""


class StoredMailFiles:
    """Reads from the store's files."""

    def __init__(self, blobs: BlobSource) -> None:
        """Take the files."""
        self._blobs = blobs

    async def described(self, work: Work, content: Content) -> HookMail:
        """Return the mail with its files, which have no links yet. Raises OSError."""
        if content.raw is None:
            return _mail(work, content, to=content.to, cc=content.cc, files=_files(content))
        return await asyncio.to_thread(self._described_raw, work, content, content.raw)

    async def contents(self, tenant: TenantId, content: Content) -> Sequence[bytes]:
        """Return each file's content. Raises OSError, InvariantError when one is not as it was stored."""
        return await asyncio.to_thread(self._contents, tenant, content)

    def opened(self, tenant: TenantId, content: Content, number: int) -> MailFile | None:
        """Return one file, ``None`` when the mail has no such one. Blocking; raises OSError."""
        if content.raw is not None:
            with self._read(tenant, content.raw) as mail:
                if number >= len(mail.files):
                    return None
                one, data = mail.files[number], mail.files[number].content()
                return MailFile(
                    name=one.filename,
                    content_type=one.content_type,
                    size=len(data),
                    source=io.BytesIO(data),
                    is_in_memory=True,
                )
        if number >= len(content.attachments):
            return None
        blob, shown = content.attachments[number].blob, _files(content)[number]
        source = self._blobs.open(tenant, blob)
        return MailFile(name=shown.name, content_type=shown.content_type, size=blob.size, source=source)

    # ------------------------------------------------------------------ parts

    def _described_raw(self, work: Work, content: Content, raw: RawMail) -> HookMail:
        with self._read(work.tenant, raw) as mail:
            return _mail(
                work,
                content,
                to=mail.to,
                cc=mail.cc,
                files=tuple(map(_raw_file, mail.files)),
                reply_to=content.reply_to or mail.reply_to,
                texts=(mail.text, mail.html),
            )

    def _contents(self, tenant: TenantId, content: Content) -> list[bytes]:
        if content.raw is not None:
            with self._read(tenant, content.raw) as mail:
                return [one.content() for one in mail.files]
        return [self._content(tenant, attachment.blob) for attachment in content.attachments]

    def _content(self, tenant: TenantId, ref: BlobRef) -> bytes:
        if not self._blobs.is_intact(tenant, ref):
            raise InvariantError("it is missing or not as it was stored")
        with self._blobs.open(tenant, ref) as file:
            return file.read()

    @contextmanager
    def _read(self, tenant: TenantId, raw: RawMail) -> Iterator[ReadMail]:
        """Read a mail in its own bytes; a large body is not copied. What it gives ends with the block."""
        if isinstance(raw.body, bytes):
            yield read_mail(raw.head, raw.body)
            return
        with self._blobs.open(tenant, raw.body) as file:
            if not raw.body.size:
                yield read_mail(raw.head, b"")
                return
            source: Source = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            yield read_mail(raw.head, source)


class SharedFiles:
    """The files that links name."""

    def __init__(self, spool: Spool, blobs: BlobSource) -> None:
        """Take the store."""
        self._spool = spool
        self._files = StoredMailFiles(blobs)
        self._reading = asyncio.Lock()
        """One file at a time is decoded: that takes several times its size."""

    async def opened(self, place: FilePlace) -> MailFile | None:
        """Return the file of a link; ``None`` when its mail's content is deleted, or has no such file."""
        if not is_message_id(place.message):
            return None
        tenant = TenantId(place.tenant)
        message = await self._spool.message(MessageId(place.message), tenant=tenant)
        if message is None:
            return None
        content = message.content
        try:
            async with nullcontext() if content.raw is None else self._reading:
                return await asyncio.to_thread(self._files.opened, tenant, content, place.number)
        except FileNotFoundError:
            return None


def _mail(
    work: Work,
    content: Content,
    *,
    to: tuple[Mailbox, ...],
    cc: tuple[Mailbox, ...],
    files: tuple[HookFile, ...],
    reply_to: tuple[Mailbox, ...] | None = None,
    texts: tuple[str | None, str | None] | None = None,
) -> HookMail:
    text, html = (content.text, content.html) if texts is None else texts
    return HookMail(
        id=work.message_id,
        message_id=content.message_id,
        date=content.date,
        from_=content.from_,
        sender=content.sender,
        to=to,
        cc=cc,
        reply_to=content.reply_to if reply_to is None else reply_to,
        subject=content.subject,
        text=text,
        html=html,
        headers=content.headers,
        in_reply_to=content.in_reply_to,
        references=content.references,
        files=files,
    )


def _files(content: Content) -> tuple[HookFile, ...]:
    return tuple(
        HookFile(
            name=safe_filename(one.filename, number),
            content_type=one.content_type,
            content_id=one.content_id,
            is_inline=one.disposition is Disposition.INLINE,
        )
        for number, one in enumerate(content.attachments, start=1)
    )


def _raw_file(one: ReadFile) -> HookFile:
    return HookFile(
        name=one.filename,
        content_type=one.content_type,
        content_id=one.content_id,
        is_inline=one.disposition is Disposition.INLINE,
    )

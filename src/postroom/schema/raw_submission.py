"""Mail in its own bytes, for every door that takes it: read in chunks, then judged as a whole.

``RawReader`` takes the content as it comes (dots unstuffed), keeps the header and gives back what belongs to
the body, to be kept in memory or staged. ``raw_submission`` makes a ``Submission`` of header, body, envelope
and the facts of the door, or raises ``InputError`` with everything that is wrong.

Rules: nothing here raises for what a peer sends while it is being sent, so that a door can read to the end
and then answer. The header is kept as it is but for what ``mime.raw`` removes; the fields that a door adds
(Received, and Date and Message-ID where they lack) are written at acceptance, so that a repeated mail is the
same submission. Counts and sizes of a whole message, sender rights and times against the clock are intake's.

Sources: RFC 5321 sections 4.4 and 4.5.2, RFC 5322 sections 2.1.1 and 3.6, RFC 3848.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from io import IncrementalNewlineDecoder

from postroom.errors import Problem
from postroom.mime import raw
from postroom.mime.address_fields import read_mailboxes
from postroom.mime.decoded_words import decode_words, one_line
from postroom.model.address import Address, AddressError, Mailbox
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.model.message import BlobRef, Door, MailClass, RawMail, ReportWish, Submission, UncertainPolicy
from postroom.schema.submission import (
    MAX_MSG_ID,
    MAX_SUBJECT,
    Problems,
    read_class,
    read_instant,
    read_key,
    read_metadata,
    read_tags,
)

MAX_HEAD = 256 * 1024
"""Octets of a header (security limit); a thousand recipients in To are 40 KiB."""
MAX_LINE = 998
"""Octets of a line without CR LF, RFC 5322 section 2.1.1."""
MAX_AUTHOR = 4096
"""Octets of a From (security limit): what was read of a thousand of them is kept in memory."""
MAX_MULTIPARTS = 200
"""Multiparts in one mail (security limit): whoever reads it opens them one in another."""
SMALL_BODY = 64 * 1024
"""Octets up to which a body is better kept in memory than in a file."""

_END = b"\r\n\r\n"
_MULTIPART = b"multipart/"
_TO = frozenset({b"to", b"cc", b"bcc"})
_RESENT = frozenset({b"resent-to", b"resent-cc", b"resent-bcc"})
_ADDRESS_FIELDS = (b"from", b"sender", b"reply-to", b"to", b"cc", b"resent-from", b"resent-to", b"resent-cc")
_WORD = re.compile(r'[^\x00-\x20<>(),;:"]++')
"""What an address field has between the marks of its grammar; one with an at sign is an address."""
_HELO = re.compile(r"[A-Za-z0-9._\-]{1,255}\Z|\[[0-9A-Za-z.:]{2,60}\]\Z")


class RawReader:
    """Takes the content of one mail in chunks.

    Attributes:
        head: the header fields, once they are complete.
        size: octets taken so far.
        has_8bit: an octet above 127 came.
        problem: what is wrong with the bytes; from then on everything is taken and nothing given back.
    """

    __slots__ = (
        "_buffer",
        "_ends",
        "_in_body",
        "_line",
        "_multiparts",
        "_tail",
        "has_8bit",
        "head",
        "problem",
        "size",
    )

    def __init__(self) -> None:
        """Begin before the first octet."""
        self.head = b""
        self.size = 0
        self.has_8bit = False
        self.problem: Problem | None = None
        self._buffer = bytearray()
        self._in_body = False
        self._ends = IncrementalNewlineDecoder(None, translate=False)
        self._line = 0
        self._multiparts: int | None = None
        """How many came; ``None`` while the header names none."""
        self._tail = b""
        """The end of the chunk before, in which another may begin."""

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes; return those that belong to the body."""
        self.size += len(chunk)
        if self.problem is not None or not chunk:
            return b""
        self._look_at(chunk)
        if self.problem is not None:
            return b""
        if self._in_body:
            self._count(chunk)
            return chunk
        return self._split(chunk)

    def finish(self) -> bytes:
        """End the mail; return what the body lacks at its end (a CR LF that was not sent, else nothing)."""
        self._ends.decode("", final=True)
        self._check_ends()
        if self.problem is not None:
            return b""
        if not self._in_body:
            self.head = bytes(self._buffer) + (b"\r\n" if self._line else b"")
            self._buffer.clear()
            return b""
        return b"\r\n" if self._line else b""

    def _look_at(self, chunk: bytes) -> None:
        if not chunk.isascii():
            self.has_8bit = True
        self._ends.decode(chunk.decode("latin-1"))
        self._check_ends()
        if b"\0" in chunk:
            self._found(code="raw-nul", cause="a NUL octet", fix="Send binary data as base64 (RFC 2045).")
        self._check_lines(chunk)

    def _check_ends(self) -> None:
        if self._ends.newlines not in (None, "\r\n"):
            cause = "a line that ends with CR or LF alone"
            self._found(
                code="raw-line-end", cause=cause, fix="End every line with CR LF (RFC 5321 section 2.3.8)."
            )

    def _check_lines(self, chunk: bytes) -> None:
        """Find a line that is too long: hop from line end to line end, as far as one line may reach."""
        most, start, size = MAX_LINE + 2 - self._line, 0, len(chunk)
        while size - start > most:
            start = chunk.rfind(b"\n", start, start + most) + 1
            if start == 0:
                cause = f"a line of more than {MAX_LINE} octets"
                fix = "Break the line, or send the text as quoted-printable or base64."
                return self._found(code="raw-line-too-long", cause=cause, fix=fix)
            most = MAX_LINE + 2
        last = chunk.rfind(b"\n")
        self._line = size - last - 1 if last >= 0 else self._line + size
        return None

    def _split(self, chunk: bytes) -> bytes:
        """Look for the empty line after the header."""
        buffer = self._buffer
        seen = max(len(buffer) - 3, 0)
        buffer += chunk
        if buffer.startswith(b"\r\n"):
            end, after = 0, 2
        else:
            end = buffer.find(_END, seen) + 2
            after = end + 2
        if end == 1:
            if len(buffer) > MAX_HEAD:
                self._too_large()
            return b""
        if end > MAX_HEAD:
            self._too_large()
            return b""
        whole = bytes(buffer) if len(buffer) > len(chunk) else chunk
        buffer.clear()
        self.head, body = whole[:end], whole[after:]
        self._in_body = True
        if b"multipart" in self.head.lower():
            self._multiparts = 0
            self._count(body)
        return body

    def _too_large(self) -> None:
        cause = f"a header of more than {MAX_HEAD} bytes"
        self._found(code="raw-head-too-large", cause=cause, fix="Give fewer or shorter header fields.")

    def _count(self, chunk: bytes) -> None:
        if self._multiparts is None:
            return
        text = self._tail + chunk.lower()
        self._tail = text[1 - len(_MULTIPART) :]
        self._multiparts += text.count(_MULTIPART)
        if self._multiparts > MAX_MULTIPARTS:
            cause = f"more than {MAX_MULTIPARTS} multiparts"
            self._found(code="raw-too-deep", cause=cause, fix="Send the parts as files, or as several mails.")

    def _found(self, *, code: str, cause: str, fix: str) -> None:
        if self.problem is None:
            self.problem = Problem(code=code, field="mail", cause=cause, fix=fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawEnvelope:
    """Who sends and who receives, apart from what the header says."""

    reverse_path: Address | None = None
    """MAIL FROM: ``NULL_PATH`` for the null one, ``None`` when nothing was said."""
    recipients: Sequence[Address] = ()
    """Empty: the addresses of To, Cc and Bcc are taken, or of their Resent forms when there are any."""
    and_header: bool = False
    """Those of the header are taken even beside others."""
    smtputf8: bool = False
    """The client asked for SMTPUTF8 (RFC 6531 section 3.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Facts of the door, most of them for the Received field."""

    door: Door
    tenant: TenantId = DEFAULT_TENANT
    by: str = "localhost"
    """Name of this host; not checked again."""
    protocol: str = "ESMTP"
    """As registered: ESMTP, ESMTPS, ESMTPA, ESMTPSA, UTF8SMTP... (RFC 3848, RFC 6531), HTTP."""
    helo: str = ""
    """What the client calls itself: a host name or an address literal; anything else is left out."""
    peer: str = ""
    """Its address, empty for a caller on this machine that has none."""
    tls: str = ""
    """Version and cipher, for example ``TLSv1.3 TLS_AES_256_GCM_SHA384``; empty without TLS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawWishes:
    """What the door was told beside the mail; a field of the header that says something else wins."""

    send_at: datetime | None = None
    expires_at: datetime | None = None
    relative: Mapping[str, timedelta] = field(default_factory=dict)
    """Which of them were counted from the arrival, as in ``Submission``."""
    mail_class: MailClass | None = None
    uncertain_policy: UncertainPolicy | None = None
    idempotency_key: str | None = None
    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    reports: ReportWish | None = None


NO_WISHES = RawWishes()


def raw_submission(
    reader: RawReader,
    body: bytes | BlobRef,
    *,
    envelope: RawEnvelope,
    arrival: Arrival,
    wishes: RawWishes = NO_WISHES,
) -> Submission:
    """Make a submission of a mail that was read to its end. Raises InputError with all problems.

    ``body`` is what ``feed`` and ``finish`` gave back, or the file it was staged in.
    """
    problems = Problems()
    if reader.problem is not None:
        problems.found.append(reader.problem)
        problems.raise_any()
    header = _header(reader.head, problems)
    problems.raise_any()
    values = header.values
    ours = [number for number, name in enumerate(header.names) if name.startswith(raw.OURS)]
    said = _Said([header.fields[number] for number in ours], problems) if ours else _NOTHING
    from_ = _author(values, problems)
    recipients = list(envelope.recipients)
    if envelope.and_header or not recipients:
        recipients += _recipients_of(header, problems)
    reverse_path = envelope.reverse_path
    if reverse_path is None or (from_ is not None and reverse_path.is_same(from_.address)):
        sender = None
    else:
        sender = Mailbox(reverse_path)
    mail = RawMail(
        head=_kept(reader.head, header, has_ours=bool(ours)),
        body=body,
        needs_8bit=reader.has_8bit,
        needs_smtputf8=not reader.head.isascii() and (envelope.smtputf8 or _has_foreign_address(values)),
        trace=_trace(arrival),
        is_dated=not _is_blank(values, b"date"),
    )
    submission = Submission(
        tenant=arrival.tenant,
        door=arrival.door,
        from_=from_,
        sender=sender,
        bcc=tuple([Mailbox(address) for address in recipients]),
        subject=decode_words(raw.value_of(values.get(b"subject", b"")))[:MAX_SUBJECT],
        tags=said.tags or tuple(wishes.tags),
        metadata=said.metadata or wishes.metadata,
        mail_class=said.mail_class or wishes.mail_class or MailClass.TRANSACTIONAL,
        uncertain_policy=wishes.uncertain_policy,
        send_at=said.send_at or wishes.send_at,
        expires_at=said.expires_at or wishes.expires_at,
        relative={name: time for name, time in wishes.relative.items() if getattr(said, name) is None},
        idempotency_key=said.idempotency_key or wishes.idempotency_key,
        raw=mail,
        message_id=_message_id(values),
        reports=wishes.reports,
    )
    return problems.unless_any(submission)


# --------------------------------------------------------------------------- the header


@dataclass(frozen=True, slots=True)
class _Header:
    """The fields of a header; their names in lower case, and the last value of each."""

    fields: list[raw.Field]
    names: list[bytes]
    values: Mapping[bytes, bytes]


def _header(head: bytes, problems: Problems) -> _Header:
    """Return a header that can be read in one way only."""
    fields = raw.read_fields(head)
    if fields is None:
        problems.add(
            "raw-header-syntax",
            "mail",
            "the header has a line that is no field",
            "Write `Name: value` in each line, no blank before the colon, and an empty line before the text.",
        )
        return _Header([], [], {})
    if len(fields) > raw.MAX_FIELDS:
        cause = f"{len(fields)} header fields, at most {raw.MAX_FIELDS}"
        problems.add("limit-exceeded", "mail", cause, "Give fewer header fields.")
        return _Header([], [], {})
    names = [name.lower() for name, _ in fields]
    values = {name: value for name, (_, value) in zip(names, fields, strict=True)}
    if len(values) < len(names):
        _check_repeated(names, problems)
    return _Header(fields, names, values)


def _check_repeated(names: Sequence[bytes], problems: Problems) -> None:
    for name in raw.doubled(names):
        label = name.decode()
        fix = "Write one; programs differ in which of two they show."
        problems.add("raw-header-twice", label, "stands more than once in the header", fix)
    if names.count(b"received") > raw.MAX_RECEIVED:
        cause = f"the mail came through more than {raw.MAX_RECEIVED} servers: it goes round in a circle"
        problems.add("mail-loop", "mail", cause, "Look where the servers hand mail to each other.")


def _kept(head: bytes, header: _Header, *, has_ours: bool) -> bytes:
    """Return the header without what a door removes."""
    values = header.values
    blank = {b"date"} if _is_blank(values, b"date") else set()
    if _message_id(values) is None:  # acceptance will write one, also where `<>` stands
        blank.add(b"message-id")
    gone = raw.REMOVED | blank
    if not has_ours and gone.isdisjoint(values):
        return head
    return raw.written(
        [
            field
            for name, field in zip(header.names, header.fields, strict=True)
            if name not in gone and not name.startswith(raw.OURS)
        ]
    )


def _is_blank(values: Mapping[bytes, bytes], name: bytes) -> bool:
    return not values.get(name, b"").strip()


def _author(values: Mapping[bytes, bytes], problems: Problems) -> Mailbox | None:
    value = values.get(b"from")
    if value is None:
        problems.add("from-missing", "from", "the header has no From", "Add a From field with one address.")
        return None
    try:
        return _author_of(value)
    except AddressError as error:
        problems.add("address-invalid", "from", error.cause, error.fix)
        return None


@lru_cache(maxsize=1024)
def _author_of(value: bytes) -> Mailbox:
    """Read a From; a program writes the same one in every mail."""
    if len(value) > MAX_AUTHOR:
        raise AddressError(f"From has {len(value)} octets, at most {MAX_AUTHOR}", "Shorten the name.")
    boxes = read_mailboxes(raw.value_of(value))
    if len(boxes) != 1 or value.rstrip().endswith(b";"):
        cause = f"From holds {len(boxes)} addresses or a group, exactly one address is allowed"
        raise AddressError(cause, "Write one address; put others into Reply-To.")
    return boxes[0]


def _mailboxes(value: bytes, name: str, problems: Problems) -> Sequence[Mailbox] | None:
    try:
        return read_mailboxes(raw.value_of(value))
    except AddressError as error:
        problems.add("address-invalid", name, error.cause, error.fix)
        return None


def _recipients_of(header: _Header, problems: Problems) -> list[Address]:
    """Return the addresses of To, Cc and Bcc; of the Resent fields when there are any."""
    named = [(name, value) for name, (_, value) in zip(header.names, header.fields, strict=True)]
    resent = [one for one in named if one[0] in _RESENT]
    found: list[Address] = []
    for name, value in resent or named:
        if name in _RESENT or name in _TO:
            boxes = _mailboxes(value, name.decode(), problems) or ()
            found += [box.address for box in boxes]
    return found


@lru_cache(maxsize=256)
def _trace(arrival: Arrival) -> str:
    return raw.trace_words(
        by=arrival.by,
        protocol=arrival.protocol,
        helo=arrival.helo if _HELO.match(arrival.helo) else "",
        peer=arrival.peer,
        tls=arrival.tls,
    )


def _message_id(values: Mapping[bytes, bytes]) -> str | None:
    """Return the Message-ID without brackets, whatever its form, ``None`` when there is none."""
    text = raw.value_of(values.get(b"message-id", b""))
    if not text.isprintable():
        text = one_line(text)
    return text.removeprefix("<").removesuffix(">")[:MAX_MSG_ID] or None


def _has_foreign_address(values: Mapping[bytes, bytes]) -> bool:
    """Say whether an address has a character above 127. Linear, whatever stands there."""
    shown = [raw.value_of(values[name]) for name in _ADDRESS_FIELDS if not values.get(name, b"").isascii()]
    return any("@" in word and not word.isascii() for value in shown for word in _WORD.findall(value))


class _Said:
    """What the header says to us, in fields that go no further."""

    def __init__(self, fields: Sequence[raw.Field], problems: Problems) -> None:
        self.tags: tuple[str, ...] = ()
        self.metadata: dict[str, str] = {}
        self.mail_class: MailClass | None = None
        self.send_at: datetime | None = None
        self.expires_at: datetime | None = None
        self.idempotency_key: str | None = None
        for name, value in fields:
            self._take(name[len(raw.OURS) :].decode(), decode_words(raw.value_of(value)), problems)
        if self.tags:
            read_tags(self.tags, problems)
        if self.metadata:
            read_metadata(self.metadata, problems)

    def _take(self, name: str, value: str, problems: Problems) -> None:
        lower = name.lower()
        if lower in ("tag", "tags"):
            self.tags += tuple([tag for tag in map(str.strip, value.split(",")) if tag])
        elif lower == "class":
            self.mail_class = read_class(value, problems)
        elif lower == "send-at":
            self.send_at = read_instant(value, "send_at", problems)
        elif lower == "expires-at":
            self.expires_at = read_instant(value, "expires_at", problems)
        elif lower == "idempotency-key":
            self.idempotency_key = read_key(value, problems)
        elif lower.startswith("metadata-"):
            self.metadata[name[len("metadata-") :]] = value
        else:
            fix = "Known are Tag, Class, Send-At, Expires-At, Idempotency-Key and Metadata-NAME."
            problems.add("unknown-field", f"X-Postroom-{name}", "there is no such field", fix)


_NOTHING = _Said((), Problems())

"""A raw mail as it goes over the wire: its own bytes, and for a variant the few fields that it names.

A subject prefix edits Subject; a way out that sends as its account alone edits From, drops Sender and adds
the Reply-To that lacks. Every other field stays octet by octet, and the body is never touched.

``check_raw`` is the second look at what was written, as ``parseback`` has it for mail that we wrote whole.

Sources: RFC 5322 sections 2.2 and 3.6, RFC 2047 section 6.2.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

from postroom.errors import InvariantError
from postroom.mime import headers, raw
from postroom.mime.address_fields import read_mailboxes
from postroom.mime.decoded_words import decode_words
from postroom.mime.encoded_words import encode_words, looks_encoded
from postroom.mime.rendered import RawSegment, RenderedMessage, Variant
from postroom.model.address import Address, AddressError
from postroom.model.message import Content, RawMail

RAW_VERSION = b"postroom-raw-1\n"
"""Begins every digest of a raw mail."""
_CRLF = b"\r\n"


def render_raw(content: Content, mail: RawMail, variant: Variant) -> RenderedMessage:
    """Write a raw mail for a variant."""
    head = _edited(content, mail.head, variant) if _edits(variant) else mail.head
    body = mail.body
    digest = sha256(RAW_VERSION)
    segments: tuple[bytes | RawSegment, ...]
    if isinstance(body, bytes):
        whole = head + _CRLF + body
        digest.update(whole)
        segments, size = (whole,), len(whole)
    else:
        start = head + _CRLF
        digest.update(b"%d:%b%b" % (len(start), start, body.sha256.encode()))
        segments, size = (start, RawSegment(body)), len(start) + body.size
    return RenderedMessage(
        segments=segments,
        size=size,
        digest=digest.hexdigest(),
        needs_smtputf8=mail.needs_smtputf8,
        needs_8bit=mail.needs_8bit,
    )


def check_raw(rendered: RenderedMessage, content: Content, mail: RawMail, variant: Variant) -> None:
    """Read the header that was written and compare it with what was asked for.

    Raises InvariantError naming the first difference.
    """
    start = rendered.segments[0]
    end = rendered.size - (mail.size - len(mail.head))
    if not isinstance(start, bytes) or start[end : end + 2] != _CRLF:
        raise InvariantError("a raw mail whose body does not follow its header")
    head = start[:end]
    fields = raw.read_fields(head)
    if fields is None:
        raise InvariantError("a header that cannot be read back")
    names = [name.lower() for name, _ in fields]
    if raw.doubled(names) or not raw.REMOVED.isdisjoint(names):
        raise InvariantError("a header with a field that may not be there, or not twice")
    if names.count(b"from") != 1:
        raise InvariantError("a header without one From")
    _check_author(fields[names.index(b"from")][1], variant.applied(content))
    if _edits(variant):
        _check_rest(fields, mail)


def _check_author(value: bytes, content: Content) -> None:
    if _authors(value) != [content.from_.address]:
        raise InvariantError("From holds another address than asked for")


@lru_cache(maxsize=1024)
def _authors(value: bytes) -> list[Address]:
    """Read a From; a program writes the same one in every mail."""
    try:
        return [box.address for box in read_mailboxes(raw.value_of(value))]
    except AddressError as error:
        raise InvariantError("From cannot be read back") from error


_EDITED = frozenset({b"from", b"sender", b"reply-to", b"subject"})


def _check_rest(fields: Sequence[raw.Field], mail: RawMail) -> None:
    before = raw.read_fields(mail.head) or []
    if [one for one in fields if one[0].lower() not in _EDITED] != [
        one for one in before if one[0].lower() not in _EDITED
    ]:
        raise InvariantError("a field was changed that no variant names")


def _edits(variant: Variant) -> bool:
    return bool(variant.subject_prefix) or variant.account is not None


def _edited(content: Content, head: bytes, variant: Variant) -> bytes:
    """Return the header with what the variant changes, each field in its place."""
    if variant.subject_prefix:
        head = with_subject_prefix(head, variant.subject_prefix)
    if variant.account is None:
        return head
    shown = variant.applied(content)
    fields = raw.read_fields(head) or []
    if shown.from_ is content.from_:
        return raw.written([one for one in fields if one[0].lower() != b"sender"])
    written = []
    for one in fields:
        name = one[0].lower()
        if name == b"from":
            written.append(headers.mailboxes("From", (shown.from_,)).encode())
        elif name != b"sender":
            written.append(b"%b:%b\r\n" % one)
    if not any(name.lower() == b"reply-to" for name, _ in fields):
        written.append(headers.mailboxes("Reply-To", (content.from_,)).encode())
    return b"".join(written)


def with_subject_prefix(head: bytes, prefix: str) -> bytes:
    """Return a header with text put before its subject; without a Subject it gets one."""
    fields = raw.read_fields(head)
    if fields is None:
        raise InvariantError("a header that cannot be read")
    for number, (name, value) in enumerate(fields):
        if name.lower() == b"subject":
            fields[number] = (name, _prefixed(prefix, value))
            return raw.written(fields)
    return head + headers.unstructured("Subject", prefix).encode()


def _prefixed(prefix: str, value: bytes) -> bytes:
    """Return a subject's value behind a prefix: written anew when it can be read whole, else as it stands."""
    text = decode_words(raw.value_of(value))
    if "\ufffd" in text or looks_encoded(text):
        kept = value.lstrip(b" \t\r\n")
        if not kept.startswith(b"=?"):
            prefix = prefix.rstrip(" ")  # the fold before the kept text shows as one blank
        words = "\r\n ".join(encode_words(prefix, headers.MAX_COLUMN - len("Subject: ")))
        return f" {words}\r\n ".encode() + kept
    return headers.unstructured("Subject", prefix + text).encode()[len("Subject:") : -2]

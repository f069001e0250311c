"""The rendered message: bytes and blob files in wire order, and the variant they were rendered for."""

from dataclasses import dataclass, replace

from postroom.model.address import Address, Mailbox
from postroom.model.message import BlobRef, Content
from postroom.model.transport import FromPolicy, TransportSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What a transport changes in a message. Wire bytes are a pure function of (content, variant)."""

    subject_prefix: str = ""
    """Put verbatim before the subject."""
    account: Address | None = None
    """The only From that the way out takes: another one becomes the name of the account, and the Reply-To
    of a message that has none."""

    def applied(self, content: Content) -> Content:
        """Return the content with the sender that this variant shows; the same object when nothing changes.

        Beside the account there is no Sender header: whoever takes one From alone takes no other sender.
        """
        account, wished = self.account, content.from_
        if account is None:
            return content
        if wished.address.is_same(account):
            return content if content.sender is None else replace(content, sender=None)
        author = Mailbox(account, wished.name or wished.address.spec)
        return replace(content, from_=author, sender=None, reply_to=content.reply_to or (wished,))


DEFAULT_VARIANT = Variant()


def variant_of(spec: TransportSpec) -> Variant:
    """Return what a transport changes in every message."""
    rewrites = spec.from_policy is FromPolicy.REWRITE
    return Variant(subject_prefix=spec.subject_prefix, account=spec.identity if rewrites else None)


@dataclass(frozen=True, slots=True)
class BlobSegment:
    """A blob file, to be written as base64 in lines of 76 characters with CR LF (RFC 2045 section 6.8)."""

    ref: BlobRef

    @property
    def wire_size(self) -> int:
        """Bytes on the wire, the last line's CR LF included."""
        encoded = (self.ref.size + 2) // 3 * 4
        return encoded + (encoded + 75) // 76 * 2


@dataclass(frozen=True, slots=True)
class RawSegment:
    """A blob file, to be written as it is: the body of a mail in its own bytes."""

    ref: BlobRef

    @property
    def wire_size(self) -> int:
        """Bytes on the wire before dot-stuffing."""
        return self.ref.size


Segment = bytes | BlobSegment | RawSegment


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedMessage:
    """A message as it goes over the wire, before dot-stuffing; ends with CR LF."""

    segments: tuple[Segment, ...]
    size: int
    """Bytes on the wire before dot-stuffing, for SIZE (RFC 1870)."""
    digest: str
    """SHA-256 (hex) that is equal exactly when the wire bytes are: over the encoder's version and the
    segments, a blob counting by its content's hash."""
    needs_smtputf8: bool
    """A header carries a non-ASCII address (RFC 6531); the envelope is judged by whoever sends it."""
    needs_8bit: bool = False
    """A line has a byte above 127 (RFC 6152); only mail in its own bytes has."""

    @property
    def is_whole(self) -> bool:
        """Whether all bytes are in memory (one segment, no blob)."""
        return len(self.segments) == 1 and isinstance(self.segments[0], bytes)

"""The rendered message: bytes and blob files in wire order, and the variant they were rendered for."""

from dataclasses import dataclass

from postroom.model.address import Mailbox
from postroom.model.message import BlobRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What a transport changes in a message. Wire bytes are a pure function of (content, variant)."""

    subject_prefix: str = ""
    """Put verbatim before the subject."""
    from_: Mailbox | None = None
    """Replaces From when given."""


DEFAULT_VARIANT = Variant()


@dataclass(frozen=True, slots=True)
class BlobSegment:
    """A blob file, to be written as base64 in lines of 76 characters with CR LF (RFC 2045 section 6.8)."""

    ref: BlobRef

    @property
    def wire_size(self) -> int:
        """Bytes on the wire, the last line's CR LF included."""
        encoded = (self.ref.size + 2) // 3 * 4
        return encoded + (encoded + 75) // 76 * 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedMessage:
    """A message as it goes over the wire, before dot-stuffing; ends with CR LF."""

    segments: tuple[bytes | BlobSegment, ...]
    size: int
    """Bytes on the wire before dot-stuffing, for SIZE (RFC 1870)."""
    digest: str
    """SHA-256 (hex) that is equal exactly when the wire bytes are: over the encoder's version and the
    segments, a blob counting by its content's hash."""
    needs_smtputf8: bool
    """A header carries a non-ASCII address (RFC 6531); the envelope is judged by whoever sends it."""

    @property
    def is_whole(self) -> bool:
        """Whether all bytes are in memory (one segment, no blob)."""
        return len(self.segments) == 1 and isinstance(self.segments[0], bytes)

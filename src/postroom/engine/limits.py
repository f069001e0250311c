"""Bounds of one message, enforced by intake for every door."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLimits:
    """Security limits of what one submission may hold; sizes in bytes."""

    max_content: int = 50 * MIB
    """Texts and attachments, decoded."""
    max_wire: int = 72 * MIB
    """Rendered, before dot-stuffing."""
    max_text: int = 2 * MIB
    """``text`` and ``html``, each, as UTF-8."""
    max_recipients: int = 1000
    max_attachments: int = 100
    max_headers: int = 100
    max_batch: int = 500
    max_tags: int = 20
    max_metadata: int = 50

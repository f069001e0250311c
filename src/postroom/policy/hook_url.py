"""Where a webhook transport posts, taken apart.

Wider than ``net.destination``, which reads callers' URLs: this one is the operator's word, so any host, port
and underscore of a container network may stand in it.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class HookUrl:
    """One URL, valid by construction through ``schema.hook_spec``."""

    is_tls: bool
    host: str
    """A name (A-labels, lower case) or an address without brackets."""
    port: int
    target: str
    """Path and query as sent, at least ``/``."""

    @classmethod
    def of(cls, text: str) -> "HookUrl":
        """Return a URL that was read before, in its written form."""
        parts = urlsplit(text)
        is_tls = parts.scheme == "https"
        return cls(
            is_tls=is_tls,
            host=parts.hostname or "",
            port=parts.port or (443 if is_tls else 80),
            target=f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}",
        )

    @property
    def authority(self) -> str:
        """The value of the Host header; the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The URL without its path, which may hold a secret: for people."""
        return f"{'https' if self.is_tls else 'http'}://{self.authority}"

    def __str__(self) -> str:
        """Return the whole URL."""
        return f"{self.origin}{self.target}"

"""What the HTTP doors need to know, as ``bootstrap`` takes it from the settings."""

from dataclasses import dataclass, field

from postroom.web.budget import MAX_BODIES, MIB
from postroom.web.keyless import KeylessRule, Network


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Settings of the doors under ``/`` and ``/v1``."""

    public_url: str | None = None
    """Where users reach this server, when that is not the address it listens on."""
    trusted_proxies: tuple[Network, ...] = ()
    """Proxies whose X-Forwarded-For is believed."""
    max_body: int = 72 * MIB
    """Bytes of one JSON body, and of one form."""
    max_parts: int = 200
    """Parts of one form."""
    max_bodies: int = MAX_BODIES
    """Bytes of all bodies in flight."""
    hosts: frozenset[str] = field(default_factory=frozenset)
    """Host names under which the start page is shown without a key, besides those of loopback."""
    metrics_are_public: bool = False
    """``/metrics`` needs no key."""
    has_bootstrap_key: bool = False
    """A key was given at the start (``POSTROOM_API_KEY``); the start page then names that one."""

    @property
    def page_rule(self) -> KeylessRule:
        """Return who sees the start page and the documentation without a key: this machine."""
        return KeylessRule(
            is_open=True,
            is_behind_proxy=self.public_url is not None or bool(self.trusted_proxies),
            hosts=self.hosts,
            judges_origin=False,
        )

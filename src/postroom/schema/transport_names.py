"""Names for transports that were described without one: after their provider, or their host. Pure."""

import itertools
import re
from collections.abc import Collection

from postroom.model.transport import TransportSpec
from postroom.policy.hook_url import HookUrl

_NOT_IN_NAMES = re.compile(r"[^a-z0-9_\-]+")
_MAX_BASE = 36
"""Characters, which leaves room for a number."""


def name_by_host(spec: TransportSpec | None, taken: Collection[str]) -> str:
    """Return the host in the form of a name; a second one gets a number."""
    host = spec.account.host if spec is not None and spec.account is not None else ""
    if spec is not None and spec.hook is not None:
        host = HookUrl.of(spec.hook.url).host
    return _free(host or (spec.kind.value if spec is not None else "way"), taken)


def name_by_provider(spec: TransportSpec, taken: Collection[str]) -> str:
    """Return the provider's id, or the name by host where nobody knows the provider."""
    provider = spec.account.provider if spec.account is not None else None
    return _free(provider, taken) if provider is not None else name_by_host(spec, taken)


def _free(text: str, taken: Collection[str]) -> str:
    base = _NOT_IN_NAMES.sub("-", text.lower()).strip("-_")[:_MAX_BASE] or "way"
    names = (base if number == 1 else f"{base}-{number}" for number in itertools.count(1))
    return next(name for name in names if name not in taken)

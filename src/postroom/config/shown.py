"""The settings as people may see them: everything that was decided, no secret."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import time, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from postroom.config.settings import Settings
from postroom.model.address import Address, Mailbox
from postroom.model.alert_rules import AlertRules
from postroom.model.route import Route
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, redacted_url
from postroom.policy.hook_url import HookUrl

_IN_URL = frozenset({"host", "port", "tls", "username", "password"})


def shown(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON values; a secret is only said to be set."""
    return {entry.name: _plain(getattr(settings, entry.name)) for entry in fields(settings)}


def _plain(value: Any) -> Any:
    if isinstance(value, SmtpAccount):
        rest = [entry.name for entry in fields(value) if entry.name not in _IN_URL]
        return {"url": redacted_url(value), "tls": value.tls.value} | {
            name: _plain(getattr(value, name)) for name in rest
        }
    if isinstance(value, AlertRules):
        value = replace(value, fallback=tuple(_without_path(way) for way in value.fallback))
    if isinstance(value, Address | Mailbox | Secret | Enum | Path | time | timedelta | Route):
        return str(value)
    if isinstance(value, frozenset):
        return sorted(map(_plain, value))
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if is_dataclass(value):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in fields(value)}
    return value


def _without_path(way: str) -> str:
    """Return a fallback of alerts without what may be a secret: the path of a webhook."""
    kind, colon, url = way.partition(":")
    return f"{kind}:{HookUrl.of(url).origin}" if colon else way

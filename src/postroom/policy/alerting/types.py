"""What holds for the events of a key, and of one object of it."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from postroom.model.alert import Severity
from postroom.model.alert_rules import (
    DEFAULT_INTERVAL,
    AlertRules,
    AlertType,
    Repeat,
    SampleRule,
    TypeSettings,
)

ANY_KEY = "*"
"""The entry that holds for keys without one."""
_NOTHING = AlertType(key=ANY_KEY)
_MAX_KEPT = 4096
"""Answers kept, by key and object, where a type names objects; forgotten all at once (security limit)."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Everything that a type says of one object, or the defaults."""

    type: AlertType = field(repr=False)
    """The entry it comes from; one without settings where there is none."""
    is_open: bool
    mail: bool
    interval: timedelta
    severity: Severity
    resolved: bool | None
    """``None``: as the route says."""
    repeat: Repeat
    """Of a state; an occurrence repeats by event, whatever stands here."""
    receivers: tuple[str, ...]
    """Addresses in place of the receiver's; empty: none."""
    rule: SampleRule | None
    resolve_after: timedelta | None


class Kinds:
    """The catalogue, ready to be asked."""

    def __init__(self, rules: AlertRules) -> None:
        """Take the types."""
        self._kinds = {key: _kind(entry, TypeSettings()) for key, entry in rules.types.items()}
        self._any = self._kinds.get(ANY_KEY) or _kind(_NOTHING, TypeSettings())
        self._kept: dict[tuple[str, str], Kind] = {}

    def settings(self, key: str, object_name: str = "") -> Kind:
        """Return what holds for an event of this key about this object."""
        kind = self._kinds.get(key, self._any)
        if not kind.type.objects:
            return kind
        asked = (key, object_name)
        if found := self._kept.get(asked):
            return found
        if len(self._kept) >= _MAX_KEPT:
            self._kept.clear()
        own = next((one.settings for one in kind.type.objects if fits(one.object, object_name)), None)
        found = self._kept[asked] = kind if own is None else _kind(kind.type, own)
        return found


def _kind(entry: AlertType, own: TypeSettings) -> Kind:
    """Return what holds where an entry has these settings of an object."""
    all_of = entry.settings
    return Kind(
        type=entry,
        is_open=_first(own.is_open, all_of.is_open, True),
        mail=_first(own.mail, all_of.mail, True),
        interval=_first(own.interval, all_of.interval, DEFAULT_INTERVAL),
        severity=_first(own.severity, all_of.severity, Severity.WARNING),
        resolved=all_of.resolved if own.resolved is None else own.resolved,
        repeat=_first(own.repeat, all_of.repeat, Repeat.ACTIVE),
        receivers=_first(own.receivers, all_of.receivers, ()),
        rule=own.rule or all_of.rule,
        resolve_after=all_of.resolve_after if own.resolve_after is None else own.resolve_after,
    )


def fits(pattern: str, name: str) -> bool:
    """Say whether a name fits a pattern in which ``*`` stands for any characters; letters have case."""
    first, *others = pattern.split("*")
    if not others:
        return name == first
    last = others.pop()
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    place, end = len(first), len(name) - len(last)
    for part in others:
        place = name.find(part, place, end)
        if place < 0:
            return False
        place += len(part)
    return True


def _first(own: _T | None, all_of: _T | None, default: _T) -> _T:
    if own is not None:
        return own
    return default if all_of is None else all_of

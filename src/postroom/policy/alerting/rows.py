"""The entries of the book as JSON and back.

An entry is a list of its members in the order of ``_FORMS``; only this module reads it. What can be found
anew from the rules and from other entries is not in it. A release may add members, at the end of a form
alone: an entry that was written before has fewer, and those it lacks are as in a new one.
"""

from array import array
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from operator import attrgetter
from sys import intern
from typing import Any

from pydantic_core import from_json, to_json

from postroom.model.alert import AlertState, Clause, GroupId, Severity
from postroom.policy.alerting.routing import Branch

_Reader = Callable[[Any], object]


def _same(value: object) -> object:
    return value


def _instant(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _span(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


_STATES: dict[str | None, AlertState | None] = {None: None, **{str(one): one for one in AlertState}}
_SEVERITIES: dict[str | None, Severity | None] = {None: None, **{str(one): one for one in Severity}}
"""Three times as quick as asking the class."""


def _interned(value: dict[str, str]) -> dict[str, str]:
    return {intern(name): intern(text) for name, text in value.items()}


def _instants(value: list[str]) -> tuple[datetime, ...]:
    return tuple(map(datetime.fromisoformat, value))


def _queue(value: list[str]) -> deque[datetime]:
    return deque(map(datetime.fromisoformat, value))


def _floats(value: list[float]) -> "array[float]":
    return array("d", value)


def _branch(value: dict[str, Any]) -> Branch:
    return Branch(
        path=value["path"],
        receiver=value["receiver"],
        labels=value["labels"],
        own=tuple(value["own"]),
        group=GroupId(value["group"]),
        group_wait=timedelta(seconds=value["group_wait"]),
        group_interval=timedelta(seconds=value["group_interval"]),
        repeat=tuple(timedelta(seconds=one) for one in value["repeat"]),
        resolved=value["resolved"],
        active=tuple(value["active"]),
        mute=tuple(value["mute"]),
    )


_FORMS: dict[str, dict[str, _Reader]] = {
    "alert": {
        "tenant": intern,
        "key": intern,
        "category": intern,
        "severity": _SEVERITIES.__getitem__,
        "source": intern,
        "object": intern,
        "node": intern,
        "title": _same,
        "text": _same,
        "labels": _interned,
        "details": _same,
        "values": _same,
        "link": _same,
        "receivers": tuple,
        "is_active": _same,
        "is_occurrence": _same,
        "is_missing": _same,
        "is_flapping": _same,
        "is_held": _same,
        "first_at": _instant,
        "occurred_at": _instant,
        "last_at": _instant,
        "resolved_at": _instant,
        "ends_at": _instant,
        "tally": _same,
        "acknowledged_by": _same,
        "acknowledged_until": _instant,
        "last_event": _same,
        "changes": _instants,
        "changed_at": _instant,
        "group_ids": _same,
    },
    "group": {
        "branch": _branch,
        "incident": _same,
        "opened_at": _instant,
        "letters": _same,
        "last_letter_at": _instant,
        "rhythm": _span,
        "rhythm_by": _same,
    },
    "member": {
        "told": _STATES.__getitem__,
        "told_at": _instant,
        "told_severity": _SEVERITIES.__getitem__,
        "told_tally": _same,
        "due": _instant,
        "reason": _same,
    },
    "sample": {"count": _same, "last_at": _instant, "history": _floats},
    "expected": {"key": _same, "object": _same, "seen_at": _instant, "is_missing": _same},
    "digest": {
        "address": _same,
        "cause": Clause,
        "due_at": _instant,
        "receiver": _same,
        "language": _same,
        "time_zone": _same,
    },
    "entry": {"digest.id": _same, "alert.id": _same, "count": _same, "since": _instant},
    "silence": {
        "id": _same,
        "tenant": _same,
        "matchers": tuple,
        "starts_at": _instant,
        "ends_at": _instant,
        "author": _same,
        "reason": _same,
        "created_at": _instant,
    },
    "sent": {"instants": _queue},
    "rules": {"id": _same},
    "book": {"last_letter": _same},
}
_MEMBERS = {kind: attrgetter(*form) for kind, form in _FORMS.items()}
_NAMES = {kind: tuple(form) for kind, form in _FORMS.items()}
_READERS = {
    kind: tuple([(name, reader) for name, reader in form.items() if reader is not _same])
    for kind, form in _FORMS.items()
}
_SINGLE = {kind for kind, form in _FORMS.items() if len(form) == 1}


def written(kind: str, entry: object) -> str:
    """Return an entry as JSON."""
    members = _MEMBERS[kind](entry)
    # Not ``json``: every event changes an alert, and writing it costs twice as much there.
    return to_json([members] if kind in _SINGLE else members, timedelta_mode="float", fallback=list).decode()


def read(kind: str, data: str) -> dict[str, Any]:
    """Return the members of an entry by name; an older one lacks the last. Raises ValueError: a newer one."""
    values = from_json(data)
    if len(values) > len(_NAMES[kind]):
        raise ValueError(f"an entry of kind {kind} was written by a newer Postroom")
    members: dict[str, Any] = dict(zip(_NAMES[kind], values, strict=False))
    for name, reader in _READERS[kind]:
        if name in members:
            members[name] = reader(members[name])
    return members


def fill(entry: object, members: dict[str, Any]) -> None:
    """Put members where they belong."""
    for name, value in members.items():
        setattr(entry, name, value)

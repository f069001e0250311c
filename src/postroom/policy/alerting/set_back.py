"""A book that was written by a clock ahead of ours: nothing in it may have happened later than now.

While the program runs its time never goes back. Before a start the machine's clock may have been set back,
by hours where it took local time for UTC. What had happened "later" would gate every letter of its groups and
throttle their alerts until then.

Pure.
"""

from collections import deque
from dataclasses import replace
from datetime import datetime

from postroom.policy.alerting.alerts import Alert
from postroom.policy.alerting.groups import Member
from postroom.policy.alerting.ledger import Ledger
from postroom.policy.alerting.muting import Stilled

_PAST = {
    "alert": ("first_at", "last_at", "resolved_at", "changed_at"),
    "group": ("opened_at", "last_letter_at"),
    "sample": ("last_at",),
    "expected": ("seen_at",),
    "entry": ("since",),
}
"""Instants at which something happened, of each kind of entry."""


def set_back(ledger: Ledger, at: datetime) -> None:
    """Let what happened after ``at`` have happened then; what was to come after it comes as much earlier."""
    early = {
        number
        for number, alert in ledger.alerts.items()
        if _is_held_to(ledger, "alert", number, alert, at=at) | _has_fewer_changes(alert, at)
    }
    for number, group in ledger.groups.items():
        _is_held_to(ledger, "group", number, group, at=at)
        for member in group.members.values():
            _hold_member(ledger, member, at, is_early=member.alert.id in early)
    for sample in ledger.samples.values():
        _is_held_to(ledger, "sample", sample.id, sample, at=at)
    for watch in ledger.watches.values():
        _is_held_to(ledger, "expected", watch.id, watch, at=at)
    for sent in ledger.sent.values():
        if sent.instants and sent.instants[-1] > at:
            sent.instants = deque(min(one, at) for one in sent.instants)
            ledger.changed["sent", sent.id] = sent
    for digest in ledger.digests.values():
        since = max((entry.since for entry in digest.entries.values()), default=at)
        if since > at:
            digest.due_at -= since - at
            ledger.changed["digest", digest.id] = digest
        for entry in digest.entries.values():
            _is_held_to(ledger, "entry", entry.id, entry, at=at)
    _hold_silences(ledger, at)


def _is_held_to(ledger: Ledger, kind: str, number: str, entry: object, *, at: datetime) -> bool:
    """Hold the instants of an entry to ``at``; say whether one was later."""
    later = [name for name in _PAST[kind] if (then := getattr(entry, name)) is not None and then > at]
    for name in later:
        setattr(entry, name, at)
    if later:
        ledger.changed[kind, number] = entry
    return bool(later)


def _has_fewer_changes(alert: Alert, at: datetime) -> bool:
    """Hold the changes that count for flapping to ``at``; the entry is stored because of ``changed_at``."""
    if not alert.changes or alert.changes[-1] <= at:
        return False
    alert.changes = tuple(min(one, at) for one in alert.changes)
    return True


def _hold_member(ledger: Ledger, member: Member, at: datetime, *, is_early: bool) -> None:
    is_told_early = member.told_at is not None and member.told_at > at
    if is_told_early:
        member.told_at = at
    if member.due is not None and (is_told_early or is_early):
        member.due = min(member.due, at + member.alert.kind.interval)
    if is_told_early or is_early:
        ledger.changed["member", member.id] = member


def _hold_silences(ledger: Ledger, at: datetime) -> None:
    for number, stilled in tuple(ledger.muting.silences.items()):
        silence = stilled.silence
        ahead = silence.created_at - at
        if silence.created_at > at:
            held = replace(
                silence,
                created_at=at,
                starts_at=silence.starts_at - ahead,
                ends_at=silence.ends_at - ahead,
            )
            ledger.muting.silences[number] = Stilled(held)
            ledger.changed["silence", number] = held

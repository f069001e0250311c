"""A book made of its entries again."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from postroom.model.alert import AlertId, BookRow, GroupId, Silence
from postroom.model.alert_rules import AlertRules, Expectation
from postroom.policy.alerting import lives, rows, ruling
from postroom.policy.alerting.alerts import Alert
from postroom.policy.alerting.digests import Digest, Entry
from postroom.policy.alerting.expecting import Watch, expected
from postroom.policy.alerting.groups import Group, Member
from postroom.policy.alerting.identity import labels_of
from postroom.policy.alerting.ledger import Ledger, Rank
from postroom.policy.alerting.muting import Stilled
from postroom.policy.alerting.recipients import Letters
from postroom.policy.alerting.samples import Sample
from postroom.policy.alerting.set_back import set_back

_ORDER = (
    "book",
    "rules",
    "silence",
    "sent",
    "sample",
    "expected",
    "alert",
    "group",
    "member",
    "digest",
    "entry",
)
"""Whom others name comes first."""


def load(rules: AlertRules, stored: Iterable[BookRow], *, at: datetime) -> Ledger:
    """Return the state of which these are the entries.

    Args:
        rules: When they are others than those of the entries, every active alert is routed again at ``at``.
        stored: All entries, in any order, none of them forgotten.
        at: The instant of the start.
    """
    by_kind: dict[str, list[BookRow]] = {kind: [] for kind in _ORDER}
    for row in stored:
        by_kind[row.kind].append(row)
    ledger = Ledger(rules, at=at)
    was_signed = ""
    orders: dict[str, list[str]] = {}
    for kind in _ORDER:
        for row in sorted(by_kind[kind], key=lambda one: one.id):
            members = rows.read(kind, row.data or "")
            if kind == "rules":
                was_signed = members["id"]
            else:
                _enter(ledger, row, members, orders)
    for alert in ledger.alerts.values():
        place = {number: index for index, number in enumerate(orders[alert.id])}
        alert.members = tuple(sorted(alert.members, key=lambda one: place[one.group.id]))
    for number, (_, _, expectation) in expected(rules).items():
        if (known := ledger.watches.get(number)) is not None:
            known.expectation = expectation
    set_back(ledger, at)
    if was_signed != ruling.Signed(rules).id:
        ruling.adopt(ledger, rules, at)
    _wake(ledger, at)
    return ledger


def _enter(ledger: Ledger, row: BookRow, members: dict[str, Any], orders: dict[str, list[str]]) -> None:
    """Put one entry where it belongs."""
    match row.kind:
        case "book":
            ledger.last_letter = members["last_letter"]
        case "silence":
            ledger.muting.silences[row.id] = Stilled(Silence(**members))
        case "sent":
            rows.fill(ledger.sent.setdefault(row.id, Letters(row.id)), members)
        case "sample":
            rows.fill(ledger.samples.setdefault(row.id, Sample(row.id)), members)
        case "expected":
            watch = ledger.watches[row.id] = Watch(members["key"], members["object"], Expectation())
            rows.fill(watch, members)
        case "alert":
            kind = ledger.kinds.settings(members["key"], members["object"])
            alert = ledger.alerts[AlertId(row.id)] = Alert(AlertId(row.id), members["tenant"], kind)
            orders[alert.id] = members.pop("group_ids")
            rows.fill(alert, members)
        case _:
            _enter_group(ledger, row, members)


def _enter_group(ledger: Ledger, row: BookRow, members: dict[str, Any]) -> None:
    """Put an entry of a group or a digest where it belongs; its alerts are there."""
    match row.kind:
        case "group":
            group = ledger.groups[GroupId(row.id)] = Group(members["branch"])
            rows.fill(group, members)
        case "member":
            group_id, _, alert_id = row.id.partition("/")
            alert, group = ledger.alerts[AlertId(alert_id)], ledger.groups[GroupId(group_id)]
            member = group.members[alert.id] = Member(alert, group)
            rows.fill(member, members)
            alert.members = (*alert.members, member)
            group.settle(member)
        case "digest":
            digest = Digest(members["address"], members["cause"], members["due_at"])
            rows.fill(digest, members)
            digest.id = row.id  # made of the first instant, which a clock that is set back moves
            ledger.add_digest(digest)
        case _:
            digest, alert = ledger.digests[members["digest.id"]], ledger.alerts[members["alert.id"]]
            entry = digest.entries[alert.id] = Entry(digest, alert, members["since"])
            entry.count = members["count"]
            alert.digests += 1


def _wake(ledger: Ledger, at: datetime) -> None:
    """Set every clock; what was due meanwhile, and what was muted, is looked at first."""
    for number, stilled in ledger.muting.silences.items():
        ledger.wake(Rank.END, "silence", number, stilled.next_at(at))
    for number, sample in ledger.samples.items():
        ledger.wake(Rank.END, "sample", number, sample.forgotten_at)
    for number, watch in ledger.watches.items():
        ledger.wake(Rank.EXPECTED, "expected", number, watch.deadline())
    for alert in ledger.alerts.values():
        if ledger.muting.has_inhibitions and alert.is_active:
            list(ledger.muting.begins(alert.id, labels_of(alert)))
        lives.schedule(ledger, alert)
    for group in ledger.groups.values():
        waits: dict[tuple[object, ...], None] = {}
        for member in group.pending:
            due = max(member.due or at, group.gate)
            ledger.wake(Rank.GROUP, "group", group.id, due)
            if due <= at and ledger.muting.has_inhibitions:
                waits.update(dict.fromkeys(ledger.muting.waits(labels_of(member.alert), at)))
        group.waits = tuple(waits)
        ledger.muting.wait(group.id, group.waits)
        ledger.wake(Rank.GROUP, "group", group.id, group.repeat_at())
    for digest in ledger.digests.values():
        ledger.wake(Rank.DIGEST, "digest", digest.id, digest.due_at)

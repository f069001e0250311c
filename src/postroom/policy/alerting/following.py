"""Which groups an alert is a member of, and when its members become news."""

from datetime import datetime

from postroom.model.alert import AlertState, Clause
from postroom.policy.alerting.alerts import Alert
from postroom.policy.alerting.groups import Group, Member
from postroom.policy.alerting.identity import labels_of
from postroom.policy.alerting.ledger import Ledger, Rank
from postroom.policy.alerting.routing import Branch


def follow(ledger: Ledger, alert: Alert, now: datetime, *, stays: bool = False) -> tuple[Member, ...]:
    """Make an alert a member of the groups of its routes; return the members that are new.

    One that is over stays a member where it is one, and becomes none elsewhere. One that ``stays`` is a
    member also where it was told to somebody who is not told any more: who heard of it hears of its end.
    """
    branches: dict[str, Branch] = {}
    if alert.kind.mail or alert.is_missing:  # that something did not come is told even of a silent type
        own = alert.receivers or alert.kind.receivers
        branches = {one.group: one for one in ledger.router.branches(labels_of(alert), own=own)}
    if not alert.is_active:
        among = {member.group.id for member in alert.members}
        branches = {number: one for number, one in branches.items() if number in among}
    if stays and branches:
        receivers = {one.receiver for one in branches.values()}
        for one in alert.members:
            branch = one.group.branch
            if one.told is AlertState.FIRING and branch.receiver not in receivers:
                branches[branch.group] = branch
    former = [member for member in alert.members if member.group.id not in branches]
    known = {member.group.id: member for member in alert.members}
    members = []
    fresh = []
    for branch in branches.values():
        member = known.get(branch.group)
        if member is None:
            member = _join(ledger, alert, branch, former)
            fresh.append(member)
        elif member.group.branch is not branch:
            _take_branch(ledger, member.group, branch, now)
        members.append(member)
    for member in former:
        ledger.forget_member(member)
    alert.members = tuple(members)
    return tuple(fresh)


def _join(ledger: Ledger, alert: Alert, branch: Branch, former: list[Member]) -> Member:
    """Return the new member of a group; it knows what was told to the same receiver elsewhere."""
    group = ledger.groups.get(branch.group)
    told = [one for one in former if one.group.branch.receiver == branch.receiver and one.told_at]
    before = max(told, key=lambda one: one.told_at or ledger.now, default=None)
    if group is None:
        group = ledger.groups[branch.group] = Group(branch)
        ledger.changed["group", group.id] = group
    if before is not None and not group.is_open:
        group.continue_from(before.group)
        ledger.changed["group", group.id] = group
    member = group.members[alert.id] = Member(alert, group)
    if before is not None:
        member.told = before.told
        member.told_at = before.told_at
        member.told_severity = before.told_severity
        member.told_tally = before.told_tally
    return member


def _take_branch(ledger: Ledger, group: Group, branch: Branch, now: datetime) -> None:
    if group.branch != branch:
        ledger.changed["group", group.id] = group
        ledger.wake(Rank.GROUP, "group", group.id, now)
    group.branch = branch


def became_active(ledger: Ledger, member: Member, now: datetime) -> tuple[Clause, datetime | None]:
    """Let a member whose alert became active be news when it may; return why, and until when not."""
    if member.told is AlertState.FIRING:  # that it was over was never told
        if member.due is not None:
            member.due = None
        ledger.settle(member)
        return heard_again(ledger, member, now)
    free_at = member.free_at
    if free_at is None or now >= free_at:
        ledger.make_due(member, now, now)
        return Clause.NEW, None
    if member.is_worse:
        ledger.make_due(member, now, now)
        return Clause.WORSE, None
    if member.alert.repeats_by_event:
        member.due = None
        ledger.settle(member)
    else:
        ledger.make_due(member, free_at, now)
    return Clause.THROTTLED, free_at


def rerouted(ledger: Ledger, member: Member, now: datetime) -> tuple[Clause, datetime | None] | None:
    """Let a new member of an active alert be news where nobody knows of it; return as ``became_active``."""
    if member.told is not AlertState.FIRING:
        return became_active(ledger, member, now)
    ledger.settle(member)
    if member.is_worse:
        ledger.make_due(member, now, now)
    return None


def heard_again(ledger: Ledger, member: Member, now: datetime) -> tuple[Clause, datetime | None]:
    """Say what another report of an active alert means for a member."""
    alert, free_at = member.alert, member.free_at
    if member.is_repeating != (member.is_standing and not alert.repeats_by_event):
        ledger.settle(member)
    if member.is_worse:
        if member.due is None or member.due > now:
            ledger.make_due(member, now, now)
        return Clause.WORSE, None
    if alert.is_flapping:
        return Clause.FLAPPING, None
    is_free = free_at is None or now >= free_at
    if alert.repeats_by_event and is_free and (member.told is AlertState.FIRING or member.due is None):
        if member.due is None:
            ledger.make_due(member, now, now)
        return Clause.AGAIN, None
    if member.told is AlertState.FIRING and not alert.repeats_by_event:
        return Clause.UPDATED, member.group.repeat_at()
    return Clause.COUNTED, member.due if member.due is not None and member.due > now else free_at


def became_over(ledger: Ledger, member: Member, now: datetime, *, is_ended: bool) -> Clause:
    """Let people know that an alert is over, where they know that it was not."""
    if member.told is AlertState.FIRING and not is_ended:
        is_mailed = member.alert.kind.resolved
        if member.group.branch.resolved if is_mailed is None else is_mailed:
            ledger.make_due(member, now, now)
            return Clause.RESOLVED
    member.due = None
    if member.told is AlertState.FIRING:
        member.told = AlertState.RESOLVED
    ledger.settle(member)
    return Clause.ENDED if is_ended else Clause.RESOLVED_UNTOLD

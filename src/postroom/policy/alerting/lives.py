"""How alerts begin, go on, end and are forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from postroom.model.alert import Clause, NewAlertEvent, Severity
from postroom.policy.alerting import flapping
from postroom.policy.alerting.alerts import Alert
from postroom.policy.alerting.following import became_active, became_over, follow, heard_again, rerouted
from postroom.policy.alerting.groups import Member
from postroom.policy.alerting.identity import labels_of
from postroom.policy.alerting.ledger import Ledger, Rank

AFTERMATH = timedelta(minutes=1)
"""What an alert kept back is mostly over with it, a moment later; its mail would only say what is past."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An event that says that an alert is active."""

    event: NewAlertEvent
    number: int | None
    """``None``: time reports it."""
    severity: Severity
    is_occurrence: bool
    now: datetime


def begin(ledger: Ledger, alert: Alert, report: Report) -> None:
    """Make an alert active."""
    now, rules = report.now, ledger.rules.flapping
    is_change = not report.is_occurrence and flapping.is_change(alert, rules, now)
    for member in alert.members:
        member.told_tally = 0
    alert.copy(report.event)
    alert.is_occurrence = report.is_occurrence
    alert.severity = report.severity
    alert.is_active = True
    alert.is_held = False
    alert.first_at = now
    alert.tally = 1
    alert.acknowledged_by, alert.acknowledged_until = "", None
    if is_change and flapping.changed(alert, rules, now):
        ledger.say(
            now, alert, Clause.FLAPPING_BEGAN, event=report.number, data={"count": str(len(alert.changes))}
        )
    _heard(alert, report)
    follow(ledger, alert, now, stays=True)
    for member in alert.members:
        _say(ledger, member, became_active(ledger, member, now), now, number=report.number)
    _finish(ledger, alert, report)


def go_on(ledger: Ledger, alert: Alert, report: Report) -> None:
    """Take another report of an active alert."""
    now = report.now
    alert.tally += 1
    if alert.is_held:
        alert.is_held = False
        flapping.changed(alert, ledger.rules.flapping, now)
    alert.is_occurrence = report.is_occurrence
    was = alert.severity
    alert.severity = report.severity
    is_relabelled = alert.copy(report.event) or was is not report.severity
    if report.severity.rank > was.rank and alert.acknowledged_by:
        alert.acknowledged_by, alert.acknowledged_until = "", None
        ledger.look_again([member.group.id for member in alert.members], now)
    _heard(alert, report)
    begun = relabel(ledger, alert, now, number=report.number) if is_relabelled else ()
    for member in alert.members:
        if member not in begun:
            _say(ledger, member, heard_again(ledger, member, now), now, number=report.number)
    _finish(ledger, alert, report)


def relabel(ledger: Ledger, alert: Alert, now: datetime, *, number: int | None) -> Sequence[Member]:
    """Route an active alert again; return the members for which it became active by that."""
    begun = []
    for member in follow(ledger, alert, now, stays=number is not None):
        ledger.say_of(now, member, Clause.REROUTED, event=number)
        if (told := rerouted(ledger, member, now)) is not None:
            begun.append(member)
            _say(ledger, member, told, now, number=number)
    ledger.look_again([member.group.id for member in alert.members if member.group.is_held], now)
    return begun


def end(ledger: Ledger, alert: Alert, clause: Clause, now: datetime, *, number: int | None = None) -> None:
    """Let an active alert be over."""
    alert.is_active = alert.is_flapping = alert.is_held = False
    alert.resolved_at = now
    if clause not in (Clause.RESOLVED, Clause.ENDED) or not alert.members:
        said = Clause.RESOLVED_UNTOLD if clause is Clause.RESOLVED else clause
        ledger.say(now, alert, said, event=number)
    for member in alert.members:
        told = became_over(ledger, member, now, is_ended=clause in (Clause.ENDED, Clause.TYPE_OFF))
        ledger.say_of(now, member, told, event=number)
    if ledger.muting.has_inhibitions:
        _release(ledger, alert, now)
    ledger.changed["alert", alert.id] = alert
    forget(ledger, alert, now)


def withhold(ledger: Ledger, alert: Alert, now: datetime, *, number: int | None = None) -> None:
    """Keep an alert that flaps active although it is over."""
    alert.is_held = True
    alert.changed_at = now
    until = now + ledger.rules.flapping.calm
    ledger.say(now, alert, Clause.FLAPPING, event=number, data={"until": until.isoformat()})
    ledger.changed["alert", alert.id] = alert
    schedule(ledger, alert)


def look(ledger: Ledger, alert: Alert, now: datetime) -> None:
    """Do what the clocks of an alert ask for."""
    if alert.is_active:
        end_at = alert.end_at()
        if end_at is not None and end_at <= now:
            if alert.is_occurrence:
                end(ledger, alert, Clause.ENDED, now)
            elif alert.is_flapping:
                withhold(ledger, alert, now)
            else:
                end(ledger, alert, Clause.STALE, now)
        calm_at = flapping.calm_at(alert, ledger.rules.flapping)
        if alert.is_active and calm_at is not None and calm_at <= now:
            _calm(ledger, alert, now)
    if alert.is_active:
        schedule(ledger, alert)
    else:
        forget(ledger, alert, now)


def forget(ledger: Ledger, alert: Alert, now: datetime) -> None:
    """Forget of an alert that is over what is not needed any more."""
    for member in alert.members:
        free_at = member.free_at
        if member.due is None and (free_at is None or free_at <= now):
            ledger.forget_member(member)
    if not alert.members and not alert.digests:
        until = flapping.forgotten_at(alert, ledger.rules.flapping)
        if until is None or until <= now:
            ledger.alerts.pop(alert.id, None)
            ledger.changed["alert", alert.id] = None
            return
    schedule(ledger, alert)


def schedule(ledger: Ledger, alert: Alert) -> None:
    """Wake an alert when its next clock is due."""
    if alert.is_active:
        ledger.wake(Rank.END, "alert", alert.id, alert.end_at())
        ledger.wake(Rank.CALM, "alert", alert.id, flapping.calm_at(alert, ledger.rules.flapping))
        return
    for member in alert.members:
        if member.due is None:
            ledger.wake(Rank.END, "alert", alert.id, member.free_at)
    if not alert.members and not alert.digests:
        ledger.wake(Rank.END, "alert", alert.id, flapping.forgotten_at(alert, ledger.rules.flapping))


def _release(ledger: Ledger, alert: Alert, now: datetime) -> None:
    """Let the groups look again that an alert inhibited; what it held back waits a little for its own end."""
    muting = ledger.muting

    def is_inhibited(member: Member) -> bool:
        other = member.alert
        return other.is_active and muting.inhibited(other.id, labels_of(other)) is not None

    pending = [one for number in muting.held_by(alert.id) for one in ledger.groups[number].pending]
    held = [one for one in pending if one.due and max(one.due, one.group.gate) < now and is_inhibited(one)]
    ledger.look_again(muting.ends(alert.id), now)
    for member in held:
        if not is_inhibited(member):
            ledger.make_due(member, now + AFTERMATH, now)


def _calm(ledger: Ledger, alert: Alert, now: datetime) -> None:
    alert.is_flapping = False
    alert.changes = ()
    ledger.say(now, alert, Clause.CALM)
    ledger.changed["alert", alert.id] = alert
    if alert.is_held:
        end(ledger, alert, Clause.RESOLVED, now)


def _heard(alert: Alert, report: Report) -> None:
    alert.last_at = report.now
    alert.ends_at = report.event.ends_at
    if report.number is not None:
        alert.last_event = report.number


def _finish(ledger: Ledger, alert: Alert, report: Report) -> None:
    """Do what every report ends with, after the members were told of it."""
    if not alert.members:
        ledger.say(report.now, alert, Clause.MAIL_OFF, event=report.number)
    if ledger.muting.has_inhibitions:
        ledger.look_again(ledger.muting.begins(alert.id, labels_of(alert)), report.now)
    ledger.changed["alert", alert.id] = alert
    schedule(ledger, alert)


def _say(
    ledger: Ledger,
    member: Member,
    told: tuple[Clause, datetime | None],
    now: datetime,
    *,
    number: int | None,
) -> None:
    clause, until = told
    data = {"count": str(member.alert.tally)}
    if until is not None:
        data["until"] = until.isoformat()
    elif member.due is not None and (gate := member.group.gate) > now:
        data["from"] = gate.isoformat()
    ledger.say_of(now, member, clause, event=number, data=data)

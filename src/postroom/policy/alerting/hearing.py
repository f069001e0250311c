"""What an event does: from the type it belongs to, to the alert that it begins, goes on with or ends."""

from datetime import datetime

from postroom.model.alert import AlertEvent, AlertState, Clause
from postroom.policy.alerting import expecting, lives
from postroom.policy.alerting.alerts import Alert
from postroom.policy.alerting.expecting import Watch
from postroom.policy.alerting.identity import alert_id
from postroom.policy.alerting.ledger import Ledger, Rank
from postroom.policy.alerting.lives import Report
from postroom.policy.alerting.samples import Sample, value_of
from postroom.policy.alerting.types import Kind


def hear(ledger: Ledger, event: AlertEvent, now: datetime) -> None:
    """Look at an event; it gets at least one decision."""
    number = alert_id(event)
    kind = ledger.kinds.settings(event.key, event.object)
    alert = ledger.alerts.get(number)
    stranger = alert or Alert(number, event.tenant, kind)
    """Decisions need an alert, also where there is none."""
    if alert is not None and event.number <= alert.last_event:
        if alert.is_active and event.state is not AlertState.RESOLVED and not event.acknowledged_by:
            alert.tally += 1
            ledger.changed["alert", number] = alert
        ledger.say(now, alert, Clause.OVERTAKEN, event=event.number)
        return
    watch = ledger.watches.get(expecting.heard_by(kind, event))
    if watch is not None:
        _met(ledger, watch, now, event.number)
        ledger.say(now, stranger, Clause.EXPECTED, event=event.number)
        if event.state is None and not event.acknowledged_by:
            return
    if not kind.is_open:
        ledger.say(now, stranger, Clause.TYPE_OFF, event=event.number)
        return
    if event.acknowledged_by:
        if alert is None or not alert.is_active:
            ledger.say(now, stranger, Clause.NOT_ACTIVE, event=event.number)
        else:
            alert.last_event = event.number
            acknowledge(ledger, alert, event.acknowledged_by, now=now, number=event.number)
        return
    _hear_state(ledger, alert, stranger, event, kind=kind, now=now)


def acknowledge(
    ledger: Ledger,
    alert: Alert,
    by: str,
    *,
    now: datetime,
    until: datetime | None = None,
    number: int | None = None,
) -> None:
    """Note that somebody works on an active alert, until an instant or until it is over."""
    alert.acknowledged_by, alert.acknowledged_until = by, until
    data = {"by": by}
    if until is not None:
        data["until"] = until.isoformat()
    ledger.say(now, alert, Clause.ACKNOWLEDGED, event=number, data=data)
    ledger.changed["alert", alert.id] = alert
    ledger.look_again([member.group.id for member in alert.members if member.group.is_held], now)


def missing(ledger: Ledger, watch: Watch, now: datetime) -> None:
    """Raise the alert of an event that did not come, when it is too late for it."""
    deadline = watch.deadline()
    if deadline is None or deadline > now:
        ledger.wake(Rank.EXPECTED, "expected", watch.id, deadline)
        return
    event = watch.event()
    kind = ledger.kinds.settings(event.key, event.object)
    number = alert_id(event)
    alert = ledger.alerts.get(number)
    if alert is None:
        alert = ledger.alerts[number] = Alert(number, event.tenant, kind)
    alert.is_missing = True
    alert.kind = kind
    watch.is_missing = True
    ledger.changed["expected", watch.id] = watch
    ledger.say(now, alert, Clause.MISSING, data={"since": watch.seen_at.isoformat() if watch.seen_at else ""})
    report = Report(event=event, number=None, severity=event.severity, is_occurrence=False, now=now)
    (lives.go_on if alert.is_active else lives.begin)(ledger, alert, report)


def forget_sample(ledger: Ledger, sample: Sample, now: datetime) -> None:
    """Forget a counter that heard of nothing for long."""
    until = sample.forgotten_at
    if until is None or until <= now:
        del ledger.samples[sample.id]
        ledger.changed["sample", sample.id] = None
    else:
        ledger.wake(Rank.END, "sample", sample.id, until)


def _met(ledger: Ledger, watch: Watch, now: datetime, number: int) -> None:
    """Note that an expected event came."""
    watch.seen_at = now
    ledger.changed["expected", watch.id] = watch
    if watch.is_missing:
        watch.is_missing = False
        alert = ledger.alerts.get(alert_id(watch.event()))
        if alert is not None and alert.is_active:
            _resolve(ledger, alert, Clause.EXPECTED, now=now, number=number)
    ledger.wake(Rank.EXPECTED, "expected", watch.id, watch.deadline())


def _resolve(ledger: Ledger, alert: Alert, clause: Clause, *, now: datetime, number: int) -> None:
    if alert.is_flapping:
        lives.withhold(ledger, alert, now, number=number)
    else:
        lives.end(ledger, alert, clause, now, number=number)


def _hear_state(
    ledger: Ledger, alert: Alert | None, stranger: Alert, event: AlertEvent, *, kind: Kind, now: datetime
) -> None:
    """Go on with an event that is neither waited for nor an acknowledgement."""
    state, is_active = event.state, alert is not None and alert.is_active
    if kind.rule is not None and (value := value_of(event, kind.rule)) is not None:
        sample = ledger.samples.get(stranger.id)
        if sample is None:
            sample = ledger.samples[stranger.id] = Sample(stranger.id)
        is_bad = sample.add(value, kind.rule, now)
        ledger.changed["sample", sample.id] = sample
        ledger.wake(Rank.END, "sample", sample.id, sample.forgotten_at)
        if not is_active and not (is_bad and sample.count >= kind.rule.points):
            clause = Clause.SAMPLE_COUNTED if is_bad else Clause.SAMPLE_GOOD
            data = {"count": str(sample.count), "of": str(kind.rule.points), "value": f"{value:g}"}
            ledger.say(now, stranger, clause, event=event.number, data=data)
            return
        state = AlertState.FIRING if is_bad else AlertState.RESOLVED
    if event.ends_at is not None and event.ends_at <= now:
        state = AlertState.RESOLVED
    if state is not AlertState.RESOLVED:
        if alert is None:
            alert = ledger.alerts[stranger.id] = stranger
        alert.kind = kind
        alert.is_missing = False
        report = Report(
            event=event,
            number=event.number,
            severity=event.severity if event.is_severity_said else kind.severity,
            is_occurrence=state is None,
            now=now,
        )
        (lives.go_on if alert.is_active else lives.begin)(ledger, alert, report)
        return
    if alert is not None:
        alert.last_event = event.number
        ledger.changed["alert", alert.id] = alert
    if alert is not None and alert.is_active:
        alert.last_at = now
        alert.close(event)
        _resolve(ledger, alert, Clause.RESOLVED, now=now, number=event.number)
    else:
        ledger.say(now, stranger, Clause.NOT_ACTIVE, event=event.number)

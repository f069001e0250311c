"""Alerts that change too often.

A change is a firing of a state that was resolved a short while ago. Too many of them, and resolutions are
withheld until it is calm.
"""

from datetime import datetime

from postroom.model.alert_rules import Flapping
from postroom.policy.alerting.alerts import Alert


def is_change(alert: Alert, rules: Flapping, now: datetime) -> bool:
    """Say whether the firing of a state that is over, and is now heard of, is a change."""
    if rules.changes <= 0 or alert.is_occurrence or alert.resolved_at is None:
        return False
    return bool(alert.members) or now < alert.resolved_at + rules.within


def changed(alert: Alert, rules: Flapping, now: datetime) -> bool:
    """Count a change; say whether the alert begins to flap."""
    since = now - rules.within
    alert.changes = (*(at for at in alert.changes if at > since), now)[-rules.changes :]
    alert.changed_at = now
    if alert.is_flapping or len(alert.changes) < rules.changes:
        return False
    alert.is_flapping = True
    return True


def calm_at(alert: Alert, rules: Flapping) -> datetime | None:
    """Return when an alert that flaps is calm, unless it changes before."""
    if not alert.is_flapping or alert.changed_at is None:
        return None
    return alert.changed_at + rules.calm


def forgotten_at(alert: Alert, rules: Flapping) -> datetime | None:
    """Return until when an alert that is over is remembered to count its changes."""
    if rules.changes <= 0 or alert.is_occurrence or alert.resolved_at is None:
        return None
    return alert.resolved_at + rules.within

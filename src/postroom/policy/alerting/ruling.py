"""What changed rules change."""

from datetime import datetime

from postroom.model.alert import AlertId, Clause
from postroom.model.alert_rules import AlertRules
from postroom.policy.alerting import following, lives
from postroom.policy.alerting.expecting import Watch, expected
from postroom.policy.alerting.identity import alert_id, digest_of, labels_of
from postroom.policy.alerting.ledger import Ledger, Rank
from postroom.policy.alerting.muting import Muting
from postroom.policy.alerting.routing import Router

SIGNATURE = "rules", ""
"""The entry that says which rules hold."""


class Signed:
    """Which rules the book holds to."""

    __slots__ = ("id",)

    def __init__(self, rules: AlertRules) -> None:
        """Name them."""
        self.id = digest_of(repr(rules))


def sign(ledger: Ledger) -> None:
    """Remember which rules hold, to notice after a restart that they were changed."""
    ledger.changed[SIGNATURE] = Signed(ledger.rules)


def adopt(ledger: Ledger, rules: AlertRules, now: datetime) -> None:
    """Hold to other rules, and route every active alert again. Raises MatcherError: nothing has changed."""
    Router(rules)
    Muting(rules)
    ledger.take_rules(rules)
    sign(ledger)
    for number in sorted(ledger.alerts):
        _adopt(ledger, number, now)
    watch(ledger, now)
    ledger.look_again(ledger.groups, now)


def watch(ledger: Ledger, now: datetime) -> None:
    """Begin and end expectations as the rules say."""
    wanted = expected(ledger.rules)
    for number, one in sorted(ledger.watches.items()):
        if number not in wanted:
            del ledger.watches[number]
            ledger.changed["expected", number] = None
            alert = ledger.alerts.get(alert_id(one.event()))
            if one.is_missing and alert is not None and alert.is_active:
                lives.end(ledger, alert, Clause.STALE, now)
    for number, (key, name, expectation) in wanted.items():
        known = ledger.watches.get(number)
        if known is None:
            known = ledger.watches[number] = Watch(key, name, expectation)
            known.seen_at = now
            ledger.changed["expected", number] = known
        known.expectation = expectation
        ledger.wake(Rank.EXPECTED, "expected", number, known.deadline())


def _adopt(ledger: Ledger, number: AlertId, now: datetime) -> None:
    alert = ledger.alerts[number]
    alert.kind = ledger.kinds.settings(alert.key, alert.object)
    if not alert.is_active:
        following.follow(ledger, alert, now)
        ledger.changed["alert", number] = alert
        lives.forget(ledger, alert, now)
        return
    if not alert.kind.is_open:
        lives.end(ledger, alert, Clause.TYPE_OFF, now)
        return
    if ledger.muting.has_inhibitions:
        list(ledger.muting.begins(number, labels_of(alert)))
    lives.relabel(ledger, alert, now, number=None)
    for member in alert.members:
        ledger.settle(member)
    ledger.changed["alert", number] = alert
    lives.schedule(ledger, alert)

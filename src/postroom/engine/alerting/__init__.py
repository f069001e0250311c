"""Alerts at work: events are taken, looked at in their order, and told by letters.

``desk`` has the verbs of the doors, ``evaluator`` asks the book about events and clocks, ``courier`` makes
mails of letters, ``watch`` reports what happens to Postroom itself. The rules are pure and stand in
``policy.alerting``; what they mean, to the instant, is ``docs/alert-clocks.md``.
"""

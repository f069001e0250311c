"""One sentence for each decision about an alert: why it was told, or not, or not yet.

A sentence says what the clause means; what the decision names beside it (until when, which silence, whose
route) follows in brackets. A language without words of its own has English ones.

Pure: it knows clauses and members of a decision, nothing else. What each clause means to the instant is
``docs/alert-clocks.md``.
"""

from datetime import UTC, datetime

from postroom.model.alert import AlertDecision
from postroom.policy.alerting.reason_words import ENGLISH, TONGUES

_INSTANTS = frozenset({"until", "from", "since"})


def reason(decision: AlertDecision, language: str = "en") -> str:
    """Return what a decision means as one sentence, in a language (``fr-CA`` is French) or in English."""
    tongue = TONGUES.get(language.lower().partition("-")[0], ENGLISH)
    facts = [
        words.format(_written(name, decision.data[name]))
        for name, words in tongue.facts.items()
        if decision.data.get(name)
    ]
    begin, end = tongue.brackets
    more = f"{begin}{tongue.between.join(facts)}{end}" if facts else ""
    return f"{tongue.sentences[decision.clause]}{more}{tongue.stop}"


def _written(name: str, value: str) -> str:
    if name not in _INSTANTS:
        return value
    try:
        return f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return value

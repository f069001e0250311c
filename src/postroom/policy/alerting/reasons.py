"""One sentence for each decision about an alert: why it was told, or not, or not yet.

A sentence says what the clause means; what the decision names beside it (until when, which silence, whose
route) follows in brackets. A language without words of its own has English ones.

Pure: it knows clauses and members of a decision, nothing else. What each clause means to the instant is
``docs/alert-clocks.md``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from postroom.model.alert import AlertDecision, Clause

C = Clause


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """One language."""

    sentences: Mapping[Clause, str]
    facts: Mapping[str, str]
    """Member of a decision's ``data`` to its words, in their order."""
    between: str = "; "
    brackets: tuple[str, str] = (" (", ")")
    stop: str = "."


ENGLISH = Reasons(
    sentences={
        C.NEW: "It is news: it will be told",
        C.COUNTED: "It was told already, and one mail in its interval is enough: counted",
        C.THROTTLED: "It is active again within its interval: not told before that is over",
        C.AGAIN: "It was reported again after its interval: it will be told again",
        C.WORSE: "Its severity is above the one that was told: it will be told at once",
        C.UPDATED: "It is still active; the next mail is its repeat",
        C.RESOLVED: "It is over: that will be told",
        C.RESOLVED_UNTOLD: "It is over; nobody was told that it was active, or recovery is not mailed here",
        C.NOT_ACTIVE: "It is said to be over, or somebody's work, but it is not active",
        C.STALE: "It was not reported again in its time: taken as over",
        C.ENDED: "It did not happen again in its interval: it is over, which is not told",
        C.OVERTAKEN: "A later report of the same alert was looked at first: counted",
        C.TYPE_OFF: "Its type is switched off: kept in the history and nothing else",
        C.MAIL_OFF: "Its type sends no mail: listed and counted",
        C.SAMPLE_GOOD: "The value is on the good side of the threshold",
        C.SAMPLE_COUNTED: "The value is bad, but not yet often enough one after the other",
        C.EXPECTED: "It was waited for and came",
        C.MISSING: "An expected event did not come in time",
        C.FLAPPING: "It changes so often that its changes are not told before it is calm",
        C.FLAPPING_BEGAN: "It began to change too often: its changes are not told before it is calm",
        C.CALM: "It does not change too often any more",
        C.GROUP_WAIT: "Its group waits a while for others that belong together",
        C.GROUP_INTERVAL: "Its group was told a short while ago and waits for its interval",
        C.SILENCED: "A silence matches: not told while it lasts",
        C.INHIBITED: "Another alert that is active explains it: not told meanwhile",
        C.ACKNOWLEDGED: "Somebody works on it: not told meanwhile",
        C.OUTSIDE_HOURS: "Its route does not tell at this time of the week",
        C.TOLD: "It was told: it is in a letter",
        C.REPEATED: "It is still active and its repeat was due: it is in a letter",
        C.IN_DIGEST: "The recipient hears of it in a digest",
        C.QUIET_HOURS: "The recipient hears of it when the quiet hours are over",
        C.STORM: "The receiver had its mails for this while: it comes in the summary",
        C.NO_RECIPIENT: "The receiver has no address: nobody is told",
        C.REROUTED: "Rules or labels changed, and another route holds",
        C.FAULT: "Looking at it failed; the log says how",
    },
    facts={
        "until": "until {}",
        "silence": "silence {}",
        "rule": "rule {}",
        "source": "{} is active",
        "author": "by {}",
        "by": "by {}",
        "reason": "{}",
        "value": "value {}",
        "count": "number {}",
        "of": "of {}",
        "since": "last seen {}",
        "recipients": "to {}",
        "route": "route {}",
        "receiver": "receiver {}",
        "error": "{}",
    },
)
_INSTANTS = frozenset({"until", "since"})
TONGUES: Mapping[str, Reasons] = {"en": ENGLISH}


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

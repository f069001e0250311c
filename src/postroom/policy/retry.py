"""When to try again and when to give up: the table of the mail classes and its arithmetic.

Delay = half of min(cap, first x 2^n) plus a random half: the spread keeps a thousand messages that failed
together from coming back together. A written schedule is kept as written, plus up to a tenth for the same
reason; its last entry repeats. A message ends by age only, never by a number of attempts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from postroom.model.message import MailClass, UncertainPolicy
from postroom.model.outcome import Verdict

WAIT_AFTER_DOT_S = 15 * 60.0
"""Seconds an uncertain recipient waits for evidence under the policy ``wait``; longer than the 600 s a
server may take for its reply to the final dot (RFC 5321 section 4.5.3.2.6)."""
SCHEDULE_SPREAD = 0.1
"""Share of a written delay that is added at most: never earlier than written, and hardly later."""
_MAX_DOUBLINGS = 30
"""First x 2^30 is beyond every cap, and the power stays a small number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRules:
    """What a mail class sets."""

    expires: timedelta
    """Age at which a message ends."""
    first_s: float
    """Seconds before the first repetition, at most."""
    cap_s: float
    """Seconds between two attempts, at most."""
    uncertain: UncertainPolicy
    priority: int
    """Smaller goes first."""
    schedule: tuple[float, ...] = ()
    """Seconds before each repetition, the last one for all later ones; empty: ``first_s`` doubled up to
    ``cap_s``."""
    uncertain_failover: bool = False
    """Whether mail whose bytes were handed over once may be given to another transport, where no server can
    know it as a copy."""


CLASS_RULES: Mapping[MailClass, ClassRules] = MappingProxyType(
    {
        MailClass.CODE: ClassRules(
            expires=timedelta(minutes=15), first_s=5, cap_s=60, uncertain=UncertainPolicy.RETRY, priority=1
        ),
        MailClass.ALERT: ClassRules(
            expires=timedelta(hours=12), first_s=15, cap_s=900, uncertain=UncertainPolicy.RETRY, priority=2
        ),
        MailClass.TRANSACTIONAL: ClassRules(
            expires=timedelta(days=3), first_s=60, cap_s=3600, uncertain=UncertainPolicy.WAIT, priority=3
        ),
        MailClass.BULK: ClassRules(
            expires=timedelta(days=5), first_s=60, cap_s=4 * 3600, uncertain=UncertainPolicy.ASK, priority=4
        ),
    }
)


def next_delay(rules: ClassRules, tries: int, roll: float) -> float:
    """Return the seconds before the next attempt.

    Args:
        rules: of the message's class.
        tries: attempts that counted before the one that just failed.
        roll: a dice roll in ``[0, 1)``.
    """
    if rules.schedule:
        written = rules.schedule[min(tries, len(rules.schedule) - 1)]
        return written + roll * written * SCHEDULE_SPREAD
    span = min(rules.cap_s, rules.first_s * 2.0 ** min(tries, _MAX_DOUBLINGS))
    return span / 2 + roll * span / 2


def delay_after(verdict: Verdict, rules: ClassRules, *, tries: int, roll: float) -> float:
    """Return the seconds before the next attempt: a hint, or the schedule above the rule's floor."""
    if verdict.replaces_schedule:
        return verdict.min_delay_s
    return max(verdict.min_delay_s, next_delay(rules, tries, roll))


def expiry(rules: ClassRules, due_at: datetime) -> datetime:
    """Return when a message ends that is first due at ``due_at``."""
    return due_at + rules.expires

"""How long a transport waits after failures that concern it and not a message.

A login is never hammered: providers lock accounts. A server that cannot be reached is asked often at first,
because most outages are short. The pause doubles with each failure in a row; a success ends the row.
"""

from postroom.model.outcome import Verdict
from postroom.model.step import TRANSPORT_STEPS, Step
from postroom.model.view import TransportPause

LOGIN_FIRST_S = 900.0
LOGIN_CAP_S = 3600.0
CONNECT_FIRST_S = 15.0
CONNECT_CAP_S = 900.0
_MAX_DOUBLINGS = 20


def pause_s(step: Step, verdict: Verdict, *, failures: int) -> float:
    """Return the seconds of the next pause.

    Args:
        step: where it failed.
        verdict: a pausing or throttling one; its delay is a floor, the breaker wins over it.
        failures: failures in a row before this one.
    """
    doubled = 2.0 ** min(max(failures, 0), _MAX_DOUBLINGS)
    if step is Step.AUTH:
        breaker_s = min(LOGIN_CAP_S, LOGIN_FIRST_S * doubled)
    elif step in TRANSPORT_STEPS:
        breaker_s = min(CONNECT_CAP_S, CONNECT_FIRST_S * doubled)
    else:
        breaker_s = CONNECT_FIRST_S  # the server speaks with us: its rule's delay decides
    return max(breaker_s, verdict.min_delay_s)


def longer(one: TransportPause | None, other: TransportPause) -> TransportPause:
    """Return the pause that ends later: a short one never cuts a long one."""
    return other if one is None or other.until > one.until else one

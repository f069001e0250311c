"""How long a transport waits after a failure that concerns it and not a message, and when that is an outage.

Each kind of failure has a pause of its own; a transport may wait for several at once, and the longest rules.

| kind | first pause | then | is an outage |
|---|---|---|---|
| login | 15 minutes | doubles up to an hour: providers lock accounts | at once |
| connect | 2 s, 5 s | 30 s, doubles up to 15 minutes | from the third failure in a row |
| throttle | what the rule says, at least 15 s | doubles up to 15 minutes | when longer than a minute |
| quota | what the rule says, 15 minutes if nothing | the same | when longer than a minute |
| suspended | until its end | | by a person, so nobody need be told |

A rule's delay is a floor for every kind. Ends are spread by up to a tenth, so that transports that fell
together do not come back together. A success after the end closes a pause; while it lasts, failures of
attempts that were under way are the same failure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from postroom.model.outcome import Action, Evidence, Verdict
from postroom.model.step import TRANSPORT_STEPS, Step
from postroom.model.view import PauseKind, TransportPause

LOGIN_FIRST_S = 900.0
LOGIN_CAP_S = 3600.0
SHORT_WAITS_S = (2.0, 5.0)
"""After the first failures to connect: most are nothing."""
CONNECT_FIRST_S = 30.0
CONNECT_CAP_S = 900.0
THROTTLE_FIRST_S = 15.0
THROTTLE_CAP_S = 900.0
QUOTA_S = 900.0
OUTAGE_S = 60.0
"""A pause that is longer is an outage: told, and failed over from."""
SPREAD = 0.1
"""Share of a pause that is added at most."""
_MAX_DOUBLINGS = 20
LOGIN_EXPIRED = "login-expired"
_WRONG_SECRET = frozenset(
    {
        "auth-wrong",
        "auth-app-password",
        "ali-auth",
        "g-app-password",
        "g-bad-credentials",
        "mailru-app",
        "naver-auth",
        "netease-auth",
        "qq-auth-code",
        "qq-exmail-system-busy",
        "yahoo-auth",
        "yandex-auth",
        "zoho-auth",
    }
)
"""Causes by which a server calls user name or secret wrong, and nothing else."""


def kind_of(evidence: Evidence, verdict: Verdict) -> PauseKind:
    """Return the kind of pause that a failure of the transport asks for."""
    if verdict.action is Action.PAUSE_UNTIL_QUOTA:
        return PauseKind.QUOTA
    if verdict.action is Action.THROTTLE:
        return PauseKind.THROTTLE
    if evidence.step is Step.AUTH and evidence.reply is None:
        fault = evidence.fault
        return PauseKind.LOGIN if fault is not None and fault.cause else PauseKind.CONNECT
    if evidence.step in TRANSPORT_STEPS and evidence.step is not Step.AUTH:
        return PauseKind.CONNECT
    return PauseKind.LOGIN  # the login, or what this account may do once it is in


def pause_s(kind: PauseKind, *, floor_s: float, failures: int) -> float:
    """Return the seconds of the next pause.

    Args:
        kind: of the failure.
        floor_s: what the rule or the server asks for.
        failures: failures of this kind in a row before this one.
    """
    return max(floor_s, _breaker_s(kind, max(failures, 0)))


def _breaker_s(kind: PauseKind, failures: int) -> float:
    match kind:
        case PauseKind.LOGIN:
            return _doubled(LOGIN_FIRST_S, LOGIN_CAP_S, failures)
        case PauseKind.CONNECT:
            short = len(SHORT_WAITS_S)
            if failures < short:
                return SHORT_WAITS_S[failures]
            return _doubled(CONNECT_FIRST_S, CONNECT_CAP_S, failures - short)
        case PauseKind.THROTTLE:
            return _doubled(THROTTLE_FIRST_S, THROTTLE_CAP_S, failures)
        case _:
            return QUOTA_S


def is_outage(kind: PauseKind, seconds: float, *, failures: int) -> bool:
    """Say whether a pause is told and failed over from; ``failures`` as for ``pause_s``."""
    if kind is PauseKind.CONNECT:
        return failures >= len(SHORT_WAITS_S) or seconds > OUTAGE_S
    return kind is PauseKind.LOGIN or seconds > OUTAGE_S


def longer(one: TransportPause | None, other: TransportPause) -> TransportPause:
    """Return the pause that ends later: a short one never cuts a long one."""
    return other if one is None or other.until > one.until else one


def ruling(pauses: Iterable[TransportPause]) -> TransportPause | None:
    """Return the pause that ends last, ``None`` when there is none."""
    found: TransportPause | None = None
    for pause in pauses:
        found = longer(found, pause)
    return found


def is_refused_login(pause: TransportPause) -> bool:
    """Say whether a pause began with a login that its server refused for good."""
    return pause.kind is PauseKind.LOGIN and pause.step == Step.AUTH and pause.text[:1] == "5"


def dated(pause: TransportPause, worked_until: datetime, *, expires: bool) -> TransportPause:
    """Return the pause of a login that had worked, with that time and the cause it had in its text.

    ``expires`` says that the secret is a code that is withdrawn when the password changes: when the server
    calls the secret wrong, that is the cause.
    """
    cause = LOGIN_EXPIRED if expires and pause.cause in _WRONG_SECRET else pause.cause
    text = f"worked until {worked_until:%Y-%m-%d %H:%M} UTC; {pause.cause}: {pause.text}"
    return replace(pause, cause=cause, text=text)


def failures_before(pauses: Mapping[PauseKind, TransportPause], now: datetime) -> Mapping[PauseKind, int]:
    """Return the failures in a row before now, by kind; several connections that fail at once are one."""
    return {kind: pause.failures - (now < pause.until) for kind, pause in pauses.items()}


def _doubled(first_s: float, cap_s: float, times: int) -> float:
    return float(min(cap_s, first_s * 2.0 ** min(times, _MAX_DOUBLINGS)))

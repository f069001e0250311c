"""What Postroom reports about itself: an alert event for everything that is not as it should be.

Every condition is a state with the source ``postroom``, a key that begins with ``postroom.``, and an object.
Who looks sends the event of what began or became worse, and one that is resolved when it is over (``news``).
An alert about a transport has its name in the label ``transport``, so that its letter goes by another one.

Pure: facts in, events out. What Postroom does about it itself (it pauses, waits, goes another way) is decided
elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from postroom.model.alert import AlertState, NewAlertEvent, Severity
from postroom.model.message import MailClass
from postroom.model.view import TransportPause
from postroom.policy.pacing import Used

SOURCE = "postroom"
PREFIX = "postroom."
"""Of every key."""
DOOR = "postroom"
TRANSPORT_LABEL = "transport"
CERTIFICATE_SOON = timedelta(days=14)
CERTIFICATE_AT_ONCE = timedelta(days=3)
DISK_LOW = 2
"""Times the reserve: intake stops when the reserve is all that is free."""
MAX_WAIT: Mapping[MailClass, timedelta] = {
    MailClass.CODE: timedelta(minutes=2),
    MailClass.ALERT: timedelta(minutes=5),
    MailClass.TRANSACTIONAL: timedelta(minutes=15),
    MailClass.BULK: timedelta(days=1),
}
"""From when mail that is due waits for too long; bulk mail waits for its pace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportFacts:
    """One way out."""

    name: str
    outage: TransportPause | None = None
    """What it waits for, while nothing is sent by it because of an outage."""
    has_others: bool = True
    """Another one works."""
    limits: tuple[Used, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """One certificate of our listeners that somebody else renews."""

    file: str
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFacts:
    """One endpoint that was disabled because of what it did."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFacts:
    """How Postroom is at one moment."""

    at: datetime
    transports: tuple[TransportFacts, ...] = ()
    oldest_due_at: Mapping[MailClass, datetime] = field(default_factory=dict)
    uncertain_since: datetime | None = None
    uncertain_count: int = 0
    uncertain_after: timedelta = timedelta(hours=1)
    """From which age uncertain mail is told of."""
    disk_free: int = 0
    """Bytes."""
    disk_reserve: int = 0
    """Bytes; 0: nobody knows."""
    is_intake_stopped: bool = False
    certificates: tuple[CertificateFacts, ...] = ()
    hooks: tuple[HookFacts, ...] = ()


class Named(Protocol):
    """An event, or an alert in any form."""

    @property
    def key(self) -> str:
        """What kind of thing happened."""
        ...

    @property
    def source(self) -> str:
        """Who reports."""
        ...


def is_own(alert: Named) -> bool:
    """Say whether it is what Postroom reports about itself."""
    return alert.source == SOURCE and alert.key.startswith(PREFIX)


def pretends(event: NewAlertEvent) -> bool:
    """Say whether somebody else reports in Postroom's name.

    Such alerts choose how letters go, and Postroom believes that it told of them itself.
    """
    return event.door != DOOR and is_own(event)


def conditions(facts: OwnFacts) -> dict[tuple[str, str], NewAlertEvent]:
    """Return an event, firing, for everything that is not as it should be, by key and object."""
    found = [
        *_of_transports(facts),
        *_of_mail(facts),
        *_of_disk(facts),
        *_of_certificates(facts),
        *_of_hooks(facts),
    ]
    return {(event.key, event.object): event for event in found}


def news(
    now: Mapping[tuple[str, str], NewAlertEvent], told: Mapping[tuple[str, str], NewAlertEvent]
) -> Sequence[NewAlertEvent]:
    """Return what is to be reported: what began or has another severity, and what is over.

    Args:
        now: What ``conditions`` returned.
        told: What was reported last and was firing, by key and object.
    """
    begun = [
        event for what, event in now.items() if what not in told or told[what].severity != event.severity
    ]
    over = [
        replace(event, state=AlertState.RESOLVED, title="", text="", details={}, values={})
        for what, event in told.items()
        if what not in now
    ]
    return [*begun, *over]


def _event(
    key: str,
    about: str,
    severity: Severity,
    *,
    title: str,
    text: str,
    labels: Mapping[str, str] | None = None,
    details: Mapping[str, str] | None = None,
    values: Mapping[str, str | int | float | bool] | None = None,
) -> NewAlertEvent:
    return NewAlertEvent(
        key=PREFIX + key,
        category="system",
        severity=severity,
        is_severity_said=True,
        source=SOURCE,
        object=about,
        title=title,
        text=text,
        labels=labels or {},
        details=details or {},
        values=values or {},
        state=AlertState.FIRING,
        door=DOOR,
    )


def _of_transports(facts: OwnFacts) -> Iterator[NewAlertEvent]:
    for one in facts.transports:
        labels = {TRANSPORT_LABEL: one.name}
        if (outage := one.outage) is not None:
            yield _event(
                "transport-down",
                one.name,
                Severity.ERROR if one.has_others else Severity.CRITICAL,
                title=f"Nothing is sent by {one.name}",
                text=outage.text,
                labels=labels,
                details={"cause": outage.cause, "server": outage.host, "since": _instant(outage.since)},
            )
        for used in one.limits:
            if used.is_day_near_its_end:
                yield _event(
                    "quota-near",
                    one.name,
                    Severity.WARNING,
                    title=f"The quota of {one.name} is nearly used up",
                    text=f"{used.used} of {used.allowed} mails of a day are used.",
                    labels=labels,
                    values={"used": used.used, "allowed": used.allowed},
                )


def _of_mail(facts: OwnFacts) -> Iterator[NewAlertEvent]:
    for mail_class, due_at in facts.oldest_due_at.items():
        if facts.at - due_at >= MAX_WAIT[mail_class]:
            yield _event(
                "queue-old",
                mail_class.value,
                Severity.ERROR,
                title=f"Mail of class {mail_class.value} waits for too long",
                text=f"The oldest has been due since {_instant(due_at)}.",
                values={"minutes": round((facts.at - due_at).total_seconds() / 60)},
            )
    since = facts.uncertain_since
    if since is not None and facts.at - since >= facts.uncertain_after:
        yield _event(
            "uncertain-aged",
            "",
            Severity.WARNING,
            title="Uncertain mail waits for a person",
            text=f"Nobody knows whether it arrived; the oldest was accepted at {_instant(since)}.",
            values={"recipients": facts.uncertain_count},
        )


def _of_disk(facts: OwnFacts) -> Iterator[NewAlertEvent]:
    if not facts.is_intake_stopped and not 0 < facts.disk_free < facts.disk_reserve * DISK_LOW:
        return
    title = (
        "No new mail is taken: the disk is nearly full" if facts.is_intake_stopped else "The disk gets full"
    )
    yield _event(
        "disk-low",
        "",
        Severity.CRITICAL if facts.is_intake_stopped else Severity.ERROR,
        title=title,
        text=f"{_mib(facts.disk_free)} are free; intake stops below {_mib(facts.disk_reserve)}.",
        values={"free": facts.disk_free, "reserve": facts.disk_reserve},
    )


def _of_certificates(facts: OwnFacts) -> Iterator[NewAlertEvent]:
    for one in facts.certificates:
        left = one.ends_at - facts.at
        if left <= CERTIFICATE_SOON:
            ends = "ended" if left <= timedelta(0) else "ends"
            yield _event(
                "certificate-expiring",
                one.file,
                Severity.CRITICAL if left <= CERTIFICATE_AT_ONCE else Severity.WARNING,
                title=f"A certificate of ours {ends} at {_instant(one.ends_at)}",
                text=f"It is in {one.file}. A new one is used as soon as it lies there.",
                values={"days": left.days},
            )


def _of_hooks(facts: OwnFacts) -> Iterator[NewAlertEvent]:
    for one in facts.hooks:
        yield _event(
            "webhook-disabled",
            one.id,
            Severity.WARNING,
            title=f"The webhook endpoint {one.id} was disabled",
            text=f"It is told of nothing any more: {one.reason}.",
        )


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _mib(size: int) -> str:
    return f"{size // 1_048_576} MiB"

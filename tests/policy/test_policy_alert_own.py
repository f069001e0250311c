"""What Postroom reports about itself."""

from datetime import UTC, datetime, timedelta

from postroom.model.alert import AlertState, Severity
from postroom.model.message import MailClass
from postroom.model.view import PauseKind, TransportPause
from postroom.policy.alerting.own import (
    CertificateFacts,
    HookFacts,
    OwnFacts,
    TransportFacts,
    conditions,
    news,
)
from postroom.policy.pacing import DAY_S, Used

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OUTAGE = TransportPause(
    transport="main",
    kind=PauseKind.LOGIN,
    since=NOW,
    until=NOW + timedelta(minutes=15),
    cause="auth-wrong",
    step="auth",
    text="535 5.7.8 wrong",
    host="mail.example.com",
    failures=1,
)


def _used(used: int, window_s: int = DAY_S, ends_in_s: float | None = None) -> Used:
    return Used(window_s=window_s, allowed=100, used=used, configured=100, learnt=None, ends_in_s=ends_in_s)


def test_nothing_is_reported_when_all_is_well() -> None:
    """Values on the good side of every bound are no conditions."""
    facts = OwnFacts(
        at=NOW,
        transports=(TransportFacts(name="main", limits=(_used(89), _used(100, window_s=60))),),
        oldest_due_at={
            MailClass.CODE: NOW - timedelta(seconds=119),
            MailClass.BULK: NOW - timedelta(hours=23),
        },
        uncertain_since=NOW - timedelta(minutes=59),
        disk_free=2_001,
        disk_reserve=1_000,
        certificates=(CertificateFacts(file="a.pem", ends_at=NOW + timedelta(days=15)),),
    )
    assert {} == conditions(facts)


def test_every_condition_is_an_alert_of_its_object() -> None:
    """Each bound that is crossed is one firing alert; what is about a transport names it in a label."""
    facts = OwnFacts(
        at=NOW,
        transports=(
            TransportFacts(name="main", outage=OUTAGE, has_others=False),
            TransportFacts(name="spare", limits=(_used(90),)),
            TransportFacts(name="third", limits=(_used(10, ends_in_s=3600),)),
        ),
        oldest_due_at={MailClass.CODE: NOW - timedelta(minutes=2)},
        uncertain_since=NOW - timedelta(hours=1),
        disk_free=1_999,
        disk_reserve=1_000,
        certificates=(
            CertificateFacts(file="a.pem", ends_at=NOW + timedelta(days=14)),
            CertificateFacts(file="b.pem", ends_at=NOW + timedelta(days=3)),
        ),
        hooks=(HookFacts(id="h1", reason="it is gone"),),
    )
    found = conditions(facts)
    assert {
        ("postroom.transport-down", "main"): Severity.CRITICAL,
        ("postroom.quota-near", "spare"): Severity.WARNING,
        ("postroom.quota-near", "third"): Severity.WARNING,
        ("postroom.queue-old", "code"): Severity.ERROR,
        ("postroom.uncertain-aged", ""): Severity.WARNING,
        ("postroom.disk-low", ""): Severity.ERROR,
        ("postroom.certificate-expiring", "a.pem"): Severity.WARNING,
        ("postroom.certificate-expiring", "b.pem"): Severity.CRITICAL,
        ("postroom.webhook-disabled", "h1"): Severity.WARNING,
    } == {what: event.severity for what, event in found.items()}
    assert {AlertState.FIRING} == {event.state for event in found.values()}
    assert {"transport": "main"} == found["postroom.transport-down", "main"].labels
    assert {"transport": "spare"} == found["postroom.quota-near", "spare"].labels
    assert {"postroom"} == {event.source for event in found.values()}


def test_only_what_changed_is_news() -> None:
    """What began, what has another severity and what is over is reported, each once."""

    def certificate(days: int) -> OwnFacts:
        file = CertificateFacts(file="a.pem", ends_at=NOW + timedelta(days=days))
        return OwnFacts(at=NOW, certificates=(file,))

    soon, at_once, fine = conditions(certificate(10)), conditions(certificate(2)), conditions(certificate(20))
    assert [AlertState.FIRING] == [event.state for event in news(soon, {})]
    assert [] == list(news(soon, soon))
    assert [Severity.CRITICAL] == [event.severity for event in news(at_once, soon)]
    (over,) = news(fine, at_once)
    assert AlertState.RESOLVED is over.state
    assert ("postroom.certificate-expiring", "a.pem", {}) == (over.key, over.object, over.labels)


def test_a_stopped_intake_is_worse_than_a_low_disk() -> None:
    """An alert about the disk becomes critical when no mail is taken any more."""
    low = OwnFacts(at=NOW, disk_free=999, disk_reserve=1_000, is_intake_stopped=True)
    assert [Severity.CRITICAL] == [event.severity for event in conditions(low).values()]
    assert {} == conditions(OwnFacts(at=NOW, disk_free=0, disk_reserve=0))


def test_one_outage_of_several_ways_is_an_error() -> None:
    """While another way works nobody need be woken."""
    facts = OwnFacts(at=NOW, transports=(TransportFacts(name="main", outage=OUTAGE),))
    (event,) = conditions(facts).values()
    assert (Severity.ERROR, "535 5.7.8 wrong") == (event.severity, event.text)

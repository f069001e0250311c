"""Letters of alerts as the book writes them, with as little said as a test needs."""

from datetime import UTC, datetime, timedelta
from typing import Any

from postroom.model.alert import (
    AlertId,
    AlertState,
    AlertView,
    GroupId,
    Letter,
    LetterItem,
    LetterKind,
    Severity,
)
from postroom.model.ids import DEFAULT_TENANT

AT = datetime(2026, 11, 22, 9, 17, tzinfo=UTC)
SINCE = AT - timedelta(minutes=12)


def alert(key: str = "disk-full", **given: Any) -> AlertView:
    """Return an alert that has been active for twelve minutes."""
    facts: dict[str, Any] = {
        "id": AlertId(f"{hash((key, given.get('object', ''))) % 16**20:020x}"),
        "tenant": DEFAULT_TENANT,
        "key": key,
        "category": "",
        "severity": Severity.CRITICAL,
        "source": "",
        "object": "storage-2",
        "node": "",
        "title": "Disk almost full",
        "text": "",
        "labels": {},
        "details": {},
        "values": {},
        "link": "",
        "state": AlertState.FIRING,
        "is_occurrence": False,
        "first_at": SINCE,
        "last_at": AT,
        "tally": 1,
        "last_event": 1,
    }
    return AlertView(**{**facts, **given})


def news(view: AlertView | None = None, **given: Any) -> LetterItem:
    return LetterItem(alert=view or alert(), is_news=True, **given)


def listed(view: AlertView, **given: Any) -> LetterItem:
    return LetterItem(alert=view, is_news=False, **given)


def letter(*items: LetterItem, **given: Any) -> Letter:
    """Return the first letter of an incident, to one address, in English and UTC."""
    facts: dict[str, Any] = {
        "number": 17,
        "at": AT,
        "kind": LetterKind.ALERT,
        "receiver": "on-call",
        "route": "/",
        "group": GroupId("1" * 20),
        "incident": "incident-1",
        "nth": 1,
        "recipients": ("ops@example.net",),
        "language": "en",
        "time_zone": "UTC",
        "items": items or (news(),),
        "active": 1,
    }
    return Letter(**{**facts, **given})

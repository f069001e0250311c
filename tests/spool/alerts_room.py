"""Alerts to store: builders of reports, decisions and letters, each with every member."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path

from postroom.model.alert import (
    AlertDecision,
    AlertId,
    AlertPlace,
    AlertState,
    AlertTurn,
    AlertView,
    BookRow,
    Clause,
    GroupId,
    Letter,
    LetterItem,
    LetterKind,
    NewAlertEvent,
    Severity,
)
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.ports import AlertRecords
from postroom.spool.memory.opening import open_memory
from postroom.spool.settings import SpoolSettings
from spool.spool_room import HOUR, MINUTE, NOW
from spool.sqlite_room import open_

OTHER = TenantId("other")
DISK = AlertId("d" * 20)
LAG = AlertId("1" * 20)
GROUP = GroupId("9" * 20)


def on_alerts(kind: str, data: Path, scenario: Callable[[AlertRecords], Awaitable[None]]) -> None:
    """Run a scenario on a store; one on disk goes on where an earlier scenario ended."""

    async def run() -> None:
        store = open_memory(settings=SpoolSettings()) if kind == "memory" else open_(data)
        try:
            await scenario(store.alerts)
        finally:
            await store.close()

    asyncio.run(run())


def an_event(
    key: str = "disk-full", severity: Severity = Severity.WARNING, tenant: TenantId = DEFAULT_TENANT
) -> NewAlertEvent:
    return NewAlertEvent(key=key, severity=severity, tenant=tenant)


FULL = NewAlertEvent(
    tenant=OTHER,
    key="disk-full",
    category="system",
    severity=Severity.CRITICAL,
    is_severity_said=True,
    source="db-1.example.net",
    object="/var/lib",
    node='a "quoted" \\ node',
    title="Festplatte fast voll — 91 %",
    text="Two lines,\nand a \0 between.",
    labels={"team": "storage", "": "empty", "=": "{"},
    details={"runbook": "Look at the largest tables."},
    values={"used": 91.5, "limit": 90, "is_last": True, "unit": "1", "large": 2**70, "endless": float("inf")},
    state=AlertState.FIRING,
    dedup="mine",
    occurred_at=NOW - MINUTE,
    ends_at=NOW + HOUR,
    link="https://grafana.example.net/d/1?a=b&c",
    receivers=("ann@example.com", "bob@example.org"),
    acknowledged_by="kim",
    door="tapdata",
)


def a_view(alert: AlertId = DISK, severity: Severity = Severity.WARNING) -> AlertView:
    return AlertView(
        id=alert,
        tenant=DEFAULT_TENANT,
        key="disk-full",
        category="system",
        severity=severity,
        source="db-1.example.net",
        object="/var/lib",
        node="",
        title="Almost full",
        text="91 %",
        labels={"team": "storage"},
        details={"runbook": "Look."},
        values={"used": 91.5, "limit": 90, "is_last": True},
        link="https://grafana.example.net/d/1",
        state=AlertState.FIRING,
        is_occurrence=False,
        is_flapping=True,
        first_at=NOW,
        last_at=NOW + MINUTE,
        resolved_at=NOW + HOUR,
        tally=3,
        told_at=NOW,
        acknowledged_by="kim",
        acknowledged_until=NOW + HOUR,
        muted="silenced",
        last_event=7,
        history=(1.0, 91.5),
    )


def a_letter(
    number: int = 1,
    *,
    severity: Severity = Severity.WARNING,
    incident: str = "i-1",
    at: datetime = NOW,
    tenant: TenantId = DEFAULT_TENANT,
) -> Letter:
    return Letter(
        number=number,
        at=at,
        tenant=tenant,
        kind=LetterKind.ALERT,
        receiver="ops",
        route="root/db",
        group=GROUP,
        group_labels={"key": "disk-full"},
        incident=incident,
        nth=2,
        recipients=("ann@example.com", "bob@example.org"),
        language="zh",
        time_zone="Asia/Shanghai",
        items=(
            LetterItem(
                alert=a_view(severity=severity), is_news=True, suppressed=14, suppressed_since=NOW - HOUR
            ),
            LetterItem(alert=a_view(LAG, Severity.EMERGENCY), is_news=False),
        ),
        more=5,
        active=7,
        avoid=("main",),
    )


def a_decision(
    alert: AlertId = DISK,
    clause: Clause = Clause.NEW,
    *,
    event: int | None = None,
    letter: int | None = None,
    at: datetime = NOW,
    tenant: TenantId = DEFAULT_TENANT,
    **data: str,
) -> AlertDecision:
    return AlertDecision(
        at=at, alert=alert, clause=clause, event=event, letter=letter, tenant=tenant, data=data
    )


def a_row(id_: str, data: str | None = "{}", kind: str = "alert") -> BookRow:
    return BookRow(kind=kind, id=id_, data=data)


def a_turn(
    *decisions: AlertDecision,
    letters: Sequence[Letter] = (),
    rows: Sequence[BookRow] = (),
    place: tuple[int, int] | None = None,
) -> AlertTurn:
    return AlertTurn(
        place=None if place is None else AlertPlace(urgent=place[0], other=place[1]),
        rows=rows,
        decisions=decisions,
        letters=letters,
    )

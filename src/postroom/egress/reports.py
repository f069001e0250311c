"""Reports that say the same about every recipient of an attempt."""

from datetime import datetime

from postroom.model.outcome import Evidence
from postroom.ports import Report, ReportLine, Work


def same_for_all(work: Work, evidence: Evidence, at: datetime) -> Report:
    """Return a report with one piece of evidence for every recipient."""
    return Report(
        lines=tuple(
            [
                ReportLine(recipient=number, evidence=evidence, at=at, duration_ms=0)
                for number, _ in work.recipients
            ]
        )
    )

"""The seams: what the engine needs from the world, in verbs of the domain.

The engine imports these and never an adapter; ``bootstrap`` puts adapter and engine together. Each
protocol has one conformance suite in ``tests/`` that every adapter passes.
"""

from postroom.ports.events import Events, HookAnswer, HookPoster, Hooks, Marks
from postroom.ports.operations import Operations
from postroom.ports.spool import IdempotencyClaim, KeyReused, Recovery, Replayed, Retention, Spool, Stored
from postroom.ports.stores import Blobs, BlobSource, Captures, Keys, StagedBlob
from postroom.ports.transport import Report, ReportLine, Transport, Work

__all__ = [
    "BlobSource",
    "Blobs",
    "Captures",
    "Events",
    "HookAnswer",
    "HookPoster",
    "Hooks",
    "IdempotencyClaim",
    "KeyReused",
    "Keys",
    "Marks",
    "Operations",
    "Recovery",
    "Replayed",
    "Report",
    "ReportLine",
    "Retention",
    "Spool",
    "StagedBlob",
    "Stored",
    "Transport",
    "Work",
]

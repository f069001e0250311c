"""The seams: what the engine needs from the world, in verbs of the domain.

The engine imports these and never an adapter; ``bootstrap`` puts adapter and engine together. Each
protocol has one conformance suite in ``tests/`` that every adapter passes.
"""

from postroom.ports.alerts import AlertRecords
from postroom.ports.doctor import ESCAPE_PORTS, Doctor
from postroom.ports.events import Events, HookAnswer, HookPoster, Hooks, Marks
from postroom.ports.fetching import Download, Fetcher
from postroom.ports.operations import Operations
from postroom.ports.spool import IdempotencyClaim, KeyReused, Recovery, Replayed, Retention, Spool, Stored
from postroom.ports.stores import (
    Blobs,
    BlobSource,
    Captures,
    GuestRecords,
    Keys,
    StagedBlob,
    TransportRecords,
)
from postroom.ports.templates import Collections, Renderer, TemplateRecords
from postroom.ports.transport import Report, ReportLine, TokenSource, Transport, Work

__all__ = [
    "ESCAPE_PORTS",
    "AlertRecords",
    "BlobSource",
    "Blobs",
    "Captures",
    "Collections",
    "Doctor",
    "Download",
    "Events",
    "Fetcher",
    "GuestRecords",
    "HookAnswer",
    "HookPoster",
    "Hooks",
    "IdempotencyClaim",
    "KeyReused",
    "Keys",
    "Marks",
    "Operations",
    "Recovery",
    "Renderer",
    "Replayed",
    "Report",
    "ReportLine",
    "Retention",
    "Spool",
    "StagedBlob",
    "Stored",
    "TemplateRecords",
    "TokenSource",
    "Transport",
    "TransportRecords",
    "Work",
]

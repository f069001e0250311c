"""What the doctor finds: stages in their order, each with its status, evidence and what to do.

A stage names its cause by id; meaning and remedy are looked up in the reader's language when it is shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Stage(StrEnum):
    """The stages, in the order in which they are made and shown."""

    NAME = "name"
    """Settings: what was asked for makes sense (provider, port, mode, sender, user name)."""
    DNS = "dns"
    PROXY = "proxy"
    TCP = "tcp"
    GREETING = "greeting"
    TLS = "tls"
    EHLO = "ehlo"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    RSET = "rset"
    MX = "mx"
    """Of the sender's domain, as are the three below."""
    SPF = "spf"
    DKIM = "dkim"
    DMARC = "dmarc"


class StageStatus(StrEnum):
    """How a stage went."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A change of settings that mends a stage."""

    id: str
    """For example ``use-implicit-tls``; its sentence is looked up in the reader's language."""
    patch: Mapping[str, Any]
    """What to change, in the form of ``PATCH /v1/transports/{name}``; never a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """One stage."""

    stage: Stage
    status: StageStatus
    ms: int = 0
    evidence: str = ""
    """One line: what was seen (addresses, the reply, the certificate's end); never a secret."""
    cause: str = ""
    """Id of a reply rule or local finding; empty when all is well."""
    fix: Fix | None = None
    docs: str = ""
    """The provider's page, where one is known."""
    worked_until: datetime | None = None
    """For a refused login that once worked: when it last did."""
    found: Mapping[str, str] = field(default_factory=dict)
    """Small facts for people and programs: TLS version, certificate's end, EHLO lines, DNS record and what
    is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """All stages of one check."""

    target: str
    """What was checked, without a secret."""
    stages: tuple[StageResult, ...]

    @property
    def first_failed(self) -> StageResult | None:
        """The stage that failed first."""
        return next((stage for stage in self.stages if stage.status is StageStatus.FAILED), None)

    @property
    def headline(self) -> StageResult | None:
        """The stage to name first: the first failure, else the first warning."""
        warned = (stage for stage in self.stages if stage.status is StageStatus.WARNING)
        return self.first_failed or next(warned, None)

    @property
    def ok(self) -> bool:
        """Whether nothing failed; warnings are no failure."""
        return self.first_failed is None

    @property
    def cause(self) -> str:
        """The cause to name first: of the first failure, else of the first warning; else empty."""
        return self.headline.cause if self.headline is not None else ""

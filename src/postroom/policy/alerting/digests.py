"""What a recipient hears of later: at its digest, after its quiet hours, after a storm."""

from datetime import datetime

from postroom.model.alert import AlertId, Clause, LetterKind
from postroom.policy.alerting.alerts import Alert


class Entry:
    """One alert in a digest."""

    __slots__ = ("alert", "count", "digest", "since")

    def __init__(self, digest: "Digest", alert: Alert, since: datetime) -> None:
        """Begin as one that was not told of."""
        self.digest = digest
        self.alert = alert
        self.count = 0
        """How often it was told that it is so."""
        self.since = since
        """When first."""

    @property
    def id(self) -> str:
        """Its name among the entries of all digests."""
        return f"{self.digest.id}/{self.alert.id}"


class Digest:
    """One letter to come."""

    __slots__ = (
        "address",
        "cause",
        "clock_at",
        "due_at",
        "entries",
        "id",
        "language",
        "receiver",
        "time_zone",
    )

    def __init__(self, address: str, cause: Clause, due_at: datetime) -> None:
        """Begin without entries."""
        self.id = digest_id(address, cause, due_at)
        self.address = address
        self.cause = cause
        self.due_at = due_at
        self.receiver = self.language = self.time_zone = ""
        """Those of its first entry."""
        self.entries: dict[AlertId, Entry] = {}
        self.clock_at: datetime | None = None

    @property
    def kind(self) -> LetterKind:
        """What the letter is."""
        return LetterKind.SUMMARY if self.cause is Clause.STORM else LetterKind.DIGEST


def digest_id(address: str, cause: Clause, due_at: datetime) -> str:
    """Return the name of what an address hears of at an instant for a reason."""
    return f"{address.lower()} {cause} {due_at.isoformat()}"

"""What can be set about the store, with the reason of each default."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from postroom.model.message import MailClass
from postroom.model.secret import Secret
from postroom.policy.blocking import NOBODY, BlockList
from postroom.policy.retry import CLASS_RULES

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolSettings:
    """Bounds of the store; sizes in bytes."""

    reserve: int = GIB
    """Intake stops when less than this is free, or than ``reserve_share`` of the volume if that is less."""
    reserve_share: float = 0.05
    sending_reserve: int | None = None
    """No attempt begins when less than this is free, because its result could not be stored; ``None`` is half
    of what intake leaves free, and it is never more than that."""
    ballast: int = 64 * MIB
    """Given up so that results can be stored on a full disk; at most ``ballast_share`` of the volume."""
    ballast_share: float = 0.01
    max_batch: int = 256
    """Operations in one commit: 64 take most of the gain of grouping, 256 keep a burst to one wait."""
    recent_bytes: int = 32 * MIB
    """Stored messages kept in memory until their first claim, so that it need not read and decode them."""
    uncertain_wait: timedelta = timedelta(minutes=15)
    """Policy ``wait``: from the final dot to the next try, for leases that run out."""
    max_crashes: int | None = 3
    """A group that was in work at this many deaths of the process waits for a person; ``None``: never."""
    blob_grace: timedelta = timedelta(days=1)
    """A blob file that no row names is kept this long."""
    force_file_system: bool = False
    """Use network and FUSE file systems, whose locks and syncs cannot be trusted."""
    secret_key: Secret | None = None
    """Keys that seal stored secrets, in the form of ``spool.secret_key``; ``None``: those of the data
    directory's file, which is made when the first secret is stored."""
    blocked: BlockList = NOBODY
    """Recipients that are never sent to."""
    lifetimes: Mapping[MailClass, timedelta] = field(
        default_factory=lambda: {mail_class: rules.expires for mail_class, rules in CLASS_RULES.items()}
    )
    """What a message gets that was over and that a person sends again."""

    def lifetime_us(self, mail_class: MailClass) -> int:
        """Return the lifetime of a class in microseconds."""
        return self.lifetimes[mail_class] // timedelta(microseconds=1)

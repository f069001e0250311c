"""Groups of alerts that are told together, and what was told of each of their members.

The counts of a group are kept with every change of a member (``Group.settle``), so that an event never walks
a group; only its look does.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from postroom.model.alert import AlertId, AlertState, GroupId, Severity
from postroom.policy.alerting.routing import Branch

if TYPE_CHECKING:
    from postroom.policy.alerting.alerts import Alert


class Member:
    """An alert in a group."""

    __slots__ = (
        "alert",
        "due",
        "group",
        "is_repeating",
        "is_standing",
        "reason",
        "told",
        "told_at",
        "told_severity",
        "told_tally",
    )

    def __init__(self, alert: "Alert", group: "Group") -> None:
        """Begin as one of which nothing was told."""
        self.alert = alert
        self.group = group
        self.told: AlertState | None = None
        self.told_at: datetime | None = None
        self.told_severity: Severity | None = None
        self.told_tally = 0
        """The alert's tally then; reports of earlier lives that were never told make it negative."""
        self.due: datetime | None = None
        self.reason = ""
        """By which clause it was muted when the group last asked."""
        self.is_standing = False
        self.is_repeating = False

    @property
    def id(self) -> str:
        """Its name among the members of all groups."""
        return f"{self.group.id}/{self.alert.id}"

    @property
    def free_at(self) -> datetime | None:
        """Until when its interval goes; ``None`` when nothing was told."""
        return None if self.told_at is None else self.told_at + self.alert.kind.interval

    @property
    def is_worse(self) -> bool:
        """Whether its severity rose over the one that was told."""
        return self.told_severity is not None and self.alert.severity.rank > self.told_severity.rank


class Group:
    """Alerts that are told together: their clocks and their incident."""

    __slots__ = (
        "branch",
        "clock_at",
        "id",
        "incident",
        "is_held",
        "last_letter_at",
        "letters",
        "members",
        "opened_at",
        "pending",
        "repeating",
        "rhythm",
        "rhythm_by",
        "standing",
        "waits",
    )

    def __init__(self, branch: Branch) -> None:
        """Begin without members."""
        self.id: GroupId = branch.group
        self.branch = branch
        self.members: dict[AlertId, Member] = {}
        self.pending: set[Member] = set()
        """Those that are due, now or later."""
        self.standing = 0
        """How many members are active and told."""
        self.repeating = 0
        """How many of these repeat while active."""
        self.incident = ""
        self.opened_at: datetime | None = None
        self.letters = 0
        """Of this incident."""
        self.last_letter_at: datetime | None = None
        """``None`` while this incident has none."""
        self.rhythm: timedelta | None = None
        self.rhythm_by = ""
        self.is_held = False
        """Something that is due was muted when it last looked."""
        self.waits: tuple[tuple[object, ...], ...] = ()
        """What a look waits for, the keys of ``Muting.waiting``."""
        self.clock_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether an incident is going on."""
        return bool(self.pending) or self.standing > 0

    @property
    def gate(self) -> datetime:
        """From when news may be told."""
        if self.last_letter_at is not None:
            return self.last_letter_at + self.branch.group_interval
        if self.opened_at is None:  # a member that is due has opened it
            raise RuntimeError("a group without an incident has no gate")
        return self.opened_at + self.branch.group_wait

    def repeat_at(self) -> datetime | None:
        """Return when what is still active is told again."""
        if not self.repeating or self.last_letter_at is None or self.opened_at is None:
            return None
        if self.rhythm is not None:
            return self.last_letter_at + self.rhythm
        if not (repeat := self.branch.repeat):
            return None
        age = self.last_letter_at - self.opened_at
        return self.last_letter_at + next((one for one in reversed(repeat) if one <= age), repeat[0])

    def open(self, now: datetime) -> None:
        """Begin an incident."""
        self.opened_at = now
        self.incident = f"{self.id}-{int(now.timestamp() * 1_000_000):x}"
        self.letters = 0
        self.last_letter_at = None

    def continue_from(self, other: "Group") -> None:
        """Take the incident of a group whose alert is here now."""
        self.opened_at = other.opened_at
        self.incident = other.incident
        self.letters = other.letters
        self.last_letter_at = other.last_letter_at

    def settle(self, member: Member) -> None:
        """Count a member that has changed."""
        is_standing = member.alert.is_active and member.told is AlertState.FIRING
        is_repeating = is_standing and not member.alert.repeats_by_event
        self.standing += is_standing - member.is_standing
        self.repeating += is_repeating - member.is_repeating
        member.is_standing, member.is_repeating = is_standing, is_repeating
        if member.due is None:
            self.pending.discard(member)
        else:
            self.pending.add(member)

    def remove(self, member: Member) -> None:
        """Forget a member."""
        self.standing -= member.is_standing
        self.repeating -= member.is_repeating
        self.pending.discard(member)
        del self.members[member.alert.id]

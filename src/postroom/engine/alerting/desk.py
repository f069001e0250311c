"""What a door may do with alerts: report, list, ask why, silence, acknowledge, change rhythm and rules.

Rules: a report is answered when it is on stable storage, before anybody looks at it. What a person changes is
committed before the answer, and nothing of it holds when that fails. What belongs to another tenant does not
exist.

What it does not do: deciding (``policy.alerting``), looking at events and clocks (``evaluator``).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from postroom.clock import Clock, Dice
from postroom.engine.alerting.evaluator import Evaluator
from postroom.engine.alerting.forms import AlertFilter, AlertPage, NewSilence, RuleKind, Why, WhyFilter
from postroom.model.alert import AlertEvent, AlertEventFilter, AlertView, NewAlertEvent, Silence
from postroom.model.alert_rules import AlertRules, AlertType
from postroom.model.ids import TenantId
from postroom.ports import AlertRecords, Spool


class Alerts:
    """The verbs. Raises only what ``errors`` draws."""

    def __init__(
        self, *, records: AlertRecords, evaluator: Evaluator, spool: Spool, clock: Clock, dice: Dice
    ) -> None:
        """Take the parts."""
        self._records = records
        self._evaluator = evaluator
        self._spool = spool
        self._clock = clock
        self._dice = dice

    # ------------------------------------------------------------------ events

    async def accept(self, events: Sequence[NewAlertEvent]) -> Sequence[int]:
        """Store reports in one commit; return their numbers, in their order.

        The id of the alert that a report belongs to is ``policy.alerting.identity.alert_id(event)``.
        Raises OverloadError: too many wait already, or the store is busy; DiskFullError; UnknownOutcomeError.
        """
        raise NotImplementedError

    async def events(self, wanted: AlertEventFilter) -> Sequence[AlertEvent]:
        """Return reports as they came, newest first."""
        raise NotImplementedError

    # ------------------------------------------------------------------ alerts

    async def list(self, wanted: AlertFilter) -> AlertPage:
        """Return one page of alerts, the worst first, then the youngest.

        Raises InputError: a matcher or the cursor is none; OverloadError.
        """
        raise NotImplementedError

    async def view(self, alert_id: str, *, tenant: TenantId) -> AlertView:
        """Return one alert, active or still remembered. Raises NotFoundError, OverloadError."""
        raise NotImplementedError

    async def why(self, alert_id: str, wanted: WhyFilter) -> Why:
        """Tell the story of an alert, sentence by sentence. Raises NotFoundError, OverloadError."""
        raise NotImplementedError

    async def acknowledge(
        self, alert_id: str, *, by: str, until: datetime | None = None, tenant: TenantId
    ) -> AlertView:
        """Say that somebody works on an active alert: it is not told until ``until``, its end or a rise.

        Raises NotFoundError; ConflictError: it is not active; InputError: ``until`` is over; OverloadError,
        DiskFullError.
        """
        raise NotImplementedError

    async def set_rhythm(self, group_id: str, every: timedelta, *, by: str, tenant: TenantId) -> None:
        """Repeat the letters of a group at this interval (at least a minute) while it is active.

        Raises NotFoundError: the group has no alerts; InputError; OverloadError, DiskFullError.
        """
        raise NotImplementedError

    # ------------------------------------------------------------------ silences

    async def silence(self, wanted: NewSilence) -> Silence:
        """Tell nobody of alerts that match. Raises InputError, OverloadError, DiskFullError."""
        raise NotImplementedError

    async def silence_alert(
        self, alert_id: str, *, ends_at: datetime, author: str, reason: str = "", tenant: TenantId
    ) -> Silence:
        """Tell nobody of one alert, whatever its severity: matches every other label that it has.

        Raises NotFoundError, InputError, OverloadError, DiskFullError.
        """
        raise NotImplementedError

    async def unsilence(self, silence_id: str, *, by: str, tenant: TenantId) -> None:
        """End a silence now. Raises NotFoundError, OverloadError, DiskFullError."""
        raise NotImplementedError

    async def silences(self, *, tenant: TenantId) -> Sequence[Silence]:
        """Return the silences that hold or will hold, the one that ends first first. Raises OverloadError."""
        raise NotImplementedError

    # ------------------------------------------------------------------ rules

    def rules(self, *, tenant: TenantId) -> AlertRules:
        """Return everything that decides; each entry says in ``origin`` where it stands."""
        raise NotImplementedError

    def types(self, *, tenant: TenantId) -> Sequence[AlertType]:
        """Return the catalogue, by key."""
        raise NotImplementedError

    async def put_rule(self, kind: RuleKind, name: str, data: str, *, tenant: TenantId) -> AlertRules:
        """Store a rule as JSON, in place of a stored one of this kind and name; return what holds now.

        Everything is checked together before anything is stored.
        Raises InputError: the rule is wrong, or does not fit the others; ConflictError (``read-only``): an
        entry of the settings has this name; OverloadError, DiskFullError.
        """
        raise NotImplementedError

    async def remove_rule(self, kind: RuleKind, name: str, *, tenant: TenantId) -> AlertRules:
        """Remove a stored rule; return what holds now.

        Raises NotFoundError; ConflictError (``read-only``); InputError: others need it; OverloadError,
        DiskFullError.
        """
        raise NotImplementedError

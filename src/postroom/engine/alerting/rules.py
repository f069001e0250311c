"""The rules that hold: those of the settings, and below them those that calls stored.

Rules: an entry of the settings cannot be changed by a call. Whatever is stored fits everything else that
holds at that moment; when the settings change and it does not fit any more, the start says so and goes on
without it.

What a stored rule means and whether it fits is said by ``merged`` (the wiring brings it); here is in which
order it is asked, stored and used.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from postroom.engine.alerting.evaluator import Evaluator
from postroom.engine.alerting.forms import RuleKind
from postroom.errors import ConflictError, InputError, NotFoundError, Problem
from postroom.model.alert_rules import AlertRules
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.ports import AlertRecords
from postroom.telemetry import logger

log = logger("alerts")

StoredRule = tuple[str, str, str]
"""Kind, name, JSON."""
_Name = tuple[str, str]
Merged = Callable[[AlertRules, Sequence[StoredRule]], AlertRules]
"""Returns what holds with stored rules, oldest first. Raises InputError with everything that is wrong."""


class _Holding(NamedTuple):
    """What was found of the stored rules."""

    rules: AlertRules
    wrong: Mapping[_Name, InputError]
    """Why some do not hold, by kind and name."""


class Rulebook:
    """What holds now."""

    def __init__(self, settings: AlertRules, *, records: AlertRecords, merged: Merged) -> None:
        """Take the rules of the settings; the stored ones come with ``load``."""
        self._settings = settings
        self._records = records
        self._merged = merged
        self._lock = asyncio.Lock()
        self._held = _Holding(settings, {})

    @property
    def rules(self) -> AlertRules:
        """What holds now."""
        return self._held.rules

    @property
    def troubles(self) -> Sequence[str]:
        """Stored rules that do not hold, in sentences."""
        return [
            f"the stored alert {kind} {name} does not hold: {error}"
            for (kind, name), error in self._held.wrong.items()
        ]

    async def load(self) -> AlertRules:
        """Read the stored rules, leaving out what does not fit any more."""
        self._held = self._holding(await self._records.rules(tenant=DEFAULT_TENANT))
        for (kind, name), error in self._held.wrong.items():
            log.error("a stored alert rule does not hold", kind=kind, name=name, error=str(error))
        return self._held.rules

    async def put(
        self, kind: RuleKind, name: str, data: str, *, tenant: TenantId, evaluator: Evaluator
    ) -> AlertRules:
        """Store a rule in place of one of its kind and name. Raises InputError, ConflictError."""
        async with self._lock:
            self._refuse_settings(kind, name)
            stored = list(await self._records.rules(tenant=tenant))
            at = next((i for i, one in enumerate(stored) if one[:2] == (kind.value, name)), len(stored))
            stored[at : at + 1] = [(kind.value, name, data)]
            held = self._fitting(stored)
            await self._records.put_rule(kind.value, name, data, tenant=tenant)
            self._held = held
            await evaluator.adopt()
            return held.rules

    async def remove(
        self, kind: RuleKind, name: str, *, tenant: TenantId, evaluator: Evaluator
    ) -> AlertRules:
        """Remove a stored rule. Raises NotFoundError, ConflictError; InputError: others need it."""
        async with self._lock:
            stored = await self._records.rules(tenant=tenant)
            left = [one for one in stored if one[:2] != (kind.value, name)]
            if len(left) == len(stored):
                self._refuse_settings(kind, name)
                raise NotFoundError(f"no alert {kind} {name!r} is stored")
            held = self._fitting(left)
            await self._records.remove_rule(kind.value, name, tenant=tenant)
            self._held = held
            await evaluator.adopt()
            return held.rules

    def _fitting(self, stored: Sequence[StoredRule]) -> _Holding:
        """Return what holds with these rules. Raises InputError when one is wrong that was not before."""
        found = self._holding(stored)
        for what, error in found.wrong.items():
            if what not in self._held.wrong:
                raise error
        return found

    def _holding(self, stored: Sequence[StoredRule]) -> _Holding:
        """Return what holds, and why some do not."""
        taken, left = list[StoredRule](), list(stored)
        while True:  # what a rule needs may have been stored after it
            wrong: dict[_Name, InputError] = {}
            self._add(left, taken, wrong)
            if len(wrong) in (0, len(left)):
                return _Holding(self._merged(self._settings, taken), wrong)
            left = [one for one in left if one[:2] in wrong]

    def _add(
        self, some: Sequence[StoredRule], taken: list[StoredRule], wrong: dict[_Name, InputError]
    ) -> None:
        """Add to ``taken`` what fits it, halves by halves: of thousands a few are wrong, if any."""
        try:
            self._merged(self._settings, [*taken, *some])
        except InputError as error:
            if len(some) == 1:
                wrong[some[0][:2]] = error
            else:
                half = len(some) // 2
                self._add(some[:half], taken, wrong)
                self._add(some[half:], taken, wrong)
        else:
            taken += some

    def _refuse_settings(self, kind: RuleKind, name: str) -> None:
        if name in _names(self._settings, kind):
            raise ConflictError(
                Problem(
                    code="read-only",
                    field="name",
                    cause=f"the alert {kind} {name!r} stands in the settings file",
                    fix="Change it in postroom.toml, or choose another name.",
                )
            )


def _names(rules: AlertRules, kind: RuleKind) -> frozenset[str]:
    """Return the names that the settings file gave, without those of ready sets."""
    entries = {
        RuleKind.TYPE: [(name, one.origin) for name, one in rules.types.items()],
        RuleKind.ROUTE: [(one.name, one.origin) for one in rules.root.routes],
        RuleKind.RECEIVER: [(name, one.origin) for name, one in rules.receivers.items()],
        RuleKind.TABLE: [(name, one.origin) for name, one in rules.tables.items()],
        RuleKind.INHIBITION: [(one.name, one.origin) for one in rules.inhibitions],
    }
    return frozenset(name for name, origin in entries[kind] if origin == "file")

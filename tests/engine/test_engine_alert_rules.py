"""Stored rules of alerts when there are many of them."""

import asyncio
import json
from collections.abc import Sequence

from structlog.testing import capture_logs

from postroom.engine.alerting.rules import Rulebook, StoredRule
from postroom.model.alert_rules import AlertRules
from postroom.model.ids import DEFAULT_TENANT
from postroom.schema.alert_fitting import merged
from postroom.spool.memory.opening import open_memory


def test_a_wrong_one_among_many_is_found_quickly() -> None:
    """Each look at all of them costs milliseconds of everybody's time, so there are few; the others hold."""
    looks = []

    def look(settings: AlertRules, stored: Sequence[StoredRule]) -> AlertRules:
        looks.append(len(stored))
        return merged(settings, stored)

    async def main() -> None:
        records = open_memory().alerts
        for number in range(128):
            rule = {"receiver": "gone"} if number in {7, 100} else {"matchers": [f'team="{number}"']}
            await records.put_rule("route", f"r{number}", json.dumps(rule), tenant=DEFAULT_TENANT)
        book = Rulebook(AlertRules(), records=records, merged=look)
        with capture_logs() as logged:
            rules = await book.load()
        assert [f"r{number}" for number in range(128) if number not in {7, 100}] == [
            one.name for one in rules.root.routes
        ]
        assert ["r7", "r100"] == [one["name"] for one in logged]
        assert len(looks) < 50

    asyncio.run(main())

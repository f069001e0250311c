"""A value that no store takes is its caller's misfortune, and nobody else's."""

import asyncio
from pathlib import Path

import pytest

from postroom.clock import SystemClock
from postroom.errors import InvariantError
from postroom.model.alert import AlertTurn, BookRow
from postroom.model.ids import DEFAULT_TENANT
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import open_sqlite


def test_a_lone_surrogate_fails_alone(tmp_path: Path) -> None:
    """What is no Unicode is not stored; what is committed with it is, and the store goes on."""

    async def main() -> None:
        store = open_sqlite(tmp_path, settings=SpoolSettings(), clock=SystemClock())
        bad, good = (
            AlertTurn(rows=[BookRow(kind="alert", id=name, data=f'["{name}"]')]) for name in ("\ud800", "a")
        )
        found = await asyncio.gather(*map(store.alerts.settle, (good, bad)), return_exceptions=True)
        assert [type(None), InvariantError] == [type(one) for one in found]
        with pytest.raises(InvariantError):
            await store.alerts.put_rule("type", "\udfff", "{}", tenant=DEFAULT_TENANT)
        _, rows = await store.alerts.book()
        assert ["a"] == [row.id for row in rows]
        await store.close()

    asyncio.run(main())

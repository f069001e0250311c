"""Keys in memory: which are live, and the one that is given at the start."""

import asyncio

import pytest

from peers.manual import CountingDice, ManualClock
from postroom.engine.keyring import SCOPES, KeyRing
from postroom.errors import ConfigError
from postroom.model.ids import DEFAULT_TENANT
from postroom.spool.memory.inbox import MemoryKeys


def test_a_bootstrap_key_lives_beside_the_stored_ones() -> None:
    """It has every scope, survives loading and revoking, and is never stored."""

    async def scenario() -> None:
        keys = MemoryKeys()
        ring = KeyRing(keys, clock=ManualClock(), dice=CountingDice())
        ring.add_bootstrap("bootstrap-key-of-twenty-chars")
        _, secret = await ring.create("app", scopes=frozenset({"send"}), tenant=DEFAULT_TENANT)
        assert ["app"] == [key.name for key in await ring.load()]
        await ring.revoke("app")
        assert ring.find(secret) is None
        found = ring.find("bootstrap-key-of-twenty-chars")
        assert found is not None
        assert found.scopes == SCOPES

    asyncio.run(scenario())


@pytest.mark.parametrize("is_revoked", [False, True])
def test_a_bootstrap_key_that_is_stored_is_refused(is_revoked: bool) -> None:
    """The secret of a stored key, live or revoked, would open everything: the start fails by name."""

    async def scenario() -> None:
        keys = MemoryKeys()
        first = KeyRing(keys, clock=ManualClock(), dice=CountingDice())
        _, secret = await first.create("app", scopes=frozenset({"read"}), tenant=DEFAULT_TENANT)
        if is_revoked:
            await first.revoke("app")
        ring = KeyRing(keys, clock=ManualClock(), dice=CountingDice())
        ring.add_bootstrap(secret)
        with pytest.raises(ConfigError) as caught:
            await ring.load()
        (problem,) = caught.value.problems
        assert ("api-key-stored", "api_key") == (problem.code, problem.field)
        assert "'app'" in problem.cause
        assert secret not in str(caught.value)

    asyncio.run(scenario())

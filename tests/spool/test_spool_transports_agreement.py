"""Whatever is put, removed and locked away in whatever order, both stores tell the same of transports."""

import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from peers.manual import ManualClock
from postroom.errors import SecretKeyError
from postroom.model.secret import Secret
from postroom.model.transport import StoredTransport
from postroom.spool.memory.opening import open_memory
from postroom.spool.sqlite.opening import open_sqlite
from spool.spool_room import MINUTE, NOW
from spool.sqlite_room import SMALL
from spool.test_spool_transports import change_keys, some_keys

NAMES = st.sampled_from(["main", "spare", "Ωμέγα"])
PATHS = st.sampled_from(["password", "proxy.password", "oauth.secret"])
TEXTS = st.text(max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from([some_keys(1), some_keys(2), some_keys(2, 1), some_keys(1, 2, 3)])

pytestmark = pytest.mark.slow


class TwoStores(RuleBasedStateMachine):
    """Runs each verb on both stores and compares answers and what they tell."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.stores = (
            open_sqlite(self.folder, settings=SMALL, clock=ManualClock()),
            open_memory(settings=SMALL),
        )
        for store in self.stores:
            change_keys(store, some_keys(1))
        self.expected: dict[str, StoredTransport] = {}
        """What was stored, with the secrets that were meant."""

    def answers(self, name: str, *args: object) -> object:
        """Return what both stores answer."""
        found: list[object] = []
        for store in self.stores:
            try:
                found.append(self.loop.run_until_complete(getattr(store.transports, name)(*args)))
            except SecretKeyError as error:
                found.append((error.cause, str(error)))
        assert found[0] == found[1]
        return found[0]

    @rule(
        name=NAMES,
        fields=st.dictionaries(TEXTS, VALUES, max_size=3),
        secrets=st.dictionaries(PATHS, st.builds(Secret, TEXTS), max_size=3),
        minutes=st.tuples(st.integers(0, 3), st.integers(0, 9)),
        author=TEXTS.filter(lambda text: "\0" not in text),
    )
    def put(
        self,
        *,
        name: str,
        fields: dict[str, object],
        secrets: dict[str, Secret],
        minutes: tuple[int, int],
        author: str,
    ) -> None:
        made, changed = (NOW + minute * MINUTE for minute in minutes)
        record = StoredTransport(
            name=name, fields=fields, secrets=secrets, created_at=made, changed_at=changed, author=author
        )
        if self.answers("put", record) is None:
            first = self.expected.get(name, record)
            self.expected[name] = StoredTransport(
                name=name,
                fields=fields,
                secrets=secrets,
                created_at=first.created_at,
                changed_at=changed,
                author=author,
            )

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        assert (self.expected.pop(name, None) is not None) == self.answers("remove", name)

    @rule(keys=st.none() | KEYS)
    def start_with_other_keys(self, keys: object) -> None:
        for store in self.stores:
            change_keys(store, keys)  # type: ignore[arg-type]  # hypothesis widens it

    @rule(name=NAMES)
    def put_back_what_was_read(self, name: str) -> None:
        """What a caller does who changes nothing: a record that cannot be read is refused."""
        found = self.answers("all")
        assert isinstance(found, list)
        for record in found:
            if record.name == name:
                answer = self.answers("put", record)
                assert (answer is not None) == bool(record.problem)

    @invariant()
    def both_tell_the_same(self) -> None:
        found = self.answers("all")
        assert isinstance(found, list)
        assert sorted(self.expected) == sorted(record.name for record in found)
        for record in found:
            meant = self.expected[record.name]
            assert (meant.fields, meant.created_at) == (record.fields, record.created_at)
            assert {} == record.secrets if record.problem else meant.secrets == record.secrets

    def teardown(self) -> None:
        for store in self.stores:
            self.loop.run_until_complete(store.close())
        self.loop.close()
        shutil.rmtree(self.folder)


TestTwoTransportStores = TwoStores.TestCase
TestTwoTransportStores.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)

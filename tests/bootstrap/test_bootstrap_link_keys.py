"""The keys of links are made once, however many ask at the same time."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from postroom.bootstrap.hooks_out import known_link_keys, link_keys
from postroom.policy.links import LinkKeys


def test_many_at_once_get_the_same_key(tmp_path: Path) -> None:
    """Letters that are written side by side sign with the key that is kept, and none of them fails."""
    start = Barrier(8)

    def ask(_: int) -> LinkKeys:
        start.wait()
        return link_keys(tmp_path)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert [known_link_keys(tmp_path)] * 8 == found

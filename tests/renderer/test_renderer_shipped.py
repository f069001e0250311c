"""The templates that come with Postroom as a place of the catalogue."""

import asyncio
from pathlib import Path

from peers.manual import ManualClock
from postroom.model.template import Shelf
from postroom.renderer.directory import LOOK_S, Directory
from postroom.renderer.shipped import Shipped


def test_they_wear_the_directory_s_colours(tmp_path: Path) -> None:
    """Their sources are our own, components and theme the directory's; nothing is new until these change."""
    clock = ManualClock()
    shipped = Shipped(Directory(tmp_path, clock=clock))

    async def run() -> None:
        first = await shipped.look()
        assert "account-activation" in first.sources
        assert all(not variants[0].locale for variants in first.sources.values())
        assert {"", "de", "fr", "ko", "zh"} == {one.locale for one in first.sources["alert"]}
        clock.advance(LOOK_S)
        assert first is await shipped.look()
        (tmp_path / "theme.toml").write_text('[colors]\nprimary = "#f97316"\n')
        clock.advance(LOOK_S)
        second = await shipped.look()
        assert {"colors": {"primary": "#f97316"}} == second.shelf.theme
        assert second.sources == first.sources

    asyncio.run(run())
    assert Shelf() == asyncio.run(Shipped(None).look()).shelf

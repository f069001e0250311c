"""The page about templates says what the catalogue does."""

import inspect
import re
import tomllib
from pathlib import Path

from peers.manual import ManualClock
from postroom.renderer import directory, layout
from postroom.renderer.directory import Directory

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "templates.md").read_text()
SECTION = PAGE.partition("### The directory\n")[2].partition("\n### ")[0]


def test_the_directory_of_the_page_is_what_it_says(tmp_path: Path) -> None:
    """Each file that the page draws is used, and as what it says."""
    tree = SECTION.partition("```\nmails/\n")[2].partition("```")[0]
    files = [line.split()[0] for line in tree.splitlines()]
    for name in files:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x = 1" if name.endswith(".toml") else name)
    found = Directory(tmp_path, clock=ManualClock()).read()
    assert () == found.findings
    used = {one.file for sources in found.sources.values() for one in sources}
    used |= {one.text_part or "" for sources in found.sources.values() for one in sources} - {""}
    used |= {f"{name}.html" for name in found.shelf.components} | set(found.shelf.styles) | {"theme.toml"}
    assert set(files) == used
    assert {"x": 1} == found.shelf.theme
    assert {"templates"} == set(tomllib.loads(SECTION.partition("```toml\n")[2].partition("```")[0]))


def test_every_finding_is_on_the_page() -> None:
    """Each code that a file can be refused with has its row, and no other has one."""
    modules = [inspect.getsource(module) for module in (directory, layout)]
    codes = {code for text in modules for code in re.findall(r'\bfinding\(\s*[^"]*?"([a-z-]+)"', text)}
    codes |= {code for text in modules for code in re.findall(r'finding\(THEME, "([a-z-]+)"', text)}
    assert set(re.findall(r"^\| `([a-z-]+)` \|", SECTION, re.MULTILINE)) == codes

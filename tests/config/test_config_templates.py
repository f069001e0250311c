"""``[templates]``: what it says, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from postroom.config.load import load
from postroom.config.settings import TemplateSettings
from postroom.config.shown import shown
from postroom.config.sources import Flags
from postroom.errors import ConfigError
from postroom.renderer.packages import package_folder


def templates(tmp_path: Path, text: str, **environ: str) -> TemplateSettings:
    (tmp_path / "postroom.toml").write_text(text, "utf-8")
    return load(Flags(), environ, tmp_path).templates


def test_nothing_set(tmp_path: Path) -> None:
    """There is no directory and no package, and one process renders."""
    assert TemplateSettings() == templates(tmp_path, "")


def test_everything_set(tmp_path: Path) -> None:
    """Each setting arrives; the logo follows from the API's address, and a directory is absolute."""
    (tmp_path / "mails").mkdir()
    text = """
[templates]
directory = "mails"
packages = ["calypsso"]
workers = 4
time_limit = "2 s"
memory_limit = "512 MiB"

[templates.globals]
_product_name = "Acme"
_entity_name = "Example Society"
api_base_url = "https://api.example.org/"
_support_hours = 24
"""
    found = templates(tmp_path, text)
    folder = package_folder("calypsso")
    assert folder is not None
    expected = TemplateSettings(
        directory=tmp_path / "mails",
        packages={"calypsso": folder},
        workers=4,
        time_limit_s=2.0,
        memory_bytes=512 * 1024 * 1024,
        globals={
            "_product_name": "Acme",
            "_entity_name": "Example Society",
            "_logo_url": "https://api.example.org/calypsso/logo.png",
            "_support_hours": 24,
        },
    )
    assert expected == found
    plain: dict[str, Any] = shown(load(Flags(), {}, tmp_path))
    assert str(tmp_path / "mails") == plain["templates"]["directory"]
    assert "Acme" == plain["templates"]["globals"]["_product_name"]


def test_a_logo_of_its_own_wins(tmp_path: Path) -> None:
    """What is written goes before what would follow, in whatever order."""
    lines = ['api_base_url = "https://a.example"', '_logo_url = "https://b.example/l.png"']
    for order in (lines, lines[::-1]):
        found = templates(tmp_path, "\n".join(("[templates.globals]", *order)))
        assert {"_logo_url": "https://b.example/l.png"} == found.globals


def test_the_environment(tmp_path: Path) -> None:
    """Directory and packages can be given by variables, and go before the file."""
    (tmp_path / "mails").mkdir()
    found = templates(
        tmp_path,
        '[templates]\ndirectory = "none"',
        POSTROOM_TEMPLATES="mails",
        POSTROOM_TEMPLATE_PACKAGES="calypsso",
    )
    assert (tmp_path / "mails", ["calypsso"]) == (found.directory, list(found.packages))


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('[templates]\ndirectory = "none"', "templates.directory"),
        ('[templates]\npackages = ["no_such_package"]', "templates.packages"),
        ('[templates]\npackages = ["json"]', "templates.packages"),
        ('[templates]\npackages = ["../x"]', "templates.packages.0"),
        ('[templates]\npackages = ["postroom"]', "templates.packages.0"),
        ("[templates]\nworkers = 0", "templates.workers"),
        ("[templates]\ntime_limit = 0", "templates.time_limit"),
        ('[templates]\nmemory_limit = "1 MiB"', "templates.memory_limit"),
        ('[templates]\nfolder = "x"', "templates.folder"),
        ('[templates.globals]\nproduct = "x"', "templates.globals.product"),
        ("[templates.globals]\n_year = 2026", "templates.globals._year"),
        ('[templates.globals]\n__class__ = "x"', "templates.globals.__class__"),
        ("[templates.globals]\n_when = 2026-01-01", "templates.globals._when"),
    ],
)
def test_what_cannot_be(tmp_path: Path, text: str, field: str) -> None:
    """Each wrong setting is refused by its name."""
    with pytest.raises(ConfigError) as caught:
        templates(tmp_path, text)
    assert field in {problem.field for problem in caught.value.problems}
    assert all(problem.cause and problem.fix for problem in caught.value.problems)

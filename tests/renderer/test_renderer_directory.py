"""A directory of templates: what is read, what is refused, and when it is looked at again."""

import asyncio
import os
from pathlib import Path

import pytest

from peers.manual import ManualClock
from postroom.model.template import MAX_SOURCE, Collection, SourceForm
from postroom.renderer import directory as directory_module
from postroom.renderer.directory import LOOK_S, Directory


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def put(root: Path, path: str, text: str | bytes) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)


def read(root: Path) -> Collection:
    return Directory(root, clock=ManualClock()).read()


def told(collection: Collection) -> dict[str, str]:
    return {finding.file: finding.code for finding in collection.findings}


def test_every_file_is_what_its_place_says(root: Path) -> None:
    """Variants, languages, text parts, components, layouts, styles and the theme are told by their paths."""
    for path, text in {
        "welcome.html": "default",
        "welcome.fr.html": "french",
        "welcome.pt-BR.mjml": "brazilian",
        "welcome.txt": "plain",
        "welcome.fr.txt": "clair",
        "emails/receipt.jinja": "receipt",
        "templates/code.html": "code\r\nof two lines",
        "components/button.html": "button",
        "components/card/big.html": "card",
        "layouts/default.html": "layout",
        "brand.css": "p{}",
        "css/more.css": "a{}",
        "theme.toml": '[colors]\nprimary = "#f97316"\n',
        "README.md": "not looked at",
        ".git/config": "nor this",
        "node_modules/x/y.html": "nor this",
        "components/notes.txt": "nor this",
        "emails/old/welcome.html": "nor this",
        "welcome.html~": "nor this",
    }.items():
        put(root, path, text)
    found = read(root)
    assert {} == told(found)
    assert ["code", "receipt", "welcome"] == list(found.sources)
    assert [
        ("", SourceForm.COMPONENTS, "default", "plain", "welcome.html"),
        ("fr", SourceForm.COMPONENTS, "french", "clair", "welcome.fr.html"),
        ("pt-BR", SourceForm.MJML, "brazilian", None, "welcome.pt-BR.mjml"),
    ] == [(one.locale, one.form, one.text, one.text_part, one.file) for one in found.sources["welcome"]]
    assert SourceForm.JINJA is found.sources["receipt"][0].form
    assert "code\nof two lines" == found.sources["code"][0].text
    assert {
        "components/button": "button",
        "components/card/big": "card",
        "layouts/default": "layout",
    } == found.shelf.components
    assert {"brand.css": "p{}", "css/more.css": "a{}"} == found.shelf.styles
    assert {"colors": {"primary": "#f97316"}} == found.shelf.theme


def test_junk_is_refused_by_name(root: Path, tmp_path: Path) -> None:
    """Links that lead outside, pipes, files too large, empty or not UTF-8, bad and double names are told."""
    put(tmp_path, "secret.html", "not ours")
    put(tmp_path, "folder/x.html", "not ours")
    put(root, "good.html", "good")
    put(root, "emails/good.html", "twice")
    put(root, "good.mjml", "twice")
    put(root, "UPPER.html", "name")
    put(root, "x{__import__('os')}.html", "name")
    put(root, "good.not_a_tag.html", "locale")
    put(root, "good.english.html", "locale")
    put(root, "large.html", b"x" * (MAX_SOURCE + 1))
    put(root, "empty.html", " \n")
    put(root, "coded.html", b"caf\xe9")
    put(root, "alone.txt", "no template")
    put(root, "theme.toml", "[colors")
    (root / "link.html").symlink_to(tmp_path / "secret.html")
    (root / "components").symlink_to(tmp_path / "folder")
    (root / "inside.html").symlink_to(root / "good.html")
    (root / "dangling.html").symlink_to(root / "nothing.html")
    (root / "loop.html").symlink_to(root / "loop.html")
    os.mkfifo(root / "pipe.html")
    found = read(root)
    assert {
        "emails/good.html": "template-twice",
        "good.mjml": "template-twice",
        "UPPER.html": "template-file-name",
        "x{__import__('os')}.html": "template-file-name",
        "good.not_a_tag.html": "template-file-name",
        "good.english.html": "template-file-name",
        "large.html": "template-too-large",
        "empty.html": "template-empty",
        "coded.html": "template-coding",
        "alone.txt": "text-alone",
        "theme.toml": "theme",
        "link.html": "outside",
        "components": "outside",
        "dangling.html": "unreadable",
        "loop.html": "unreadable",
        "pipe.html": "no-file",
    } == told(found)
    assert ["good", "inside"] == list(found.sources)
    assert {} == found.shelf.components
    assert all(one.cause and one.fix for one in found.findings)


def test_names_that_are_no_text_are_told(root: Path) -> None:
    """A file whose name is not UTF-8 is left out, also a component, which stops every template."""
    put(root, "a.html", "one")
    for folder in ("", "components/", "css/"):
        put(root, f"{folder}b\udcff.{'css' if folder == 'css/' else 'html'}", "two")
    found = read(root)
    assert (["a"], {}, {}) == (list(found.sources), dict(found.shelf.components), dict(found.shelf.styles))
    assert {"b?.html", "components/b?.html", "css/b?.css"} == set(told(found))


def test_links_back_are_not_followed_again(root: Path) -> None:
    """Links to a folder above cost one look each, not one for every way through them."""
    for name in "abcdef":
        put(root, f"components/{name}.html", "x")
        (root / "components" / name).symlink_to(".")
    assert 6 == len(read(root).shelf.components)


def test_nothing_is_read_again_until_something_changes(root: Path) -> None:
    """While nothing changes the very same object comes back; an edit of the same size is seen too."""
    put(root, "a.html", "one")
    kept = Directory(root, clock=ManualClock())
    first = kept.read()
    assert first is kept.read()
    put(root, "a.html", "two")
    second = kept.read()
    assert "two" == second.sources["a"][0].text
    assert second is kept.read()
    put(root, "b.html", "new")
    assert ["a", "b"] == list(kept.read().sources)
    (root / "a.html").unlink()
    assert ["b"] == list(kept.read().sources)


def test_settled_files_are_looked_at_and_not_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that changed long ago are not opened again."""
    put(root, "a.html", "one")
    clock = ManualClock()
    clock.advance(3650 * 86_400.0)
    kept = Directory(root, clock=clock)
    first = kept.read()
    monkeypatch.setattr(directory_module, "_read", None)
    assert first is kept.read()


def test_a_look_is_taken_once_a_second_when_somebody_asks(root: Path) -> None:
    """Within a second the answer is the earlier one; callers at the same time share one look."""
    put(root, "a.html", "one")
    clock = ManualClock()
    kept = Directory(root, clock=clock)

    async def run() -> None:
        first, other = await asyncio.gather(kept.look(), kept.look())
        assert first is other
        put(root, "a.html", "two")
        assert first is await kept.look()
        clock.advance(LOOK_S)
        assert "two" == (await kept.look()).sources["a"][0].text

    asyncio.run(run())


def test_what_was_sound_stays_when_it_is_broken(root: Path) -> None:
    """A file that becomes unusable keeps its last text and is told; without an earlier one it is left out."""
    put(root, "a.html", "good")
    put(root, "theme.toml", "x = 1")
    kept = Directory(root, clock=ManualClock())
    kept.read()
    put(root, "a.html", b"\xff")
    put(root, "b.html", b"\xff")
    put(root, "theme.toml", "x =")
    broken = kept.read()
    assert ["a"] == list(broken.sources)
    assert "good" == broken.sources["a"][0].text
    assert {"x": 1} == broken.shelf.theme
    assert {"a.html": "template-coding", "b.html": "template-coding", "theme.toml": "theme"} == told(broken)
    put(root, "a.html", "better")
    put(root, "theme.toml", "x = 2")
    (root / "b.html").unlink()
    mended = kept.read()
    assert ({}, "better", {"x": 2}) == (told(mended), mended.sources["a"][0].text, mended.shelf.theme)


def test_a_directory_that_goes_away_leaves_what_it_had(root: Path, tmp_path: Path) -> None:
    """While the directory cannot be read its last templates stay in use, and that is told."""
    put(root, "a.html", "good")
    kept = Directory(root, clock=ManualClock())
    kept.read()
    root.rename(tmp_path / "moved")
    gone = kept.read()
    assert (["a"], ["directory"]) == (list(gone.sources), [one.code for one in gone.findings])
    assert gone is kept.read()
    (tmp_path / "moved").rename(root)
    assert {} == told(kept.read())
    never = Directory(tmp_path / "never", clock=ManualClock()).read()
    assert ({}, ["directory"]) == (never.sources, [one.code for one in never.findings])


def test_the_files_of_one_look_belong_together(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a file changes while others are read, everything is read once more."""
    put(root, "a.html", "a of the first commit")
    put(root, "b.html", "b of the first commit")
    kept = Directory(root, clock=ManualClock())
    read_file = directory_module._text
    changed: list[str] = []

    def change_meanwhile(file: Path, path: str) -> object:
        text = read_file(file, path)
        if not changed:
            changed.append(path)
            put(root, "a.html", "a of the second commit")
            put(root, "b.html", "b of the second commit")
        return text

    monkeypatch.setattr(directory_module, "_text", change_meanwhile)
    found = kept.read()
    assert ["a.html"] == changed
    assert ["a of the second commit", "b of the second commit"] == [
        found.sources[name][0].text for name in ("a", "b")
    ]


def test_a_directory_that_never_rests_keeps_what_is_in_use(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While somebody writes and writes, the templates of before stay."""
    put(root, "a.html", "before")
    kept = Directory(root, clock=ManualClock())
    before = kept.read()
    read_file = directory_module._text

    def change_again(file: Path, path: str) -> object:
        text = read_file(file, path)
        put(root, "a.html", f"{text} and on")
        return text

    put(root, "a.html", "changing")
    with monkeypatch.context() as patched:
        patched.setattr(directory_module, "_text", change_again)
        assert before is kept.read()
    assert "changing and on" in kept.read().sources["a"][0].text


def test_a_directory_has_bounds(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many files or bytes are told, and what is beyond the bound is not used."""
    for name in "abc":
        put(root, f"{name}.html", "x" * 10)
    with monkeypatch.context() as patched:
        patched.setattr(directory_module, "MAX_FILES", 2)
        found = read(root)
    assert (["a", "b"], {"c.html": "too-many-files"}) == (list(found.sources), told(found))
    monkeypatch.setattr(directory_module, "MAX_BYTES", 15)
    found = read(root)
    assert (["a"], {"b.html": "too-many-files"}) == (list(found.sources), told(found))

"""Claims about the names files are sent under."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.mime.filenames import filename_problem, safe_filename


@each(
    ("name", "safe"),
    [
        ("a.pdf", "a.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\y.txt", "y.txt"),
        ("//host/share/z", "z"),
        ("foo\\", "foo"),
        ("", "attachment-3.bin"),
        (".", "attachment-3.bin"),
        ("..", "attachment-3.bin"),
        ("/", "attachment-3.bin"),
        ("...", "attachment-3.bin"),
        ("CON.txt", "attachment-3.txt"),
        ("aux", "attachment-3.bin"),
        ("LPT1.tar.gz", "attachment-3.gz"),
        ("console.txt", "console.txt"),
        (".profile", ".profile"),
        ("x" * 4000 + ".txt", "x" * 251 + ".txt"),
        ("x" * 4000, "x" * 255),
        ("x." + "y" * 4000, "x." + "y" * 253),
    ],
)
def test_known_names(name: str, safe: str) -> None:
    """Paths lose their folders, unusable names get a plain one, long ones keep their suffix."""
    assert safe == safe_filename(name, 3)


@given(st.text(max_size=600))
def test_a_safe_name_is_one_component_and_stays_as_it_is(name: str) -> None:
    """Whatever comes in, one usable component goes out; making it safe again changes nothing."""
    safe = safe_filename(name, 1)
    assert safe.strip(". ")
    assert not set(safe) & {"/", "\\"}
    assert len(safe) <= 255
    assert safe == safe_filename(safe, 1)


@pytest.mark.parametrize("name", ["a\r\nX: 1.pdf", "a\0", "a\x85", "a\u2028", "a\ud800", "ann\u202efdp.exe"])
def test_names_that_could_break_or_disguise_are_refused(name: str) -> None:
    """Line ends, controls, surrogates and bidi overrides are a problem; other names are none."""
    assert filename_problem(name) is not None
    assert filename_problem("\u53d1\u7968 4711.pdf") is None

"""Texts for people are broken where their language allows it."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from postroom.cli.show import WIDTH, wrapped


def test_chinese_fills_its_lines() -> None:
    """A text without blanks begins beside its number and breaks between characters, never before a mark."""
    text = "4. " + "向下滚动到服务。" * 12
    lines = wrapped(text, "    ")
    assert lines[0].startswith("    4. 向下")
    assert all(WIDTH - 4 <= cell_len(line) for line in lines[:-1])
    assert not any(line.strip().startswith("。") for line in lines)


@given(st.text(st.sampled_from("ab .。向下한국\uff0c"), max_size=300))
def test_nothing_is_lost(text: str) -> None:
    """The lines hold every character but blanks, in order; only what cannot be broken is longer."""
    lines = wrapped(text, "  ")
    assert "".join(text.split()) == "".join("".join(line.split()) for line in lines)
    assert all(line.startswith("  ") and line.strip() for line in lines)

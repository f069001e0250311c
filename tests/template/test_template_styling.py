"""Styles of pages: utility classes, inlining, and what stays in the head."""

from postroom.template.styling import styled

_PAGE = """<!DOCTYPE html>
<html><head><style>
  @import "mail/global.css";
  @tailwind utilities;
  img { @apply max-w-full align-middle; }
</style></head><body class="m-0 bg-slate-50">%s</body></html>
"""
_SHELF = {"global.css": "a { @apply text-slate-950 underline; }"}


def _body(content: str) -> str:
    page = styled(_PAGE % content, styles=_SHELF, theme={"colors": {"primary": "#f97316"}}).html
    return page[page.index("<body") :]


def test_utilities_are_inlined_and_their_classes_removed() -> None:
    """A class becomes a style attribute; nothing names it any more, so it goes."""
    assert '<p style="margin:0 0 24px;font-size:16px;line-height:24px;color:#475569">x</p>' in _body(
        '<p class="m-0 mb-6 text-base/6 text-slate-600">x</p>'
    )
    assert '<a href="{{ u }}" style="color:#020617;text-decoration:underline">x</a>' in _body(
        '<a href="{{ u }}">x</a>'
    )


def test_what_cannot_be_inlined_stays_in_the_head() -> None:
    """Rules for hovering and for small screens stay, under names that every client reads."""
    page = styled(_PAGE % '<p class="p-6 sm:p-4 hover:bg-primary/90">x</p>', styles=_SHELF,
                  theme={"colors": {"primary": "#f97316"}}).html  # fmt: skip
    assert ".hover-bg-primary-90:hover { background-color: rgb(249 115 22 / 0.9) !important }" in page
    assert "@media (max-width: 600px) {\n.sm-p-4 { padding: 16px !important }\n}" in page
    assert '<p class="sm-p-4 hover-bg-primary-90" style="padding:24px">x</p>' in page

"""Claims about the text that is derived from HTML."""

import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.mime.html import html_to_text

LOGO = '<a href="https://x.test"><img src="l.png" alt="Logo"></a>'
CARD = '<table role="none"><tr><td><p>a</p><p>b</p></td></tr></table>'
LINE = '<table role="none"><tr><td>c</td></tr></table>'


@each(
    ("page", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("<p>a</p><p>b</p>", "a\n\nb"),
        ("<h1>Title</h1>body", "Title\n\nbody"),
        ("<div>a</div><div>b</div>", "a\nb"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("a  \n\t b <b> c</b>", "a b c"),
        ("a&nbsp;b &amp; &lt;c&gt; &#8364; &copy", "a\u00a0b & <c> \u20ac \u00a9"),
        ("<ul><li>a<li>b</ul>", "- a\n- b"),
        ("<ol><li>a</li><li>b<ul><li>c</li></ul></li></ol>", "1. a\n2. b\n   - c"),
        ("x<ul><li><p>a</p><p>b</p></li></ul>y", "x\n\n- a\n\n  b\n\ny"),
        ('<a href="https://x.test/?a=1&amp;b=2">go</a>!', "go <https://x.test/?a=1&b=2>!"),
        ('<a href="https://x.test">https://x.test</a>', "https://x.test"),
        ('<a href="mailto:a@x.test">a@x.test</a>', "a@x.test"),
        ('<a href="#top">up</a> <a href="javascript:x()">run</a> <a>none</a>', "up run none"),
        ('<a href="https://x.test"><img src="l.png" alt="Logo"></a>', "Logo <https://x.test>"),
        ('<a href="https://x.test"><img src="l.png"></a>', "<https://x.test>"),
        ('<img alt="a > b" src=x>', "a > b"),
        (LOGO + "<p>a</p>" + LOGO + "b", "Logo <https://x.test>\n\na\n\nb"),
        (
            LOGO + "<div>" + LOGO.replace("x.", "y.") + "</div>",
            "Logo <https://x.test>\nLogo <https://y.test>",
        ),
        ('a<div role="separator">&zwj;</div>b', "a\n\nb"),
        (CARD + "<p role='separator'></p>" + CARD + LINE, "a\n\nb\n\n----------\n\na\n\nb\n\nc"),
        (CARD + "c<p role='separator'></p>" + CARD, "a\n\nb\n\nc\n\na\n\nb"),
        (CARD + CARD + LINE + LINE, "a\n\nb\n\na\n\nb\n\nc\nc"),
        (
            "<table><tr><th>Order:</th><td>4711</td></tr><tr><td>Sum</td><td>9 &euro;</td></tr></table>",
            "Order: 4711\nSum: 9 \u20ac",
        ),
        ("<table><tr><td>a<td>b<td>c<tr><td>d</table>", "a | b | c\nd"),
        ('<table role="presentation"><tr><td>a</td><td>b</td></tr></table>', "a\nb"),
        ("<table><tr><td><p>a</p><p>b</p></td><td>c</td></tr></table>", "a\n\nb\nc"),
        ("<table><tr><td><table><tr><td>k</td><td>v</td></tr></table></td></tr></table>", "k: v"),
        ("<blockquote>a<p>b</blockquote>c", "> a\n>\n> b\n\nc"),
        ("a<hr>b", "a\n\n----------\n\nb"),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ("<head><title>t</title></head><style>p{}</style><script>if (a<b) x('</p>')</script>a", "a"),
        ('<div style="display:none;max-height:0">preheader</div>a', "a"),
        ('<span style="MSO-HIDE: all">p</span><p hidden>q</p><p class="is hidden">r</p>', "r"),
        ('<div style="font-size:0px"><div>x</div>y</div>a<p style="font-size:10px">b</p>', "a\n\nb"),
        ('<td style="font-size:0px;word-break:break-word"><div style="font-size:13px">x</div></td>', "x"),
        ('<div style="line-height: 24px">\u200d</div>a<div>&zwj; &zwj;</div>b', "a\nb"),
        ("<!-- c > --><!DOCTYPE html><?xml?>a<!-- open", "a"),
        ("1 < 2 <3 a<", "1 < 2 <3 a<"),
        ('<a href="x>y', "y"),
        ("a<b title='x", "a"),
        ("</p></table></li>a", "a"),
        ("<li>a<td>b", "- a\n  b"),
        (
            '<a href="https://x.test/?a=1&amp;amp;copy=2">&amp;lt;</a>',
            "&lt; <https://x.test/?a=1&amp;copy=2>",
        ),
        ('<img alt="&amp;lt;">', "&lt;"),
        ("<p>a</p><br>b<div>c</div><br><div>d</div>", "a\n\nb\nc\n\nd"),
        ("<head><title>t</title><meta x><body>a", "a"),
        ("<p hidden>p<p>a", "a"),
        ("<table><tr><td>&nbsp;</td><td>a</td></tr><tr><td>&nbsp;</td></tr></table>b", "a\n\nb"),
        ("<a href=1>a<a href=2>b</a></a>", "a <1>b <2>"),
    ],
)
def test_layout(page: str, text: str) -> None:
    """Each construct has its one form in text."""
    assert text == html_to_text(page)


class _Words(HTMLParser):
    """The words of a page, by the standard library."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found += data.split()


PAGES = st.recursive(
    st.lists(
        st.sampled_from(["one", "two & three", "vier < f\u00fcnf", "\u516d"]), min_size=1, max_size=3
    ).map(lambda words: " ".join(words).replace("&", "&amp;").replace("<", "&lt;")),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["p", "div", "b", "h2", "section", "table", "a", "center"]), inner).map(
            lambda pair: f'<{pair[0]} title="x > y">{pair[1]}</{pair[0]}>'
        ),
        st.lists(inner, max_size=3).map(" <br> ".join),
    ),
    max_leaves=20,
)


@given(PAGES)
def test_keeps_every_word_in_order(page: str) -> None:
    """The words of a well-formed page are those the standard library's parser finds."""
    oracle = _Words()
    oracle.feed(page)
    oracle.close()
    assert oracle.found == html_to_text(page).split()


JUNK = st.text(st.one_of(st.sampled_from([*"<>/!-='\"& \naptd"]), st.characters()), max_size=200)
TAGS = st.lists(
    st.sampled_from(
        [
            "<",
            ">",
            "</",
            "<!--",
            "-->",
            "<p",
            "<a href='",
            '"',
            "'",
            "<table>",
            "<tr>",
            "<td>",
            "</td>",
            "</tr>",
            "</table>",
            "<ul>",
            "<ol>",
            "<li>",
            "</li>",
            "</ul>",
            "<blockquote>",
            "</blockquote>",
            "<pre>",
            "</pre>",
            "<a>",
            "</a>",
            "<div hidden>",
            "</div>",
            "<script>",
            "</script>",
            "<br>",
            "text ",
            "\n",
            "&amp",
            "\0",
            "\ud800",
        ]
    ),
    max_size=60,
).map("".join)


@given(st.one_of(JUNK, TAGS))
def test_never_raises_and_never_runs_on(page: str) -> None:
    """Any junk gives text without blank lines at its edges, the same each time."""
    text = html_to_text(page)
    assert text == text.strip("\n")
    assert "\n\n\n" not in text
    assert text == html_to_text(page)


@pytest.mark.parametrize(
    "unit",
    [
        "<",
        "<a",
        "<!--",
        "<a '",
        '<a "',
        "<a b='c' ",
        "</",
        "<!",
        "<?",
        "<script>",
        "<script",
        "</script",
        "&",
        "&#",
        "<div>",
        "<table>",
        "<tr>",
        "<td>",
        "<li>",
        "<ul>",
        "<blockquote>",
        "<a href=x>",
        "</a>",
        "</li>",
        "<p hidden>",
        "<table><tr><td>a",
        "<ul><li>a",
        "<blockquote>a",
        "<a href=x>a<b>",
        "<a href=x><img alt=a></a>",
        "<pre>\n",
        "a ",
        "\n",
        "<br>",
        "<div a ",
        "a<b",
    ],
)
def test_takes_linear_time(unit: str) -> None:
    """100 kB of any construct, never closed or closed at the end, is read in a moment."""
    count = 100_000 // len(unit)
    page = unit * count + "</a>" * (count // 8 * unit.startswith("<a href"))
    started = time.process_time()
    html_to_text(page)
    assert time.process_time() - started < 2

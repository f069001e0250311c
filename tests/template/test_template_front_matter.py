# ruff: noqa: E501 -- lists of small sources
"""Front matter: YAML and TOML as they say, and what is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.template.errors import SourceError
from postroom.template.language.front_matter import MAX_BYTES, FrontMatter, read_front_matter


def read(*lines: str) -> FrontMatter:
    """Read lines of YAML."""
    return read_front_matter("\n".join(("---", *lines, "---", "body")))[0]


def refusal(text: str) -> tuple[str, int]:
    """Return code and line of what is wrong."""
    with pytest.raises(SourceError) as error:
        read_front_matter(text, file="mail.html")
    (found,) = error.value.findings
    assert "mail.html" == found.file
    assert found.cause
    assert found.fix
    return found.code, found.line


def test_nothing_is_there() -> None:
    """A source without front matter is all body; a rule in the text is no front matter."""
    assert (FrontMatter(), "<p>a</p>\n---\nb\n---\n", 0) == read_front_matter("<p>a</p>\n---\nb\n---\n")
    assert "" == read_front_matter("")[1]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_body_and_its_line(newline: str) -> None:
    """What stands below comes back as it is, with the number of lines above it, also after a byte order mark."""
    front, body, offset = read_front_matter(newline.join(("\ufeff---", "title: T", "---", "one", "two")))
    assert ("T", newline.join(("one", "two")), 3) == (front.title, body, offset)


def test_known_keys_and_others() -> None:
    """Known keys are texts by name, every key is readable as ``page``, types are YAML 1.2's."""
    front = read(
        "subject: S", "preheader: 'p'", 'title: "t"', "language: no", "bodyClass: b", "doctype: html", "charset: u",
        "text: |", "  Hello", "count: 0o17", "ratio: 1.5e3", "on: yes", "flag: TRUE", "none: ~", "hex: 0x1F",
        "time: 12:30", "date: 2026-01-02", "list: [1, two, [3]]", "deep:", "  one: 1", "'quoted': '1'",
    )  # fmt: skip
    assert ("S", "p", "t", "no", "b") == (
        front.subject,
        front.preheader,
        front.title,
        front.language,
        front.body_class,
    )
    assert ("html", "u", "Hello\n") == (front.doctype, front.charset, front.text)
    page = dict(front.page)
    assert (15, 1500.0, "yes", True, None, 31) == tuple(
        page[k] for k in ("count", "ratio", "on", "flag", "none", "hex")
    )
    assert ("12:30", "2026-01-02", [1, "two", [3]], {"one": 1}) == tuple(
        page[k] for k in ("time", "date", "list", "deep")
    )
    assert "1" == page["quoted"]
    assert 5 == front.lines["language"]


def test_values_that_begin_with_an_expression() -> None:
    """A value may begin with braces, go on over lines, hold quotes and colons; other lines keep their numbers."""
    front = read(
        "a: @{{ x }}: it's", "b: Hi @{{", "  y }}!", "c: @{{", "  z", "  }}", "d:", "  - @{{ one }}", "  - {{ two }} # note",
        "e: {% if a %}b{% endif %}", "f: {g: 1}", "h: last",
    )  # fmt: skip
    assert ("@{{ x }}: it's", "Hi @{{ y }}!", "@{{ z }}") == tuple(front.page[key] for key in "abc")
    assert (["@{{ one }}", "{{ two }}"], "{% if a %}b{% endif %}", {"g": 1}) == tuple(
        front.page[key] for key in "def"
    )
    assert 13 == front.lines["h"]


def test_toml() -> None:
    """Between ``+++`` lines stands TOML, with the same keys."""
    front, body, offset = read_front_matter(
        '+++\nsubject = "S"\ncount = 3\n[variables]\nname = "Ada"\n+++\nbody'
    )
    assert ("S", 3, "body", 6) == (front.subject, front.page["count"], body, offset)
    assert {"name": "Ada"} == {name: note.example for name, note in (front.variables or {}).items()}
    dates = read_front_matter("+++\na = 2026-01-02\nb = 2026-01-02T03:04:05Z\nc = 06:07:08\n+++\n")[0].page
    assert {"a": "2026-01-02", "b": "2026-01-02T03:04:05+00:00", "c": "06:07:08"} == dates
    assert ("front-matter-syntax", 3) == refusal('+++\na = "x"\nb = = 1\n+++\n')


def test_variables() -> None:
    """A variable has an example, or a note with type, description, example, default, required."""
    notes = read(
        "variables:", "  name: Ada", "  items: [a]", "  object: {type: x, other: 1}", "  url:", "    type: string",
        "    description: Where to go", "    example: https://example.com", "  note: {default: none}",
        "  extra: {type: integer, required: false}",
    ).variables  # fmt: skip
    assert notes is not None
    assert ("Ada", ["a"], {"type": "x", "other": 1}) == tuple(
        notes[key].example for key in ("name", "items", "object")
    )
    url = notes["url"]
    assert ("string", "Where to go", "https://example.com", True, 6) == (
        url.type, url.description, url.example, url.required, url.line,
    )  # fmt: skip
    assert ("none", True, False) == (notes["note"].default, notes["note"].has_default, notes["note"].required)
    assert not notes["extra"].required
    assert read("title: t").variables is None


@each(
    ("text", "code", "line"),
    [
        ("---\ntitle: t\n", "front-matter-open", 1),
        ("---\na: &x 1\n---\n", "front-matter-anchor", 2),
        ("---\na: 1\nb: *x\n---\n", "front-matter-alias", 3),
        ("---\na: !!python/object:os.system x\n---\n", "front-matter-tag", 2),
        ("---\na: 1\nb:\n  c: 1\n  c: 2\n---\n", "front-matter-duplicate", 5),
        ("---\na: 1\nsubject: Order #1042\n---\n", "front-matter-cut", 3),
        ("---\ntitle: @{{ name }}, #@{{ number }} #1\n---\n", "front-matter-cut", 2),
        ("---\npreheader: Ticket #@{{ number }}\n---\n", "front-matter-cut", 2),
        ("---\na: b: c\n---\n", "front-matter-syntax", 2),
        ("---\n- a\n---\n", "front-matter-syntax", 2),
        ("---\n? [a]\n: b\n---\n", "front-matter-syntax", 2),
        ("---\na: \x01\n---\n", "front-matter-syntax", 1),
        ("---\nx: 1\nsubject: [a]\n---\n", "front-matter-type", 3),
        ("---\na: 1\nb: 1e999\n---\n", "front-matter-type", 3),
        ('---\na: "\\ud800"\n---\n', "source-characters", 2),
        ('+++\na = "\\u0000"\n+++\n', "source-characters", 2),
        ("+++\na = [nan]\n+++\n", "front-matter-type", 2),
        ("+++\na = 0x" + "f" * 9000 + "\n+++\n", "front-matter-type", 2),
        ("+++\na = " + "9" * 9000 + "\n+++\n", "front-matter-syntax", 1),
        ("---\nvariables: 3\n---\n", "front-matter-type", 2),
        ("---\nvariables:\n  a-b: 3\n---\n", "variable-name", 3),
        ("---\nvariables:\n  a: {type: text}\n---\n", "variable-type", 3),
        ("---\nvariables:\n  a: {type: [string, number]}\n---\n", "variable-type", 3),
        ("---\na: " + "[" * 40 + "]" * 40 + "\n---\n", "front-matter-depth", 2),
        ("---\na: " + "[" * 5000 + "\n---\n", "front-matter-depth", 1),
        ("---\n" + "- " * 5000 + "\n---\n", "front-matter-syntax", 1),
        ("---\na: " + "[" * 40 + "\n---\n", "front-matter-syntax", 3),
        ("---\na: " + "x" * MAX_BYTES + "\n---\n", "front-matter-size", 1),
    ],
)
def test_what_is_refused(text: str, code: str, line: int) -> None:
    """Each thing that is refused has its own code, and the line in the file."""
    assert (code, line) == refusal(text)


def test_blank_lines_above_are_no_text() -> None:
    """Blank lines before the fence are not taken for a mail that begins with dashes; lines keep their numbers."""
    front, body, offset = read_front_matter("\ufeff\r\n \n---\nsubject: S # why\n---\n<p>\n")
    assert ("S", "<p>\n", 5) == (front.with_page(front.page).subject, body, offset)
    assert {"subject": 4} == front.lines
    assert ("\n\n<p>--</p>", 0) == read_front_matter("\n\n<p>--</p>")[1:]


def test_a_number_sign_in_quotes_or_expressions_is_text() -> None:
    """Quoted texts, expressions and remarks after a blank are read as before."""
    for line, expected in (
        ("'Order #1'", "Order #1"),
        ("Order # a remark", "Order"),
        ("@{{ a }} #@{{ b }}", "@{{ a }} #@{{ b }}"),
        ("Order#1", "Order#1"),
    ):
        front, _, _ = read_front_matter(f"---\nsubject: {line}\n---\n")
        assert expected == front.with_page(front.page).subject


@given(st.text(alphabet="ab:-&*!#'\"{}[]|> \n@%,?~1.\t", max_size=200), st.sampled_from(["---", "+++"]))
def test_junk_is_refused_or_read(junk: str, fence: str) -> None:
    """Whatever stands between the fences, it is read or refused as a source, and the body is never touched."""
    try:
        front, body, offset = read_front_matter(f"{fence}\n{junk}\n{fence}\nbody\n")
    except SourceError:
        return
    assert body.endswith("body\n")
    assert isinstance(front.page, dict)
    assert offset >= 2

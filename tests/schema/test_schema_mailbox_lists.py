"""Several addresses in one text."""

from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.address import make_mailbox, parse_mailbox
from postroom.schema.mailbox_lists import mailbox_text, mailbox_texts, parse_mailboxes, split_mailboxes


@each(
    ("text", "parts"),
    [
        ("", []),
        (" ,; \uff0c\n", []),
        ("a@example.com", ["a@example.com"]),
        ("a@example.com,b@example.com", ["a@example.com", "b@example.com"]),
        ("a@example.com; b@example.com ;", ["a@example.com", "b@example.com"]),
        (
            "a@example.com\uff0cb@example.com\uff1bc@example.com",
            ["a@example.com", "b@example.com", "c@example.com"],
        ),
        ("a@example.com b@example.com\tc@example.com", ["a@example.com", "b@example.com", "c@example.com"]),
        ("a@example.com\r\nb@example.com\n", ["a@example.com", "b@example.com"]),
        ('"B, C; D" <b@example.com>, a@example.com', ['"B, C; D" <b@example.com>', "a@example.com"]),
        ('"say \\", b" <b@example.com>;a@example.com', ['"say \\", b" <b@example.com>', "a@example.com"]),
        ("Jane Doe <j@example.com>, a@example.com", ["Jane Doe <j@example.com>", "a@example.com"]),
        ('"never closed, a@example.com', ['"never closed, a@example.com']),
    ],
)
def test_parts(text: str, parts: list[str]) -> None:
    """Commas, semicolons, their fullwidth forms, line ends and blanks part; quotes and brackets keep."""
    assert parts == split_mailboxes(text)


NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=12).map(str.strip)
LOCALS = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
MARKS = st.sampled_from([",", ";", "\uff0c", "\uff1b", " , ", ";;", ",\n", "\r\n"])


@given(st.lists(st.tuples(NAMES, LOCALS), max_size=6), MARKS, st.booleans())
def test_what_is_written_is_read_back(people: list[tuple[str, str]], mark: str, is_trailing: bool) -> None:
    """Mailboxes with any name survive being written into one text, whatever parts them."""
    boxes = [make_mailbox(f"{local}@example.com", name) for name, local in people]
    text = mark.join(mailbox_text(box.address.spec, box.name) for box in boxes)
    assert boxes == list(parse_mailboxes(text + (mark if is_trailing else "")))


@given(st.text(st.sampled_from(list('a@.,; "<>\\\n\uff0c')), max_size=40))
def test_nothing_is_lost(text: str) -> None:
    """Whatever the text is, only marks and blanks disappear."""
    kept = "".join("".join(split_mailboxes(text)).split())
    assert [char for char in text if char not in ",; \n\uff0c"] == [
        char for char in kept if char not in ",; \n\uff0c"
    ]


def test_lists_of_texts() -> None:
    """Each text of a list may hold several; what is no text is left for the model to refuse."""
    assert mailbox_texts(["a@example.com, b@example.com", 3]) == ["a@example.com", "b@example.com", 3]
    assert mailbox_texts(7) == 7
    assert parse_mailbox("a@example.com") == parse_mailboxes("a@example.com;")[0]

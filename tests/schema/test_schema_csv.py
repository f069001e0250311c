"""The suppression list as CSV: what goes out comes back in, and no cell calculates."""

import csv
import io
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.errors import InputError
from postroom.grammar import BIDI_CONTROL, CONTROL, SURROGATE
from postroom.model.hold import Suppression, SuppressionReason
from postroom.model.ids import DEFAULT_TENANT
from postroom.model.message import MailClass
from postroom.schema.suppression_csv import MAX_LINE, RowReader, header_line, row_line

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)


def reader() -> RowReader:
    return RowReader(tenant=DEFAULT_TENANT, author="kim", now=NOW)


def read(*lines: str) -> list[Suppression | None]:
    rows = reader()
    return [rows.read(line.encode()) for line in lines]


def entry(address: str = "a@example.com", note: str = "") -> Suppression:
    return Suppression(
        tenant=DEFAULT_TENANT,
        address=address,
        reason=SuppressionReason.COMPLAINT,
        mail_class=MailClass.BULK,
        note=note,
        author="kim",
        created_at=NOW,
        until=NOW + timedelta(days=1),
    )


def is_plain(text: str) -> bool:
    return not (CONTROL.search(text) or SURROGATE.search(text) or BIDI_CONTROL.search(text))


@given(
    st.sampled_from(["a@example.com", "@example.com", "+a@example.com", "'a@x.example", "=a@x.example"]),
    st.text(max_size=60).filter(lambda text: is_plain(text) and (not text or text.strip() != "")),
)
def test_out_and_in_is_the_same(address: str, note: str) -> None:
    """A row that was written is read back as it was, whatever its note and its first character."""
    one = entry(address, note)
    assert [None, one] == read(header_line(), row_line(one))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_calculates(start: str) -> None:
    """A cell that a spreadsheet would take for a formula has an apostrophe before it."""
    (cells,) = csv.reader(io.StringIO(row_line(entry(note=f"{start}HYPERLINK(1)"))))
    assert not any(cell[:1] in set("=+-@\t\r") for cell in cells if cell)


def test_a_list_of_addresses_is_enough() -> None:
    """A file of a spreadsheet with one column, a byte order mark and empty lines is taken."""
    rows = reader()
    lines = [b"\xef\xbb\xbfAddress\r\n", b"a@example.com\r\n", b"\r\n", b"B@EXAMPLE.com\n", b"@Example.org"]
    found = [one for line in lines if (one := rows.read(line)) is not None]
    assert ["a@example.com", "B@example.com", "@example.org"] == [one.address for one in found]
    assert {SuppressionReason.MANUAL} == {one.reason for one in found}
    assert 3 == rows.rows


@each(
    ("line", "fields"),
    [
        (b"nobody,manual,,,", {"address"}),
        (b"a@example.com,bounce,bulc,x,never", {"reason", "class", "until"}),
        (b"a@example.com,manual,,\x1b[2J,", {"note"}),
        (b"a@example.com,manual,,x,2020-01-01T00:00:00Z", {"until"}),
        (b"a@example.com", {"row"}),
        (b'"a@example.com,manual,,,', {"row"}),
        (b'a@example.com,"x"y,,,', {"row"}),
        (b"\xff\xfe,manual,,,", {"row"}),
        (b"a@example.com,manual,," + b"x" * MAX_LINE + b",", {"row"}),
        (b"a@example.com,manual,\rb,,", {"row"}),
    ],
)
def test_a_wrong_row_names_its_fields(line: bytes, fields: set[str]) -> None:
    """What is wrong with a row is told completely, and the rows after it go on."""
    rows = reader()
    rows.read(b"address,reason,class,note,until")
    with pytest.raises(InputError) as refused:
        rows.read(line)
    assert fields == {problem.field for problem in refused.value.problems}
    assert rows.read(b"b@example.com,,,,") is not None
    assert 2 == rows.rows


@pytest.mark.parametrize(
    "header", ["a@example.com", "adress,note", "address,address", "address;note", "note"]
)
def test_a_wrong_header_refuses_the_file(header: str) -> None:
    """A file whose first line does not name the columns is refused before any row."""
    rows = reader()
    with pytest.raises(InputError):
        rows.read(header.encode())
    assert not rows.columns


@given(st.binary(max_size=200))
def test_any_line_is_taken_or_refused(line: bytes) -> None:
    """No bytes make the reader fail in another way than by naming problems."""
    rows = reader()
    rows.read(b"address,note")
    with suppress(InputError):
        rows.read(line)

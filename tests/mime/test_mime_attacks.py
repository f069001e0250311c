"""Every attack row that ends in a header or a file name, against the writer and its checks."""

import json
from pathlib import Path
from typing import Any

import pytest

from each_row import each
from mime.messages import BlobFiles, addresses, assert_wire_form, content, names_of, read, wire
from postroom.errors import InvariantError
from postroom.grammar import MEDIA_TYPE
from postroom.mime.filenames import filename_problem, safe_filename
from postroom.mime.headers import header_problem
from postroom.mime.parseback import check
from postroom.mime.writer import render
from postroom.model.address import Address, AddressError, Mailbox, make_mailbox, parse_mailbox
from postroom.model.ids import is_message_id

ATTACKS = Path(__file__).parents[1] / "attacks" / "attacks.jsonl"
ROWS: dict[str, dict[str, Any]] = {
    row["id"]: row for row in map(json.loads, ATTACKS.read_text().splitlines())
}
SUBJECTS = [row for row in ROWS.values() if row["surface"] == "api.subject"]
NAMES = [row for row in ROWS.values() if row["surface"] == "api.from_name"]
REPLY_IDS = [row for row in ROWS.values() if row["surface"] == "api.reply_id"]
FILE_NAMES = [row for row in ROWS.values() if row["surface"] == "attachment.name"]
PLAIN_FIELDS = names_of(wire(content()))


def texts_of(row: dict[str, Any]) -> list[str]:
    """Return the input texts of an attack row."""
    given_input = row["input"]
    if given_input["kind"] == "text":
        return [given_input["text"]]
    if given_input["kind"] == "list":
        return list(given_input["values"])
    return [eval(given_input["expr"])]  # noqa: S307 - our own data file


def row_id(row: dict[str, Any]) -> str:
    return str(row["id"])


@each("row", SUBJECTS)
def test_subjects(row: dict[str, Any]) -> None:
    """A hostile subject is refused, or reads back as the literal text it was."""
    for subject in texts_of(row):
        if row["outcome"] == "REJECT":
            with pytest.raises(InvariantError):
                wire(content(subject=subject))
            assert header_problem("X-Subject", subject) is not None
            continue
        data = wire(content(subject=subject))
        assert_wire_form(data)
        assert PLAIN_FIELDS == names_of(data)
        assert subject == read(data)["Subject"]


@pytest.mark.parametrize("row", NAMES, ids=row_id)
def test_display_names(row: dict[str, Any]) -> None:
    """A hostile display name is refused, or stays the name of the one mailbox."""
    for name in texts_of(row):
        if row["outcome"] == "REJECT":
            with pytest.raises(AddressError):
                make_mailbox("ann@example.com", name)
            with pytest.raises(InvariantError):
                wire(content(from_=Mailbox(Address("ann", "example.com"), name)))
            continue
        message = content(from_=make_mailbox("ann@example.com", name))
        check(render(message), message)
        data = wire(message)
        assert PLAIN_FIELDS == names_of(data)
        assert [(name, "ann@example.com")] == addresses(read(data), "From")


@pytest.mark.parametrize("row", REPLY_IDS, ids=row_id)
def test_reply_ids(row: dict[str, Any]) -> None:
    """A hostile reply id never reaches In-Reply-To or References."""
    for value in texts_of(row):
        for fields in ({"in_reply_to": value}, {"references": (value,)}):
            with pytest.raises(InvariantError):
                wire(content(**fields))


def test_protected_headers() -> None:
    """HDR-023, HDR-026 to HDR-028: a caller's headers may not replace, double or break any other."""
    for row in ("HDR-026", "HDR-027"):
        for name, value in json.loads(texts_of(ROWS[row])[0]).items():
            assert header_problem(name, value) is not None
    assert header_problem("Message-ID", texts_of(ROWS["HDR-023"])[0]) is not None
    assert header_problem("List-Unsubscribe", texts_of(ROWS["HDR-028"])[0]) is not None


def test_a_display_name_that_is_an_address_does_not_redirect() -> None:
    """ADR-008: on the wire, too, the mail is for the address in angle brackets alone."""
    message = content(to=(parse_mailbox(texts_of(ROWS["ADR-008"])[0]),))
    check(render(message), message)
    assert [("alice@example.org", "bob@evil.test")] == addresses(read(wire(message)), "To")


@each("row", FILE_NAMES)
def test_file_names(row: dict[str, Any]) -> None:
    """A hostile file name is refused, or sent as one harmless component in one parameter."""
    files = BlobFiles()
    for name in texts_of(row):
        message = content(attachments=(files.attachment(b"x", filename=name),))
        if row["outcome"] == "REJECT":
            assert filename_problem(name) is not None
            with pytest.raises(InvariantError):
                wire(message, files)
            continue
        assert filename_problem(name) is None
        check(render(message), message)
        data = wire(message, files)
        assert_wire_form(data)
        part = next(iter(read(data).iter_attachments()))
        assert ["Content-Type", "Content-Disposition", "Content-Transfer-Encoding"] == part.keys()
        sent = part.get_filename()
        assert sent == safe_filename(name, 1)
        assert sent
        assert not set(sent) & {"/", "\\"}
        assert sent.strip(".")
        assert len(sent) <= 255
        assert {"filename"} == set(dict(part["Content-Disposition"].params))


def test_hostile_content_types() -> None:
    """ATT-016: active types are sent as given; a type that is none stops the message."""
    files = BlobFiles()
    for content_type in texts_of(ROWS["ATT-016"]):
        data = wire(content(attachments=(files.attachment(b"x", content_type=content_type),)), files)
        assert content_type == next(iter(read(data).iter_attachments())).get_content_type()
    assert not MEDIA_TYPE.match("text/plain" + texts_of(ROWS["HDR-029"])[0])
    with pytest.raises(InvariantError):
        wire(content(attachments=(files.attachment(b"x", content_type="text/plain; charset=x\r\ny"),)))


def test_ids_name_no_paths() -> None:
    """ATT-019: what is no id by its grammar is no id."""
    assert not is_message_id(texts_of(ROWS["ATT-019"])[0])

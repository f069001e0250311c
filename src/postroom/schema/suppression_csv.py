"""The suppression list as CSV: out without formulas, in row by row.

Rules: one row is one line, because nothing in the list may hold a line end; a cell that a spreadsheet would
take for a formula is written with an apostrophe before it, and the apostrophe is taken off again on the way
in; a wrong row is told with its number and never keeps the others out.

Sources: RFC 4180 (CSV); the cells that spreadsheets calculate begin with ``= + - @``, tab or CR.
"""

import csv
import difflib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from postroom.errors import InputError, Problem
from postroom.model.hold import Suppression, SuppressionReason
from postroom.model.ids import TenantId
from postroom.model.message import MailClass
from postroom.schema.operating import read_choice, read_pattern, read_phrase
from postroom.schema.submission import Problems, read_instant

COLUMNS = ("address", "reason", "class", "note", "until", "author", "created_at", "message_id")
"""In the order of an export; only the first is needed on the way in, the last three are not read there."""
MAX_LINE = 8192
"""Octets of one row (security limit): an address, a note of 500 characters and the rest fit four times."""

_ACTIVE = frozenset("=+-@\t\r'")
_ROW_FIX = "Write one row a line, cells separated by commas, a cell with a comma in double quotes."


def header_line() -> str:
    """Return the first line."""
    return _line(COLUMNS)


def row_line(one: Suppression) -> str:
    """Return a suppression as one line."""
    return _line(
        (
            one.address,
            one.reason,
            one.mail_class or "",
            one.note,
            "" if one.until is None else one.until.isoformat(),
            one.author,
            one.created_at.isoformat(),
            one.message_id or "",
        )
    )


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow([f"'{cell}" if cell[:1] in _ACTIVE and cell else cell for cell in cells])
    return text.getvalue()


@dataclass(slots=True)
class RowReader:
    """Reads the lines of one upload, the header first."""

    tenant: TenantId
    author: str
    now: datetime
    columns: Sequence[str] = ()
    rows: int = 0
    """Rows read so far, the header not counted."""

    def read(self, line: bytes) -> Suppression | None:
        """Return what a line says; ``None`` for the header and for empty lines.

        Raises InputError with every problem of the row; a wrong header raises it with ``rows`` at 0.
        """
        if not line.strip():
            return None
        if not self.columns:
            self.columns = self._header(_cells(line.removeprefix(b"\xef\xbb\xbf")))
            return None
        self.rows += 1
        cells = _cells(line)
        if len(cells) != len(self.columns):
            cause = f"{len(cells)} cells, the header has {len(self.columns)}"
            raise _refuse("row", "csv-syntax", cause, _ROW_FIX)
        return self._suppression(dict(zip(self.columns, map(_passive, cells), strict=True)))

    def _header(self, cells: Sequence[str]) -> Sequence[str]:
        names = [cell.strip().lower() for cell in cells]
        problems = Problems()
        for name in names:
            if name not in COLUMNS:
                near = difflib.get_close_matches(name[:100], COLUMNS, 1)
                hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(COLUMNS)}."
                problems.add("unknown-field", name[:100], "there is no such column", hint)
        if "address" not in names or len(set(names)) != len(names):
            cause = "the first line does not name the columns, address among them, each once"
            problems.add("csv-header", "header", cause, "Begin with a line such as: address,reason,note")
        problems.raise_any()
        return names

    def _suppression(self, cells: dict[str, str]) -> Suppression:
        problems = Problems()
        address = read_pattern(cells["address"].strip(), "address", problems)
        reason: SuppressionReason | None = SuppressionReason.MANUAL
        mail_class = until = None
        if text := cells.get("reason"):
            reason = read_choice(SuppressionReason, text, "reason", problems)
        if text := cells.get("class"):
            mail_class = read_choice(MailClass, text, "class", problems)
        if note := cells.get("note", ""):
            read_phrase(note, "note", problems)
        if text := cells.get("until"):
            until = read_instant(text, "until", problems)
            if until is not None and until <= self.now:
                problems.add(
                    "until-passed", "until", "an instant that has passed", "Give a later one, or none."
                )
        problems.raise_any()
        return Suppression(
            tenant=self.tenant,
            address=address,
            reason=reason or SuppressionReason.MANUAL,
            mail_class=mail_class,
            note=note,
            author=self.author,
            created_at=self.now,
            until=until,
        )


def _cells(line: bytes) -> list[str]:
    try:
        if len(line) > MAX_LINE:
            raise _refuse("row", "too-long", f"a row of more than {MAX_LINE} octets", _ROW_FIX)
        return next(csv.reader([line.decode().rstrip("\r\n")], strict=True), [])
    except (csv.Error, UnicodeDecodeError):
        raise _refuse("row", "csv-syntax", "not CSV in UTF-8", _ROW_FIX) from None


def _passive(cell: str) -> str:
    """Take off the apostrophe that an export puts before a cell."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _ACTIVE and len(cell) > 1 else cell


def _refuse(name: str, code: str, cause: str, fix: str) -> InputError:
    problems = Problems()
    problems.add(code, name, cause, fix)
    return InputError(problems.found)


def as_row_problem(row: int, problem: Problem) -> dict[str, str | int]:
    """Return a problem with the number of its row."""
    return {
        "row": row,
        "code": problem.code,
        "field": problem.field,
        "cause": problem.cause,
        "fix": problem.fix,
    }

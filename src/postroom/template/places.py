"""Where something stands in a source, and what is said about it there."""

from typing import NamedTuple

from postroom.model.template import Finding, Severity


class Place(NamedTuple):
    """A place in a file; 0 when it is about the whole."""

    file: str
    line: int
    column: int = 0


def error(code: str, place: Place, *, cause: str, fix: str) -> Finding:
    """Make a finding that stops the template from being used."""
    return _finding(code, place, cause, fix=fix, severity=Severity.ERROR)


def warning(code: str, place: Place, *, cause: str, fix: str) -> Finding:
    """Make a finding that is worth a look."""
    return _finding(code, place, cause, fix=fix, severity=Severity.WARNING)


def _finding(code: str, place: Place, cause: str, *, fix: str, severity: Severity) -> Finding:
    return Finding(
        code=code,
        severity=severity,
        file=place.file,
        line=place.line,
        column=place.column,
        cause=cause,
        fix=fix,
    )

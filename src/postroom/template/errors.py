"""What is raised when a source cannot be compiled.

A source is wrong in the author's eyes, not in the caller's: the error carries findings with file, line and
column, and the room that knows who asked turns them into problems of a request or lines on a terminal.
"""

from collections.abc import Sequence

from postroom.errors import PostroomError
from postroom.model.template import Finding


class SourceError(PostroomError):
    """A source cannot be compiled; every finding known by then is listed, at least one of them an error."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        """Take every finding, the one that stopped the work last."""
        super().__init__("; ".join(f"{at.file}:{at.line}: {at.cause}" for at in findings))
        self.findings = tuple(findings)

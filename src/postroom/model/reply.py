"""An SMTP reply as a value (RFC 5321 section 4.2, RFC 2034, RFC 3463)."""

import re
from dataclasses import dataclass

ENHANCED_CODE = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?=\s|$)")


@dataclass(frozen=True, slots=True)
class EnhancedCode:
    """class.subject.detail of RFC 3463 section 2."""

    klass: int
    subject: int
    detail: int

    def __str__(self) -> str:
        """Return the dotted form."""
        return f"{self.klass}.{self.subject}.{self.detail}"

    @classmethod
    def at_start_of(cls, text: str) -> "EnhancedCode | None":
        """Return the code that ``text`` begins with, or ``None``."""
        match = ENHANCED_CODE.match(text)
        return cls(int(match[1]), int(match[2]), int(match[3])) if match else None


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete reply.

    ``lines`` are the texts without the code, decoded (UTF-8, else by the charset guess of the host);
    ``raw`` are the bytes as they came, line ends included.
    """

    code: int
    """200 to 599."""
    lines: tuple[str, ...]
    raw: bytes

    @property
    def text(self) -> str:
        """Join the lines with one space, enhanced code included."""
        return self.lines[0] if len(self.lines) == 1 else " ".join(self.lines)

    @property
    def enhanced(self) -> EnhancedCode | None:
        """Return the enhanced code of the first line that begins with one."""
        for line in self.lines:
            if (found := EnhancedCode.at_start_of(line)) is not None:
                return found
        return None

    @property
    def is_positive(self) -> bool:
        """2xx."""
        return 200 <= self.code < 300

    @property
    def is_intermediate(self) -> bool:
        """3xx."""
        return 300 <= self.code < 400

    @property
    def is_transient(self) -> bool:
        """4xx."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """5xx."""
        return self.code >= 500

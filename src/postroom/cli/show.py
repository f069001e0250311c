"""What people and machines see: words and tables with rich, or one JSON value.

Texts that come from outside (reply texts, subjects, names) are shown with every unprintable character
escaped: a terminal obeys escape sequences, whoever wrote them.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from postroom.cli.exits import CliError
from postroom.errors import Problem

WIDTH = 80
"""Columns of texts for people."""
LABEL = 30
"""Columns of a Chinese or Japanese text that is kept together, as the label of a button is."""
_WIDE = r"\u3000-\u9fff\uff00-\uffef"
_MARKS = r"\u3001\u3002\u300d\u300f\uff01\uff09\uff0c\uff1a\uff1b\uff1f\""
_PIECE = re.compile(rf"[{_WIDE}][{_MARKS}]*|[^{_WIDE}]+")
"""A wide character with the marks that may not begin a line, or what stands between two of them."""
_STYLES = {
    "accepted": "green",
    "captured": "cyan",
    "queued": "blue",
    "sending": "blue",
    "deferred": "yellow",
    "held": "yellow",
    "uncertain": "magenta",
    "mixed": "yellow",
}


def printable(value: object) -> str:
    """Return text that moves no cursor: unprintable characters become escapes."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )


def out() -> Console:
    """Return the console of standard output; made late, because tests and pipes replace the stream."""
    return Console(highlight=False, soft_wrap=True)


def say(*parts: object, style: str = "") -> None:
    """Print one line for people."""
    out().print(Text(" ".join(map(printable, parts)), style=style))


def say_wrapped(text: object, *, indent: str = "  ", style: str = "") -> None:
    """Print a text for people in lines of at most 80 columns; words are never broken."""
    for line in wrapped(printable(text), indent):
        out().print(Text(line, style=style))


def wrapped(text: str, indent: str) -> Sequence[str]:
    """Return a text in indented lines; Chinese and Japanese may break between any two characters."""
    lines, line = [], indent
    for word in text.split():
        gap = " "
        for piece in _PIECE.findall(word) if cell_len(word) > LABEL else (word,):
            if line != indent and cell_len(line) + len(gap) + cell_len(piece) > WIDTH:
                lines.append(line)
                line = indent
            line += piece if line == indent else gap + piece
            gap = ""
    return [*lines, line] if line != indent else lines


def say_json(value: object) -> None:
    """Print one JSON value for machines."""
    print(json.dumps(value, ensure_ascii=False, indent=2))  # noqa: T201 - this is the output


def say_error(error: CliError, *, as_json: bool) -> None:
    """Tell on standard error why a command failed."""
    if as_json:
        value = {
            "error": error.cause,
            "fix": error.fix,
            "exit": int(error.exit_code),
            "problems": [problem_json(problem) for problem in error.problems],
        }
        print(json.dumps(value, ensure_ascii=False, indent=2), file=sys.stderr)  # noqa: T201 - the output
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    # The cause of an error with problems may be nothing but the problems in one line.
    listed = "; ".join(f"{problem.field}: {problem.cause}" for problem in error.problems)
    cause = "refused" if error.cause == listed else error.cause
    console.print(Text.assemble(("error: ", "bold red"), printable(cause)))
    for problem in error.problems:
        console.print(
            Text.assemble("  ", (printable(problem.field), "bold"), f": {printable(problem.cause)}")
        )
        if problem.fix:
            console.print(Text(f"    {printable(problem.fix)}", style="dim"))
    if error.fix:
        console.print(Text(f"  {printable(error.fix)}"))


def problem_json(problem: Problem) -> dict[str, str]:
    """Return one problem as JSON."""
    return {"code": problem.code, "field": problem.field, "cause": problem.cause, "fix": problem.fix}


def show_table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a plain table; cells are never cut, so that ids can be copied."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold", no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console = out()
    if not console.is_terminal:
        console.width = 10_000  # a pipe has no edge to wrap at
    console.print(table, soft_wrap=False)


def _cell(value: object) -> Text:
    text = "-" if value is None else printable(value)
    return Text(text, style=_STYLES.get(text, ""))


def show_message(message: Mapping[str, Any]) -> None:
    """Print one message: its state, then each recipient with cause, meaning, remedy and attempts."""
    say(message["id"], message["state"], style=_STYLES.get(message["state"], "red"))
    if message.get("mode") == "capture":
        say("  capture mode: nothing leaves this machine", style="cyan")
    pin = message.get("template") or {}
    details = [("class", message.get("class")), ("subject", message.get("subject"))]
    details += [
        ("template", " ".join(str(pin[name]) for name in ("name", "version", "locale") if name in pin))
    ]
    details += [
        ("accepted here", message.get("created_at")),
        ("next attempt", message.get("next_attempt_at")),
    ]
    for name, value in details:
        if value:
            say(f"  {name}:", value)
    for recipient in message.get("recipients", ()):
        _show_recipient(recipient)


def _show_recipient(recipient: Mapping[str, Any]) -> None:
    say(" ", recipient["address"], recipient["state"], style=_STYLES.get(recipient["state"], "red"))
    if recipient.get("cause"):
        say("    cause:", recipient["cause"])
    for name in ("meaning", "remedy"):
        if recipient.get(name):
            say(f"    {name}:", recipient[name])
    for attempt in recipient.get("attempts", ()):
        parts = [attempt.get("code"), attempt.get("enhanced"), attempt.get("text")]
        if str(attempt.get("text") or "").startswith(f"{attempt.get('enhanced')} "):
            del parts[1]
        said = " ".join(str(part) for part in parts if part)
        what = f"{attempt.get('outcome')} at {attempt.get('step')} by {attempt.get('transport')}"
        line = f"    {attempt.get('at')}: {what}, {attempt.get('duration_ms')} ms"
        say(f"{line}: {said}" if said else line)

"""The page about the command line says what the program does."""

import re
from collections.abc import Iterator
from pathlib import Path

import typer.main

from each_row import each
from postroom.cli.app import app
from postroom.cli.exits import Exit

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text()


def commands() -> Iterator[tuple[str, set[str]]]:
    """Yield each command with its options."""
    found: list[tuple[str, object]] = [("postroom", typer.main.get_command(app))]
    while found:
        name, command = found.pop()
        inner = getattr(command, "commands", {})
        found += [(f"{name} {key}", one) for key, one in inner.items()]
        options = {option for param in getattr(command, "params", ()) for option in param.opts}
        if not inner or name in {"postroom captured", "postroom providers", "postroom alerts rules"}:
            yield name, {option for option in options if option.startswith("--")}


COMMANDS = dict(commands())


@each("command", COMMANDS)
def test_every_command_is_on_the_page(command: str) -> None:
    """Each command has its heading and under it exactly its options."""
    heading = f"## `{command}`\n"
    assert heading in PAGE
    part = re.sub(r"```.*?```", "", PAGE.partition(heading)[2].partition("\n## ")[0], flags=re.DOTALL)
    described = set(re.findall(r"`(--[a-z-]+)`", part))
    assert COMMANDS[command] - {"--help"} == described


def test_no_other_command_is_on_the_page() -> None:
    """A command that went has no heading left."""
    assert set(COMMANDS) == set(re.findall(r"^## `(postroom [a-z -]+)`$", PAGE, flags=re.MULTILINE))


def test_every_exit_code_is_on_the_page() -> None:
    """The table has each code with its name."""
    rows = re.findall(r"^\| ([0-9]+) \| `([A-Z]+)`", PAGE, flags=re.MULTILINE)
    assert [(str(int(code)), code.name) for code in Exit] == rows

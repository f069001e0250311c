"""What was understood of another program's configuration: our settings, and what is left. Pure.

Every line of the file is either in ``transport`` and ``sections`` or named in ``left`` with the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from postroom.errors import ConfigError, Problem
from postroom.schema.credentials import HIDDEN
from postroom.schema.transport_body import read_body
from postroom.schema.transport_forms import FORMS, fold, plain_form


class Left(NamedTuple):
    """A line that could not be carried over. Never contains a value, which may be a secret."""

    line: str
    """Its key, as it was written."""
    reason: str


@dataclass(slots=True, kw_only=True)
class Imported:
    """Settings in the form of ``postroom.toml``."""

    transport: dict[str, Any] = field(default_factory=dict)
    """With its secrets; empty when the file describes no account."""
    sections: dict[str, Any] = field(default_factory=dict)
    """Beside the transport: settings and tables."""
    left: list[Left] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was taken in a way that a person should know."""


def account_of(given: Mapping[str, Any], *, form: str, name: str, reasons: Mapping[str, str]) -> Imported:
    """Return an account that is written with another program's keys.

    Args:
        given: As written.
        form: The program, as ``transport_forms`` names it.
        name: Of the transport.
        reasons: Why keys that the program has are not carried over, by folded key.

    Raises:
        ConfigError: A value is wrong; every problem.
    """
    keys = next(one.keys for one in FORMS if one.name == form)
    found = Imported()
    taken: dict[str, Any] = {}
    for key, value in given.items():
        if fold(key) in reasons:
            found.left.append(Left(key, reasons[fold(key)]))
        elif fold(key) in keys:
            taken[key] = value
        else:
            found.left.append(Left(key, f"no setting of {form} that is about mail"))
    hidden = [key for key, value in taken.items() if value == HIDDEN]
    plain = plain_form(taken)
    if plain.problems:
        raise ConfigError(plain.problems)
    found.transport = {"name": name, **plain.document}
    found.notes = list(plain.warnings)
    found.notes += checked(found.transport, plain.names, hidden=bool(hidden))
    found.left += [Left(key, "the file hides it (*****): write it into the file below") for key in hidden]
    return found


def checked(
    transport: Mapping[str, Any], names: Mapping[str, str], *, hidden: bool = False
) -> tuple[str, ...]:
    """Return the warnings about a transport. Raises ConfigError with every problem, in the file's names."""
    read = read_body({**transport, "password": "x"} if hidden else transport)
    if read.spec is None:
        problems = [
            Problem(code=one.code, field=names.get(one.field, one.field), cause=one.cause, fix=one.fix)
            for one in read.problems
        ]
        raise ConfigError(problems)
    return read.warnings


def wrong(code: str, field_: str, cause: str, fix: str) -> ConfigError:
    """Return the error of one problem."""
    return ConfigError([Problem(code=code, field=field_, cause=cause, fix=fix)])


def text_of(data: bytes, name: str) -> str:
    """Return the text of a file. Raises ConfigError."""
    if len(data) > MAX_FILE:
        raise wrong(
            "import-file", name, f"larger than {MAX_FILE // 1024} KiB", "Give the configuration only."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise wrong("import-file", name, "not UTF-8 text", "Save the file as UTF-8.") from None


MAX_FILE = 4 * 1024 * 1024
"""Bytes of a file (security limit)."""

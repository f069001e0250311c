"""Values for a template's variables, as a command line gives them.

``name=text`` is text unless the template wants a number or true and false there; ``name:=JSON`` is what the
JSON says; ``a.b=text`` reaches into an object, ``a.0=text`` into a list. Later ones win. Pure.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from postroom.cli.exits import CliError, Exit

_SPOKEN = frozenset({"integer", "number", "boolean"})
"""Kinds for which a text is read as JSON."""


def read_values(
    given: Sequence[str], start: Mapping[str, Any], schema: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return ``start`` with every ``name=value`` put in. Raises CliError."""
    values: dict[str, Any] = json.loads(json.dumps(start))
    for one in given:
        path, value = _read(one, schema or {})
        _put(values, path, value, one)
    return values


def read_variables(text: str, name: str) -> dict[str, Any]:
    """Read a file of variables. Raises CliError."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise CliError(Exit.USAGE, f"{name} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise CliError(Exit.USAGE, f"{name} is no object", fix='Write {"name": "value"}.')
    return values


def _read(one: str, schema: Mapping[str, Any]) -> tuple[list[str], Any]:
    name, equals, text = one.partition("=")
    is_json = name.endswith(":")
    path = name.removesuffix(":").split(".")
    if not equals or not all(path):
        fix = "Write --set name=text, or --set 'list:=[1, 2]'."
        raise CliError(Exit.USAGE, f"--set {one[:100]!r} gives no variable a value", fix=fix)
    if is_json:
        try:
            return path, json.loads(text)
        except ValueError as error:
            fix = f"Write --set '{'.'.join(path)}={text[:40]}' for a text."
            raise CliError(Exit.USAGE, f"--set {name[:-1]}: not JSON: {error}", fix=fix) from None
    return path, _spoken(text, _kinds(schema, path))


def _kinds(schema: Mapping[str, Any], path: Sequence[str]) -> frozenset[str]:
    """Return the types that are allowed at a path; empty when nobody knows."""
    for part in path:
        inner = schema.get("items") if part.isdigit() else schema.get("properties", {}).get(part)
        if not isinstance(inner, Mapping):
            return frozenset()
        schema = inner
    kind = schema.get("type", ())
    return frozenset([kind] if isinstance(kind, str) else kind)


def _spoken(text: str, kinds: frozenset[str]) -> Any:
    if not kinds or not kinds <= _SPOKEN:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text  # the check of the variables says what is wanted


def _put(values: dict[str, Any], path: Sequence[str], value: Any, said: str) -> None:
    place: Any = values
    for part, after in zip(path, [*path[1:], None], strict=True):
        key = _key(place, part, said)
        if after is None:
            place[key] = value
        elif isinstance(place, dict) and not isinstance(place.get(key), dict | list):
            place[key] = {}
        place = place[key]


def _key(place: Any, part: str, said: str) -> str | int:
    if isinstance(place, dict):
        return part
    if isinstance(place, list) and part.isdigit() and int(part) < len(place):
        return int(part)
    fix = "Give the whole list: --set 'name:=[...]'."
    raise CliError(Exit.USAGE, f"--set {said[:100]!r} reaches into what is not there", fix=fix)

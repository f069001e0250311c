"""Check the variables of a mail against the schema of its template: everything that is wrong, at once.

The schema is JSON Schema 2020-12 as far as ``inference`` writes it: ``type``, ``properties``, ``required``,
``items``, ``additionalProperties`` and ``default``; other words are for readers. Unknown names are refused at
the top alone: an object may bring more than a template reads.

Rules: plain JSON values within bounds of depth and size; pure; never raises for what a caller sent.
"""

import difflib
import json
from collections.abc import Mapping
from typing import Any

from postroom.errors import Problem
from postroom.template.jinja.wrong import variable

MAX_DEPTH = 32
"""Lists and objects within each other (security limit)."""
MAX_BYTES = 256 * 1024
"""Of all variables as JSON (security limit)."""
MAX_PROBLEMS = 50
"""Problems that are named; a list of thousands helps nobody."""

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_KINDS: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}
_WORDS = {
    "string": "a text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def problems(schema: Mapping[str, Any], variables: Mapping[str, Any]) -> list[Problem]:
    """Return what is missing, unknown or of the wrong type; empty when a mail can be rendered.

    An empty schema says nothing. Names with ``_`` in front are globals and not looked at.
    """
    found: list[Problem] = []
    if schema:
        _check_object(schema, variables, "", found)
    return found[:MAX_PROBLEMS]


def out_of_bounds(variables: Mapping[str, Any]) -> Problem | None:
    """Return the problem of variables that are too deep, too large or no JSON."""
    for name, value in variables.items():
        kind = value.__class__
        if (kind is dict or kind is list) and not _is_plain(value, MAX_DEPTH - 1):
            return variable(
                "variable-type",
                name,
                f"is nested more than {MAX_DEPTH} deep, or is no JSON",
                "Make it flatter.",
            )
        if kind not in _KINDS:
            return variable("variable-type", name, "is no JSON value", "Give a JSON value.")
    return None


def too_large(variables: Mapping[str, Any]) -> Problem | None:
    """Return the problem of variables that take too many bytes."""
    size = len(_JSON.encode(variables).encode("utf-8", "replace"))
    if size <= MAX_BYTES:
        return None
    return variable("template-limit", "", f"take {size} bytes, {MAX_BYTES} are allowed", "Send less.")


def defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that variables have when they are not given."""
    named: Mapping[str, Any] = schema.get("properties", {})
    return {name: one["default"] for name, one in named.items() if "default" in one}


def _is_plain(value: Any, depth: int) -> bool:
    if depth < 0:
        return False
    if value.__class__ is dict:
        return all(key.__class__ is str and _is_plain(part, depth - 1) for key, part in value.items())
    if value.__class__ is list:
        return all(_is_plain(part, depth - 1) for part in value)
    return value.__class__ in _KINDS


def _check_object(
    schema: Mapping[str, Any], value: Mapping[str, Any], path: str, found: list[Problem]
) -> None:
    known: Mapping[str, Any] = schema.get("properties", {})
    inside = f"{path}." if path else ""
    for name in schema.get("required", ()):
        if value.get(name) is None and (name in value or "default" not in known.get(name, ())):
            cause = "is null, and the template uses it" if name in value else "is missing"
            found.append(variable("variable-missing", inside + name, cause, _wanted(known.get(name, {}))))
    for name, part in value.items():
        one = known.get(name)
        if one is not None:
            if part is not None:
                _check(one, part, inside + name, found)
        elif schema.get("additionalProperties") is False and name[:1] != "_":
            found.append(variable("variable-unknown", inside + name, "is not used", _nearest(name, known)))


def _check(schema: Mapping[str, Any], value: Any, path: str, found: list[Problem]) -> None:
    kind = _KINDS[value.__class__]
    wanted = schema.get("type")
    if wanted is not None and kind != wanted and not _fits(kind, wanted):
        names = [wanted] if isinstance(wanted, str) else wanted
        allowed = " or ".join(_WORDS[name] for name in names)
        cause = f"is {_WORDS[kind]}, and {allowed} is wanted"
        found.append(variable("variable-type", path, cause, _wanted(schema)))
    elif kind == "object":
        _check_object(schema, value, path, found)
    elif kind == "array" and "items" in schema:
        for number, item in enumerate(value):
            if item is None and schema["items"].get("type"):
                found.append(variable("variable-missing", f"{path}.{number}", "is null", "Leave it out."))
            elif item is not None:
                _check(schema["items"], item, f"{path}.{number}", found)
            if len(found) > MAX_PROBLEMS:
                return


def _fits(kind: str, wanted: str | list[str]) -> bool:
    names = (wanted,) if isinstance(wanted, str) else wanted
    return kind in names or (kind == "integer" and "number" in names)


def _wanted(schema: Mapping[str, Any]) -> str:
    text = str(schema.get("description", "")).strip()
    examples = schema.get("examples") or ()
    said = f" ({text})" if text else ""
    if examples:
        return f"Give a value{said}, for example {json.dumps(examples[0], ensure_ascii=False)[:120]}."
    return f"Give a value{said}."


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name[:100], list(known), 1, 0.6)
    if near:
        return f"Did you mean {near[0]}?"
    if known:
        return f"Leave it out; the template uses {', '.join(sorted(known)[:20])}."
    return "Leave it out; the template uses no variables."

"""From the JSON Schema of variables to types in Python source.

Every name in a schema is a text of the author's: what stands in Python source is checked to be a name first.
An object whose keys cannot be names of a class becomes a plain ``dict``. Pure.
"""

import itertools
import json
import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedKeys:
    """A ``TypedDict`` to write."""

    name: str
    keys: Sequence[tuple[str, str]]
    """Name and type, in order."""
    notes: Mapping[str, str]
    """Description by name."""


@dataclass(slots=True)
class Types:
    """The types of one module, as they are asked for."""

    classes: list[TypedKeys] = field(default_factory=list)
    """Those before come first: a class names only such as stand above it."""
    has_any: bool = False
    """Whether a type has ``Any`` in it."""

    def of(self, schema: Mapping[str, Any] | None, name: str) -> str:
        """Return the type of one value; ``name`` is the class name for an object's keys."""
        kind = "Any" if schema is None else self._of(schema, name)
        self.has_any = self.has_any or kind == "Any"
        return kind

    def _of(self, schema: Mapping[str, Any], name: str) -> str:
        for choice in ("anyOf", "oneOf"):
            if isinstance(schema.get(choice), Sequence):
                return _union(
                    [self.of(one, f"{name}{number or ''}") for number, one in enumerate(schema[choice])]
                )
        kind = schema.get("type")
        if isinstance(kind, list | tuple):
            return _union([self.of({**schema, "type": one}, name) for one in kind])
        match kind:
            case "array":
                return f"list[{self.of(schema.get('items'), f'{name}Item')}]"
            case "object":
                return self._object(schema, name)
            case "number" if schema.get("format") == "int64":
                return "int"
            case None:
                return "Any"
            case _:
                return _PLAIN.get(kind, "Any")

    def _object(self, schema: Mapping[str, Any], name: str) -> str:
        keys = schema.get("properties") or {}
        if not keys or not all(is_name(key) for key in keys):
            more = schema.get("additionalProperties")
            return f"dict[str, {self.of(more if isinstance(more, Mapping) else None, f'{name}Value')}]"
        required = schema.get("required", ())
        typed = []
        for key, one in keys.items():
            kind = self.of(one, name + camel(key))
            typed.append((key, kind if key in required else f"NotRequired[{kind}]"))
        notes = {key: str(one.get("description", "")) for key, one in keys.items()}
        notes = {key: str(one.get("description", "")) for key, one in keys.items()}
        taken = {one.name: one for one in self.classes}
        for number in itertools.count(2):  # "a-b" with "c" and "a" with "b_c" come to one name
            found = TypedKeys(name=name, keys=tuple(typed), notes=notes)
            if taken.setdefault(name, found) == found:
                break
            name = f"{name.rstrip('0123456789')}{number}"
        if found not in self.classes:
            self.classes.append(found)
        return found.name


def _union(kinds: Sequence[str]) -> str:
    return " | ".join(sorted(dict.fromkeys(kinds), key=lambda kind: kind == "None")) or "Any"


def camel(text: str) -> str:
    """Return ``order_lines`` as ``OrderLines``."""
    return "".join(part[:1].upper() + part[1:] for part in text.replace("-", "_").split("_"))


def is_name(text: str) -> bool:
    """Say whether a text can be a name in Python."""
    return text.isidentifier() and not keyword.iskeyword(text)


def literal(value: object) -> str:
    """Write a plain JSON value as Python source."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def prose(text: str) -> str:
    """Return a text that may stand in a docstring: one line, no quotes that end it, no escapes."""
    return " ".join(text.split()).replace("\\", "\\\\").replace('"""', "'''").removesuffix('"').strip()

"""A mapping file of a webhook transport: read, checked, and every problem named with its place.

What it means is ``policy.hook_mapped``'s; here is what may stand in it. Shipped ones (profiles) are files of
this package.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from postroom.errors import Problem
from postroom.policy.hook_mapped import (
    ADDRESS_FIELDS,
    FIELDS,
    FILE_FIELDS,
    FORMS,
    LISTS,
    REFERENCE,
)
from postroom.schema.quantities import did_you_mean

MAX_MAPPING = 64 * 1024
"""Bytes of a mapping file (security limit)."""
MAX_DEPTH = 12
"""Objects in objects (security limit)."""
CONTENTS = ("json", "form", "multipart")
PROFILES = ("hap", "nexus")
_TOP = ("content", "body", "success", "headers", "files", "omit_empty")
_SUCCESS = ("member", "equals", "defer")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~\-]{1,100}\Z")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,4000}\Z")
OWN_HEADERS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "expect", "upgrade", "te"}
    | {"trailer", "webhook-id", "webhook-timestamp", "webhook-signature", "idempotency-key"}
)
"""Fields that Postroom writes itself."""


@cache
def profile(name: str) -> Mapping[str, Any]:
    """Return a shipped mapping. Raises KeyError."""
    if name not in PROFILES:
        raise KeyError(name)
    text = files("postroom.schema").joinpath(f"profiles/{name}.toml").read_text("utf-8")
    return tomllib.loads(text)


def read_mapping(data: bytes, *, name: str, field: str) -> tuple[Mapping[str, Any], list[Problem]]:
    """Return a mapping file's content (TOML, or JSON by its suffix) and what is wrong with it."""
    if len(data) > MAX_MAPPING:
        return {}, [_wrong(field, f"larger than {MAX_MAPPING // 1024} KiB", "Give a mapping only.")]
    try:
        text = data.decode("utf-8-sig")
        found = json.loads(text) if name.lower().endswith(".json") else tomllib.loads(text)
    except UnicodeDecodeError:
        return {}, [_wrong(field, "not UTF-8 text", "Save the file as UTF-8.")]
    except (ValueError, RecursionError) as error:
        where = re.search(r"\(at (.*)\)", str(error))
        cause = f"not TOML at {where[1]}" if where else "neither TOML nor, with the suffix .json, JSON"
        return {}, [_wrong(field, cause, "Correct it; text values stand in quotes.")]
    if not isinstance(found, dict):
        return {}, [_wrong(field, "not a table", "Write a table [body] with the members to post.")]
    return found, list(mapping_problems(found, field=field))


def mapping_problems(mapping: Mapping[str, Any], *, field: str) -> Iterator[Problem]:
    """Yield everything that is wrong with a mapping."""
    for key in mapping:
        if key not in _TOP:
            yield _wrong(f"{field}.{key}", "no such setting of a mapping", did_you_mean(key, _TOP))
    content = mapping.get("content", "json")
    if content not in CONTENTS:
        yield _wrong(f"{field}.content", "no such kind of content", f"Write one of {', '.join(CONTENTS)}.")
    if not isinstance(mapping.get("omit_empty", False), bool):
        yield _wrong(f"{field}.omit_empty", "neither true nor false", "Write true or false.")
    if not isinstance(mapping.get("files", "files"), str):
        yield _wrong(f"{field}.files", "not a text", "Write the name of the parts that carry files.")
    body = mapping.get("body")
    if not isinstance(body, Mapping) or not body:
        yield _wrong(f"{field}.body", "missing", "Write a table [body] with the members to post.")
    else:
        spot = _Spot(field=f"{field}.body", scope=FIELDS, is_flat=content != "json")
        yield from _tree_problems(body, spot)
    yield from _success_problems(mapping.get("success"), f"{field}.success")
    yield from header_problems(mapping.get("headers", {}), f"{field}.headers")


def header_problems(headers: object, field: str) -> Iterator[Problem]:
    """Yield what is wrong with header fields to be sent; no problem holds a value."""
    if not isinstance(headers, Mapping):
        yield _wrong(field, "not a table", 'Write {"Name" = "value"}.')
        return
    seen = set()
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER.match(name):
            yield _wrong(field, "a name that no header field can have", "Use letters, digits and '-'.")
        elif name.lower() in OWN_HEADERS:
            yield _wrong(f"{field}.{name}", "written by Postroom itself", "Leave it out.")
        elif name.lower() in seen:
            yield _wrong(f"{field}.{name}", "given twice, names compare without case", "Give it once.")
        elif not isinstance(value, str) or not _HEADER_VALUE.match(value):
            yield _wrong(f"{field}.{name}", "not a text of printable ASCII", "Encode other characters.")
        seen.add(str(name).lower())


def _success_problems(rule: object, field: str) -> Iterator[Problem]:
    if rule is None:
        return
    if not isinstance(rule, Mapping):
        yield _wrong(field, "not a table", 'Write {member = "code", equals = ["200"]}.')
        return
    for key in rule:
        if key not in _SUCCESS:
            yield _wrong(f"{field}.{key}", "no such setting of a success rule", did_you_mean(key, _SUCCESS))
    if not isinstance(rule.get("member"), str) or not rule.get("member"):
        yield _wrong(f"{field}.member", "missing", 'Name the member of the answer, such as "code".')
    for key in ("equals", "defer"):
        values = rule.get(key, ())
        if not isinstance(values, list | tuple) or not all(isinstance(one, str) for one in values):
            yield _wrong(
                f"{field}.{key}", "not a list of texts", 'Write ["200"]; numbers are written as text.'
            )
    if not rule.get("equals"):
        yield _wrong(f"{field}.equals", "missing", 'Write the values that mean success, such as ["200"].')


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spot:
    """A place in the tree of a body."""

    field: str
    scope: frozenset[str]
    """What a reference may name here."""
    depth: int = 0
    is_flat: bool = False
    """A form takes no objects."""

    def below(self, key: object, more: frozenset[str] = frozenset()) -> "_Spot":
        """Return the place one step deeper."""
        return replace(self, field=f"{self.field}.{key}", scope=self.scope | more, depth=self.depth + 1)


def _tree_problems(tree: Any, spot: _Spot) -> Iterator[Problem]:
    if spot.depth > MAX_DEPTH:
        yield _wrong(spot.field, f"more than {MAX_DEPTH} objects in each other", "Make it flatter.")
    elif isinstance(tree, str):
        yield from _reference_problems(tree, spot)
    elif isinstance(tree, Mapping):
        yield from _table_problems(tree, spot)
    elif isinstance(tree, list | tuple):
        for at, value in enumerate(tree):
            yield from _tree_problems(value, spot.below(at))
    elif not isinstance(tree, bool | int | float) and tree is not None:
        yield _wrong(spot.field, "neither text, number, list nor table", "Write it as text.")


def _reference_problems(text: str, spot: _Spot) -> Iterator[Problem]:
    for match in REFERENCE.finditer(text):
        name = match[1] or match[2]
        if match[0] != "$$" and name not in spot.scope:
            yield _wrong(spot.field, f"${name} is no field of a mail", did_you_mean(name, spot.scope))


def _table_problems(tree: Mapping[str, Any], spot: _Spot) -> Iterator[Problem]:
    if "$each" in tree:
        yield from _each_problems(tree, spot)
    elif "$field" in tree:
        yield from _field_problems(tree, spot)
    else:
        if spot.is_flat and spot.depth > 0:
            yield _wrong(spot.field, "an object, which a form cannot carry", 'Use content = "json".')
        for key, value in tree.items():
            yield from _tree_problems(value, spot.below(key))


def _field_problems(tree: Mapping[str, Any], spot: _Spot) -> Iterator[Problem]:
    yield from _key_problems(tree, ("$field", "join", "form"), spot)
    named = LISTS - {"attachments"} if "join" in tree else FIELDS
    if tree["$field"] not in named:
        yield _wrong(spot.field, "$field names no such field", did_you_mean(str(tree["$field"]), named))
    if not isinstance(tree.get("join", ""), str):
        yield _wrong(f"{spot.field}.join", "not a text", "Write what stands between two entries.")
    if tree.get("form", "bare") not in FORMS:
        yield _wrong(f"{spot.field}.form", "no such form of an address", f"Write one of {', '.join(FORMS)}.")


def _each_problems(tree: Mapping[str, Any], spot: _Spot) -> Iterator[Problem]:
    yield from _key_problems(tree, ("$each", "as", "key"), spot)
    name = tree["$each"]
    if name not in LISTS:
        yield _wrong(spot.field, "$each names no list of a mail", did_you_mean(str(name), LISTS))
        return
    if "as" not in tree:
        yield _wrong(f"{spot.field}.as", "missing", "Write what stands for each entry.")
    if spot.is_flat:
        yield _wrong(spot.field, "a list, which a form cannot carry", 'Use content = "json", or join.')
    own = FILE_FIELDS if name == "attachments" else ADDRESS_FIELDS
    for key in ("as", "key"):
        if key in tree:
            yield from _tree_problems(tree[key], spot.below(key, own))


def _key_problems(tree: Mapping[str, Any], allowed: tuple[str, ...], spot: _Spot) -> Iterator[Problem]:
    for key in tree:
        if key not in allowed:
            cause = f"has no meaning beside {allowed[0]}"
            yield _wrong(f"{spot.field}.{key}", cause, f"Allowed are {', '.join(allowed)}.")


def _wrong(field: str, cause: str, fix: str) -> Problem:
    return Problem(code="webhook-mapping", field=field, cause=cause, fix=fix)

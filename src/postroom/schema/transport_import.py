"""Transports from a file of ours or of another program: JSON or TOML, one or several.

Taken are one account; a list of accounts; ``{"transports": [...]}`` and ``[[transports]]``; and the list of
settings that TapData's ``GET /api/Settings`` answers. In JSON ``//`` begins a comment, as in pages about
``appextensions.json``. What each description says is for ``transport_body``. Pure.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from postroom.errors import ConfigError, Problem

MAX_IMPORT = 1024 * 1024
"""Bytes of the file (security limit)."""

_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*+")|//[^\n]*')
_TAPDATA_GROUPS = ("smtp.", "email.")


def read_import(data: bytes, *, name: str) -> Sequence[Mapping[str, Any]]:
    """Return each description in a file, as written; ``name`` is the file's, its suffix tells the form.

    Raises ConfigError.
    """
    if len(data) > MAX_IMPORT:
        raise _wrong(name, f"larger than {MAX_IMPORT // 1024} KiB", "Give a file with transports only.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _wrong(name, "not UTF-8 text", "Save the file as UTF-8.") from None
    found = _listed(_parsed(text, name))
    if not found or not all(isinstance(entry, dict) for entry in found):
        fix = "Write an object, a list of objects, or [[transports]] tables."
        raise _wrong(name, "holds no description of a transport", fix)
    return found


def _parsed(text: str, name: str) -> Any:
    try:
        if name.lower().endswith(".toml"):
            return tomllib.loads(text)
        return json.loads(_COMMENT.sub(lambda match: match[1] or "", text))
    except (
        ValueError,
        RecursionError,
    ):  # what both parsers raise is a ValueError; its text may quote a secret
        form = "TOML" if name.lower().endswith(".toml") else "JSON"
        raise _wrong(
            name, f"not {form}", f"Correct it, or give it its suffix: {form} was expected."
        ) from None


def _listed(content: Any) -> list[Any]:
    if isinstance(content, dict):
        inner = content.get("transports")
        return inner if isinstance(inner, list) else [content]
    if not isinstance(content, list):
        return []
    if all(isinstance(entry, dict) and "key" in entry for entry in content):
        settings = {
            str(entry["key"]): _value(entry)
            for entry in content
            if str(entry["key"]).startswith(_TAPDATA_GROUPS)
        }
        return [settings] if settings else []
    return content


def _value(entry: Mapping[str, Any]) -> Any:
    value = entry.get("value")
    return entry.get("default_value") if value is None else value


def _wrong(name: str, cause: str, fix: str) -> ConfigError:
    return ConfigError([Problem(code="import-file", field=name, cause=cause, fix=fix)])

"""What a stored transport is in any store: its JSON, and when its secrets may be replaced."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from postroom.errors import SecretKeyError
from postroom.model.transport import StoredTransport
from postroom.spool.codec import instant
from postroom.spool.vault import Vault, sealed_fields

TABLE = "stored_transport"


def fields_text(fields: Mapping[str, Any]) -> str:
    """Return the JSON of the fields. Raises ValueError for a number that JSON has not."""
    return json.dumps(dict(fields), allow_nan=False)


def sealed_secrets(
    record: StoredTransport, before: str | None, vault: Vault, is_anything_sealed: Callable[[], bool]
) -> str:
    """Return the column of a record's secrets.

    Args:
        record: What is to be stored.
        before: The column of the record of the same name, ``None`` when there is none.
        vault: Seals.
        is_anything_sealed: As of ``Vault.seal``.

    Raises:
        SecretKeyError: No key, or secrets that cannot be read would be dropped without being given anew.
        StoreError: The key file cannot be made.
    """
    if record.problem:
        raise SecretKeyError(
            record.problem, f"the secrets of {record.name} cannot be read, so it stays as it is"
        )
    if before is not None and (problem := vault.open(before, table=TABLE, row=record.name).problem):
        lost = sorted((sealed_fields(before) or {}).keys() - record.secrets.keys())
        if lost:
            text = f"the secrets of {record.name} cannot be read: give {', '.join(lost)} anew, or remove it"
            raise SecretKeyError(problem, text)
    return vault.seal(record.secrets, table=TABLE, row=record.name, is_anything_sealed=is_anything_sealed)


def _fields(text: str) -> dict[str, Any]:
    """Return the fields, none when they are damaged: such a record names no server and is not used."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def stored_transport(row: tuple[Any, ...], vault: Vault) -> StoredTransport:
    """Return the record of a row: name, fields, secrets, created, changed (microseconds), author."""
    name, fields, secrets, created_at, changed_at, author = row
    opened = vault.open(secrets, table=TABLE, row=name)
    return StoredTransport(
        name=name,
        fields=_fields(fields),
        secrets=dict(opened.secrets),
        problem=opened.problem,
        created_at=instant(created_at),
        changed_at=instant(changed_at),
        author=author,
    )

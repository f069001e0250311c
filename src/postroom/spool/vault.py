"""The secrets of rows: sealed into a column, opened out of it.

A column holds a JSON object: what was sealed, by the field's path. A key is made when the first secret is
stored; never when something sealed is there already, because then a key is lost, and a new one beside it
would only hide that.
"""

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from postroom.clock import Dice
from postroom.errors import SecretKeyError
from postroom.model.secret import Secret
from postroom.spool.sealing import MISSING, NONCE_BYTES, WRONG, Place, SealingKeys, id_in, missing_key

NOTHING_SEALED = "{}"
MAX_REMEMBERED = 512
"""Rows whose opened secrets are kept: webhook endpoints are read for each round of their calls."""


class Opened(NamedTuple):
    """The secrets of a row: all of them, or none and why."""

    secrets: Mapping[str, Secret]
    problem: str = ""
    """Cause id."""


class Vault:
    """Seals and opens. Sealing belongs to whoever writes the store, opening may be done by any thread."""

    def __init__(self, keys: SealingKeys | None, *, make: Callable[[], SealingKeys], dice: Dice) -> None:
        """Take the keys, how to make them when there are none, and dice for the nonces."""
        self._keys = keys
        self._make = make
        self._dice = dice
        self._remembered: dict[tuple[str, str, str], Opened] = {}

    @property
    def keys(self) -> SealingKeys | None:
        """The keys; ``None`` while there are none."""
        return self._keys

    @keys.setter
    def keys(self, keys: SealingKeys | None) -> None:
        self._keys = keys
        self._remembered = {}

    def with_keys(self, keys: SealingKeys) -> "Vault":
        """Return one with other keys."""
        return Vault(keys, make=self._make, dice=self._dice)

    def seal(
        self, secrets: Mapping[str, Secret], *, table: str, row: str, is_anything_sealed: Callable[[], bool]
    ) -> str:
        """Return the column of a row.

        Args:
            secrets: By the field's path.
            table: Where the row stands.
            row: Its id.
            is_anything_sealed: Asked when there is no key: whether a secret is in the store.

        Raises:
            SecretKeyError: There are sealed secrets and no key.
            StoreError: The key file cannot be made.
        """
        if not secrets:
            return NOTHING_SEALED
        if self.keys is None:
            if is_anything_sealed():
                raise SecretKeyError(MISSING, "the store has sealed secrets, and their key is not there")
            self.keys = self._make()
        keys = self.keys
        return json.dumps(
            {
                field: keys.seal(secret, Place(table, row, field), nonce=self._dice.token(NONCE_BYTES))
                for field, secret in secrets.items()
            }
        )

    def open(self, column: str, *, table: str, row: str, is_remembered: bool = True) -> Opened:
        """Return the secrets of a row, or none and the cause; the opened ones may be remembered."""
        if column == NOTHING_SEALED:
            return Opened({})
        remembered, key = self._remembered, (table, row, column)
        if (opened := remembered.get(key)) is not None:
            return opened
        sealed = sealed_fields(column)
        if sealed is None:
            return Opened({}, WRONG)
        try:
            opened = Opened(
                {field: self._open_one(text, Place(table, row, field)) for field, text in sealed.items()}
            )
        except SecretKeyError as error:
            return Opened({}, error.cause)
        if not is_remembered:
            return opened
        if len(remembered) >= MAX_REMEMBERED:
            remembered.clear()
        remembered[key] = opened
        return opened

    def _open_one(self, sealed: str, place: Place) -> Secret:
        if self.keys is None:
            raise missing_key(id_in(sealed) or "of no name", place)
        return self.keys.open(sealed, place)


def sealed_fields(column: str) -> dict[str, str] | None:
    """Return what is sealed in a column, ``None`` when it is damaged."""
    try:
        sealed = json.loads(column)
    except ValueError:
        return None
    if not isinstance(sealed, dict) or not all(isinstance(text, str) for text in sealed.values()):
        return None
    return sealed

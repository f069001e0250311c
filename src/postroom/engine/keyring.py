"""API keys in memory: looked up by hash on every request, changed through the store.

A key is 256 random bits; the store keeps its SHA-256 (a slow hash buys nothing for a random key).
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import replace

from postroom.clock import Clock, Dice
from postroom.errors import ConfigError, NotFoundError, Problem
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.model.view import ApiKey
from postroom.ports import Keys

SCOPES = frozenset({"send", "read", "operate", "admin", "tenant-smtp"})
KEY_PREFIX = "pr_"
"""Lets secret scanners find a leaked key."""
BOOTSTRAP_KEY_ID = "bootstrap"


class KeyRing:
    """Every live key, and the ways to make and revoke one."""

    def __init__(self, keys: Keys, *, clock: Clock, dice: Dice) -> None:
        """Take the store; ``load`` must run before the first look-up."""
        self._keys = keys
        self._clock = clock
        self._dice = dice
        self._live: dict[bytes, ApiKey] = {}
        self._bootstrap: ApiKey | None = None

    async def load(self) -> Sequence[ApiKey]:
        """Read the keys from the store and return them, revoked ones included.

        Raises ConfigError when the bootstrap key is one of them: it would give that key every scope.
        """
        stored = await self._keys.all()
        self._live = {key.sha256: key for key in stored if key.revoked_at is None}
        if self._bootstrap is not None:
            for key in stored:
                if key.sha256 == self._bootstrap.sha256:
                    raise ConfigError([_already_stored(key)])
            self._live[self._bootstrap.sha256] = self._bootstrap
        return stored

    def add_bootstrap(self, secret: str) -> None:
        """Accept the key given in the settings, with every scope; it is never stored."""
        self._bootstrap = ApiKey(
            id=BOOTSTRAP_KEY_ID,
            name=BOOTSTRAP_KEY_ID,
            sha256=_digest(secret),
            scopes=SCOPES,
            tenant=DEFAULT_TENANT,
            created_at=self._clock.now(),
        )
        self._live[self._bootstrap.sha256] = self._bootstrap

    def find(self, secret: str) -> ApiKey | None:
        """Return the live key with this secret."""
        digest = _digest(secret)
        key = self._live.get(digest)
        return key if key is not None and hmac.compare_digest(key.sha256, digest) else None

    async def create(
        self,
        name: str,
        *,
        scopes: frozenset[str],
        tenant: TenantId,
        senders: tuple[str, ...] = (),
        networks: tuple[str, ...] = (),
    ) -> tuple[ApiKey, str]:
        """Make and store a key; return it with its secret."""
        secret = KEY_PREFIX + urlsafe_b64encode(self._dice.token(32)).decode("ascii").rstrip("=")
        key = ApiKey(
            id="key_" + self._dice.token(6).hex(),
            name=name,
            sha256=_digest(secret),
            scopes=scopes,
            tenant=tenant,
            senders=senders,
            networks=networks,
            created_at=self._clock.now(),
        )
        await self._keys.add(key)
        self._live[key.sha256] = key
        return key, secret

    async def revoke(self, key_id: str) -> None:
        """Revoke a key by id or name. Raises NotFoundError."""
        now = self._clock.now()
        if not await self._keys.revoke(key_id, at=now):
            raise NotFoundError(f"there is no key {key_id!r}")
        self._live = {
            digest: key for digest, key in self._live.items() if key_id not in (key.id, key.name)
        } | ({self._bootstrap.sha256: self._bootstrap} if self._bootstrap else {})

    async def all(self) -> Sequence[ApiKey]:
        """Return every stored key, the hash blanked."""
        return [replace(key, sha256=b"") for key in await self._keys.all()]


def _already_stored(key: ApiKey) -> Problem:
    return Problem(
        code="api-key-stored",
        field="api_key",
        cause=f"it is the secret of the stored key {key.name!r}, and would give that key every scope",
        fix="Start the server with another POSTROOM_API_KEY, or without one; programs go on with their keys.",
    )


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()

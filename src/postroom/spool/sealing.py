"""Sealing secrets: AES-256-GCM (NIST SP 800-38D) bound to the place where a secret stands.

Text form: ``v1.KEYID.BASE64``. The key id is the first eight hex digits of the key's SHA-256; the Base64 is
nonce, ciphertext and tag. Authenticated with them are the form, the key id and the place (table, row, field),
so what was sealed for one place opens in no other.

Rules: a nonce is 96 random bits, never given twice to one key (random ones: up to 2^32 secrets a key); there
is one spelling of every sealed text; no error, ``repr`` or log shows a secret or a key. ``cryptography`` is
loaded at the first use: it costs a tenth of a second and nine megabytes, and many servers store no secret.

Not here: where keys come from (``spool.secret_key``). A row put back as it was earlier is not noticed.
"""

import hashlib
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from postroom.errors import SecretKeyError
from postroom.model.secret import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MISSING = "secret-key-missing"
WRONG = "secret-key-wrong"
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
_FORM = "v1"
_SEALED = re.compile(r"v1\.([0-9a-f]{8})\.([A-Za-z0-9+/]+={0,2})")


class Place(NamedTuple):
    """Where a secret stands."""

    table: str
    row: str
    """Id of the row."""
    field: str


class SealingKeys:
    """The keys of a store: the current one seals, it and the older ones open. May be used by any thread."""

    __slots__ = ("_ciphers", "_keys", "current_id")

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take keys of ``KEY_BYTES`` bytes, the current one first. Raises ValueError."""
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"at least one key is needed, and each has {KEY_BYTES} bytes")
        self._keys = {key_id(key): key for key in keys}
        self._ciphers: dict[str, AESGCM] = {}
        self.current_id = next(iter(self._keys))
        """Id of the key that seals."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, the current one first."""
        return tuple(self._keys)

    def __repr__(self) -> str:
        """Show ids, never keys."""
        return f"SealingKeys({', '.join(self._keys)})"

    def seal(self, secret: Secret, place: Place, *, nonce: bytes) -> str:
        """Return the text form of a secret for one place; ``nonce`` is fresh and random."""
        text = secret.reveal().encode("utf-8", "surrogatepass")
        sealed = self._cipher(self.current_id).encrypt(nonce, text, _bound(self.current_id, place))
        return f"{_FORM}.{self.current_id}.{b64encode(nonce + sealed).decode('ascii')}"

    def open(self, sealed: str, place: Place) -> Secret:
        """Return what was sealed for a place. Raises SecretKeyError."""
        id_, raw = _parted(sealed, place)
        if id_ not in self._keys:
            raise missing_key(id_, place)
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see above

        try:
            text = self._cipher(id_).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _bound(id_, place))
        except InvalidTag:
            raise _damaged(place) from None
        return Secret(text.decode("utf-8", "surrogatepass"))

    def _cipher(self, id_: str) -> "AESGCM":
        cipher = self._ciphers.get(id_)
        if cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - see above

            cipher = self._ciphers[id_] = AESGCM(self._keys[id_])
        return cipher


def key_id(key: bytes) -> str:
    """Return the name of a key: it tells nothing of a random one."""
    return hashlib.sha256(key).hexdigest()[:8]


def id_in(sealed: str) -> str:
    """Return the id of the key that a text names, ``""`` when it is not of the form."""
    match = _SEALED.fullmatch(sealed)
    return "" if match is None else match[1]


def missing_key(id_: str, place: Place) -> SecretKeyError:
    """Return the error of a secret whose key is not there."""
    text = f"{place.field} of {place.row} ({place.table}) is sealed with the key {id_}, which is not there"
    return SecretKeyError(MISSING, text)


def _damaged(place: Place) -> SecretKeyError:
    text = f"{place.field} of {place.row} ({place.table}) was altered, or sealed for another place or key"
    return SecretKeyError(WRONG, text)


def _parted(sealed: str, place: Place) -> tuple[str, bytes]:
    match = _SEALED.fullmatch(sealed)
    if match is None:
        raise _damaged(place)
    try:
        raw = b64decode(match[2], validate=True)
    except ValueError:
        raise _damaged(place) from None
    if len(raw) < NONCE_BYTES + TAG_BYTES or b64encode(raw).decode("ascii") != match[2]:
        raise _damaged(place)
    return match[1], raw


def _bound(id_: str, place: Place) -> bytes:
    """Return what is authenticated beside the secret; JSON, so that no two places are written alike."""
    return json.dumps([_FORM, id_, *place]).encode("ascii")

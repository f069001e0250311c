"""Links to the files of a mail: signed, expiring, and the same whenever they are made.

A link is ``PUBLIC_URL/files/TENANT/MESSAGE/NUMBER/NAME?s=EXPIRY.KEY.SIGNATURE``. The signature is an
HMAC-SHA256 over tenant, message, number and expiry; the name is for people and is not part of it, because
whoever asks is told the stored name. The expiry is counted in half lives from the day the mail was accepted,
so a second post of the same mail has the same links, and one that waited for weeks has links that are good.
All keys of the file are good for reading, the first one signs; each
is known by the beginning of its hash, so that a link says which one it wants.

Pure: keys and instants are arguments.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

LIFETIME = timedelta(days=30)
"""As long as content is kept; receivers fetch files within minutes. A posted link has half of it left."""
_SIGNED = re.compile(r"([0-9]{1,12})\.([0-9a-f]{8})\.([A-Za-z0-9_\-]{43})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePlace:
    """Which file of which mail."""

    tenant: str
    message: str
    number: int
    """Counted from 0, in the order of the mail's files."""


@dataclass(frozen=True, slots=True)
class LinkKeys:
    """What signs links, and what reads them."""

    keys: tuple[bytes, ...]
    """At least one, 32 bytes each, the current one first."""

    @property
    def id(self) -> str:
        """The name of the current key."""
        return key_name(self.keys[0])

    def query(self, place: FilePlace, expires: int) -> str:
        """Return the signed part of a link; ``expires`` in seconds since 1970."""
        signature = urlsafe_b64encode(_digest(self.keys[0], place, expires)).decode().rstrip("=")
        return f"s={expires}.{self.id}.{signature}"

    def reads(self, place: FilePlace, signed: str) -> datetime | None:
        """Return when a link of ours ends, ``None`` for what none of the keys signed."""
        match = _SIGNED.match(signed)
        if match is None:
            return None
        expires, given = int(match[1]), urlsafe_b64decode(match[3] + "=")
        for key in self.keys:
            if key_name(key) == match[2] and hmac.compare_digest(_digest(key, place, expires), given):
                return datetime.fromtimestamp(expires, UTC)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Makes the links of mails."""

    public_url: str
    keys: LinkKeys

    @property
    def origin(self) -> str:
        """What every link of these settings shares: part of the digest of what is posted."""
        return f"{self.public_url.rstrip('/')} {self.keys.id}"

    def url(self, place: FilePlace, *, name: str, accepted_at: datetime, now: datetime) -> str:
        """Return the link to a file as it is posted ``now``."""
        half = LIFETIME / 2
        halves = max((now - accepted_at) // half, 0)
        expires = int((accepted_at + halves * half + LIFETIME).timestamp())
        path = "/".join(
            quote(part, safe="") for part in (place.tenant, place.message, str(place.number), name)
        )
        return f"{self.public_url.rstrip('/')}/files/{path}?{self.keys.query(place, expires)}"


def key_name(key: bytes) -> str:
    """Return how links name a key: the beginning of its hash."""
    return hashlib.sha256(b"postroom link key " + key).hexdigest()[:8]


def _digest(key: bytes, place: FilePlace, expires: int) -> bytes:
    text = f"{place.tenant}/{place.message}/{place.number}/{expires}"
    return hmac.digest(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256)

"""Amazon SES: the SMTP password that follows from an access key.

The password is the key signed over fixed words, so it fits one region only and the key itself need not be
kept. Source: Amazon SES Developer Guide, "Obtaining Amazon SES SMTP credentials by converting existing AWS
credentials".
"""

import hashlib
import hmac
import re
from base64 import b64encode

from postroom.model.secret import Secret

_DATE = b"11111111"
_SERVICE = b"ses"
_TERMINAL = b"aws4_request"
_MESSAGE = b"SendRawEmail"
_VERSION = b"\x04"

_HOST = re.compile(r"email-smtp(?:-fips)?\.([a-z]{2}(?:-[a-z]+)+-[0-9]{1,2})\.amazonaws\.com(?:\.cn)?\Z")
_KEY_ID = re.compile(r"AKIA[A-Z0-9]{12,124}\Z")
_SECRET_SIZE = 40
"""Characters of a secret access key; a derived SMTP password has 44."""


def smtp_password(secret_access_key: Secret, region: str) -> Secret:
    """Return the SMTP password of a region."""
    key = b"AWS4" + secret_access_key.reveal().encode()
    for word in (_DATE, region.encode(), _SERVICE, _TERMINAL, _MESSAGE):
        key = hmac.digest(key, word, hashlib.sha256)
    return Secret(b64encode(_VERSION + key).decode())


def region_of(host: str) -> str | None:
    """Return the region of an SES server."""
    match = _HOST.match(host)
    return match[1] if match else None


def is_access_key(username: str, password: Secret) -> bool:
    """Say whether a login is an access key and not yet an SMTP password."""
    return bool(_KEY_ID.match(username)) and len(password.reveal()) == _SECRET_SIZE

"""What is said to an identity server, and what its answers mean: the three grants of RFC 6749 and RFC 7523.

Rules: the client's secret goes in the body, which Google, Microsoft and every other server we know take; a
token is printable ASCII and bounded, for it goes into a command; an answer is shown by its ``error`` and
``error_description``, with every secret that we sent blanked out.
"""

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never
from urllib.parse import quote_plus

from postroom.model.secret import Secret
from postroom.model.transport import GrantKind, OAuthGrant
from postroom.smtp.blanking import Blanking
from postroom.smtp.parser import inert

MAX_TOKEN = 8192
"""Characters; in base64 with user name and host they fit into the 12,288 octets of RFC 4954 section 4."""
UNSAID_LIFE_S = 300.0
"""Life of a token whose server does not say (RFC 6749 section 5.1 only recommends it)."""
MAX_LIFE_S = 86400.0
ASSERTION_S = 3600
"""Life of an assertion; Google takes no longer one."""
MAX_TEXT = 300
"""Characters of a server's words that are kept."""
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SECRET_FIELDS = frozenset({"client_secret", "refresh_token", "assertion"})
_TOKEN = re.compile(r"[!-~]+\Z")
_PASSING = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
"""Errors that go by themselves; every other one is for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A token."""

    token: Secret
    life_s: float
    refresh_token: Secret | None
    """A new one that takes the place of the one used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """No token."""

    text: str
    """A lower-case phrase with the server's own words."""
    is_passing: bool
    """It may go by itself, so it is no refusal of the account."""


class GrantError(ValueError):
    """The settings of a grant cannot be used; the text is a lower-case phrase without a secret."""


def fields_of(grant: OAuthGrant, username: str, now: datetime) -> Mapping[str, str]:
    """Return the fields of the form that asks for a token. Takes milliseconds for a service account.

    Raises:
        GrantError: for a service account's key file that cannot be read.
    """
    fields = {"grant_type": str(grant.kind), "client_id": grant.client_id, "scope": grant.scope}
    match grant.kind:
        case GrantKind.REFRESH_TOKEN:
            fields["refresh_token"] = _revealed(grant.secret)
        case GrantKind.CLIENT_CREDENTIALS:
            pass
        case GrantKind.SERVICE_ACCOUNT:
            fields = {"grant_type": _JWT_BEARER, "assertion": assertion(grant, username, now)}
        case _:
            assert_never(grant.kind)
    if grant.client_secret and grant.kind is not GrantKind.SERVICE_ACCOUNT:
        fields["client_secret"] = grant.client_secret.reveal()
    return {name: value for name, value in fields.items() if value}


def assertion(grant: OAuthGrant, username: str, now: datetime) -> str:
    """Return a JWT (RFC 7523) by which a service account asks to act as the user, signed with RS256.

    Raises:
        GrantError: the key file cannot be read.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - costs every start
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415 - as above

    try:
        file = json.loads(_revealed(grant.secret))
        name, pem, key_id = file["client_email"], file["private_key"], file.get("private_key_id", "")
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, KeyError, AttributeError, UnsupportedAlgorithm):
        raise GrantError("the service account's key file cannot be read") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise GrantError("the service account's key is not an RSA key")
    issued = int(now.timestamp())
    header = {"alg": "RS256", "typ": "JWT"} | ({"kid": key_id} if key_id else {})
    claims = {"iss": name, "sub": username, "scope": grant.scope, "aud": grant.token_url}
    claims |= {"iat": issued, "exp": issued + ASSERTION_S}
    signed = f"{_coded_json(header)}.{_coded_json(claims)}"
    return f"{signed}.{_coded(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def read_answer(status: int, content: bytes) -> Granted | Denied:
    """Return what an answer of the identity server says."""
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        told = None
    if 300 <= status < 400:
        text = f"the identity server answered {status}, a redirect; token_url must be the last address"
        return Denied(text=text, is_passing=False)
    if not isinstance(told, dict):
        is_passing = status >= 500 or status == 429
        return Denied(text=f"the identity server answered {status} without JSON", is_passing=is_passing)
    if status != 200 or "error" in told:
        return _denied(status, told)
    token, life = told.get("access_token"), told.get("expires_in")
    if not isinstance(token, str) or len(token) > MAX_TOKEN or not _TOKEN.match(token):
        return Denied(text="the identity server's answer has no token that can be used", is_passing=False)
    if str(told.get("token_type", "bearer")).lower() != "bearer":
        return Denied(text="the identity server's token is not of the type Bearer", is_passing=False)
    renewed = told.get("refresh_token")
    return Granted(
        token=Secret(token),
        life_s=_seconds(life),
        refresh_token=Secret(renewed) if isinstance(renewed, str) and renewed else None,
    )


def shown(text: str, fields: Mapping[str, str]) -> str:
    """Return a server's words without the secrets that it was sent, cut."""
    blanking = Blanking()
    for name in _SECRET_FIELDS & fields.keys():
        blanking.add_secret(fields[name])
        blanking.add_secret(quote_plus(fields[name]))
    return blanking.text(text)[:MAX_TEXT]


def _denied(status: int, told: Mapping[str, Any]) -> Denied:
    error, description = told.get("error"), told.get("error_description")
    name = error if isinstance(error, str) and error else f"status {status}"
    words = f" ({description})" if isinstance(description, str) and description else ""
    text = inert(" ".join(f"the identity server refused a token: {name}{words}".split()))
    is_passing = status >= 500 or status == 429 or name in _PASSING
    return Denied(text=text, is_passing=is_passing)


def _seconds(life: object) -> float:
    """Return a life that can be believed; some servers write the number as a string."""
    try:
        seconds = float(life) if isinstance(life, int | float | str) else UNSAID_LIFE_S
    except (ValueError, OverflowError):
        return UNSAID_LIFE_S
    return min(seconds, MAX_LIFE_S) if seconds > 0 else UNSAID_LIFE_S


def _revealed(secret: Secret | None) -> str:
    return secret.reveal() if secret is not None else ""


def _coded_json(value: Mapping[str, Any]) -> str:
    return _coded(json.dumps(value, separators=(",", ":")).encode())


def _coded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode("ascii").rstrip("=")

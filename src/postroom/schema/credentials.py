"""Secrets as people paste them, and the grant of a login with a token.

Pure. No problem and no warning contains a secret.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from postroom.errors import Problem
from postroom.model.secret import Secret
from postroom.model.transport import GrantKind, OAuthGrant
from postroom.providers.oauth import (
    GOOGLE_TOKEN_URL,
    MICROSOFT_APPLICATION,
    lacks_tenant,
    oauth_defaults,
)
from postroom.providers.provider import Provider, SecretKind
from postroom.schema.transport_fields import OAuthSection
from postroom.schema.transport_url import LINE_END

HIDDEN = "*****"
"""What stands for a secret in every answer; sent back, it keeps the stored one."""

_GROUPED = frozenset({SecretKind.APP_PASSWORD, SecretKind.AUTHORIZATION_CODE})
"""Secrets without blanks, which providers show in groups of four."""
_FOURS = re.compile(r"[A-Za-z0-9]{4}(?:\s[A-Za-z0-9]{4})+\s*\Z")


def clean_secret(secret: Secret, provider: Provider | None) -> tuple[Secret, tuple[str, ...]]:
    """Return the secret without what came along when it was pasted, and what was left out.

    A line end at the end never belongs to a secret. Blanks, also the unbreakable ones of web pages, are taken
    out where a known provider gives app passwords or authorization codes; where the password of the account
    works too, only between groups of four.
    """
    warnings = []
    text = secret.reveal()
    stripped = text.rstrip("\r\n")
    if stripped != text:
        warnings.append(LINE_END)
    joined = "".join(stripped.split())
    if provider is not None and joined != stripped and _is_grouped(stripped, provider):
        stripped = joined
        warnings.append(f"the blanks in the secret were left out: those of {provider.id} have none")
    return Secret(stripped), tuple(warnings)


def _is_grouped(text: str, provider: Provider) -> bool:
    if not _GROUPED.intersection(provider.secrets):
        return False
    return SecretKind.ACCOUNT_PASSWORD not in provider.secrets or bool(_FOURS.match(text))


def read_grant(
    section: OAuthSection | None,
    provider: Provider | None,
    named: Callable[[str], str],
    problems: list[Problem],
) -> OAuthGrant | None:
    """Return the grant, filled in from the provider; what is missing is added to ``problems``."""
    if section is None:
        return None
    token_url, scope = _issuer(section, provider)
    problems += [
        Problem(code="oauth-incomplete", field=named(f"oauth.{key}"), cause=cause, fix=fix)
        for key, cause, fix in _lacking(section, token_url)
    ]
    return OAuthGrant(
        kind=section.kind,
        token_url=token_url,
        client_id=section.client_id or "",
        client_secret=_trimmed(section.client_secret),
        secret=_trimmed(section.secret),
        scope=scope,
    )


def _issuer(section: OAuthSection, provider: Provider | None) -> tuple[str, str]:
    """Return where the token is asked for, and what for."""
    known = oauth_defaults(provider.id, kind=section.kind) if provider is not None else None
    token_url = section.token_url or (known.token_url if known is not None else "")
    scope = section.scope or (known.scope if known is not None else "")
    if section.kind is GrantKind.SERVICE_ACCOUNT:
        token_url = section.token_url or str(_key_file(section.secret).get("token_uri") or GOOGLE_TOKEN_URL)
    if section.kind is GrantKind.CLIENT_CREDENTIALS and "login.microsoftonline.com" in token_url:
        scope = section.scope or MICROSOFT_APPLICATION
    return token_url, scope


def _lacking(section: OAuthSection, token_url: str) -> Iterator[tuple[str, str, str]]:
    """Yield the field, the cause and the fix of everything that is missing or wrong."""
    kind = section.kind
    if lacks_tenant(kind, token_url):
        fix = "Set it to https://login.microsoftonline.com/TENANT/oauth2/v2.0/token."
        yield "token_url", "client credentials need the address of the tenant", fix
    if not _is_token_url(token_url):
        cause = "not an https URL" if token_url else "missing"
        yield "token_url", cause, "Set the https address where tokens are given."
    if kind is not GrantKind.SERVICE_ACCOUNT and not section.client_id:
        yield "client_id", "missing", "Set the id of the application that was registered."
    if kind is GrantKind.CLIENT_CREDENTIALS and section.client_secret is None:
        yield "client_secret", "missing", "Set the secret of the application."
    if kind is not GrantKind.CLIENT_CREDENTIALS and section.secret is None:
        yield "secret", "missing", "Set the refresh token, or the content of the key file."
    elif (
        kind is GrantKind.SERVICE_ACCOUNT
        and section.secret != Secret(HIDDEN)
        and not _key_file(section.secret)
    ):
        yield "secret", "not a key file", "Give the whole JSON file of the service account's key."


def _key_file(secret: Secret | None) -> Mapping[str, Any]:
    """Return the key file of a service account, empty when it is none."""
    try:
        file = json.loads(secret.reveal() if secret is not None else "")
    except (ValueError, RecursionError):
        return {}
    return file if isinstance(file, dict) and {"client_email", "private_key"} <= file.keys() else {}


def _trimmed(secret: Secret | None) -> Secret | None:
    return None if secret is None else Secret(secret.reveal().strip())


def _is_token_url(url: str) -> bool:
    """Take https, and http to this machine, where tests and local issuers live."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https"
        or (parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"})
    )

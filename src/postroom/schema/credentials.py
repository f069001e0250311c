"""Secrets as people paste them, and the grant of a login with a token.

Pure. No problem and no warning contains a secret.
"""

import re
from collections.abc import Callable
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

    def report(key: str, cause: str, fix: str, code: str = "oauth-incomplete") -> None:
        problems.append(Problem(code=code, field=named(f"oauth.{key}"), cause=cause, fix=fix))

    issuer = oauth_defaults(provider.id, kind=section.kind) if provider is not None else None
    is_own = section.kind is GrantKind.SERVICE_ACCOUNT
    token_url = section.token_url or (
        issuer.token_url if issuer is not None else GOOGLE_TOKEN_URL if is_own else ""
    )
    scope = section.scope or (issuer.scope if issuer is not None else "")
    if lacks_tenant(section.kind, token_url):
        fix = "Set it to https://login.microsoftonline.com/TENANT/oauth2/v2.0/token."
        report("token_url", "client credentials need the address of the tenant", fix)
    if section.kind is GrantKind.CLIENT_CREDENTIALS and "login.microsoftonline.com" in token_url:
        scope = section.scope or MICROSOFT_APPLICATION
    if not _is_token_url(token_url):
        fix = "Set the https address where tokens are given."
        report("token_url", "not an https URL" if token_url else "missing", fix)
    if section.kind is not GrantKind.SERVICE_ACCOUNT and not section.client_id:
        report("client_id", "missing", "Set the id of the application that was registered.")
    if section.kind is GrantKind.CLIENT_CREDENTIALS and section.client_secret is None:
        report("client_secret", "missing", "Set the secret of the application.")
    if section.kind is not GrantKind.CLIENT_CREDENTIALS and section.secret is None:
        report("secret", "missing", "Set the refresh token, or the content of the key file.")
    return OAuthGrant(
        kind=section.kind,
        token_url=token_url,
        client_id=section.client_id or "",
        client_secret=_trimmed(section.client_secret),
        secret=_trimmed(section.secret),
        scope=scope,
    )


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

"""Where a provider's tokens come from, so that a person gives client id, secret and refresh token only.

Google: OAuth 2.0 for web server applications and service accounts, Gmail's scope for SMTP. Microsoft:
identity platform v2.0; a refresh token asks for the delegated permission ``SMTP.Send``, client credentials
for the permissions of the application (``SMTP.SendAsApp``, granted by an administrator) by ``.default``.
"""

from dataclasses import dataclass

from postroom.model.transport import GrantKind

_GOOGLE = frozenset({"gmail", "gmail-relay"})
_MICROSOFT = frozenset({"microsoft365", "outlook-com"})
GOOGLE_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - a URL
GOOGLE_SCOPE = "https://mail.google.com/"
MICROSOFT_TOKEN_URL = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"  # noqa: S105 - as above
MICROSOFT_DELEGATED = "https://outlook.office.com/SMTP.Send offline_access"
MICROSOFT_APPLICATION = "https://outlook.office365.com/.default"
_PERSONAL = "consumers"
"""Tenant of personal accounts at Microsoft."""
_ANY_TENANT = "common"
"""Takes refresh tokens of every tenant; it gives no tokens to applications."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthDefaults:
    """What need not be asked."""

    token_url: str
    scope: str


def lacks_tenant(kind: GrantKind, token_url: str) -> bool:
    """Say whether an application asks Microsoft without saying of which tenant."""
    return kind is GrantKind.CLIENT_CREDENTIALS and token_url == MICROSOFT_TOKEN_URL.format(
        tenant=_ANY_TENANT
    )


def oauth_defaults(
    provider_id: str, tenant: str = "", *, kind: GrantKind = GrantKind.REFRESH_TOKEN
) -> OAuthDefaults | None:
    """Return URL and scope of a provider's tokens, ``None`` when they are not known.

    Args:
        provider_id: Id of the provider's row.
        tenant: Of Microsoft, its id or a domain; client credentials cannot do without, and get a URL that
            ``lacks_tenant`` when there is none.
        kind: Of the grant; service accounts are Google's, client credentials Microsoft's.
    """
    if provider_id in _GOOGLE and kind is not GrantKind.CLIENT_CREDENTIALS:
        return OAuthDefaults(token_url=GOOGLE_TOKEN_URL, scope=GOOGLE_SCOPE)
    if provider_id not in _MICROSOFT or kind is GrantKind.SERVICE_ACCOUNT:
        return None
    is_personal = provider_id == "outlook-com" and kind is GrantKind.REFRESH_TOKEN
    tenant = tenant or (_PERSONAL if is_personal else _ANY_TENANT)
    return OAuthDefaults(
        token_url=MICROSOFT_TOKEN_URL.format(tenant=tenant),
        scope=MICROSOFT_APPLICATION if kind is GrantKind.CLIENT_CREDENTIALS else MICROSOFT_DELEGATED,
    )

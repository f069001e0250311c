"""Where the tokens of a provider come from."""

from each_row import each
from postroom.model.transport import GrantKind
from postroom.net.destination import parse_url
from postroom.providers.catalogue import provider
from postroom.providers.oauth import OAuthDefaults, lacks_tenant, oauth_defaults

MICROSOFT = "https://login.microsoftonline.com/{}/oauth2/v2.0/token"
DELEGATED = "https://outlook.office.com/SMTP.Send offline_access"
GOOGLE = OAuthDefaults(token_url="https://oauth2.googleapis.com/token", scope="https://mail.google.com/")


@each(
    ("provider_id", "tenant", "kind", "found"),
    [
        ("gmail", "", GrantKind.REFRESH_TOKEN, GOOGLE),
        ("gmail", "ignored", GrantKind.SERVICE_ACCOUNT, GOOGLE),
        ("gmail", "", GrantKind.CLIENT_CREDENTIALS, None),
        (
            "microsoft365",
            "",
            GrantKind.REFRESH_TOKEN,
            OAuthDefaults(token_url=MICROSOFT.format("common"), scope=DELEGATED),
        ),
        (
            "microsoft365",
            "example.com",
            GrantKind.CLIENT_CREDENTIALS,
            OAuthDefaults(
                token_url=MICROSOFT.format("example.com"), scope="https://outlook.office365.com/.default"
            ),
        ),
        ("microsoft365", "x", GrantKind.SERVICE_ACCOUNT, None),
        (
            "outlook-com",
            "",
            GrantKind.REFRESH_TOKEN,
            OAuthDefaults(token_url=MICROSOFT.format("consumers"), scope=DELEGATED),
        ),
        ("qq", "", GrantKind.REFRESH_TOKEN, None),
    ],
)
def test_defaults(provider_id: str, tenant: str, kind: GrantKind, found: OAuthDefaults | None) -> None:
    """Google and Microsoft need no URL and no scope; who else has tokens says where they come from."""
    assert found == oauth_defaults(provider_id, tenant, kind=kind)
    assert provider(provider_id) is not None
    if found is not None:
        assert parse_url(found.token_url).is_tls


def test_an_application_needs_its_tenant() -> None:
    """Without one the URL that would be asked is recognised; a person's refresh token goes by it."""
    found = oauth_defaults("microsoft365", kind=GrantKind.CLIENT_CREDENTIALS)
    assert found is not None
    assert lacks_tenant(GrantKind.CLIENT_CREDENTIALS, found.token_url)
    assert not lacks_tenant(GrantKind.REFRESH_TOKEN, found.token_url)
    assert not lacks_tenant(GrantKind.CLIENT_CREDENTIALS, MICROSOFT.format("example.com"))

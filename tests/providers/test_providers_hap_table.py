"""The six providers that HAP's page lists: its servers, ports and logins are those of the catalogue."""

import pytest

from postroom.model.transport import TlsMode
from postroom.providers import catalogue
from postroom.providers.provider import FromRule, SecretKind, UsernameRule

PASSWORD, CODE = SecretKind.ACCOUNT_PASSWORD, SecretKind.AUTHORIZATION_CODE

ROWS = [
    ("smtp.exmail.qq.com", (25, 587), UsernameRule.FULL_ADDRESS, PASSWORD),
    ("smtp.mxhichina.com", (25, 587), UsernameRule.FULL_ADDRESS, PASSWORD),
    ("smtp.aliyun.com", (25,), UsernameRule.FULL_ADDRESS, PASSWORD),
    ("smtp.qq.com", (25, 587), UsernameRule.FULL_ADDRESS, CODE),
    ("smtp.189.cn", (25, 587), UsernameRule.FULL_ADDRESS, PASSWORD),
    ("smtp.163.com", (25,), UsernameRule.LOCAL_PART, CODE),
]


@pytest.mark.parametrize(("host", "ports", "login", "secret"), ROWS, ids=[row[0] for row in ROWS])
def test_a_row_of_the_page(
    host: str, ports: tuple[int, ...], login: UsernameRule, secret: SecretKind
) -> None:
    """465 is TLS from the first byte, the others may be; login, secret and From are the page's."""
    found = catalogue.by_host(host)
    assert found is not None
    assert TlsMode.IMPLICIT is found.mode_of(465)
    without_ssl = {TlsMode.STARTTLS, TlsMode.OPPORTUNISTIC}
    assert ports == tuple(port for port in (25, 587) if found.mode_of(port) in without_ssl)
    assert login is found.username
    assert secret in found.secrets
    assert FromRule.EQUALS_ACCOUNT is found.from_rule

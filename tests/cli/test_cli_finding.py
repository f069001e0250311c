"""From an address and a secret to an account: nothing else is typed for any provider of mailboxes."""

from each_row import each
from postroom.cli.finding import body_of
from postroom.providers import catalogue
from postroom.providers.detection import from_domain
from postroom.providers.provider import SecretKind
from postroom.schema.transport_body import read_body

MAILBOXES = [
    one
    for one in catalogue.providers()
    if one.host and one.domains and set(one.secrets) != {SecretKind.OAUTH2}
]
NAMED = {"qq", "exmail", "163", "aliyun", "189", "gmail", "microsoft365", "naver"}


@each("id_", [one.id for one in MAILBOXES])
def test_two_fields_are_enough(id_: str) -> None:
    """The provider's server, the login in its form and the sender follow from the address."""
    one = catalogue.provider(id_)
    assert one is not None
    address = f"someone@{one.domains[0]}"
    (proposal, *_) = from_domain(one.domains[0])
    read = read_body({"name": "x", **body_of(address, proposal, "secret-of-somebody")})
    assert () == read.problems
    assert read.spec is not None
    assert read.spec.account is not None
    assert read.spec.account.username
    assert (one.host, one.prefer.port) == (read.spec.account.host, read.spec.account.port)
    assert [address] == [mailbox.address.spec for mailbox in read.spec.receivers]


def test_the_named_ones_are_among_them() -> None:
    """Those that the reference systems name are known by their domains, or by the MX of others'."""
    known = {one.id for one in catalogue.providers() if one.host and (one.domains or one.mx_suffix)}
    assert NAMED <= known

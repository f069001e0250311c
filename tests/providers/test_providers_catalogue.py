"""The catalogue of providers and its look-ups."""

import tomllib
from collections import Counter
from importlib.resources import files

from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.transport import TlsMode
from postroom.providers import catalogue
from postroom.providers.provider import FIELDS, Grade, Provider, SecretKind, UsernameRule, provider_of

TABLE = tomllib.loads((files("postroom.providers") / "data" / "providers.toml").read_text(encoding="utf-8"))
WITH_HOST = [one for one in catalogue.providers() if one.host and one.host != "localhost"]


def test_every_row_is_there_as_the_file_has_it() -> None:
    """Cutting the file at its headings gives what parsing it whole gives."""
    assert [provider_of(row) for row in TABLE["provider"]] == list(catalogue.providers())
    assert 67 == len(catalogue.providers())


@each("one", catalogue.providers())
def test_rows_are_complete_and_sound(one: Provider) -> None:
    """Ports do not contradict each other, the preferred one is the provider's own, and sources are known."""
    ports = Counter((*one.tls, *one.starttls, *one.plain))
    assert {1} == set(ports.values())
    assert one.prefer.mode == one.mode_of(one.prefer.port)
    assert one.secrets
    assert one.docs.startswith("http")
    assert one.sources
    assert set(one.sources) <= set(catalogue.sources())
    assert {"endpoint", "auth", "from", "limits", "ehlo"} == set(one.grade)
    assert set(one.grade.values()) <= set(Grade)
    assert (one.username is UsernameRule.LITERAL) is bool(one.username_literal)
    assert all(end.startswith(".") for end in one.mx_suffix)


def test_keys_of_rows_are_the_documented_fields() -> None:
    """No row has a key that would be lost."""
    assert set() == {key for row in TABLE["provider"] for key in row} - FIELDS


def test_hosts_and_domains_belong_to_one_provider() -> None:
    """Nothing that is looked up stands in two rows."""
    hosts = Counter(host for one in catalogue.providers() for host in one.all_hosts)
    domains = Counter(domain for one in catalogue.providers() for domain in one.domains)
    assert set() == {name for name, count in (hosts + domains).items() if count > 1} - {"posteo.de"}


@each("one", WITH_HOST)
def test_every_host_leads_to_its_provider(one: Provider) -> None:
    """Default, named and regional hosts are found, in any case and with a final dot."""
    regional = [one.host_template.replace("{region}", each) for each in one.regions]
    for host in (*one.all_hosts, *regional):
        assert one is catalogue.by_host(host)
        assert one is catalogue.by_host(f"{host.upper()}.")


@each(
    "host",
    [
        "",
        ".",
        "localhost",
        "192.0.2.1",
        "mail.example.com",
        "notsmtp.qq.com",
        "smtp.qq.com.example.com",
        "x.smtp.gmail.com",
        "email-smtp.amazonaws.com",
        "email-smtp.eu-west-1.amazonaws.com.example.com",
        "email-smtp.eu-west-1.evil.amazonaws.com",
        "email-smtp.-.amazonaws.com",
        "qq.com",
        'a"b',
    ],
)
def test_foreign_hosts_belong_to_nobody(host: str) -> None:
    """A host that only looks alike is nobody's."""
    assert catalogue.by_host(host) is None


@given(prefix=st.text(alphabet="abcxyz0-.", min_size=1, max_size=8), one=st.sampled_from(WITH_HOST))
def test_no_prefix_makes_a_host_of_a_provider(prefix: str, one: Provider) -> None:
    """What merely ends alike is not the provider's host."""
    found = catalogue.by_host(prefix + one.host)
    assert found is None or prefix + one.host in found.all_hosts


@each(
    ("domain", "id_"),
    [
        ("qq.com", "qq"),
        ("Foxmail.com", "qq"),
        ("163.com", "163"),
        ("naver.com", "naver"),
        ("hotmail.com.", "outlook-com"),
        ("icloud.com", "icloud"),
        ("example.com", None),
        ("mail.qq.com", None),
        ("", None),
    ],
)
def test_a_mail_domain_leads_to_its_provider(domain: str, id_: str | None) -> None:
    """The table is asked for exactly this domain."""
    found = catalogue.by_domain(domain)
    assert id_ == (found.id if found is not None else None)


@each(
    ("names", "ids"),
    [
        (["mxbiz1.qq.com."], ["qq", "exmail"]),
        (["aspmx.l.google.com", "ALT1.ASPMX.L.GOOGLE.COM"], ["gmail"]),
        (["example-com.mail.protection.outlook.com"], ["microsoft365"]),
        (["hotmail-com.olc.protection.outlook.com"], ["outlook-com"]),
        (["mxn.mxhichina.com"], ["aliyun-qiye"]),
        (["mx.yandex.net"], ["yandex"]),
        (["qiye163mx01.mxmail.netease.com"], ["163", "126", "netease-qiye"]),
        (["mx.example.com"], []),
        (["notqq.com"], []),
        ([], []),
    ],
)
def test_mx_names_lead_to_candidates(names: list[str], ids: list[str]) -> None:
    """Every provider behind such an MX is named; two of them where the suffix is shared."""
    assert ids == [one.id for one in catalogue.by_mx(names)]


def test_login_follows_from_the_address() -> None:
    """Full address, local part, the same word for everybody, or a person must say it."""
    address = "ann@example.com"
    logins = {one.id: (one.login_of(address), one.other_login_of(address)) for one in catalogue.providers()}
    assert (address, None) == logins["qq"]
    assert ("ann", address) == logins["163"]
    assert ("apikey", None) == logins["sendgrid"]
    assert (None, None) == logins["ses"]
    naver = catalogue.provider("naver")
    assert naver is not None
    assert naver.login_of("ann") is None


def test_ports_know_their_mode() -> None:
    """Encryption of a port is the provider's, a plain one takes STARTTLS when offered."""
    qq, mailpit = catalogue.provider("qq"), catalogue.provider("mailpit")
    assert qq is not None
    assert mailpit is not None
    modes = [qq.mode_of(port) for port in (465, 587, 25, 2525)]
    assert [TlsMode.IMPLICIT, TlsMode.STARTTLS, TlsMode.OPPORTUNISTIC, None] == modes
    assert TlsMode.NONE is mailpit.mode_of(1025)
    assert SecretKind.AUTHORIZATION_CODE is qq.secrets[0]


def test_an_unknown_id_is_none() -> None:
    """No such provider is no error."""
    assert catalogue.provider("nobody") is None

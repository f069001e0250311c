"""The transport URL, row by row, and that no error shows a secret."""

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.errors import ConfigError
from postroom.model.secret import Secret
from postroom.model.transport import Proxy, ProxyKind, SmtpAccount, TlsMode, TransportKind
from postroom.schema.transport_url import build_provider_url, build_transport_url, parse_transport_url

IMPLICIT, STARTTLS, IF_OFFERED, NONE = TlsMode.IMPLICIT, TlsMode.STARTTLS, TlsMode.OPPORTUNISTIC, TlsMode.NONE

TABLE = [
    ("smtps://mx.example.com", IMPLICIT, 465),
    ("smtps://mx.example.com:2465", IMPLICIT, 2465),
    ("smtp://mx.example.com", IF_OFFERED, 25),
    ("smtp://mx.example.com:2525", IF_OFFERED, 2525),
    ("smtp://mx.example.com/?starttls=always", STARTTLS, 25),
    ("smtp://mx.example.com?starttls=always", STARTTLS, 25),
    ("smtp://mx.example.com:587/?starttls=true", STARTTLS, 587),
    ("smtp://mx.example.com:587/?starttls=yes", STARTTLS, 587),
    ("smtp://mx.example.com:587?starttls=when-available", IF_OFFERED, 587),
    ("smtp://mx.example.com:587/?starttls=never", NONE, 587),
    ("smtp://mx.example.com/?starttls=false", NONE, 25),
    ("smtp://mx.example.com/?starttls=no", NONE, 25),
    ("SMTP://mx.example.com/?STARTTLS=Always", STARTTLS, 25),
    ("SmtpS://MX.example.com", IMPLICIT, 465),
    ("smtp://mx.example.com:465/?starttls=never", NONE, 465),
]


@each(("url", "tls", "port"), TABLE)
def test_table(url: str, tls: TlsMode, port: int) -> None:
    """Scheme and starttls choose the encryption and the default port, compared without case."""
    read = parse_transport_url(url, field="url")
    assert read.account == SmtpAccount(host="mx.example.com", port=port, tls=tls)
    assert read.warnings == ()


@pytest.mark.parametrize(
    ("url", "tls", "warning"),
    [
        ("smtp://mx.example.com:465", IMPLICIT, "port 465 speaks TLS"),
        ("smtp://mx.example.com:465?starttls=always", IMPLICIT, "port 465 speaks TLS"),
        ("smtps://mx.example.com:587", IMPLICIT, "port 587"),
        ("smtps://mx.example.com?starttls=never", IMPLICIT, "starttls has no meaning"),
    ],
)
def test_recognised_with_a_warning(url: str, tls: TlsMode, warning: str) -> None:
    """What is usually a slip is used as what the port speaks, and said."""
    read = parse_transport_url(url, field="transports.0.url")
    assert read.account is not None
    assert tls == read.account.tls
    assert len(read.warnings) == 1
    assert f"transports.0.url: {warning}" in read.warnings[0]


@pytest.mark.parametrize("url", ["capture:", "capture://", "CAPTURE:"])
def test_capture(url: str) -> None:
    """The capture inbox is a transport too."""
    read = parse_transport_url(url, field="url")
    assert read.kind is TransportKind.CAPTURE
    assert read.account is None


@each(
    ("authority", "user", "secret", "host"),
    [
        ("app@example.com:s3cret@mx.example.com", "app@example.com", "s3cret", "mx.example.com"),
        (
            "app%40example.com:a%2Fb%3Fc%23d%25@mx.example.com",
            "app@example.com",
            "a/b?c#d%",
            "mx.example.com",
        ),
        ("app:p@ss:w@rd@mx.example.com", "app", "p@ss:w@rd", "mx.example.com"),
        ("app:%ED%95%9C@mx.example.com", "app", "한", "mx.example.com"),
        ("app:x@[2001:DB8::1]:587", "app", "x", "2001:db8::1"),
        ("app:x@192.0.2.1", "app", "x", "192.0.2.1"),
        ("app:x@mail_relay", "app", "x", "mail_relay"),
        ("app:x@bücher.example", "app", "x", "xn--bcher-kva.example"),
    ],
)
def test_login_and_host(authority: str, user: str, secret: str, host: str) -> None:
    """The authority is split at its last @ and the user at the first colon; both are percent-decoded."""
    account = parse_transport_url(f"smtp://{authority}", field="url").account
    assert account is not None
    assert (user, Secret(secret), host) == (account.username, account.password, account.host)


@each(
    ("url", "code"),
    [
        ("", "url-not-absolute"),
        ("mx.example.com:587", "url-not-absolute"),
        ("http://mx.example.com", "uri-scheme-unknown"),
        ("smpt://mx.example.com", "uri-scheme-unknown"),
        ("gmail+smtp://u:x@", "uri-scheme-unknown"),
        ("provider+gmial://u:x@", "provider-unknown"),
        ("smtp://mx.example.com?provider=gmial", "provider-unknown"),
        ("smtp://", "url-host"),
        ("smtp://u:x@", "url-host"),
        ("smtp://-bad-.example.com", "url-host"),
        ("smtp://[::1", "url-host"),
        ("smtp://[::1]x", "url-host"),
        ("smtp://mx.example.com:0", "url-port"),
        ("smtp://mx.example.com:65536", "url-port"),
        ("smtp://mx.example.com:mail", "url-port"),
        ("smtp://mx.example.com/path", "url-path"),
        ("smtp://mx.example.com/#x", "url-path"),
        ("smtp://mx.example.com?starttls=alwys", "url-starttls"),
        ("smtp://mx.example.com?starttls=always&starttls=never", "url-option"),
        ("smtp://mx.example.com?tls=1", "url-option"),
        ("smtp://user@mx.example.com", "url-login"),
        ("smtp://u:a/b@mx.example.com", "url-unencoded"),
        ("smtp://u:a?b@mx.example.com", "url-unencoded"),
        ("smtp://u:a#b@mx.example.com", "url-unencoded"),
        ("smtp://u:a%b@mx.example.com", "url-percent"),
        ("smtp://u:%FF@mx.example.com", "url-percent"),
        ("smtp://u:%0D%0A@mx.example.com", "url-control"),
    ],
)
def test_named_errors(url: str, code: str) -> None:
    """Each mistake has a name of its own and says what to do."""
    with pytest.raises(ConfigError) as caught:
        parse_transport_url(url, field="url")
    assert [code] == [problem.code for problem in caught.value.problems]
    assert all(problem.fix for problem in caught.value.problems)


def test_every_error_at_once() -> None:
    """Login, host, port and option are judged independently."""
    with pytest.raises(ConfigError) as caught:
        parse_transport_url("smtp://u:%zz@ho st:99999?starttls=x", field="url")
    assert ["url-percent", "url-port", "url-host", "url-starttls"] == [p.code for p in caught.value.problems]


def test_the_encoding_error_names_the_encodings() -> None:
    """A secret with a slash is met with how to write it."""
    with pytest.raises(ConfigError) as caught:
        parse_transport_url("smtp://u:a/b@mx.example.com", field="url")
    assert "%2F" in caught.value.problems[0].fix


@each(
    ("url", "expected"),
    [
        ("provider+qq://app@qq.com:x@", ("smtp.qq.com", 465, IMPLICIT, "qq")),
        ("PROVIDER+QQ://app@qq.com:x@", ("smtp.qq.com", 465, IMPLICIT, "qq")),
        ("provider+qq://app@qq.com:x@/", ("smtp.qq.com", 465, IMPLICIT, "qq")),
        ("provider+qq://app@qq.com:x@:587", ("smtp.qq.com", 587, STARTTLS, "qq")),
        ("provider+qq://app@qq.com:x@?starttls=always", ("smtp.qq.com", 587, STARTTLS, "qq")),
        ("provider+qq://", ("smtp.qq.com", 465, IMPLICIT, "qq")),
        ("provider+microsoft365://a@example.com:x@", ("smtp.office365.com", 587, STARTTLS, "microsoft365")),
        ("provider+163://app:x@", ("smtp.163.com", 465, IMPLICIT, "163")),
        (
            "provider+ses://AKIA:x@email-smtp.eu-west-1.amazonaws.com",
            ("email-smtp.eu-west-1.amazonaws.com", 465, IMPLICIT, "ses"),
        ),
        (
            "provider+exchange-onprem://u:x@mail.example.com",
            ("mail.example.com", 587, STARTTLS, "exchange-onprem"),
        ),
        ("smtps://u:x@relay.example.com?provider=qq", ("relay.example.com", 465, IMPLICIT, "qq")),
        ("smtp://u:x@relay.example.com?provider=qq", ("relay.example.com", 25, IF_OFFERED, "qq")),
        ("smtp://u:x@?provider=qq", ("smtp.qq.com", 465, IMPLICIT, "qq")),
        ("smtps://u:x@smtp.gmail.com", ("smtp.gmail.com", 465, IMPLICIT, "gmail")),
        ("smtp://u:x@smtp.163.com:994", ("smtp.163.com", 994, IMPLICIT, "163")),
    ],
)
def test_providers(url: str, expected: tuple[str, int, TlsMode, str]) -> None:
    """A provider fills in its server; it may be named beside one, and is found by the host."""
    account = parse_transport_url(url, field="url").account
    assert account is not None
    assert expected == (account.host, account.port, account.tls, account.provider)


@pytest.mark.parametrize(
    ("value", "proxy"),
    [
        ("socks5://proxy.example.com", Proxy(kind=ProxyKind.SOCKS5, host="proxy.example.com", port=1080)),
        ("socks5h://proxy.example.com:9", Proxy(kind=ProxyKind.SOCKS5, host="proxy.example.com", port=9)),
        (
            "http://pu:p%40w@[2001:db8::1]:3128",
            Proxy(kind=ProxyKind.HTTP, host="2001:db8::1", port=3128, username="pu", password=Secret("p@w")),
        ),
    ],
)
def test_proxies(value: str, proxy: Proxy) -> None:
    """The proxy may be written as it is or percent-encoded, its login included."""
    for written in (value, quote(value, safe="")):
        read = parse_transport_url(f"smtp://u:x@mx.example.com/?proxy={written}&starttls=always", field="url")
        assert read.account is not None
        assert (proxy, STARTTLS) == (read.account.proxy, read.account.tls)


SECRETS = st.text(min_size=6, max_size=40).filter(lambda text: text.strip() == text and " " not in text)
PRINTABLE = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)


@given(
    secret=SECRETS,
    before=st.sampled_from(["smtp://u:{}@h", "smtps://u:{}", "{}@h", "x://u:{}@h", "smtp://u{}@:1"]),
)
def test_no_error_contains_the_secret(secret: str, before: str) -> None:
    """Whatever the secret holds and however the URL is malformed, the errors do not repeat it."""
    marked = f"Zq7{secret}q7Z"
    try:
        read = parse_transport_url(before.format(marked), field="url")
    except ConfigError as error:
        told = f"{error} {error.problems!r}"
        assert marked not in told
        assert "Zq7" not in told
        assert "q7Z" not in told
    else:
        assert marked not in repr(read.warnings)


PROXIES = st.builds(
    Proxy,
    kind=st.sampled_from(ProxyKind),
    host=st.sampled_from(["proxy.example.com", "2001:db8::8"]),
    port=st.integers(1, 65535),
    username=PRINTABLE,
    password=PRINTABLE.map(Secret),
)
ACCOUNTS = st.builds(
    SmtpAccount,
    username=PRINTABLE,
    password=PRINTABLE.map(Secret),
    host=st.sampled_from(["mx.example.com", "2001:db8::25", "192.0.2.7"]),
    port=st.integers(1, 65535).filter(lambda port: port not in {465, 587}),
    tls=st.sampled_from(TlsMode),
    provider=st.sampled_from([None, "qq"]),
    proxy=st.none() | PROXIES,
)


@given(ACCOUNTS)
def test_what_is_built_is_read_back(account: SmtpAccount) -> None:
    """Any login survives the way into a URL and back."""
    assert account == parse_transport_url(build_transport_url(account), field="url").account


@given(username=PRINTABLE, password=PRINTABLE, proxy=st.none() | PROXIES)
def test_a_providers_url_is_read_back(username: str, password: str, proxy: Proxy | None) -> None:
    """The URL that names a provider carries any login and proxy."""
    url = build_provider_url("qq", username=username, password=Secret(password), proxy=proxy)
    account = parse_transport_url(url, field="url").account
    assert account is not None
    assert (username, Secret(password), proxy) == (account.username, account.password, account.proxy)


@given(st.text(string.printable, max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text raises anything but ConfigError, which then says why."""
    try:
        outcome: object = parse_transport_url(f"smtp://{text}", field="url").account
    except ConfigError as error:
        outcome = error.problems
    assert outcome

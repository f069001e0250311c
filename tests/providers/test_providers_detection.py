"""From an address to its server, without a network."""

from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from postroom.model.transport import TlsMode
from postroom.providers import catalogue
from postroom.providers.detection import (
    MAX_AUTOCONFIG,
    MAX_SERVERS,
    FoundBy,
    Srv,
    from_autoconfig,
    from_domain,
    from_mx,
    from_srv,
    ordered,
)
from postroom.providers.provider import UsernameRule

AUTOCONFIG = """<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="example.com">
    <domain>example.com</domain>
    <incomingServer type="imap"><hostname>imap.example.com</hostname><port>993</port></incomingServer>
    <outgoingServer type="smtp">
      <hostname> mail.%EMAILDOMAIN% </hostname><port>465</port><socketType>SSL</socketType>
      <username>%EMAILLOCALPART%</username><authentication>password-cleartext</authentication>
    </outgoingServer>
    <outgoingServer type="smtp">
      <hostname>MAIL.hosting.example</hostname><port>587</port><socketType>STARTTLS</socketType>
      <username>%EMAILADDRESS%</username>
    </outgoingServer>
    <outgoingServer type="smtp">
      <hostname>mail.example.com</hostname><port>25</port><socketType>plain</socketType>
    </outgoingServer>
  </emailProvider>
</clientConfig>
"""


def test_a_domain_of_the_table_needs_no_question() -> None:
    """The address alone says where the account is."""
    (found,) = from_domain("Foxmail.com")
    assert ("smtp.qq.com", 465, TlsMode.IMPLICIT) == (found.host, found.port, found.mode)
    assert (FoundBy.DOMAIN, False) == (found.found_by, found.must_ask)
    assert not from_domain("example.com")


def test_mx_of_one_provider_is_sure_and_of_two_is_asked_for() -> None:
    """Google stands behind its names alone; behind .qq.com it may be QQ or Exmail."""
    (google,) = from_mx(["aspmx.l.google.com"])
    assert (FoundBy.MX, False, "smtp.gmail.com") == (google.found_by, google.must_ask, google.host)
    tencent = from_mx(["mxbiz1.qq.com"])
    assert ["exmail", "qq"] == [one.provider.id for one in tencent if one.provider is not None]
    assert all(one.must_ask for one in tencent)
    assert not from_mx(["mx.example.com"])


def srv(target: str, port: int = 465, priority: int = 0, mode: TlsMode = TlsMode.IMPLICIT) -> Srv:
    return Srv(priority=priority, weight=0, port=port, target=target, mode=mode)


def test_srv_comes_by_priority_and_a_foreign_host_is_asked_for() -> None:
    """A host in the domain or of a known provider is taken, any other needs a yes."""
    found = from_srv(
        "example.com",
        [
            srv("mail.example.com.", 587, mode=TlsMode.STARTTLS),
            srv("mail.example.com."),
            srv("smtp.gmail.com.", priority=5),
            srv("badexample.com.", priority=9),
            srv(".", priority=1),
            srv("", priority=1),
            srv("mail.example.com", 0, priority=1),
            srv("192.0.2.1!", priority=1),
        ],
    )
    assert [
        ("mail.example.com", 465, False),
        ("mail.example.com", 587, False),
        ("smtp.gmail.com", 465, False),
        ("badexample.com", 465, True),
    ] == [(one.host, one.port, one.must_ask) for one in found]
    assert catalogue.provider("gmail") is found[2].provider


def test_autoconfig_is_read_without_its_plain_servers() -> None:
    """Host, port, encryption and login follow the file; unencrypted servers are never proposed."""
    found = from_autoconfig("example.com", AUTOCONFIG.encode())
    assert [
        ("mail.example.com", 465, TlsMode.IMPLICIT, UsernameRule.LOCAL_PART, False),
        ("mail.hosting.example", 587, TlsMode.STARTTLS, UsernameRule.FULL_ADDRESS, True),
    ] == [(one.host, one.port, one.mode, one.username, one.must_ask) for one in found]


@each(
    "document",
    [
        b"",
        b"<",
        b"<clientConfig/>",
        b"\xff\xfe<",
        AUTOCONFIG.encode() + b"<",
        AUTOCONFIG.replace("<clientConfig", "<!DOCTYPE x><clientConfig", 1).encode(),
        AUTOCONFIG.replace("<clientConfig", '<!DOCTYPE x [<!ENTITY a "b">]><clientConfig', 1).encode(
            "utf-16"
        ),
        AUTOCONFIG.replace("UTF-8", "no-such-coding").encode(),
        AUTOCONFIG.encode() + b" " * MAX_AUTOCONFIG,
        AUTOCONFIG.replace("465", "\u0664\u0666\u0665").replace("587", "5" * 40).encode(),
        AUTOCONFIG.replace("mail.", "a b.").replace("MAIL.hosting", "<i>x</i>").encode(),
        AUTOCONFIG.replace("emailProvider", "somethingElse").encode(),
    ],
)
def test_a_broken_or_hostile_file_proposes_nothing(document: bytes) -> None:
    """Half a file, a document type, other codings, numbers and hosts that are none: nothing comes of them."""
    assert not from_autoconfig("example.com", document)


def test_a_long_file_is_cut() -> None:
    """Of many servers the first are proposed."""
    server = AUTOCONFIG[AUTOCONFIG.index("<outgoingServer") : AUTOCONFIG.index("</outgoingServer>") + 17]
    many = "".join(server.replace("465", str(400 + number)) for number in range(50))
    document = f"<clientConfig><emailProvider>{many}</emailProvider></clientConfig>"
    assert [400 + number for number in range(MAX_SERVERS)] == [
        one.port for one in from_autoconfig("example.com", document.encode())
    ]


@given(
    st.text(max_size=30),
    st.binary(max_size=200) | st.text(alphabet="<>/ab!&;[]'\"= ", max_size=80).map(str.encode),
)
def test_any_bytes_are_read_without_a_failure(domain: str, document: bytes) -> None:
    """Whatever a server sends in place of a file."""
    assert not from_autoconfig(domain, document)


@given(st.text(max_size=20), st.text(max_size=40), st.integers(-1, 70000))
def test_any_srv_answer_is_read_without_a_failure(domain: str, target: str, port: int) -> None:
    """A proposal's host is a plain name, whatever was answered."""
    for one in from_srv(domain, [srv(target, port)]):
        assert one.host.isascii()
        assert one.host == one.host.strip().lower()
        assert 1 <= one.port <= 65535


def test_sure_proposals_come_first_and_each_server_once() -> None:
    """The order of the sources holds among equals."""
    sure = from_srv(
        "example.com", [srv("mail.example.com"), srv("mail.example.com", 587, mode=TlsMode.STARTTLS)]
    )
    asked = from_mx(["mx.qq.com"])
    again = from_autoconfig("example.com", AUTOCONFIG.encode())
    found = ordered(asked, sure, again)
    assert [*sure, *asked, again[1]] == list(found)

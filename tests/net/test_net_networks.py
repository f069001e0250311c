"""The table of networks: what it refuses, against ``ipaddress``, and what an operator can open."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from each_row import each
from postroom.net.networks import METADATA, NEVER, SPECIAL, embedded, why_forbidden

STRICTER_4 = [
    IPv4Network(text) for text in ("224.0.0.0/4", "192.88.99.0/24", "168.63.129.16/32", "192.0.0.0/24")
]
"""IPv4 networks that ``ipaddress`` calls global and we do not call."""
STRICTER_6 = [IPv6Network(text) for text in ("2001::/23", "2002::/16")]
"""Of the global unicast space, what we refuse and ``ipaddress``, by its version, may not."""
CARRIERS = [IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96")]
"""Forms that carry an IPv4 address, which is judged alone."""

v4 = st.integers(0, 2**32 - 1).map(IPv4Address)
special_v4 = st.sampled_from([net for net, _ in (*METADATA, *NEVER, *SPECIAL) if net.version == 4]).flatmap(
    lambda net: st.integers(int(net[0]), int(net[-1])).map(IPv4Address)
)
v6 = st.one_of(
    st.integers(0, 2**128 - 1),
    st.integers(0, 2**125 - 1).map(lambda low: 1 << 125 | low),
    st.integers(0, 2**64 - 1),
).map(IPv6Address)


@given(st.one_of(v4, special_v4))
@example(IPv4Address("8.8.8.8"))
def test_ipv4_agrees_with_the_standard_library(address: IPv4Address) -> None:
    """What ``ipaddress`` does not call global is refused; the rest passes, but for four networks."""
    if not address.is_global:
        assert why_forbidden(address)
    else:
        assert any(address in network for network in STRICTER_4) == bool(why_forbidden(address))


@given(v6)
@example(IPv6Address("2606:4700::1111"))
def test_ipv6_is_never_laxer_than_the_standard_library(address: IPv6Address) -> None:
    """An IPv6 address passes only when it is global unicast by every reading, or carries a public one."""
    if any(address in network for network in CARRIERS):
        return
    is_global = address.is_global and address in IPv6Network("2000::/3")
    if any(address in network for network in STRICTER_6):
        assert why_forbidden(address)
    elif not any(True for _ in embedded(address)):
        assert is_global == (not why_forbidden(address))


def forms(inner: IPv4Address) -> list[IPv6Address]:
    low = int(inner)
    high, mid = low >> 16, low & 0xFFFF
    teredo = 0x2001_0000 << 96 | 0x0808_0808 << 64 | low ^ 0xFFFF_FFFF
    return [
        IPv6Address(0xFFFF << 32 | low),  # mapped
        IPv6Address(low),  # compatible
        IPv6Address(0x64_FF9B << 96 | low),  # NAT64
        IPv6Address(0x64_FF9B_0001 << 80 | low),  # local NAT64, 96 bits
        IPv6Address(0x64_FF9B_0001 << 80 | high << 64 | mid << 40),  # local NAT64, 48 bits
        IPv6Address(0x64_FF9B_0001 << 80 | low << 24),  # local NAT64, 64 bits
        IPv6Address(0x2002 << 112 | low << 80 | 1),  # 6to4
        IPv6Address(teredo),
        IPv6Address(0x2606_4700 << 96 | 0x5EFE << 32 | low),  # ISATAP in a global prefix
        IPv6Address(0x2606_4700 << 96 | 0x0200_5EFE << 32 | low),
        IPv6Address(0xFE80 << 112 | 0x5EFE << 32 | low),
    ]


@given(special_v4, st.integers(0, 10))
def test_an_embedded_address_is_judged(inner: IPv4Address, form: int) -> None:
    """No IPv6 form lets a refused IPv4 address through."""
    assert why_forbidden(forms(inner)[form])


@given(special_v4.filter(lambda one: one >= IPv4Address("1.0.0.0")), st.integers(0, 10))
def test_an_open_ipv6_network_does_not_open_what_it_carries(inner: IPv4Address, form: int) -> None:
    """With every IPv6 network allowed, a refused IPv4 address inside is still refused."""
    assert why_forbidden(forms(inner)[form], [IPv6Network("::/0")])


@pytest.mark.parametrize("text", ["::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::5efe:808:808", "8.8.8.8"])
def test_public_addresses_pass_in_their_forms(text: str) -> None:
    """Mapped and NAT64 forms of a public address pass: networks with IPv6 alone live by them."""
    assert "" == why_forbidden(ip_address(text))


@each("network", [net for net, _ in SPECIAL])
def test_every_special_network_is_refused_and_can_be_opened(network: IPv4Network | IPv6Network) -> None:
    """First and last address of each listed network are refused, and pass when the operator opens it."""
    for address in (network[-1], network[network.num_addresses // 2]):
        assert why_forbidden(address)
        if not any(address in other for other, _ in (*METADATA, *NEVER)) and not (
            isinstance(address, IPv6Address) and any(True for _ in embedded(address))
        ):
            assert "" == why_forbidden(address, [network])


@each("network", [net for net, _ in METADATA])
def test_metadata_services_are_opened_by_name_only(network: IPv4Network | IPv6Network) -> None:
    """A wide network does not open a metadata address inside it; the address itself does."""
    address, everything = network[0], ip_network("0.0.0.0/0" if network.version == 4 else "::/0")

    assert "" != why_forbidden(address, [everything])
    assert "" == why_forbidden(address, [network])


@pytest.mark.parametrize("text", ["0.0.0.0", "255.255.255.255", "224.0.0.1", "ff02::1", "::"])
def test_some_addresses_are_never_opened(text: str) -> None:
    """Unspecified, broadcast and multicast addresses stay refused, whatever is allowed."""
    assert why_forbidden(ip_address(text), [ip_network("0.0.0.0/0"), ip_network("::/0"), ip_network(text)])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("127.0.0.1", "127.0.0.1 is loopback"),
        ("100.100.100.200", "100.100.100.200 is a metadata service"),
        ("::ffff:169.254.169.254", "::ffff:a9fe:a9fe carries 169.254.169.254, a metadata service"),
        ("fd12::1", "fd12::1 is a private network"),
        ("5f00::1", "5f00::1 is not a global address"),
    ],
)
def test_a_refusal_says_what_the_address_is(text: str, words: str) -> None:
    """The reason names the address and its kind."""
    assert words == why_forbidden(ip_address(text))

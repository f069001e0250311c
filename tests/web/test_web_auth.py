"""Who is admitted: keys, scopes, networks, and the doors that need no key."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Scope

from each_row import each
from peers.fake_service import KEY, FakeService
from postroom.model.secret import Secret
from postroom.web.auth import Caller, Doorkeeper, SharedSecret
from postroom.web.keyless import (
    NEVER_KEYLESS,
    Approach,
    KeylessRule,
    effective_peer,
    host_name,
    keyless_allowed,
    parse_networks,
)
from postroom.web.problem import HttpError

OPEN = KeylessRule(is_open=True)
LOCAL = Approach(peer="127.0.0.1", scheme="http", host="localhost:8587")


def scope(*authorization: str, peer: str = "127.0.0.1", **headers: str) -> Scope:
    pairs = [(b"host", b"localhost:8587")]
    pairs += [(b"authorization", value.encode("latin-1")) for value in authorization]
    pairs += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "scheme": "http", "client": (peer, 50000), "headers": pairs}


def admit(
    request: Scope,
    *,
    needs: str | None = "send",
    keyless: KeylessRule = NEVER_KEYLESS,
    trusted: str = "",
    shared: SharedSecret | None = None,
) -> Caller:
    service = FakeService()
    service.add_key("reader-key-of-twenty-chars", "read")
    service.add_key("office-key-of-twenty-chars", "send", networks=("10.0.0.0/8",))
    networks = parse_networks([trusted] if trusted else [])
    keeper = Doorkeeper(service.key_for, trusted_proxies=networks)
    return keeper.admit(request, needs=needs, keyless=keyless, shared=shared)


def refusal(request: Scope, **options: object) -> tuple[int, str]:
    with pytest.raises(HttpError) as caught:
        admit(request, **options)  # type: ignore[arg-type] # passed through
    assert "bearer" in caught.value.headers["www-authenticate"].lower()
    return caught.value.status, caught.value.problem.code


def test_a_live_key_with_the_scope_is_admitted() -> None:
    """The caller carries the key's name and tenant; the scheme's case does not matter."""
    assert "all" == admit(scope(f"Bearer {KEY}")).key
    assert "all" == admit(scope(f"bearer {KEY}")).key


@each(
    "authorization",
    [
        (f"Bearer  {KEY}",),
        (f"Bearer {KEY}\tx",),
        (f"Bearer {KEY}, Bearer {KEY}",),
        ("Bearer",),
        ("Bearer ",),
        (f"Basic {KEY}",),
        (KEY,),
        (f"Bearer {KEY}x",),
        (f"Bearer {KEY[:-1]}",),
        ("Bearer " + "x" * 2000,),
        ("Bearer \xff",),
        (f"Bearer {KEY}", f"Bearer {KEY}"),
        ("",),
    ],
)
def test_other_authorizations_are_401(authorization: tuple[str, ...]) -> None:
    """Exactly one Bearer token with exactly one blank, or nobody; also where no key would be needed."""
    assert (401, "key-unknown") == refusal(scope(*authorization))
    assert (401, "key-unknown") == refusal(scope(*authorization), keyless=OPEN)


def test_no_key_is_401_and_says_why() -> None:
    """Without a header the caller learns that a key is needed."""
    assert (401, "key-missing") == refusal(scope())


def test_missing_scope_and_wrong_network_are_403() -> None:
    """A key without the scope, or from elsewhere, is refused by name; scopes do not imply each other."""
    assert (403, "scope-missing") == refusal(scope("Bearer reader-key-of-twenty-chars"))
    assert (403, "scope-missing") == refusal(scope("Bearer office-key-of-twenty-chars"), needs="admin")
    assert (403, "network-not-allowed") == refusal(scope("Bearer office-key-of-twenty-chars"))
    assert admit(scope("Bearer office-key-of-twenty-chars", peer="10.1.2.3"))
    assert admit(scope("Bearer office-key-of-twenty-chars", peer="::ffff:10.1.2.3"))


def test_a_key_in_the_query_is_never_read() -> None:
    """A key in the URL admits nobody."""
    assert 401 == refusal({**scope(), "query_string": f"api_key={KEY}".encode()})[0]


def test_forwarded_addresses_count_only_behind_trusted_proxies() -> None:
    """X-Forwarded-For moves the peer only when the socket's peer is a trusted proxy."""
    key = "Bearer office-key-of-twenty-chars"
    request = scope(key, peer="192.0.2.1", x_forwarded_for="10.9.9.9")
    assert 403 == refusal(request)[0]
    assert "10.9.9.9" == admit(request, trusted="192.0.2.0/24").peer
    assert "198.51.100.7" == effective_peer(
        "192.0.2.1", "10.0.0.1, 198.51.100.7, 192.0.2.9", parse_networks(["192.0.2.0/24"])
    )


def test_open_doors_need_nothing() -> None:
    """An operation without a scope admits everybody."""
    assert Caller(peer="203.0.113.9") == admit(scope(peer="203.0.113.9"), needs=None)


@each(
    ("approach", "is_allowed"),
    [
        (LOCAL, True),
        (replace(LOCAL, peer="::1", host="[::1]:8587"), True),
        (replace(LOCAL, peer="::ffff:127.0.0.1"), True),
        (replace(LOCAL, peer="10.0.0.5"), True),
        (replace(LOCAL, peer="10.0.0.5", host="mail.example.com"), True),
        (replace(LOCAL, origin="http://localhost:8587", fetch_site="same-origin"), True),
        (replace(LOCAL, peer="192.0.2.1"), False),
        (replace(LOCAL, peer=""), False),
        (replace(LOCAL, host="rebound.example.net:8587"), False),
        (replace(LOCAL, host=""), False),
        (replace(LOCAL, is_forwarded=True), False),
        (replace(LOCAL, origin="http://evil.example.net"), False),
        (replace(LOCAL, origin="http://localhost:1234"), False),
        (replace(LOCAL, origin="https://localhost:8587"), False),
        (replace(LOCAL, origin="null"), False),
        (replace(LOCAL, fetch_site="cross-site"), False),
        (replace(LOCAL, fetch_site="same-site"), False),
    ],
)
def test_keyless_rule(approach: Approach, *, is_allowed: bool) -> None:
    """Without a key: only from here or a listed network, under a known name, and never for a web page."""
    rule = KeylessRule(
        is_open=True, networks=parse_networks(["10.0.0.0/8"]), hosts=frozenset({"mail.example.com"})
    )
    decision = keyless_allowed(rule, approach)
    assert is_allowed is decision.is_allowed
    assert bool(decision.reason) is not is_allowed
    assert not keyless_allowed(replace(rule, is_open=False), approach).is_allowed
    assert not keyless_allowed(replace(rule, is_behind_proxy=True), approach).is_allowed


@pytest.mark.parametrize(
    "name",
    ["forwarded", "x_real_ip", "x_forwarded_for", "x_forwarded_proto", "x_forwarded_anything", "x_forwarded"],
)
def test_any_sign_of_a_proxy_needs_a_key(name: str) -> None:
    """Whatever a proxy calls its mark, its loopback address opens no door."""
    assert admit(scope(), keyless=OPEN)
    assert (401, "key-missing") == refusal(scope(**{name: "x"}), keyless=OPEN)


def test_pages_may_be_reached_by_a_link() -> None:
    """A page that only shows something does not judge where the link to it stood."""
    linked = replace(LOCAL, fetch_site="cross-site")
    assert not keyless_allowed(OPEN, linked).is_allowed
    assert keyless_allowed(replace(OPEN, judges_origin=False), linked).is_allowed


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_keyless_never_fails(peer: str, host: str, origin: str) -> None:
    """Whatever a caller writes into its headers, the decision is made and hosts are only known ones."""
    decision = keyless_allowed(OPEN, Approach(peer=peer, scheme="http", host=host, origin=origin))
    assert not decision.is_allowed or host_name(host) in {"localhost", "127.0.0.1", "::1"}


HAP = SharedSecret(header="x-hap-token", secret=Secret("hap-secret-0123456789"), setting="hap.secret")


def test_a_shared_secret_stands_for_a_key_at_its_door() -> None:
    """The right one is admitted without a key; a key is as good; a wrong, doubled or missing one is not."""
    assert Caller(peer="127.0.0.1") == admit(scope(x_hap_token="hap-secret-0123456789"), shared=HAP)
    assert "all" == admit(scope(f"Bearer {KEY}"), shared=HAP).key
    assert (401, "secret-wrong") == refusal(scope(x_hap_token="hap-secret-012345678"), shared=HAP)
    assert (401, "secret-wrong") == refusal(scope(f"Bearer {KEY}", x_hap_token=""), shared=HAP)
    assert (401, "key-missing") == refusal(scope(), shared=HAP)
    assert (401, "key-missing") == refusal(scope(x_hap_token="hap-secret-0123456789"))
    twice = scope(x_hap_token="hap-secret-0123456789")
    twice["headers"] = [*twice["headers"], (b"x-hap-token", b"hap-secret-0123456789")]
    assert (401, "secret-wrong") == refusal(twice, shared=HAP)


def test_a_shared_secret_may_stand_in_authorization() -> None:
    """There what is not the secret is read as a key."""
    shared = replace(HAP, header="authorization", secret=Secret("Basic aGFwOnNlY3JldA=="))
    assert "" == admit(scope("Basic aGFwOnNlY3JldA=="), shared=shared).key
    assert "all" == admit(scope(f"Bearer {KEY}"), shared=shared).key
    assert (401, "key-unknown") == refusal(scope("Basic d3Jvbmc="), shared=shared)

"""Changes laid over stored transports."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from postroom.model.transport import StoredTransport
from postroom.schema.transport_body import ReadBody, read_body, read_stored
from postroom.schema.transport_changes import merged

RELAY = {"host": "mail.example.com", "username": "app@example.com", "password": "correct-horse"}
PROXIED = {
    "url": "smtps://app:correct-horse@mail.example.com?proxy=socks5://p:battery@proxy.example.com:1080"
}
AMAZON = {
    "host": "email-smtp.eu-west-1.amazonaws.com",
    "access_key_id": "AKIAEXAMPLEEXAMPLE",
    "secret_access_key": "an/example+of+a+secret+access+key",
    "from": "app@example.com",
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def changed(body: Mapping[str, Any], *changes: Mapping[str, Any]) -> ReadBody:
    """Store a description, make the changes one after the other, and return what the last came to."""
    read = read_body(body)
    for change in changes:
        assert not read.problems
        stored = StoredTransport(
            name="relay", fields=read.fields, secrets=read.secrets, created_at=NOW, changed_at=NOW, author=""
        )
        spec = read_stored(stored).spec
        assert spec is not None
        read = read_body(merged(stored, spec.account, change), secrets=stored.secrets)
    return read


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"passwort": None}, "passwort"),
        ({"timeouts": {"conect": None}}, "timeouts.conect"),
        ({"oauth": {"nonsense": None}}, "oauth.nonsense"),
    ],
)
def test_null_for_an_unknown_name_is_told(change: dict[str, Any], field: str) -> None:
    """A slip of the pen is a problem with its path, also when it takes something away."""
    problems = changed({**RELAY, "timeouts": {"connect": 5}}, change).problems
    assert ("unknown-setting", field) in [(one.code, one.field) for one in problems]


def test_null_takes_away_what_a_newer_version_stored() -> None:
    """A stored field that is not known here can be removed, as the remedy says."""
    stored = StoredTransport(
        name="relay",
        fields={"host": "mail.example.com", "newer": 1},
        secrets={},
        created_at=NOW,
        changed_at=NOW,
        author="",
    )
    assert {"host": "mail.example.com", "name": "relay"} == merged(stored, None, {"newer": None})


def test_null_inside_of_a_new_table_takes_the_default() -> None:
    """RFC 7396: nulls of an object that was not there are left out."""
    oauth = {"client_id": "a", "secret": "b", "scope": None, "token_url": "https://login.example.com/t"}
    read = changed(RELAY, {"password": None, "oauth": oauth})
    assert not read.problems
    assert {"client_id", "secret", "token_url"} == read.fields["oauth"].keys()


def test_a_url_with_a_proxy_replaces_both() -> None:
    """What was sent comes back changed, its hidden secrets kept, though it is stored in two fields."""
    url = "smtps://app:*****@other.example.com?proxy=socks5://p:*****@far.example.com:1080"
    read = changed(PROXIED, {"url": url})
    assert () == read.problems
    assert read.spec is not None
    account = read.spec.account
    assert account is not None
    assert account.proxy is not None
    assert account.proxy.password is not None
    assert account.password is not None
    assert ("other.example.com", "correct-horse") == (account.host, account.password.reveal())
    assert ("far.example.com", "battery") == (account.proxy.host, account.proxy.password.reveal())


def test_an_access_key_is_renewed() -> None:
    """A new access key takes the place of the login that was derived from the old one."""
    new = {"access_key_id": "AKIAEXAMPLEEXAMPL2", "secret_access_key": "another/example+of+a+secret+key"}
    first, second = changed(AMAZON), changed(AMAZON, new)
    assert () == second.problems
    assert "AKIAEXAMPLEEXAMPL2" == second.fields["username"]
    assert first.secrets.keys() == second.secrets.keys() == {"password"}
    assert first.secrets["password"] != second.secrets["password"]


def test_a_host_ends_a_stored_capture() -> None:
    """Naming a server is enough: nobody has to know that the URL stands there."""
    read = changed({"url": "capture:"}, {"host": "mail.example.com"})
    assert () == read.problems
    assert "url" not in read.fields


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": True},
        {"max_connections": True},
        {"max_connections": 10**30},
        {"max_recipients": 10**9},
        {"max_messages": 10**30},
        {"password": "\ud800horse"},
        {"proxy": "socks5://p:\udc00@proxy.example.com:1080"},
    ],
    ids=str,
)
def test_values_that_nothing_could_use_are_refused(wrong: dict[str, Any]) -> None:
    """Truth for a number, numbers without bound, and halves of characters are problems of their field."""
    assert [*wrong] == [problem.field for problem in read_body({**RELAY, **wrong}).problems]

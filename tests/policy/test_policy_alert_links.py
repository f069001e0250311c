"""Links of alert mails: each is good for one deed, until its end, and as it was signed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

from postroom.model.alert import AlertId, GroupId
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.policy.alerting.links import (
    LIFETIME,
    PATH,
    AlertAct,
    AlertDeed,
    AlertLinks,
    read_act,
    signed,
)
from postroom.policy.links import FilePlace, LinkKeys

AT = datetime(2026, 11, 22, 10, tzinfo=UTC)
KEYS = LinkKeys((b"n" * 32, b"o" * 32))
OLD = LinkKeys((b"o" * 32,))
ACT = AlertAct(
    deed=AlertDeed.ACKNOWLEDGE,
    tenant=DEFAULT_TENANT,
    letter=17,
    receiver="on call & others",
    alert=AlertId("0123456789abcdef0123"),
)
OF_GROUP = replace(ACT, alert=None, group=GroupId("fedcba98765432100123"))


def query_of(act: AlertAct, keys: LinkKeys = KEYS, *, expires: datetime = AT) -> dict[str, str]:
    return dict(parse_qsl(signed(act, keys, expires=expires), keep_blank_values=True))


def test_a_link_says_what_it_is_good_for_and_when_it_ends() -> None:
    """Every deed, of an alert and of a group, is read as it was signed; by older keys too."""
    for deed in AlertDeed:
        for act in (replace(ACT, deed=deed), replace(OF_GROUP, deed=deed)):
            assert (act, AT) == read_act(query_of(act), KEYS)
            assert (act, AT) == read_act(query_of(act, OLD), KEYS)
            assert None is read_act(query_of(act), OLD)


def test_nothing_of_a_link_can_be_changed() -> None:
    """Another deed, alert, receiver, letter, tenant or end is a link that nobody signed."""
    query = query_of(ACT)
    expires, name, digest = query["s"].split(".")
    changes = {
        "do": "silence-1d",
        "alert": "0123456789abcdef0124",
        "to": "others",
        "letter": "18",
        "tenant": TenantId("other"),
        "s": f"{int(expires) + 1}.{name}.{digest}",
    }
    for member, value in changes.items():
        assert None is read_act({**query, member: value}, KEYS), member
        assert None is read_act({**query, member: ""}, KEYS), member
        assert None is read_act({key: one for key, one in query.items() if key != member}, KEYS), member
    moved = {**query, "group": query["alert"]}
    assert None is read_act(moved, KEYS)
    del moved["alert"]
    assert None is read_act(moved, KEYS)
    assert None is read_act({**query, "letter": "٣"}, KEYS)
    assert (ACT, AT) == read_act({**query, "utm_source": "scanner"}, KEYS)


def test_a_link_to_a_file_is_none_to_act() -> None:
    """The same keys sign both, each purpose in a domain of its own."""
    place = FilePlace(tenant=ACT.tenant, message="m", number=0)
    _, _, of_file = KEYS.query(place, int(AT.timestamp())).partition("s=")
    assert None is read_act({**query_of(ACT), "s": of_file}, KEYS)
    assert None is KEYS.reads(place, query_of(ACT)["s"])
    digests = {query_of(replace(ACT, deed=deed))["s"] for deed in AlertDeed}
    assert len(AlertDeed) == len(digests)


def test_links_are_the_same_whenever_they_are_made_and_good_when_they_are_sent() -> None:
    """Seven days from the letter; one that waited for weeks has at least half of that left."""
    links = AlertLinks(public_url="https://mail.example.com/", keys=KEYS)
    first = links.url(ACT, written_at=AT, now=AT)
    assert first == links.url(ACT, written_at=AT, now=AT + LIFETIME / 2 - timedelta(seconds=1))
    parts = urlsplit(first)
    assert ("https", "mail.example.com", PATH) == parts[:3]
    assert (ACT, AT + LIFETIME) == read_act(dict(parse_qsl(parts.query)), KEYS)
    late = AT + timedelta(days=40)
    found = read_act(dict(parse_qsl(urlsplit(links.url(ACT, written_at=AT, now=late)).query)), KEYS)
    assert found is not None
    assert late + LIFETIME / 2 <= found[1] <= late + LIFETIME


def test_deeds_have_their_spans() -> None:
    """An hour and a day of silence; four hours, a day or a week between repeats."""
    assert {
        "ack": None,
        "silence-1h": timedelta(hours=1),
        "silence-1d": timedelta(days=1),
        "rhythm-4h": timedelta(hours=4),
        "rhythm-1d": timedelta(days=1),
        "rhythm-1w": timedelta(weeks=1),
    } == {deed.value: deed.span for deed in AlertDeed}

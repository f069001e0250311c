"""What is the same alert, and which labels it has."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from postroom.model.alert import NewAlertEvent, Severity
from postroom.model.ids import TenantId
from postroom.policy.alerting.identity import alert_id, digest_of, group_id, labels_of

EVENT = NewAlertEvent(key="disk-full", source="host1", object="sda", node="p1", labels={"team": "a"})


def test_an_identity_is_made_of_what_names_the_alert() -> None:
    """Tenant, key, source, object, node and labels count; severity, texts, values and state do not."""
    same = replace(
        EVENT, severity=Severity.CRITICAL, title="x", text="y", values={"v": 1}, details={"d": "e"},
        category="c",
        labels={"empty": "", "team": "a"},
    )  # fmt: skip
    assert alert_id(EVENT) == alert_id(same)
    others = [
        replace(EVENT, tenant=TenantId("other")), replace(EVENT, key="k"), replace(EVENT, source=""),
        replace(EVENT, object="sdb"), replace(EVENT, node=""), replace(EVENT, labels={"team": "b"}),
        replace(EVENT, source="host1sda", object=""), replace(EVENT, dedup="disk"),
    ]  # fmt: skip
    assert len(others) + 1 == len({alert_id(one) for one in [EVENT, *others]})
    assert 20 == len(alert_id(EVENT))


def test_an_identity_of_the_senders_own_is_all_that_counts() -> None:
    """With ``dedup`` only the tenant matters beside it."""
    mine = replace(EVENT, dedup="42")
    assert alert_id(mine) == alert_id(NewAlertEvent(key="other", dedup="42"))
    assert alert_id(mine) != alert_id(replace(mine, tenant=TenantId("other")))


def test_fields_are_labels_where_no_label_has_their_name() -> None:
    """``key`` is ``alertname`` too, empty ones are absent, and the order of labels is theirs first."""
    labels = {"severity": "page", "object": "", "alertname": "DiskFull"}
    event = replace(EVENT, labels=labels, node="", severity=Severity.ERROR)
    expected = {
        "severity": "page", "alertname": "DiskFull", "key": "disk-full", "source": "host1", "object": "sda",
    }  # fmt: skip
    assert expected == labels_of(event)
    assert "disk-full" == labels_of(EVENT)["alertname"]
    assert "warning" == labels_of(EVENT)["severity"]
    assert {str} == {type(value) for value in labels_of(EVENT).values()}


def test_a_group_is_its_route_receiver_addresses_and_labels() -> None:
    """Each of them makes another group; the order of addresses and labels does not."""
    group = group_id(("root", "a"), "ops", ("x@example.com", "y@example.com"), {"b": "1", "c": "2"})
    assert group == group_id(("root", "a"), "ops", ("y@example.com", "x@example.com"), {"c": "2", "b": "1"})
    others = [
        group_id(("root / a",), "ops", ("x@example.com", "y@example.com"), {"b": "1", "c": "2"}),
        group_id(("root", "a"), "dev", ("x@example.com", "y@example.com"), {"b": "1", "c": "2"}),
        group_id(("root", "a"), "ops", (), {"b": "1", "c": "2"}),
        group_id(("root", "a"), "ops", ("x@example.com", "y@example.com"), {"b": "1"}),
        group_id(("root", "a"), "ops", (), {}),
    ]
    assert 6 == len({group, *others})


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_digests_differ_where_parts_do(one: list[str], other: list[str]) -> None:
    """No way to cut the same letters gives the same digest."""
    assert (one == other) is (digest_of(*one) == digest_of(*other))

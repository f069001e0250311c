"""Alertmanager's configuration becomes routes, receivers, times and inhibitions that do the same."""

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from each_row import each
from postroom.config.load import load
from postroom.config.settings import Settings
from postroom.config.sources import Flags
from postroom.errors import ConfigError
from postroom.policy.alerting.matching import written
from postroom.policy.alerting.routing import Branch, Router
from postroom.policy.alerting.times import is_in
from postroom.schema.import_alertmanager import import_alertmanager
from postroom.schema.toml_text import toml_text

MINUTE = timedelta(minutes=1)
FILE = """
global:
  smtp_smarthost: 'smtp.example.com:587'
  smtp_from: 'alertmanager@example.com'
  smtp_auth_username: alertmanager
  smtp_auth_password: not-to-be-seen
  smtp_hello: localhost
  resolve_timeout: 5m
  slack_api_url: 'https://hooks.example.com/secret'
templates: ['/etc/alertmanager/*.tmpl']
route:
  receiver: team-x
  group_by: [alertname, cluster]
  repeat_interval: 3h
  routes:
    - match_re: { service: "^(foo1|foo2|baz)$" }
      receiver: team-x
      group_wait: 1m30s
      mute_time_intervals: [offhours]
      routes:
        - match: { severity: critical }
          receiver: pager
          continue: true
        - matchers: [ 'owner=~".+"', severity!="info" ]
          receiver: owners
          group_by: ['...']
          active_time_intervals: [holidays, offhours]
    - matchers: [ service="files", tier=~"a|b" ]
      receiver: nobody
      repeat_interval: 1s
      group_interval: 0s
receivers:
  - name: team-x
    email_configs:
      - to: 'team-x+alerts@example.org, Boss <boss@example.org>'
        headers: { Subject: '{{ .Status }}' }
  - name: pager
    email_configs: [ { to: pager@example.org, send_resolved: true, from: other@example.org } ]
    pagerduty_configs: [ { service_key: hidden } ]
  - name: owners
    email_configs: [ { to: '{{ .GroupLabels.owner }}' }, { to: 'x{{ .Y }}' } ]
  - name: nobody
    webhook_configs: [ { url: 'http://hidden.example.com' } ]
time_intervals:
  - name: offhours
    time_intervals:
      - times: [ { start_time: 00:00, end_time: 09:00 }, { start_time: 17:00, end_time: 24:00 } ]
        weekdays: ['monday:friday']
        location: Europe/Berlin
      - weekdays: ['saturday', 'sunday']
  - name: holidays
    time_intervals: [ { days_of_month: ['1'], months: ['may'] } ]
inhibit_rules:
  - source_matchers: [ severity="critical" ]
    target_match: { severity: warning }
    equal: [alertname, dev, instance]
  - source_match_re: { a: b.* }
"""


def loaded(tmp_path: Path, text: str) -> tuple[Settings, set[str]]:
    """Return the settings that the file comes to, and what is left."""
    found = import_alertmanager(text.encode(), "alertmanager.yml")
    transports = {"transports": [found.transport]} if found.transport else {}
    (tmp_path / "postroom.toml").write_text(toml_text({**found.sections, **transports}), "utf-8")
    assert not any("hidden" in one or "secret" in one for pair in found.left for one in pair)
    return load(Flags(), {}, tmp_path), {line for line, _ in found.left}


def test_the_tree_takes_alerts_as_there(tmp_path: Path) -> None:
    """Order, ``continue``, matchers old and new, inherited clocks, and times that are not inherited."""
    settings, _ = loaded(tmp_path, FILE)
    router = Router(settings.alerts)

    def branches(**labels: str) -> list[Branch]:
        return list(router.branches({"alertname": "A", **labels}))

    [root] = branches(service="other", cluster="c")
    assert ("team-x", {"alertname": "A", "cluster": "c"}, MINUTE / 2, 5 * MINUTE, (180 * MINUTE,), False) == (
        root.receiver, root.labels, root.group_wait, root.group_interval, root.repeat, root.resolved,
    )  # fmt: skip
    [foo] = branches(service="foo1")
    assert (1.5 * MINUTE, ("offhours Europe/Berlin", "offhours UTC"), ()) == (
        foo.group_wait,
        foo.mute,
        foo.active,
    )
    assert ["root"] == [one.path for one in branches(service="foo12")]
    pager, owners = branches(service="baz", severity="critical", owner="me@example.com")
    assert ("pager", True, (), 1.5 * MINUTE) == (pager.receiver, pager.resolved, pager.mute, pager.group_wait)
    assert (("me@example.com",), False, 4) == (owners.own, owners.resolved, len(owners.labels))
    assert (("offhours Europe/Berlin", "offhours UTC"), ()) == (owners.active, owners.mute)
    [files] = branches(service="files", tier="b")
    assert ("nobody", (MINUTE,), timedelta(0)) == (files.receiver, files.repeat, files.group_interval)


def test_receivers_times_and_inhibitions_are_taken(tmp_path: Path) -> None:
    """Addresses, a label that holds them, hours in their zone, both sides of an inhibition, the account."""
    settings, _ = loaded(tmp_path, FILE)
    rules = settings.alerts
    assert {
        "team-x": ["team-x+alerts@example.org", "boss@example.org"], "pager": ["pager@example.org"],
        "owners": [], "nobody": [],
    } == {name: [to.address for to in one.recipients] for name, one in rules.receivers.items()}  # fmt: skip
    assert "owner" == rules.receivers["owners"].from_label
    berlin, utc = rules.tables["offhours Europe/Berlin"], rules.tables["offhours UTC"]
    monday = datetime(2026, 7, 6, 6, 59, tzinfo=UTC)
    assert [True, False] == [is_in(berlin.windows, berlin.time_zone, monday + n * MINUTE) for n in (0, 1)]
    assert not is_in(utc.windows, utc.time_zone, monday)
    [inhibition] = rules.inhibitions
    assert (['severity="critical"'], ['severity="warning"'], ("alertname", "dev", "instance")) == (
        [*map(written, inhibition.source)], [*map(written, inhibition.target)], inhibition.equal,
    )  # fmt: skip
    [transport] = settings.transports
    assert transport.account is not None
    assert ("smtp.example.com", 587, "starttls", "alertmanager") == (
        transport.account.host, transport.account.port, transport.account.tls.value,
        transport.account.username,
    )  # fmt: skip


def test_what_has_no_counterpart_is_named(tmp_path: Path) -> None:
    """Other channels, templates, headers, days of the month, senders of single receivers."""
    _, left = loaded(tmp_path, FILE)
    assert {
        "global.resolve_timeout", "global.slack_api_url", "templates", "receivers.0.email_configs.0.headers",
        "receivers.1.email_configs.0.from", "receivers.1.pagerduty_configs", "receivers.2.email_configs.1.to",
        "receivers.3.webhook_configs", "time_intervals.1.time_intervals.0.days_of_month",
        "inhibit_rules.1.source_matchers",
    } == left  # fmt: skip


def test_a_relay_that_wants_no_login_is_taken() -> None:
    """Without user and password the account has none."""
    text = "global: {smtp_smarthost: 'relay.example.com:25', smtp_from: a@example.com}\n"
    found = import_alertmanager(f"{text}route: {{receiver: a}}\nreceivers: [{{name: a}}]".encode(), "am.yml")
    assert found.transport is not None
    assert ("relay.example.com", 25) == (found.transport["host"], found.transport["port"])
    assert set() == {"username", "password"} & set(found.transport)


def test_alertmanagers_own_defaults_hold(tmp_path: Path) -> None:
    """A file that says nothing keeps 30 s, 5 min and 4 h, one group for all, and no mail of the end."""
    settings, left = loaded(tmp_path, "route:\n  receiver: a\nreceivers:\n- name: a\n")
    [branch] = Router(settings.alerts).branches({"alertname": "x", "severity": "page"})
    assert ("a", {}, MINUTE / 2, 5 * MINUTE, (240 * MINUTE,), False) == (
        branch.receiver, branch.labels, branch.group_wait, branch.group_interval, branch.repeat,
        branch.resolved,
    )  # fmt: skip
    assert set() == left


MANY = "x0: &x0 { receiver: a }\n" + "".join(
    f"x{one}: &x{one} {{ routes: [*x{one - 1}, *x{one - 1}] }}\n" for one in range(1, 12)
)
"""References of a few lines that are thousands of routes."""


@each(
    ("text", "words"),
    [
        ("a: [", "not YAML"),
        ("receivers: []", "no route"),
        ("- 1", "no route"),
        ("route: { receiver: a, group_wait: soon }", "not a duration"),
        ("route: { receiver: a, routes: [ { matchers: [ 'a=~(' ] } ] }", "route.routes.0.matchers"),
        ("route: &r\n  receiver: a\n  routes:\n  - *r\n", "not YAML"),
        ("route: " + "{ routes: [" * 25 + "]}" * 25, "below each other"),
        (MANY + "route: { routes: [*x11] }", "more than 2000 routes"),
        ("global: { smtp_smarthost: 'a b:25' }\nroute: { receiver: a }", "global.smtp_smarthost"),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    """The file's own names, never its values; a tree that holds itself has an end."""
    with pytest.raises(ConfigError, match=words.replace(".", r"\.")):
        import_alertmanager(text.encode(), "a.yml")


def test_what_is_printed_is_toml() -> None:
    """The account's password is in the transport alone, where the command line takes it out."""
    found = import_alertmanager(FILE.encode(), "alertmanager.yml")
    assert "not-to-be-seen" == found.transport["password"]
    text = toml_text(found.sections)
    assert found.sections == tomllib.loads(text)
    assert "not-to-be-seen" not in text

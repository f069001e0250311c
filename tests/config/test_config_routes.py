"""Routes, groups of URLs, rates, schedules: how they are written, and everything wrong with them at once."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from postroom.config.load import load
from postroom.config.settings import ClassSettings, FailureSettings, Settings, WebhookSettings
from postroom.config.shown import shown
from postroom.config.sources import Flags
from postroom.errors import ConfigError
from postroom.model.address import parse_mailbox
from postroom.model.ids import TenantId
from postroom.model.message import MailClass, UncertainPolicy
from postroom.model.route import Route, RouteKind
from postroom.model.transport import Rate
from postroom.policy.routing import RouteRule

THREE = """
[[transports]]
name = "main"
url = "smtps://app@example.com:s3cret-word@mx.example.com"
rate = "10/s, 2000/d"
[[transports]]
name = "second"
url = "smtp://relay.example.net"
[[transports]]
name = "bulk"
url = "smtp://bulk.example.net"
"""


def settings(cwd: Path, toml: str = "", environ: Mapping[str, str] | None = None) -> Settings:
    (cwd / "postroom.toml").write_text(toml)
    return load(Flags(), environ or {}, cwd)


def problems(cwd: Path, toml: str, environ: Mapping[str, str] | None = None) -> list[tuple[str, str, str]]:
    with pytest.raises(ConfigError) as caught:
        settings(cwd, toml, environ)
    assert "s3cret" not in str(caught.value.problems)
    return [(problem.field, problem.cause, problem.fix) for problem in caught.value.problems]


def test_routes_with_everything(tmp_path: Path) -> None:
    """Every condition reaches its rule in the form that is compared."""
    found = settings(
        tmp_path,
        f"""{THREE}
        [[routes]]
        name = "invoices"
        sender = ["Billing@Example.com", "@SHOP.example.com"]
        recipient_domain = "Bücher.example"
        recipients = "any"
        tag = "a, b"
        class = ["bulk", "transactional"]
        over = "1 MiB"
        under = "20 MiB"
        tenant = "default"
        to = "failover(second, main)"
        [[routes]]
        class = "bulk"
        to = "roundrobin(bulk second)"
        """,
    )
    expected = RouteRule(
        name="invoices",
        route=Route(("second", "main")),
        senders=frozenset({"billing@example.com", "@shop.example.com"}),
        recipient_domains=frozenset({"xn--bcher-kva.example"}),
        any_recipient=True,
        tags=frozenset({"a, b"}),
        classes=frozenset({MailClass.BULK, MailClass.TRANSACTIONAL}),
        over=1024 * 1024,
        under=20 * 1024 * 1024,
        tenants=frozenset({TenantId("default")}),
    )
    second = RouteRule(
        name="rule-2",
        route=Route(("bulk", "second"), RouteKind.ROUNDROBIN),
        classes=frozenset({MailClass.BULK}),
    )
    assert (expected, second) == found.routes
    assert found.default_route is None
    first = shown(found)["routes"][0]
    assert ("failover(second main)", ["billing@example.com", "@shop.example.com"]) == (
        first["route"],
        sorted(first["senders"], reverse=True),
    )
    json.dumps(shown(found))
    assert (Rate(1, 10), Rate(86400, 2000)) == found.transports[0].rates
    assert not found.transports[1].rates


def test_every_wrong_route_at_once(tmp_path: Path) -> None:
    """Names that are not there come with the nearest, and nothing hides behind anything else."""
    toml = f"""{THREE}
    [[routes]]
    tagg = "x"
    to = "failover(main secnd)"
    [[routes]]
    name = "x"
    class = "bluk"
    to = "second main"
    [[routes]]
    name = "x"
    recipients = "any"
    over = 10
    under = 11
    [[routes]]
    name = "default"
    sender = "nobody"
    recipient_domain = "-"
    to = "failover(main main)"
    """
    found = {field: (cause, fix) for field, cause, fix in problems(tmp_path, toml)}
    assert {
        "routes.0.tagg",
        "routes.1.class.0",
        "routes.1.to",
        "routes.2.name",
        "routes.2.recipients",
        "routes.2.under",
        "routes.2.to",
        "routes.3.name",
        "routes.3.sender.0",
        "routes.3.recipient_domain.0",
        "routes.3.to",
    } == set(found)
    assert found["routes.0.tagg"][1] == "Did you mean tag?"
    assert found["routes.1.to"][1] == "Write failover(second main)."
    assert found["routes.2.to"][0] == "no transport is named"
    assert found["routes.2.name"][0] == "'x' is taken"
    assert found["routes.3.to"][0] == "'main' stands 2 times"


def test_a_broken_transport_is_not_also_unknown(tmp_path: Path) -> None:
    """Where the transports could not be read, a rule's names are not held against them."""
    toml = """
    [[transports]]
    name = "main"
    url = "smtp://"
    [[routes]]
    to = "main"
    """
    assert ["transports.0.url"] == [field for field, _, _ in problems(tmp_path, toml)]


def test_a_leg_that_is_not_configured_may_be_stored(tmp_path: Path) -> None:
    """It is a warning that names it and the nearest one, not an error: a call may make it."""
    made = settings(tmp_path, f'{THREE}\n[[routes]]\nto = "failover(secnd main)"')
    (leg,) = made.absent_legs
    assert ("secnd", True) == (leg.name, leg.warning in made.warnings)
    assert leg.warning.startswith("routes.0.to: the settings have no transport 'secnd'")
    assert leg.warning.endswith("Did you mean second?")
    (rule,) = made.routes
    assert ("secnd", "main") == rule.route.legs


def test_routes_without_transports(tmp_path: Path) -> None:
    """Rules stand although nothing is configured: transports may be made by calls alone."""
    made = settings(tmp_path, '[[routes]]\nto = "main"')
    assert (["main"], 1) == ([leg.name for leg in made.absent_legs], len(made.routes))


def test_a_group_may_name_stored_transports(tmp_path: Path) -> None:
    """Beside URLs, or alone; each once."""
    group = 'url = "failover(smtp://mail.example.com backup)"'
    made = settings(tmp_path, f"[[transports]]\n{group}")
    assert ["mail-example-com"] == [spec.name for spec in made.transports]
    assert Route(("mail-example-com", "backup"), RouteKind.FAILOVER) == made.default_route
    assert ["backup"] == [leg.name for leg in made.absent_legs]
    made = settings(tmp_path, '[[transports]]\nurl = "roundrobin(one, two)"')
    assert ((), Route(("one", "two"), RouteKind.ROUNDROBIN)) == (made.transports, made.default_route)
    twice = '[[transports]]\nurl = "failover(one one)"'
    assert ["transports.0.url"] == [field for field, _, _ in problems(tmp_path, twice)]


def test_capture_uses_no_routes(tmp_path: Path) -> None:
    """While everything is captured there is one way, but what is wrong is told all the same."""
    toml = f"capture = true\n{THREE}\n[[routes]]\nto = "
    assert settings(tmp_path, f'{toml}"bulk"').routes == ()
    assert ["blk"] == [leg.name for leg in settings(tmp_path, f'{toml}"blk"').absent_legs]


def test_no_account_fails_over_into_the_capture_inbox(tmp_path: Path) -> None:
    """A rule may send mail to the inbox, but a group never swallows what its accounts should send."""
    inbox = f'{THREE}\n[[transports]]\nname = "inbox"\nurl = "capture:"\n[[routes]]\nto = '
    assert settings(tmp_path, f'{inbox}"inbox"\ntag = "test"').routes[0].route == Route(("inbox",))
    ((field, cause, _),) = problems(tmp_path, f'{inbox}"failover(main inbox)"')
    assert (field, cause.partition(":")[0]) == ("routes.0.to", "the capture inbox beside accounts")
    group = {"POSTROOM_TRANSPORT": "failover(smtp://mx.example.com capture:)"}
    assert ["POSTROOM_TRANSPORT"] == [field for field, _, _ in problems(tmp_path, "", group)]


def test_a_rule_that_is_never_asked_is_a_warning(tmp_path: Path) -> None:
    """A rule after one without conditions is told by name."""
    toml = f'{THREE}\n[[routes]]\nto = "main"\n[[routes]]\ntag = "x"\nto = "bulk"'
    (warning,) = [each for each in settings(tmp_path, toml).warnings if each.startswith("routes")]
    assert warning == "routes: rule-1 matches every message, so rule-2 is never asked"


# --------------------------------------------------------------------------- groups of URLs


@pytest.mark.parametrize("word", ["failover", "roundrobin"])
def test_a_group_of_urls(tmp_path: Path, word: str) -> None:
    """Each URL becomes a transport named by its host, once each, and the group is the default route."""
    urls = "smtps://app@example.com:s3cret,word)@mx.example.com smtp://mx.example.com:2525, smtp://[2001:db8::25]"
    found = settings(
        tmp_path,
        "[[transports]]\nmax_connections = 3",
        {"POSTROOM_TRANSPORT": f" {word}({urls}) ", "POSTROOM_FROM": "x@example.com"},
    )
    assert ["mx-example-com", "mx-example-com-2", "2001-db8-25"] == [spec.name for spec in found.transports]
    assert [3, 3, 3] == [spec.max_connections for spec in found.transports]
    assert found.default_route == Route(tuple(spec.name for spec in found.transports), RouteKind(word))
    assert found.transports[0].account is not None
    assert found.transports[0].account.password is not None
    assert found.transports[0].account.password.reveal() == "s3cret,word)"
    assert "s3cret" not in str(shown(found))


def test_a_wrong_url_of_a_group_is_told_by_its_place(tmp_path: Path) -> None:
    """Every URL is read; each that is wrong is told by its number."""
    urls = "failover(smtp://mx.example.com smpt://mx.example.com smtps://app:s3cret@)"
    found = problems(tmp_path, "", {"POSTROOM_TRANSPORT": urls})
    assert ["POSTROOM_TRANSPORT.1", "POSTROOM_TRANSPORT.2"] == [field for field, _, _ in found]


def test_an_empty_group_is_told(tmp_path: Path) -> None:
    """A group names URLs."""
    ((field, cause, _),) = problems(tmp_path, "", {"POSTROOM_TRANSPORT": "failover()"})
    assert (field, cause) == ("POSTROOM_TRANSPORT", "failover() names no URL")


def test_a_group_stands_alone(tmp_path: Path) -> None:
    """Beside other transports the group belongs into [[routes]], and is refused as a URL."""
    toml = f'{THREE}\n[[transports]]\nname = "more"\nurl = "failover(smtp://a.example smtp://b.example)"'
    ((field, cause, fix),) = problems(tmp_path, toml)
    assert (field, cause) == ("transports.3.url", "failover(...) of URLs beside other transports")
    assert "[[routes]]" in fix


def test_a_group_of_captures_captures(tmp_path: Path) -> None:
    """A group without an account has no route."""
    found = settings(tmp_path, "", {"POSTROOM_TRANSPORT": "failover(capture: capture:)"})
    assert found.is_capturing
    assert found.default_route is None


# --------------------------------------------------------------------------- the rest of the truth


def test_the_rest_reaches_its_place(tmp_path: Path) -> None:
    """Classes, failures, webhooks, networks, metrics, disk and alarms."""
    found = settings(
        tmp_path,
        """
        failures_to = "Ops <ops@example.com>"
        failures_every = "1 h"
        suppress_automatically = false
        uncertain_alarm = "10 min"
        [classes.code]
        retry = "5s, 30s*3"
        uncertain = "ask"
        uncertain_failover = true
        [webhooks]
        timeout = "5 s"
        keep_trying = "1 d"
        [egress]
        allowed_networks = ["10.0.0.0/8", "192.0.2.7"]
        [metrics]
        public = true
        [disk]
        sending_reserve = "10 MiB"
        """,
    )
    assert found.failures == FailureSettings(
        to=(parse_mailbox("Ops <ops@example.com>"),), every=timedelta(hours=1)
    )
    assert found.webhooks == WebhookSettings(timeout_s=5, keep_trying=timedelta(days=1))
    assert found.allowed_networks == ("10.0.0.0/8", "192.0.2.7/32")
    assert found.disk.sending_reserve == 10 * 1024 * 1024
    assert not found.suppress_automatically
    assert found.metrics_public
    assert found.uncertain_alarm == timedelta(minutes=10)
    assert found.classes == {
        MailClass.CODE: ClassSettings(
            retry=(5, 30, 30, 30), uncertain=UncertainPolicy.ASK, uncertain_failover=True
        )
    }


def test_what_is_wrong_with_the_rest(tmp_path: Path) -> None:
    """Each wrong value is told by its place."""
    toml = """
    failures_to = ["ops"]
    [classes.code]
    retry = "soon"
    [webhooks]
    timeout = "2 min"
    [egress]
    allowed_network = "10.0.0.0/8"
    [metrics]
    public = "maybe"
    [[transports]]
    url = "smtp://mx.example.com"
    rate = "10/week"
    """
    assert [
        "failures_to.0",
        "transports.0.rate",
        "classes.code.retry",
        "webhooks.timeout",
        "egress.allowed_network",
        "metrics.public",
    ] == [field for field, _, _ in problems(tmp_path, toml)]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('"a@example.com"', ["a@example.com"]),
        ('"a@example.com, B <b@example.com>"', ["a@example.com", "b@example.com"]),
        ("'\"B, C\" <b@example.com>, c@example.com'", ["b@example.com", "c@example.com"]),
        ('["a@example.com", "b@example.com"]', ["a@example.com", "b@example.com"]),
    ],
)
def test_failures_go_to_one_or_several(tmp_path: Path, written: str, expected: list[str]) -> None:
    """One address, a list, or several in one text; a comma in quotes belongs to the name."""
    found = settings(tmp_path, f"failures_to = {written}").failures.to
    assert expected == [mailbox.address.spec for mailbox in found]

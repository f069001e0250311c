"""Who may use the Nexus doors, and that a refusal costs nothing and is worded in the dialect."""

import asyncio
import json

import pytest
from starlette.types import Message

from each_row import each
from ingress.nexus_doors import KEY, KEYLESS, Answered, Call, ScriptedService, app_of
from postroom.web.keyless import NEVER_KEYLESS, KeylessRule, parse_networks

BODY = json.dumps({"to": "<a@example.com>", "subject": "제목"}).encode()


def call(
    service: ScriptedService,
    headers: dict[str, str] | None = None,
    *,
    rule: KeylessRule = KEYLESS,
    peer: str = "127.0.0.1",
    path: str = "/email/send",
) -> Answered:
    return Call(path=path, headers=headers or {}, chunks=[BODY], peer=peer).into(
        app_of(service, keyless=rule)
    )


@each("path", ["/email/send", "/email/multipart/send"])
@each("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.9.9.9"])
def test_this_machine_needs_no_key(path: str, peer: str) -> None:
    """Where a setting opens the doors, programs on this machine send without a key, from any sender."""
    service = ScriptedService()
    assert call(service, path=path, peer=peer).code == "200"
    assert service.senders == [()]


@each(
    ("headers", "reason"),
    [
        ({"origin": "https://page.example"}, "another origin"),
        ({"origin": "null"}, "another origin"),
        ({"sec-fetch-site": "cross-site"}, "another site"),
        ({"sec-fetch-site": "same-site"}, "another site"),
        ({"host": "mail.example.com"}, "Host"),
        ({"host": ""}, "Host"),
        ({"host": "127.0.0.1.example.com:8587"}, "Host"),
        ({"forwarded": "for=192.0.2.1"}, "forwarded"),
        ({"x-forwarded-for": "192.0.2.1"}, "forwarded"),
        ({"x-forwarded-host": "example.com"}, "forwarded"),
    ],
)
def test_web_pages_and_proxies_need_a_key(headers: dict[str, str], reason: str) -> None:
    """A page's cross-site POST, a rebound name and a forwarded request are refused without a key."""
    service = ScriptedService()
    answer = call(service, {"content-type": "text/plain", **headers})
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.code == "410"
    assert answer.json["message_id"] == ""
    assert answer.json["message"].startswith("[Error] parameter invalid. - authorization: ")
    assert reason in answer.json["message"]
    assert service.submissions == []


@pytest.mark.parametrize(
    ("rule", "peer"),
    [
        (NEVER_KEYLESS, "127.0.0.1"),
        (KeylessRule(is_open=True, is_behind_proxy=True), "127.0.0.1"),
        (KEYLESS, "192.0.2.7"),
        (KeylessRule(is_open=True, networks=parse_networks(["198.51.100.0/24"])), "192.0.2.7"),
    ],
)
def test_others_need_a_key(rule: KeylessRule, peer: str) -> None:
    """Closed doors, doors behind a proxy and peers from elsewhere ask for a key, and a key opens them."""
    service = ScriptedService()
    assert call(service, rule=rule, peer=peer).status == 401
    assert call(service, {"authorization": f"Bearer {KEY}"}, rule=rule, peer=peer).code == "200"
    assert service.senders == [("@example.com",)]


def test_listed_networks_and_hosts_need_none() -> None:
    """Peers of a listed network that ask for a listed host need no key."""
    rule = KeylessRule(
        is_open=True, networks=parse_networks(["192.0.2.0/24"]), hosts=frozenset({"mail.example.com"})
    )
    assert (
        call(ScriptedService(), {"host": "mail.example.com:8448"}, rule=rule, peer="192.0.2.7").code == "200"
    )


@pytest.mark.parametrize(
    "value", ["Bearer wrong", f"Basic {KEY}", "Bearer", f"Bearer {KEY} ", f"bearer  {KEY}", ""]
)
def test_a_wrong_key_is_refused_even_where_none_is_needed(value: str) -> None:
    """An Authorization header that is there must be right."""
    service = ScriptedService()
    answer = call(service, {"authorization": value})
    assert (answer.status, answer.code) == (401, "410")
    assert KEY not in answer.body.decode()
    assert service.submissions == []


def test_a_key_in_the_query_is_not_read() -> None:
    """A key travels in its header and nowhere else."""
    service = ScriptedService()
    app = app_of(service, keyless=NEVER_KEYLESS)
    assert Call(chunks=[BODY], query=f"api_key={KEY}").into(app).status == 401
    assert service.submissions == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://page.example"}, 401),
        ({"content-length": str(1 << 30)}, 413),
        ({"content-encoding": "gzip"}, 200),
    ],
)
def test_refusals_read_nothing(headers: dict[str, str], status: int) -> None:
    """Who may not call, announces too much or sends a coding is refused before a byte of the body is read."""
    service = ScriptedService()
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("a byte of the body was read")

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        await app_of(service)(Call(headers=headers).scope(), receive, send)

    asyncio.run(run())
    assert sent[0]["status"] == status
    answer = json.loads(sent[1]["body"])
    assert answer["code"] == "410"
    assert service.submissions == []


def test_other_methods_are_refused() -> None:
    """The doors take POST only."""
    app = app_of(ScriptedService())
    assert Call(method="GET").into(app).status == 405
    assert Call(path="/email/nowhere").into(app).status == 404

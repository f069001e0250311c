"""The door that explains, over the program's own wiring and a real store: it answers and stores nothing."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import apsw
import pytest

from ingress.asgi_client import Answer, ask
from postroom.bootstrap.engine import running_engine
from postroom.bootstrap.store import open_store
from postroom.clock import SystemClock, SystemDice
from postroom.config.load import load
from postroom.config.sources import Flags
from postroom.ingress.http.app import build_app
from postroom.ingress.http.settings import HttpSettings
from postroom.model.ids import DEFAULT_TENANT
from postroom.schema.explained import ExplainAnswer
from postroom.web.gate import Gate

KEY = "test-bootstrap-key-0123456789"
MAIL = {"to": ["a@example.org", "b@example.net"], "subject": "Hello", "text": "It works."}
TOML = """
from = "app@example.com"
[[transports]]
name = "main"
url = "smtp://127.0.0.1:1"
rate = "1/s, 2000/d"
[[transports]]
name = "spare"
url = "smtp://127.0.0.1:1"
[[routes]]
name = "invoices"
tag = "invoice"
to = "failover(spare main)"
"""
FORM = {"content-type": "multipart/form-data; boundary=b"}

Visit = Callable[[Gate, Mapping[str, str]], Awaitable[None]]
"""Given the doors, and keys by what they may do."""


def visit(tmp_path: Path, what: Visit, *, toml: str = TOML, senders: tuple[str, ...] = ()) -> None:
    """Run the engine as the settings say, and let ``what`` ask its doors."""
    (tmp_path / "postroom.toml").write_text(toml)

    async def go() -> None:
        settings = load(Flags(data=tmp_path / "data"), {"POSTROOM_API_KEY": KEY}, tmp_path)
        clock = SystemClock()
        store = open_store(settings, clock)
        async with running_engine(settings, store, clock=clock, dice=SystemDice()) as room:
            keys = {}
            for scope in ("read", "send"):
                _, keys[scope] = await room.keyring.create(
                    scope, scopes=frozenset({scope}), tenant=DEFAULT_TENANT, senders=senders
                )
            await what(build_app(room.service, HttpSettings(), explainer=room.explainer), keys)
        await store.close()

    asyncio.run(go())


async def explain(app: Gate, value: object = None, *, key: str = KEY, **parts: Any) -> Answer:
    return await ask(app, "POST", "/v1/explain", value=value, key=key, **parts)


def form(message: object, data: bytes) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="'
    return b"".join(
        [
            head + b'message"\r\n\r\n' + json.dumps(message).encode() + b"\r\n",
            head + b'file"; filename="a.bin"\r\n\r\n' + data + b"\r\n--b--\r\n",
        ]
    )


def test_the_answer_has_the_documented_shape(tmp_path: Path) -> None:
    """Rule, route, legs with their pace, sender, size, class and recipients, and no problem."""

    async def what(app: Gate, _: Mapping[str, str]) -> None:
        answer = await explain(app, {**MAIL, "tags": ["invoice"], "class": "bulk"})
        assert 200 == answer.status
        shown = answer.json()
        ExplainAnswer.model_validate(shown)
        assert (True, [], "invoices", "failover(spare main)", "spare", "live") == tuple(
            shown[name] for name in ("accepted", "problems", "rule", "route", "transport", "mode")
        )
        assert [("spare", True, "working", []), ("main", False, "working", [1, 86400])] == [
            (leg["transport"], leg["chosen"], leg["state"], [pace["window_s"] for pace in leg["pace"]])
            for leg in shown["legs"]
        ]
        assert "app@example.com" == shown["from"] == shown["reverse_path"]
        assert ("bulk", "ask", [30.0, 60.0]) == (
            shown["class"]["name"],
            shown["class"]["uncertain_policy"],
            shown["class"]["retries"][0],
        )
        assert [("a@example.org", "queued"), ("b@example.net", "queued")] == [
            (one["address"], one["state"]) for one in shown["recipients"]
        ]

    visit(tmp_path, what)


def test_nothing_is_stored(tmp_path: Path) -> None:
    """After JSON, base64, a form and a key the store has neither a new commit nor a new file."""

    async def what(app: Gate, _: Mapping[str, str]) -> None:
        data = tmp_path / "data"
        watcher = apsw.Connection(str(data / "postroom.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
        version = watcher.execute("PRAGMA data_version").fetchone()
        files = sorted(data.rglob("*"))
        content = b"x" * 300_000
        base64_file = {"filename": "a.bin", "content": base64.b64encode(content).decode()}
        in_json = {**MAIL, "attachments": [base64_file], "idempotency_key": "order-42"}
        in_form = {**MAIL, "attachments": [{"upload": "file"}], "idempotency_key": "order-42"}
        answers = [
            await explain(app, MAIL),
            await explain(app, in_json),
            await explain(app, body=form(in_form, content), headers=FORM),
        ]
        assert [200, 200, 200] == [answer.status for answer in answers]
        small, large, again = (answer.json() for answer in answers)
        assert large["size"] == again["size"] > small["size"] + len(content) * 4 // 3
        assert ["new", "new"] == [shown["idempotency"]["use"] for shown in (large, again)]
        assert version == watcher.execute("PRAGMA data_version").fetchone()
        assert files == sorted(data.rglob("*"))
        watcher.close()

    visit(tmp_path, what, toml=f"{TOML}\n[reports]\nsend = false\n")  # which store their place at a start


def test_what_is_sent_is_what_was_explained(tmp_path: Path) -> None:
    """The same body, explained and then accepted, is accepted, and its key is then known."""

    async def what(app: Gate, _: Mapping[str, str]) -> None:
        body = form({**MAIL, "attachments": [{"upload": "file"}]}, b"content")
        headers = {**FORM, "idempotency-key": "order-42"}
        assert (await explain(app, body=body, headers=headers)).json()["accepted"]
        sent = await ask(app, "POST", "/v1/messages", body=body, headers=headers, key=KEY)
        assert 202 == sent.status
        shown = (await explain(app, body=body, headers=headers)).json()
        assert ("replay", sent.json()["id"]) == (
            shown["idempotency"]["use"],
            shown["idempotency"]["message_id"],
        )
        other = form({**MAIL, "attachments": [{"upload": "file"}]}, b"other content")
        refused = (await explain(app, body=other, headers=headers)).json()
        ExplainAnswer.model_validate(refused)
        assert (False, "refused", ["attachments"]) == (
            refused["accepted"],
            refused["idempotency"]["use"],
            refused["idempotency"]["fields"],
        )

    visit(tmp_path, what)


def test_what_the_policy_forbids_is_explained(tmp_path: Path) -> None:
    """A key that may not send as the transport's sender is told, beside everything else, with 200."""

    async def what(app: Gate, keys: Mapping[str, str]) -> None:
        answer = await explain(app, MAIL, key=keys["send"])
        shown = answer.json()
        ExplainAnswer.model_validate(shown)
        assert (200, False, ["sender-not-allowed"]) == (
            answer.status,
            shown["accepted"],
            [one["code"] for one in shown["problems"]],
        )
        assert shown["size"]

    visit(tmp_path, what, senders=("@example.org",))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({**MAIL, "to": "nobody"}, ("address-invalid", "to")),
        ({**MAIL, "subjct": "x"}, ("unknown-field", "subjct")),
        ({"subject": "x"}, ("recipients-missing", "to")),
        (
            {**MAIL, "attachments": [{"filename": "a", "content": "aGk"}]},
            ("base64-syntax", "attachments.0.content"),
        ),
    ],
)
def test_what_cannot_be_read_is_refused_as_when_sent(
    tmp_path: Path, value: object, expected: tuple[str, str]
) -> None:
    """A body that is not a message gets the same refusal at both doors."""

    async def what(app: Gate, _: Mapping[str, str]) -> None:
        refused = await explain(app, value)
        assert (422, [expected]) == (refused.status, refused.problems())
        sent = await ask(app, "POST", "/v1/messages", value=value, key=KEY)
        assert sent.json() == refused.json()

    visit(tmp_path, what)


def test_who_may_ask(tmp_path: Path) -> None:
    """A key that may send may ask; one that only reads, or none, may not."""

    async def what(app: Gate, keys: Mapping[str, str]) -> None:
        assert 200 == (await explain(app, MAIL, key=keys["send"])).status
        assert 403 == (await explain(app, MAIL, key=keys["read"])).status
        assert 401 == (await ask(app, "POST", "/v1/explain", value=MAIL, key=None)).status

    visit(tmp_path, what)


def test_capture_says_so(tmp_path: Path) -> None:
    """While everything is captured there is one leg, and the mode is in the answer."""

    async def what(app: Gate, _: Mapping[str, str]) -> None:
        shown = (await explain(app, MAIL)).json()
        ExplainAnswer.model_validate(shown)
        assert ("capture", "capture", "default") == (shown["mode"], shown["transport"], shown["rule"])

    visit(tmp_path, what, toml=f"capture = true\n{TOML}")

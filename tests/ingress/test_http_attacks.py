"""The attack rows that reach the JSON door as one field, or as the body itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from each_row import each
from ingress.asgi_client import call
from peers.fake_service import FakeService
from postroom.ingress.http.app import build_app
from postroom.ingress.http.settings import HttpSettings

ROWS = Path(__file__).resolve().parents[1] / "attacks" / "attacks.jsonl"
MAIL = {"to": "kim@example.com", "subject": "Hello", "text": "It works."}

FIELDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "api.subject": lambda text: {"subject": text},
    "api.from_name": lambda text: {"from": {"address": "shop@example.com", "name": text}},
    "api.reply_id": lambda text: {"in_reply_to": text},
    "api.headers": lambda text: {"headers": json.loads(text)},
    "api.headers[Message-ID]": lambda text: {"headers": {"Message-ID": text}},
    "api.headers[List-Unsubscribe]": lambda text: {"headers": {"List-Unsubscribe": text}},
    "api.to": lambda text: {"to": text},
    "api.from": lambda text: {"from": text},
    "api.text": lambda text: {"text": text},
}
"""Surface to the change of a harmless mail that carries the attack."""


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]


def texts(row: dict[str, Any]) -> list[str]:
    match row["input"]:
        case {"kind": "text", "text": text}:
            return [text]
        case {"kind": "list", "values": values}:
            return list(values)
    return []


CASES = [
    pytest.param(row, text, id=f"{row['id']}-{number}")
    for row in rows()
    if row["surface"] in FIELDS
    for number, text in enumerate(texts(row))
]


@each(("row", "text"), CASES)
def test_attack_in_a_field(row: dict[str, Any], text: str) -> None:
    """A row to be rejected is 422 by the attacked field and stores nothing; any other is taken literally."""
    service = FakeService()
    change = FIELDS[row["surface"]](text)
    app = build_app(service, HttpSettings())
    answer = call(app, "POST", "/v1/messages", value={**MAIL, **change})
    if row["outcome"] == "REJECT":
        assert 422 == answer.status
        assert {next(iter(change))} == {field.partition(".")[0] for _, field in answer.problems()}
        assert not service.submissions
    else:
        assert 202 == answer.status, answer.body


def test_there_are_cases() -> None:
    """The rows are really read."""
    assert len(CASES) > 50

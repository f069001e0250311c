"""Every attack row that reaches a field of a message, from a real POST to what a real server is given."""

import json
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any

import pytest

from attacks.attack_room import (
    FILE_PART,
    PLAIN,
    TEXT_PART,
    TOP,
    AttackRoom,
    Row,
    attack_room,
    inputs,
    rows,
)

pytestmark = pytest.mark.slow

FIELDS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "api.subject": lambda value: {"subject": value},
    "api.from_name": lambda value: {"from": {"address": "shop@example.com", "name": value}},
    "api.reply_id": lambda value: {"in_reply_to": value},
    "api.headers": lambda value: {"headers": json.loads(value)},
    "api.headers[Message-ID]": lambda value: {"headers": {"Message-ID": value}},
    "api.headers[List-Unsubscribe]": lambda value: {"headers": {"List-Unsubscribe": value}},
    "api.charset": lambda value: {"charset": value},
    "api.to": lambda value: {"to": value},
    "api.bcc": json.loads,
    "api.from": lambda value: {"from": value},
    "api.text": lambda value: {"text": value},
    "db.text": lambda value: {"subject": value, "text": value, "tags": [value], "metadata": {"key": value}},
    "attachment.name": lambda value: {"attachments": [{"filename": value, "content": "QQ=="}]},
    "attachment.content_type": lambda value: {
        "attachments": [{"filename": "a", "content_type": value, "content": "QQ=="}]
    },
    "attachment.count": lambda value: {
        "attachments": [{"filename": one["name"], "content": one["content"]} for one in value]
    },
}
"""Surface to the change of a harmless message that carries the attack."""

RECIPIENTS: dict[str, tuple[str, ...]] = {
    "ADR-008": ("bob@evil.test",),
    "ADR-014": ("victim%evil.test@good.test",),
    "ADR-020": ("u@example.com",),
    "ADR-021": ("u@example.com",),
    "ADR-024": ("u@xn--pple-43d.com",),
    "ADR-041": ("a@x.test", "secret@x.test"),
    "ADR-043": ("A@x.test", "a@x.test"),
}
"""Rows that are neutralised to the envelope they end in."""

NAMES: dict[str, list[str]] = {
    "ATT-001": ["passwd"],
    "ATT-003": ["y.txt", "z"],
    "ATT-006": ['a"; x="y.pdf'],
    "ATT-007": ["foo"],
    "ATT-012": [*["attachment-1.bin"] * 3, "attachment-1.txt", "attachment-1.bin"],
    "ATT-014": ['filename*0="a.ex"; filename*1="e"'],
    "POS-007": ["한글 이름 (최종).pdf"],
}
"""Rows of file names to the names that are sent."""

REFUSED_AS_WELL = {"ATT-013"}
"""Rows whose expectation allows a refusal, and that are refused."""

WHOLE: dict[str, Callable[[Any], dict[str, Any]]] = {
    "ADR-039": json.loads,
    "ADR-043": lambda value: {"to": value},
}
"""Rows whose input is more than one field, or one field of several values."""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackRoom]:
    with attack_room(tmp_path_factory.mktemp("attacks")) as running:
        yield running


def attacks() -> Iterator[Any]:
    for one in rows():
        if one["surface"] not in FIELDS or one["id"] == "CMD-018":
            continue
        if one["id"] == "ADR-043":
            yield pytest.param(one, WHOLE["ADR-043"](one["input"]["values"]), 0, id=one["id"])
            continue
        change = WHOLE.get(one["id"], FIELDS[one["surface"]])
        for number, value in enumerate(inputs(one)):
            yield pytest.param(one, change(value), number, id=f"{one['id']}-{number}")


ATTACKS = list(attacks())


@pytest.mark.parametrize(("one", "change", "number"), ATTACKS)
def test_attack_on_a_field(room: AttackRoom, one: Row, change: dict[str, Any], number: int) -> None:
    """What is to be refused is 422 and reaches nobody; what is taken arrives as it was meant, once each."""
    with room.watched():
        answer = room.post(change)
        if one["outcome"] in {"REJECT", "LIMIT"} or one["id"] in REFUSED_AS_WELL:
            room.refused(answer, 422)
            named = {problem["field"].partition(".")[0] for problem in answer[1].get("errors", [])}
            assert named & {*change, "charset"}, answer
            return
        headers, parts = (TOP, [TEXT_PART, FILE_PART]) if "attachments" in change else (PLAIN, [])
        to = RECIPIENTS.get(one["id"], ("kim@example.net",))
        mail = room.delivered(answer, to=to, headers=headers, parts=parts)
        check_content(room, mail, change, NAMES.get(one["id"], [])[number : number + 1])


def check_content(room: AttackRoom, mail: EmailMessage, change: dict[str, Any], name: list[str]) -> None:
    """Check that the text of the attack is there as text, and only there."""
    if "subject" in change:
        assert change["subject"] == mail["subject"]
    if "text" in change:
        text = mail.get_payload(decode=True)
        assert isinstance(text, bytes)
        wanted = change["text"].replace("\r\n", "\n").replace("\r", "\n")
        assert wanted.rstrip("\n") == text.decode().replace("\r\n", "\n").rstrip("\n")
    if "from" in change:
        (mailbox,) = mail["from"].addresses
        assert ("shop@example.com", change["from"]["name"]) == (mailbox.addr_spec, mailbox.display_name)
    if "bcc" in change:
        assert not [body for body in room.sink.bodies.values() if b"secret@x.test" in body]
    if "attachments" in change:
        (attachment,) = mail.iter_attachments()
        given = change["attachments"][0]
        assert b"A" == attachment.get_payload(decode=True)
        assert given.get("content_type", attachment.get_content_type()) == attachment.get_content_type()
        if name:
            assert name == [attachment.get_filename()]


def test_an_address_the_server_cannot_take_fails_alone(room: AttackRoom) -> None:
    """CMD-018: without SMTPUTF8 that recipient is refused by name, and no raw octet leaves."""
    with room.watched():
        status, sent = room.post({"to": ["ü@x.test", "kim@example.net"]})
        states = {one["address"]: (one["state"], one["cause"]) for one in sent["recipients"]}
        assert (200, ("refused", "smtputf8-needed")) == (status, states["ü@x.test"])
        if states["kim@example.net"][0] == "accepted":
            room.expected[sent["id"], "kim@example.net"] += 1
        assert all(body.isascii() for body in room.sink.bodies.values())


def test_an_image_is_never_decoded(room: AttackRoom) -> None:
    """ATT-018: a picture that claims 100,000 by 100,000 pixels is bytes like any other."""
    png = "iVBORw0KGgoAAAANSUhEUgABhqAAAYagCAYAAAA="
    with room.watched():
        answer = room.post({"attachments": [{"filename": "a.png", "content": png}]})
        mail = room.delivered(answer, headers=TOP, parts=[TEXT_PART, FILE_PART])
        (attachment,) = mail.iter_attachments()
        assert "image/png" == attachment.get_content_type()


RUN = {case.values[0]["id"] for case in ATTACKS} | {"CMD-018", "ATT-018"}

"""Every attack row that reaches a template by the fields of a mail: its name and its variables."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from attacks.attack_room import TEXT_PART, TOP, AttackRoom, attack_room, inputs, row

pytestmark = pytest.mark.slow

RUN = {"TPL-010", "TPL-024", "TPL-025"}
TEMPLATE = "---\nsubject: Hello @{{ name }}\n---\n<p>Hello @{{ name }}</p>"


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackRoom]:
    with attack_room(tmp_path_factory.mktemp("template-use")) as opened:
        body = {"name": "hello", "variants": {"en": {"text": TEMPLATE}}}
        assert 201 == opened.server.call("POST", "/v1/templates", body)[0]
        yield opened


def post(room: AttackRoom, **fields: Any) -> tuple[int, Any]:
    return room.post({"subject": "", "text": "", **fields})


def test_template_signs_in_a_value(room: AttackRoom) -> None:
    """TPL-024: they are printed as they are, in the subject and in both texts."""
    with room.watched():
        for text in inputs(row("TPL-024")):
            answer = post(room, template="hello", variables={"name": text})
            message = room.delivered(answer, headers=TOP, parts=[TEXT_PART, TEXT_PART])
            assert f"Hello {text}" == message["subject"]
            for kind in ("plain", "html"):
                body = message.get_body((kind,))
                assert body is not None
                assert text in body.get_content()


def test_a_missing_variable(room: AttackRoom) -> None:
    """TPL-025: the mail is refused and the variable named."""
    with room.watched():
        for text in inputs(row("TPL-025")):
            status, answer = post(room, template="hello", variables=json.loads(text)["vars"])
            assert (422, "variable-missing", "variables.name") == (
                status,
                answer["code"],
                answer["errors"][0]["field"],
            )


def test_code_for_a_name(room: AttackRoom) -> None:
    """TPL-010: a mail, a preview, a path and a new version take names of letters and digits alone."""
    with room.watched():
        for text in inputs(row("TPL-010")):
            assert "template-name" == post(room, template=text)[1]["code"]
            body = {"name": text, "variants": {"en": {"text": TEMPLATE}}}
            assert (422, "template-name") == code(room.server.call("POST", "/v1/templates", body))
            look = {"template": text}
            assert (422, "template-name") == code(room.server.call("POST", "/v1/templates/preview", look))


def code(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["code"]

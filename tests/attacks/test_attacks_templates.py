"""Every attack row in the text of a template, from a real POST to the process that compiles and renders."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from attacks.attack_room import AttackRoom, attack_room, inputs, row

pytestmark = pytest.mark.slow

CODES = {
    "TPL-001": {"variable-unknown", "template-error"},
    "TPL-002": {"variable-unknown", "template-error"},
    "TPL-003": {"variable-missing"},
    "TPL-007": {"template-error"},
    "TPL-012": {"jinja"},
    "TPL-013": {"variable-missing"},
    "TPL-014": {"template-error", "variable-missing"},
    "TPL-015": {"template-limit"},
    "TPL-017": {"template-limit"},
    "TPL-018": {"template-limit", "template-error", "jinja"},
    "TPL-019": {"template-limit"},
    "TPL-021": {"nesting"},
    "TPL-022": {"source-size", "template-too-large"},
}
"""Row to the codes with which it may be refused."""
RUN = set(CODES)
SECRET = "kept-by-nobody-else"
MANY = "{% for a in range(3200) %}{% for b in range(3200) %}x{% endfor %}{% endfor %}"
"""Ten million items."""
LONG = "{% for a in range(9000) %}{% set b = 'abc' * 30000 %}{{ b|upper|length }}{% endfor %}"
"""Few items that take long."""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackRoom]:
    with attack_room(tmp_path_factory.mktemp("templates"), ATTACKED_SECRET=SECRET) as opened:
        yield opened


def preview(room: AttackRoom, text: str, **variables: Any) -> tuple[int, Any]:
    body = {"source": {"text": text, "form": "jinja"}, "variables": variables}
    return room.server.call("POST", "/v1/templates/preview", body)


@pytest.mark.parametrize("row_id", sorted(RUN))
def test_text_of_a_template(row_id: str, room: AttackRoom) -> None:
    """It is refused with the code of what is wrong, tells nothing, and the server goes on."""
    with room.watched():
        for text in inputs(row(row_id)):
            variables = {"user": {"_secret": SECRET}} if "user" in text else {}
            status, answer = preview(room, text, **variables)
            assert status in (413, 422), answer
            assert {error["code"] for error in answer.get("errors", [answer])} <= CODES[row_id], answer
            assert SECRET not in str(answer)
            assert "/usr/" not in str(answer)


def test_loops_do_not_hold_up_mail(room: AttackRoom) -> None:
    """Ten million items are stopped within the limit of a second, while other mail is accepted and sent."""
    assert 422 == preview(room, "{{ x }}")[0]  # the processes are there
    found: list[tuple[int, str, float]] = []

    def loop(text: str) -> None:
        began = time.monotonic()
        status, answer = preview(room, text)
        found.append((status, answer["errors"][0]["code"], time.monotonic() - began))

    attackers = [threading.Thread(target=loop, args=(text,)) for text in (MANY, LONG, LONG)]
    with room.watched():
        for attacker in attackers:
            attacker.start()
        sent = 0
        while any(attacker.is_alive() for attacker in attackers) or sent < 5:
            began = time.monotonic()
            room.delivered(room.post({"subject": f"Beside {sent}"}))
            assert time.monotonic() - began < 5
            sent += 1
        for attacker in attackers:
            attacker.join()
    assert {(422, "template-limit")} == {one[:2] for one in found}
    assert min(one[2] for one in found) < 10
    assert sent >= 5

import pytest

from postroom.engine.limits import MessageLimits
from postroom.errors import InputError
from postroom.model.ids import DEFAULT_TENANT
from postroom.schema.bodies import read_submission


def _codes(body: object) -> list[str]:
    with pytest.raises(InputError) as refused:
        read_submission(body, limits=MessageLimits(), tenant=DEFAULT_TENANT, idempotency_key=None)
    return sorted(f"{problem.field}:{problem.code}" for problem in refused.value.problems)


def test_wrong_shapes_do_not_hide_wrong_values() -> None:
    """A misspelt field, an unknown word and a wrong type come together with bad addresses and a line end."""
    body = {
        "too": "x",
        "to": ["bad", "a@b c"],
        "subject": "a\nb",
        "class": "urgent",
        "text": 5,
        "send_at": "tomorrow",
    }
    assert _codes(body) == [
        "class:unknown-value",
        "send_at:instant-syntax",
        "subject:control-character",
        "text:wrong-type",
        "to.0:address-invalid",
        "to.1:address-invalid",
        "too:unknown-field",
    ]


def test_recipients_of_a_wrong_shape_are_not_called_missing() -> None:
    """What was given and cannot be read is told as such, and once."""
    assert _codes({"to": 7, "class": "urgent"}) == ["class:unknown-value", "to:wrong-type"]


def test_a_body_that_is_no_object_has_one_problem() -> None:
    """There is nothing more to look at."""
    assert len(_codes(["a"])) == 1

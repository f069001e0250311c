"""What a rendering process says about a fault of its own."""

import json

from postroom.renderer.worker import fault_line


def test_a_fault_is_told_without_its_words() -> None:
    """One line of JSON has the kind and the places, and nothing that an error quotes of a mail."""
    try:
        int("reset-token\nof-a-mail")
    except ValueError as error:
        line = fault_line(error)
    assert "token" not in line
    assert "\n" not in line
    told = json.loads(line)
    assert ("ValueError", "test_renderer_faults.py") == (told["kind"], told["at"][0].split(":")[0])

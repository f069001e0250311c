"""One claim over many rows as one test: every row runs, and each that fails is shown with its values.

A test of its own costs the runner milliseconds, which thousands of tiny rows do not earn. For rows that need
nothing of their own: the fixtures of the test are the same for all of them.
"""

import functools
import inspect
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

Test = Callable[..., None]

Named = type(pytest.param())
"""A row with an id, of which no use is made: its values are shown."""

SHOWN = 300
"""Characters of a value that are shown."""


def each(names: str | Sequence[str], rows: Iterable[Any]) -> Callable[[Test], Test]:
    """Run the test for every row, with the arguments of ``pytest.mark.parametrize``; it stacks too."""
    fields = (names,) if isinstance(names, str) else tuple(names)
    plain = [
        row.values if isinstance(row, Named) else (row,) if isinstance(names, str) else row for row in rows
    ]
    table = [dict(zip(fields, values, strict=True)) for values in plain]
    assert table, f"no rows of {names}: nothing would be proved"

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def every(**given: object) -> None:
            faults = [_fault(test, given, row) for row in table]
            told = [fault for fault in faults if fault]
            if told:
                pytest.fail(f"{len(told)} of {len(table)} rows:\n" + "\n".join(told), pytrace=False)

        signature = inspect.signature(test)
        kept = [one for one in signature.parameters.values() if one.name not in fields]
        assert len(signature.parameters) == len(kept) + len(fields), f"a name of {names} is no argument"
        every.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
        return every

    return decorate


def _fault(test: Test, given: dict[str, object], row: dict[str, object]) -> str:
    """Run one row; return what is wrong with it, or nothing."""
    try:
        test(**given, **row)
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - any fault of a row, and the others run
        is_told = isinstance(error, pytest.fail.Exception) and not error.pytrace
        fault = str(error) if is_told else "".join(traceback.format_exception(error))
        return ", ".join(f"{name}={value!r:.{SHOWN}}" for name, value in row.items()) + f"\n{fault}"
    return ""

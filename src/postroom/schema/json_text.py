"""Reads JSON that strangers wrote (RFC 8259), stricter than the usual readers.

Refused: bytes that are not UTF-8, NaN and infinities, numbers too large to hold, a name that stands twice
in one object, nesting deeper than the interpreter's stack, objects with more members than any body of ours
could have. Lone surrogates pass: the field they stand in is named by ``schema.submission``.
"""

import json
import math
from typing import NoReturn

from postroom.errors import MalformedError, Problem, TooLargeError

MAX_MEMBERS = 1000
"""Members of one object (security limit): no body of ours has more names."""


def read_json(body: bytes) -> object:
    """Return the value. Raises MalformedError, TooLargeError."""
    try:
        return _DECODER.decode(body.decode())
    except UnicodeDecodeError as error:
        raise _malformed(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg.lower()} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise _malformed("nested too deeply") from None
    except ValueError:  # the interpreter's bound on the digits of an integer
        raise _malformed("a number is too long") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(pairs) > MAX_MEMBERS:
        raise TooLargeError(
            Problem(
                code="too-large",
                field="body",
                cause=f"an object has {len(pairs)} members, at most {MAX_MEMBERS} are allowed",
                fix="Send only the fields of this operation.",
            )
        )
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _malformed(f"the name {twice[:100]!r} stands twice in one object")
    return found


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _malformed("a number is too large")
    return number


def _constant(text: str) -> NoReturn:
    raise _malformed(f"{text} is not JSON")


def _malformed(cause: str) -> MalformedError:
    return MalformedError(
        [Problem(code="malformed-json", field="body", cause=cause, fix="Send one JSON object in UTF-8.")]
    )


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)

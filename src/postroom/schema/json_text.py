"""Reads JSON that strangers wrote (RFC 8259), stricter than the usual readers.

Refused: bytes that are not UTF-8, NaN and infinities, numbers too large to hold, a name that stands twice
in one object, nesting deeper than ``MAX_DEPTH``, objects with more members and bodies with more
values than any of ours could have. Lone surrogates pass: ``schema.submission`` names the field.
"""

import json
import math
import re
from contextlib import suppress
from itertools import islice
from typing import NoReturn

from postroom.errors import MalformedError, Problem, TooLargeError

MAX_MEMBERS = 1000
"""Members of one object (security limit): no body of ours has more names."""

MAX_DEPTH = 32
"""Arrays and objects inside of each other (security limit): no body of ours has more than five."""

MAX_TOKENS = 250_000
"""Strings and commas of one body (security limit): reading them takes 100 ms, and nothing else runs then.
A batch of 500 messages with 200 recipients each is below it."""
_FEW_COMMAS = 10_000
"""Below so many nothing is counted: there are hardly more values than commas, and text has commas too."""
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|,', re.DOTALL)


def read_json(body: bytes) -> object:
    """Return the value. Raises MalformedError, TooLargeError."""
    try:
        text = body.decode()
        if len(body) > _FEW_COMMAS < body.count(b",") and any(
            islice(_TOKEN.finditer(text), MAX_TOKENS, None)
        ):
            raise _too_large(f"more than {MAX_TOKENS} strings and commas")
        if text.startswith("{"):  # the usual body has no blanks around it: two patterns need not be tried
            with suppress(StopIteration):  # the decoder below says what is wrong, and where
                value, end = _DECODER.scan_once(text, 0)  # type: ignore[attr-defined] # not in the stubs
                if end == len(text):
                    return _shallow(value, text)
        return _shallow(_DECODER.decode(text), text)
    except UnicodeDecodeError as error:
        raise _malformed(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg.lower()} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise _malformed("nested too deeply") from None
    except ValueError:  # the interpreter's bound on the digits of an integer
        raise _malformed("a number is too long") from None


def _shallow(value: object, text: str) -> object:
    """Return the value, unless it is nested too deeply; with few brackets it cannot be."""
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(value, MAX_DEPTH):
        raise _malformed(f"nested deeper than {MAX_DEPTH}")
    return value


def _is_deep(value: object, allowed: int) -> bool:
    if isinstance(value, dict):
        return allowed == 0 or any(_is_deep(member, allowed - 1) for member in value.values())
    if isinstance(value, list):
        return allowed == 0 or any(_is_deep(member, allowed - 1) for member in value)
    return False


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(pairs) > MAX_MEMBERS:
        raise _too_large(f"an object has {len(pairs)} members, at most {MAX_MEMBERS} are allowed")
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


def _too_large(cause: str) -> TooLargeError:
    fix = "Send only the fields of this operation, and fewer messages at once."
    return TooLargeError(Problem(code="too-large", field="body", cause=cause, fix=fix))


def _malformed(cause: str) -> MalformedError:
    return MalformedError(
        [Problem(code="malformed-json", field="body", cause=cause, fix="Send one JSON object in UTF-8.")]
    )


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)

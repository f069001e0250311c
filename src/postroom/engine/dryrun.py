"""Tokens of dry runs: what was counted is what is changed, once, and soon.

A token is the end of its life, the acceptance time the dry run fixed, a number, and an HMAC-SHA-256 over
these with the verb, the tenant and the whole filter. The key is made at the start of the process: no token
outlives it, so the numbers that were used need no store either.

Source: RFC 2104 (HMAC).
"""

import hmac
import json
from base64 import urlsafe_b64encode
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

from postroom.clock import Clock, Dice
from postroom.errors import ConflictError, InputError, Problem
from postroom.model.selection import Selection

TOKEN_LIFE = timedelta(minutes=10)
"""Long enough to read a number and decide, short enough that the number still says something."""
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DryRuns:
    """Gives tokens and takes each once."""

    def __init__(self, *, clock: Clock, dice: Dice) -> None:
        """Make the key."""
        self._clock = clock
        self._dice = dice
        self._key = dice.token(32)
        self._used: dict[str, datetime] = {}
        """Number of a used token to the end of its life."""

    def issue(self, verb: str, wanted: Selection) -> tuple[str, Selection, datetime]:
        """Return a token, the selection with its end fixed, and when the token ends.

        ``verb`` holds everything besides the filter that must be the same when the token is used.
        """
        now = self._clock.now()
        fixed = replace(wanted, until=min(wanted.until or now, now))
        ends_at = now + TOKEN_LIFE
        head = f"{_number(ends_at)}.{_number(fixed.until or now)}.{self._dice.token(9).hex()}"
        return f"{head}.{self._mac(head, verb, fixed)}", fixed, ends_at

    def redeem(self, token: str, verb: str, wanted: Selection) -> Selection:
        """Take a token once and return the selection it was given for.

        Raises:
            InputError: It was not given for this verb and filter, or its life is over.
            ConflictError: It was used.
        """
        head, _, mac = token.rpartition(".")
        parts = head.split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isalnum() and len(part) < 30 for part in parts):
            raise _refused("not a token of ours")
        ends_at, until = (_instant(part) for part in parts[:2])
        if ends_at is None or until is None:
            raise _refused("not a token of ours")
        fixed = replace(wanted, until=min(wanted.until or until, until))
        if not hmac.compare_digest(mac.encode(), self._mac(head, verb, fixed).encode()):
            raise _refused("given for another action, for another filter, or before the last start")
        now = self._clock.now()
        if now >= ends_at:
            raise _refused("older than ten minutes")
        self._used = {number: end for number, end in self._used.items() if end > now}
        if parts[2] in self._used:
            cause = "the action of this token was done or is being done"
            fix = "Look at what became of it; for the rest make a new dry run."
            raise ConflictError(Problem(code="token-used", field="token", cause=cause, fix=fix))
        self._used[parts[2]] = ends_at
        return fixed

    def _mac(self, head: str, verb: str, wanted: Selection) -> str:
        meant = json.dumps([head, verb, asdict(wanted)], default=str, sort_keys=True)
        digest = hmac.digest(self._key, meant.encode("utf-8", "surrogatepass"), "sha256")
        return urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def _number(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _instant(text: str) -> datetime | None:
    try:
        return _EPOCH + int(text) * _MICROSECOND
    except (ValueError, OverflowError):
        return None


def _refused(cause: str) -> InputError:
    fix = "Send the request without a token: the answer counts and has a new one."
    return InputError([Problem(code="token-invalid", field="token", cause=cause, fix=fix)])

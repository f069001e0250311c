"""What became of a mail, as an SMTP reply: a promise with its id, or a cause and what to do.

4yz for what passes by itself, 5yz for what does not (RFC 5321 section 4.2.1). A client keeps the mail after
4yz and gives it up after 5yz, so nothing that may be stored already and nothing that is our fault is 5yz.
Errors are counted, and those that are our fault are logged, as at the HTTP doors.
"""

import errno
from collections.abc import Sequence
from math import ceil

from postroom.engine.service import Receipt
from postroom.errors import (
    DiskFullError,
    InputError,
    OverloadError,
    Problem,
    StoreError,
    TooLargeError,
    UnknownOutcomeError,
)
from postroom.smtp.server_replies import ServerReply
from postroom.telemetry import logger
from postroom.telemetry.catalogue import REFUSED

MAX_TOLD = 10
"""Problems in one reply; more help nobody."""

SHUTTING_DOWN = ServerReply(421, "4.3.2", "The server is stopping; come back in a moment", closes=True)
TOO_MANY_SESSIONS = ServerReply(421, "4.3.2", "Too many sessions are open; come back in a moment")
BUSY = ServerReply(451, "4.3.2", "The server is behind with its work; try again in a few seconds")
KEY_GONE = ServerReply(421, "4.7.0", "The key of this login was revoked; log in with another", closes=True)
SLOW_COMMAND = ServerReply(421, "4.4.2", "No complete command came in time; closing")
SLOW_CONTENT = ServerReply(421, "4.4.2", "The content came too slowly; closing")

_CODES: dict[str, tuple[int, str]] = {
    "sender-not-allowed": (550, "5.7.1"),
    "from-not-account": (550, "5.7.1"),
    "address-invalid": (550, "5.7.1"),
    "raw-header-syntax": (554, "5.6.0"),
    "raw-line-end": (554, "5.6.0"),
    "raw-nul": (554, "5.6.0"),
    "mail-loop": (554, "5.4.6"),
    "too-many-recipients": (550, "5.5.3"),
    "limit-exceeded": (552, "5.3.4"),
}
"""By the code of the first problem."""
_OTHERS = (550, "5.6.0")

_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})

_log = logger("smtp")


def promise_of(receipt: Receipt) -> str:
    """Return the text of the reply to a mail that is stored."""
    text = f"queued as {receipt.message_id}"
    if receipt.is_replay:
        text += " (the same mail was taken before)"
    return f"{text}; captured, nothing leaves this machine" if receipt.is_capture else text


def refusal_of(error: Exception) -> ServerReply:
    """Return the reply to a mail that was not taken, or of which nobody knows."""
    code, reply = _refusal_of(error)
    REFUSED.count((code,))
    return reply


def _refusal_of(error: Exception) -> tuple[str, ServerReply]:
    match error:
        case InputError():
            code = error.problems[0].code if len(error.problems) == 1 else "invalid-fields"
            return code, _listed(error.problems)
        case TooLargeError():
            return error.problem.code, ServerReply(552, "5.3.4", _told(error.problem))
        case OverloadError():
            wait_s = max(1, ceil(error.retry_after_s))
            return "overloaded", ServerReply(451, "4.3.2", f"{_upper(str(error))}; try again in {wait_s} s")
        case DiskFullError():
            return "disk-full", ServerReply(452, "4.3.1", "The disk is nearly full; try again later")
        case UnknownOutcomeError():
            _log.error("outcome unknown", error=str(error))
            text = "Nobody knows whether the mail is stored; send it again, it may arrive twice"
            return "unknown-outcome", ServerReply(451, "4.3.0", text)
        case OSError() if error.errno in _OUT_OF_DESCRIPTORS:
            _log.error("no descriptors left for a mail")
            return "overloaded", ServerReply(
                451, "4.3.2", "The server is at its limit; try again in a moment"
            )
        case StoreError():
            _log.error("store failed", error=str(error))
            return "store-unavailable", ServerReply(451, "4.3.0", "The store failed; try again later")
    _log.error("a mail was not taken", exc_info=error)
    return "internal-error", ServerReply(451, "4.3.0", "A fault of this server; its log has the details")


def _listed(problems: Sequence[Problem]) -> ServerReply:
    code, enhanced = _CODES.get(problems[0].code, _OTHERS)
    return ServerReply(code, enhanced, "\n".join(map(_told, problems[:MAX_TOLD])))


def _told(problem: Problem) -> str:
    return f"{problem.field}: {problem.cause}. {problem.fix}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]

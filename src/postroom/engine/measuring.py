"""What the engine counts about mail, and the ids its log records carry: some microseconds for each.

Words are written by ``str``: an enumeration's ``value`` costs five times as much.
"""

from collections.abc import Iterable
from datetime import datetime

from postroom.model.attempt import Claimed, Settlement
from postroom.model.guest import label_of
from postroom.model.ids import MessageId
from postroom.model.message import Message, Submission
from postroom.telemetry import catalogue, context


def accepted(message: Message, seconds: float) -> None:
    """Count a message that was stored ``seconds`` after it was handed in."""
    catalogue.ACCEPTED.count((str(message.door), str(message.mail_class)))
    catalogue.ACCEPT_SECONDS.observe(seconds)
    context.MESSAGE.set(message.id)


def replayed(submission: Submission, message_id: MessageId) -> None:
    """Count a submission whose answer is an earlier message."""
    catalogue.REPLAYED.count((str(submission.door),))
    context.MESSAGE.set(message_id)


def claimed(batch: Iterable[Claimed], now: datetime) -> None:
    """Note how long messages waited for their first attempt since they were due."""
    for one in batch:
        message = one.message
        if not one.tries and not one.maybe_duplicate and not message.content.remote_files:
            due_at = max(message.send_at, message.created_at)
            catalogue.QUEUE_WAIT_SECONDS.observe((now - due_at).total_seconds(), (str(message.mail_class),))


def begun(one: Claimed) -> None:
    """Let every record of this task name the message and the attempt."""
    context.MESSAGE.set(one.message.id)
    context.ATTEMPT.set(one.lease.attempt)


def settled(transport: str, settlement: Settlement) -> None:
    """Count what an attempt brought to each recipient tried."""
    longest, transport = 0, label_of(transport)
    for result in settlement.results:
        catalogue.RESULTS.count((transport, str(result.verdict.outcome)))
        longest = max(longest, result.duration_ms)
    catalogue.ATTEMPT_SECONDS.observe(longest / 1000, (transport,))

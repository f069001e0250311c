"""Attempts to hand to a transport, and what came of them."""

from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256

from postroom.mime.rendered import RenderedMessage
from postroom.model.address import Address
from postroom.model.ids import DEFAULT_TENANT, MessageId
from postroom.ports import Report, Work

CONTENT = b"From: a@example.com\r\nSubject: hello\r\n\r\n.dot\r\nbody\r\n"


async def granted() -> bool:
    return True


def rendered(content: bytes = CONTENT) -> RenderedMessage:
    return RenderedMessage(
        segments=(content,), size=len(content), digest=sha256(content).hexdigest(), needs_smtputf8=False
    )


def work(
    *recipients: str,
    content: bytes = CONTENT,
    commit: Callable[[], Awaitable[bool]] = granted,
    message: RenderedMessage | None = None,
) -> Work:
    addresses = [Address(*text.split("@")) for text in recipients or ("to@example.net",)]
    return Work(
        message_id=MessageId("20261121120000.22aaaaaaaaaaaaaaaaaaaa"),
        tenant=DEFAULT_TENANT,
        reverse_path=Address("from", "example.com"),
        recipients=tuple(enumerate(addresses)),
        rendered=message or rendered(content),
        subject="hello",
        sender="a@example.com",
        commit=commit,
    )


def told(report: Report) -> Sequence[tuple[str, int | str]]:
    """Return for each line its step and the reply's code, or the fault's kind."""
    return [
        (
            line.evidence.step.value,
            line.evidence.reply.code if line.evidence.reply else str(line.evidence.fault and line.evidence.fault.kind),
        )
        for line in report.lines
    ]

"""What goes between the engine's process and a sender process: a length, then one marshalled tuple.

Pure. Both ends are the same program on the same interpreter, joined by a socket pair that nobody else
holds, so the fastest form that Python has will do; it is never stored and never read from anybody else.

    to the sender    WAY way spec   ATTEMPT n way work...   GO n may_send   DROP n   ALLOW way connections
                     STOP way grace_s   TOKEN q token fault
    to the engine    COMMIT n   REPORT n lines passed   STOPPED way   ASK_TOKEN q transport rejected

``n`` numbers the attempts of one sender process, ``way`` the transports that its engine ever had: a number is
never used again. ``STOP`` is the last word about one. ``q`` numbers the questions of one sender process.
"""

import marshal
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from postroom.errors import InvariantError
from postroom.mime.rendered import BlobSegment, RawSegment, RenderedMessage, Segment
from postroom.model.address import Address
from postroom.model.ids import MessageId, TenantId
from postroom.model.message import BlobRef, Notify, ReportWish
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.reply import Reply
from postroom.model.secret import Secret
from postroom.model.step import Step
from postroom.net.faults import NetFault
from postroom.ports import Report, ReportLine, Work

ATTEMPT, GO, DROP, ALLOW, STOP, COMMIT, REPORT, STOPPED, WAY, ASK_TOKEN, TOKEN = range(11)

LENGTH = 4
"""Octets of the length before each frame."""
_PLAIN = 2
"""Marshal's form without references: half the work, and nothing here is shared."""
_STEPS = {step.value: step for step in Step}
_FAULTS = {kind.value: kind for kind in FaultKind}

Frame = tuple[Any, ...]


def packed(*fields: Any) -> bytes:
    """Return one frame as bytes."""
    body = marshal.dumps(fields, _PLAIN)
    return len(body).to_bytes(LENGTH, "big") + body


class Unpacker:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        """Start at a frame's beginning."""
        self._data = b""

    def frames(self, data: bytes) -> Iterator[Frame]:
        """Yield every frame that is whole now."""
        data = self._data + data if self._data else data
        start, end = 0, len(data)
        while end - start >= LENGTH:
            after = start + LENGTH + int.from_bytes(data[start : start + LENGTH], "big")
            if after > end:
                break
            yield marshal.loads(data[start + LENGTH : after])  # noqa: S302 - from our own process, see above
            start = after
        self._data = data[start:] if start else data


def packed_work(number: int, way: int, work: Work) -> bytes:
    """Return the frame that begins an attempt; what only the capture inbox reads is left out."""
    rendered, reverse_path = work.rendered, work.reverse_path
    return packed(
        ATTEMPT,
        number,
        way,
        str(work.message_id),
        str(work.tenant),
        (reverse_path.local, reverse_path.domain),
        tuple([(at, address.local, address.domain) for at, address in work.recipients]),
        tuple(
            [segment if isinstance(segment, bytes) else _segment(segment) for segment in rendered.segments]
        ),
        rendered.size,
        rendered.needs_smtputf8,
        rendered.needs_8bit,
        work.priority,
        None if work.reports is None or not work.reports.has_parameters else _wish(work.reports),
    )


def work_of(frame: Frame, commit: Callable[[], Awaitable[bool]]) -> Work:
    """Return the attempt that a frame begins."""
    _, _, _, message_id, tenant, reverse_path, recipients, *rest = frame
    segments, size, needs_smtputf8, needs_8bit, priority, wish = rest
    return Work(
        message_id=MessageId(message_id),
        tenant=TenantId(tenant),
        reverse_path=Address(*reverse_path),
        recipients=tuple([(at, Address(local, domain)) for at, local, domain in recipients]),
        rendered=RenderedMessage(
            segments=tuple(
                [segment if isinstance(segment, bytes) else _segment_of(segment) for segment in segments]
            ),
            size=size,
            digest="",
            needs_smtputf8=needs_smtputf8,
            needs_8bit=needs_8bit,
        ),
        subject="",
        sender="",
        reports=None if wish is None else _wish_of(wish),
        priority=priority,
        commit=commit,
    )


def _segment(segment: BlobSegment | RawSegment) -> Frame:
    return (segment.ref.sha256, segment.ref.size, isinstance(segment, RawSegment))


def _segment_of(segment: Frame) -> Segment:
    sha256, size, is_raw = segment
    ref = BlobRef(sha256, size)
    return RawSegment(ref) if is_raw else BlobSegment(ref)


def _wish(wish: ReportWish) -> Frame:
    return (
        (wish.to.local, wish.to.domain),
        wish.full,
        wish.envelope_id,
        tuple(
            [
                (to.local, to.domain, tuple([one.value for one in Notify if one in wanted]))
                for to, wanted in wish.notify.items()
            ]
        ),
        tuple([(to.local, to.domain, original) for to, original in wish.original.items()]),
    )


def _wish_of(wish: Frame) -> ReportWish:
    to, full, envelope_id, notify, original = wish
    return ReportWish(
        to=Address(*to),
        full=full,
        envelope_id=envelope_id,
        notify={Address(local, domain): frozenset(map(Notify, wanted)) for local, domain, wanted in notify},
        original={Address(local, domain): text for local, domain, text in original},
    )


def packed_report(number: int, report: Report) -> bytes:
    """Return the frame that ends an attempt."""
    return packed(REPORT, number, tuple([_line(line) for line in report.lines]), report.passed_wishes)


def report_of(frame: Frame) -> Report:
    """Return the report in a frame."""
    return Report(lines=tuple([_line_of(line) for line in frame[2]]), passed_wishes=frame[3])


def packed_token(number: int, found: Secret | NetFault) -> bytes:
    """Return the frame that answers a question for a token."""
    if isinstance(found, Secret):
        return packed(TOKEN, number, found.reveal(), None)
    fault = found.fault
    told = (found.step.value, fault.kind.value, fault.text, fault.cause, found.peer)
    return packed(TOKEN, number, None, told)


def token_in(frame: Frame) -> Secret | NetFault:
    """Return the answer in a frame."""
    _, _, token, told = frame
    if told is None:
        return Secret(token)
    step, kind, text, cause, peer = told
    return NetFault(_STEPS[step], Fault(kind=_FAULTS[kind], text=text, cause=cause), peer)


def _line(line: ReportLine) -> Frame:
    evidence = line.evidence
    reply, fault = evidence.reply, evidence.fault
    return (
        line.recipient,
        line.at.timestamp(),
        line.duration_ms,
        evidence.step.value,
        None if reply is None else (reply.code, reply.lines, reply.raw),
        None if fault is None else (fault.kind.value, fault.text, fault.cause),
        evidence.host,
        evidence.port,
    )


def _line_of(line: Frame) -> ReportLine:
    recipient, at, duration_ms, step, reply, fault, host, port = line
    if (reply is None) is (fault is None):
        raise InvariantError("evidence is a reply or a fault")
    return ReportLine(
        recipient=recipient,
        evidence=Evidence(
            step=_STEPS[step],
            reply=None if reply is None else Reply(*reply),
            fault=None if fault is None else Fault(kind=_FAULTS[fault[0]], text=fault[1], cause=fault[2]),
            host=host,
            port=port,
        ),
        at=datetime.fromtimestamp(at, UTC),
        duration_ms=duration_ms,
    )

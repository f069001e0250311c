"""The notice that tells an operator of mail that ended unsent and of outages: when, and in which words.

One digest for what happened since the last one, grouped by cause: what it means, what to do, which
recipients, where to look. It is bounded, whatever happened; the counts are whole. It holds addresses and
message ids, and nothing of the mail itself.

Rules: the first notice comes at once (after ``COLLECT`` to gather what belongs together), then at most one in
the time that the settings give. A failure of a notice never makes another notice (reliability rule D10): the
caller leaves those events out.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html import escape

from postroom.model.event import Event, EventKind
from postroom.policy import wording
from postroom.providers import replies

LOST = (EventKind.RECIPIENT_REFUSED, EventKind.RECIPIENT_EXPIRED, EventKind.RECIPIENT_BOUNCED)
"""Recipients that will not get their mail."""
TROUBLE = (
    EventKind.TRANSPORT_OPENED,
    EventKind.QUOTA_NEAR_END,
    EventKind.UNCERTAIN_AGED,
    EventKind.HOOK_DISABLED,
)
NOTICED = LOST + TROUBLE

COLLECT = timedelta(seconds=10)
"""A refused account refuses many at once: what comes within this is told together."""
MAX_CAUSES = 12
MAX_LINES = 20
"""Of one cause, and of troubles."""

_LOOK = {
    EventKind.UNCERTAIN_AGED: "postroom status",
    EventKind.HOOK_DISABLED: "postroom webhooks list",
}
_SOURCES = ("text", "until", "used", "allowed", "webhook")
"""Extras of an event that a line of the digest shows, in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far the noticing has come; kept in the store."""

    after: int
    """Number of the last event that was looked at."""
    upto: int | None = None
    """A notice of the events up to here is being handed in: its words are fixed by the two numbers."""
    sent_at: datetime | None = None
    """Of the last notice."""

    def __str__(self) -> str:
        """Return the stored form."""
        sent_at = None if self.sent_at is None else self.sent_at.isoformat()
        return json.dumps({"after": self.after, "upto": self.upto, "sent_at": sent_at})

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Read the stored form."""
        stored = json.loads(text)
        sent_at = stored["sent_at"]
        return cls(
            after=stored["after"],
            upto=stored["upto"],
            sent_at=None if sent_at is None else datetime.fromisoformat(sent_at),
        )

    def ready_at(self, seen_at: datetime, every: timedelta) -> datetime:
        """Return when something first seen at ``seen_at`` is told."""
        collected_at = seen_at + COLLECT
        return collected_at if self.sent_at is None else max(collected_at, self.sent_at + every)

    def moved(self, upto: int) -> "Place":
        """Return the place when everything up to a number needs no notice (any more)."""
        return replace(self, after=upto, upto=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A digest in words."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class _Section:
    """A heading with sentences and lines, for both forms."""

    heading: str
    sentences: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    left_out: int
    looks: tuple[str, ...]


def notice(events: Sequence[Event], *, place: str) -> Notice | None:
    """Return the digest of some events, the same for the same events; ``None`` when nothing is to be told.

    Args:
        events: Of ``NOTICED`` kinds, oldest first, without those about notices.
        place: The name of this installation, for the subject.
    """
    lost = [event for event in events if event.kind in LOST]
    trouble = [event for event in events if event.kind in TROUBLE]
    if not lost and not trouble:
        return None
    sections = [*_of_trouble(trouble), *_of_lost(lost)]
    summary = _summary(lost, trouble)
    return Notice(
        subject=f"[{place}] {summary}",
        text=_text(summary, sections, place),
        html=_html(summary, sections, place),
    )


def _summary(lost: Sequence[Event], trouble: Sequence[Event]) -> str:
    parts = []
    down = dict.fromkeys(event.transport for event in trouble if event.kind is EventKind.TRANSPORT_OPENED)
    if down:
        names = ", ".join(list(down)[:3]) + (" and others" if len(down) > 3 else "")
        parts.append(f"nothing is sent by {names}")
    if other := len(trouble) - sum(event.kind is EventKind.TRANSPORT_OPENED for event in trouble):
        parts.append("1 warning" if other == 1 else f"{other} warnings")
    if count := _count(lost):
        parts.append(f"{count} recipient{'s' if count > 1 else ''} will not get mail")
    return "; ".join(parts)


def _count(events: Iterable[Event]) -> int:
    return sum(max(len(event.recipients), 1) for event in events)


def _of_trouble(events: Sequence[Event]) -> list[_Section]:
    return [
        _section(
            wording.sentence(last := some[-1]),
            some[-1].cause,
            lines=[(_time(event), *_extras(event)) for event in some],
            looks=(_LOOK.get(last.kind, "postroom transports list"), "postroom status"),
        )
        for some in _grouped(events, lambda event: (event.kind, event.transport, event.cause))
    ]


def _of_lost(events: Sequence[Event]) -> list[_Section]:
    sections = []
    for some in _grouped(events, lambda event: (event.kind, event.cause)):
        first = some[0]
        lines = [
            (_time(event), address, str(event.message_id or ""), event.transport)
            for event in some
            for address in (event.addresses or ("(address purged)",))
        ]
        ended = {
            EventKind.RECIPIENT_REFUSED: "refused",
            EventKind.RECIPIENT_EXPIRED: "given up: the time of the mail ended",
            EventKind.RECIPIENT_BOUNCED: "came back",
        }[first.kind]
        heading = f"{_count(some)} {ended}" + (f" ({first.cause})" if first.cause else "")
        looks = (f"postroom status {first.message_id}",) if first.message_id else ("postroom status",)
        sections.append(_section(heading, first.cause, lines=lines, looks=looks))
    if len(sections) > MAX_CAUSES:
        rest = sections[MAX_CAUSES - 1 :]
        headings = [(section.heading,) for section in rest]
        sections[MAX_CAUSES - 1 :] = [
            _section(f"{len(rest)} more causes", "", lines=headings, looks=("postroom status",))
        ]
    return sections


def _grouped(events: Sequence[Event], key: Callable[[Event], object]) -> list[list[Event]]:
    """Return the events by key, the largest group first."""
    groups: dict[object, list[Event]] = {}
    for event in events:
        groups.setdefault(key(event), []).append(event)
    return sorted(groups.values(), key=_count, reverse=True)


def _section(
    heading: str, cause: str, *, lines: Sequence[tuple[str, ...]], looks: tuple[str, ...]
) -> _Section:
    meaning, remedy = replies.words(cause) if cause else ("", "")
    return _Section(
        _plain(heading),
        tuple(sentence for sentence in (meaning, remedy) if sentence),
        tuple(lines[:MAX_LINES]),
        max(len(lines) - MAX_LINES, 0),
        tuple(dict.fromkeys(looks)),
    )


def _time(event: Event) -> str:
    return f"{event.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _extras(event: Event) -> list[str]:
    return [f"{name}: {_plain(event.data[name])}" for name in _SOURCES if event.data.get(name)]


def _plain(text: str) -> str:
    """Return a server's text without what could break a line."""
    return "".join(one if one.isprintable() else " " for one in text[:300])


_END = "Written by Postroom itself. The settings failures_to and failures_every say who gets this, how often."


def _text(summary: str, sections: Sequence[_Section], place: str) -> str:
    parts = [f"{place}: {summary}."]
    for section in sections:
        lines = [section.heading, "-" * min(len(section.heading), 78), *section.sentences]
        lines += ["  " + "  ".join(filter(None, line)) for line in section.lines]
        if section.left_out:
            lines.append(f"  and {section.left_out} more")
        lines += [f"  Look: {look}" for look in section.looks]
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, _END]) + "\n"


def _html(summary: str, sections: Sequence[_Section], place: str) -> str:
    parts = [f"<p><strong>{escape(place)}: {escape(summary)}.</strong></p>"]
    for section in sections:
        parts.append(f"<h3>{escape(section.heading)}</h3>")
        parts += [f"<p>{escape(sentence)}</p>" for sentence in section.sentences]
        if section.lines:
            rows = "\n".join(
                "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>"
                for line in section.lines
            )
            parts.append(f'<table cellpadding="3">\n{rows}\n</table>')
        if section.left_out:
            parts.append(f"<p>and {section.left_out} more</p>")
        parts += [f"<p>Look: <code>{escape(look)}</code></p>" for look in section.looks]
    parts.append(f"<p>{escape(_END)}</p>")
    return "<!DOCTYPE html>\n<html><body>\n" + "\n".join(parts) + "\n</body></html>\n"

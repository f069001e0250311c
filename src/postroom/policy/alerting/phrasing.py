"""What a letter says: its subject, the line that a locked telephone shows, and the variables of its template.

Rules:

* A subject begins with the severity in brackets, which mail programs leave out where they compare subjects
  (RFC 5256 section 2.1), then what and where. A later letter about the same alerts keeps the rest as it was,
  so that an incident is one conversation everywhere.
* The *lead* says severity, what, where and since when within its first 120 characters; it begins the text
  part and the preheader.
* Whether something is new, still so or again follows from the letter alone. An hour later the same letter has
  the same words; only links may be newer.
* Nothing that came with an event can break a line of a header or be taken for markup.

Pure. Source: RFC 5322 section 2.1.1 for the length of lines, which the writer of headers folds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from html import escape
from typing import Any

from postroom.model.alert import AlertState, AlertView, Letter, LetterItem, LetterKind, Severity
from postroom.model.alert_rules import AlertRules, AlertType, Receiver
from postroom.policy.alerting import chart
from postroom.policy.alerting.contents import (
    count_of,
    facts_of,
    heads_of,
    is_missing,
    is_over,
    is_same,
    look,
    where_of,
    worst_of,
)
from postroom.policy.alerting.expecting import MISSING_LABEL
from postroom.policy.alerting.filling import filled, names_in, plain, short, written
from postroom.policy.alerting.links import AlertAct, AlertDeed, AlertLinks
from postroom.policy.alerting.words import Words, clock_time, counted, words_of, zone_of

MAX_LEAD = 120
MAX_SUBJECT = 150
"""Of our own making; inboxes show 40 to 80 characters."""
MAX_OWN_SUBJECT = 400
MAX_TEXT = 2000
MAX_VALUE = 500
MAX_ROWS = 30
MAX_NAME = 100
BESIDE_OTHERS = 4
"""So much less room has an alert that is told at length with others."""
LATE = timedelta(minutes=1)
"""From when it matters to a reader that a report came later than what it reports."""
MAX_CARDS = 4
"""News that are told at length; a mail with more of them is read as a list."""
MAX_LISTED = 40
MAX_LISTED_TITLE, MAX_LISTED_PLACE = 80, 40
"""So that no mail reaches the 102 kB at which Gmail cuts it."""
_SHOWN = frozenset({"alertname", "key", "severity", "category", "source", "object", "node", "title", "text"})
"""Labels that have a place of their own."""
_MIDDLE = " · "


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A curve that a letter shows."""

    content_id: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrased:
    """A letter in words."""

    subject: str
    lead: str
    text: str
    """All of it as plain text, for ways that take no mail."""
    variables: Mapping[str, Any]
    """Plain JSON values, for ``alert-letter`` and every template that declares some of them."""
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """What a letter is told by besides itself."""

    rules: AlertRules
    installation: str = "Postroom"
    """The name its readers know this installation by."""
    links: AlertLinks | None = None
    """``None``: nobody can act from the mail."""
    now: datetime
    """For the ends of links."""


def phrased(letter: Letter, manner: Manner, *, first: Letter | None = None) -> Phrased:
    """Return a letter in words.

    Args:
        letter: What is to be told.
        manner: The rules, and who tells.
        first: The first letter of the incident, when this is not it.
    """
    return _Phrasing(letter, manner, first).phrased()


def bare(letter: Letter) -> Phrased:
    """Return a letter in as few words as there can be, for one at which ``phrased`` fails."""
    names = [
        plain(f"[{item.alert.severity.value}] {item.alert.key} {item.alert.object}", MAX_SUBJECT)
        for item in heads_of(letter)
    ]
    subject = names[0] if names else f"[alert] {plain(letter.receiver, MAX_SUBJECT)}"
    return Phrased(subject=subject, lead=subject, text="\n".join(names), variables={})


@dataclass(slots=True)
class _Phrasing:
    letter: Letter
    manner: Manner
    first: Letter | None
    language: str = field(init=False)
    words: Words = field(init=False)
    zone: tzinfo = field(init=False)
    heads: tuple[LetterItem, ...] = field(init=False)
    """See ``heads_of``."""

    def __post_init__(self) -> None:
        self.language = self.letter.language or self.manner.rules.language
        self.words = words_of(self.language)
        self.zone = zone_of(self.letter.time_zone or self.manner.rules.time_zone)
        self.heads = heads_of(self.letter)

    def phrased(self) -> Phrased:
        lead, cards, pictures = self._lead(), [], []
        has_cards = self.letter.kind is LetterKind.ALERT
        for number, item in enumerate(self.heads[: MAX_CARDS if has_cards else 0], 1):
            picture = _picture(self.letter, item, number)
            if picture is not None:
                pictures.append(picture)
            cards.append(self._card(item, picture))
        groups = self._groups(len(cards))
        shown = len(cards) + sum(len(group["alerts"]) for group in groups)
        left = len(self.letter.items) - shown + self.letter.more
        variables = {
            **self._common(lead),
            "subject": self._subject(),
            "news": cards,
            "groups": groups,
            "more": counted(self.words.more, left) if left > 0 else "",
            "actions": self._actions(),
            "details": cards[0]["rows"] if cards else [],
        }
        return Phrased(
            subject=variables["subject"],
            lead=lead,
            text=_text(lead, variables),
            variables=variables,
            pictures=tuple(pictures),
        )

    # ------------------------------------------------------------------ subject and lead

    def _subject(self) -> str:
        receiver = self.manner.rules.receivers.get(self.letter.receiver, Receiver(name=""))
        own = self._own_subject()
        if own:
            mark = "" if self._word() in self.words.severities else f"[{self._word()}] "
            return plain(f"{receiver.subject_prefix}{mark}{own}", MAX_OWN_SUBJECT)
        first = self.first
        kept = first if first is not None and is_same(heads_of(first), self.heads) else self.letter
        stem = self._stem(kept)
        own = plain(f"[{self._word()}] {stem}", MAX_SUBJECT)
        return plain(receiver.subject_prefix + own, MAX_OWN_SUBJECT)

    def _own_subject(self) -> str:
        if len(self.heads) != 1 or self.letter.kind is not LetterKind.ALERT:
            return ""
        item = self.heads[0]
        return filled(self._type(item.alert).subject_in(self.language), self._variables(item))

    def _stem(self, letter: Letter) -> str:
        heads, count = heads_of(letter), count_of(letter)
        if count == 1:
            alert = heads[0].alert
            where = where_of(alert)
            stem = self._title(alert) + (_MIDDLE + where if where else "")
        else:
            stem = counted(self.words.alerts, count)
        if letter.kind is not LetterKind.ALERT:
            title = self.words.storm if letter.kind is LetterKind.SUMMARY else self.words.digest
            return f"{title}{self.words.colon}{stem}"
        return stem if count == 1 else f"{stem}{_MIDDLE}{self._common_title(heads)}"

    def _lead(self) -> str:
        words = self.words
        if len(self.heads) == 1 and self.letter.kind is LetterKind.ALERT:
            item = self.heads[0]
            what, where = self._title(item.alert), short(where_of(item.alert), 30)
            when = self._when(item)
        else:
            what = self._stem(self.letter)
            is_named = len(self.heads) == 1  # in the summary that has it alone
            places = dict.fromkeys("" if is_named else where_of(item.alert) for item in self.heads)
            named = [short(place, 20) for place in places if place]
            where = words.comma.join(named[:2])
            others = len(named) - 2 + count_of(self.letter) - len(self.heads)
            if named and others > 0:
                where = f"{where} {counted(words.more, others)}"
            since = min((item.alert.first_at for item in self.heads), default=self.letter.at)
            when = words.since.format(self._time(since))
        word = self._word() + words.colon
        rest = words.comma + (where + words.comma if where else "") + when
        lead = word + short(what, max(MAX_LEAD - len(word) - len(rest), 24)) + rest
        if self.letter.active and len(self.heads) > 1:
            lead += words.comma + counted(words.active, self.letter.active)
        return plain(lead, 2 * MAX_LEAD)

    def _word(self) -> str:
        """Return the word of the whole letter: that of its worst news."""
        item = worst_of(self.heads)
        return self.words.severity(Severity.INFO) if item is None else self._state(item)

    def _common_look(self) -> str:
        item = worst_of(self.heads)
        return "info" if item is None else look(item.alert)

    def _state(self, item: LetterItem) -> str:
        alert = item.alert
        word = self.words.severity(alert.severity)
        if alert.state is AlertState.RESOLVED:
            return word if alert.is_occurrence else self.words.resolved
        if alert.is_occurrence or alert.told_at is None or self.letter.kind is not LetterKind.ALERT:
            return word
        return (self.words.again if alert.told_at < alert.first_at else self.words.still).format(word)

    def _when(self, item: LetterItem) -> str:
        alert, words = item.alert, self.words
        if alert.is_occurrence:
            if alert.tally < 2:
                return self._time(alert.last_at)
            return words.often.format(alert.tally, self._time(alert.first_at))
        span = words.span(self._duration(alert))
        if alert.state is AlertState.RESOLVED and alert.resolved_at is not None:
            when = f"{self._time(alert.first_at)}–{self._time(alert.resolved_at)}"  # noqa: RUF001 - a span
            return words.aside.format(when, span) if span else when
        since = words.since.format(self._time(alert.first_at))
        if span:
            since = words.aside.format(since, words.duration.format(span))
        return f"{since}{words.comma}{words.unsteady}" if alert.is_flapping else since

    # ------------------------------------------------------------------ variables

    def _common(self, lead: str) -> dict[str, Any]:
        letter, words = self.letter, self.words
        only = self.heads[0].alert if len(self.heads) == 1 and letter.kind is LetterKind.ALERT else None
        text = "" if only is None else plain(only.text, MAX_TEXT)
        is_all = only is not None and not is_over(only)  # it says of itself that it is active
        stem, zone = self._stem(letter), letter.time_zone or self.manner.rules.time_zone
        return {
            "kind": letter.kind.value,
            "severity": self._common_look(),
            "word": self._word(),
            "title": stem if only is None else self._title(only),
            "heading": stem if only is None else self._heading(only),
            "lead": lead,
            "preheader": f"{lead}{_MIDDLE}{short(text, 80)}" if text else lead,
            "summary": text or lead,
            "source": letter.receiver if only is None else plain(only.source or only.object or only.key, 200),
            "at": letter.at.isoformat(),
            "from_at": min((item.alert.first_at for item in letter.items), default=letter.at).isoformat(),
            "until_at": letter.at.isoformat(),
            "time_zone": zone,
            "total": len(letter.items) + letter.more,
            "active": letter.active,
            "still": counted(words.active, letter.active) if letter.active > is_all else "",
            "details_url": next((item.alert.link for item in self.heads if item.alert.link), ""),
            "details_name": words.details,
            "receiver": letter.receiver,
            "route": letter.route,
            "note": words.why.format(letter.receiver, self.manner.installation, zone),
        }

    def _card(self, item: LetterItem, picture: Picture | None) -> dict[str, Any]:
        body = self._type(item.alert).body_in(self.language)
        share = 1 if len(self.heads) == 1 else BESIDE_OTHERS
        return {
            **self._line(item),
            "text": plain(item.alert.text, MAX_TEXT // share, keep_lines=True),
            "body": filled(body, self._variables(item), escape=escape) if body else "",
            "rows": self._rows(item, share),
            "picture": "" if picture is None else f"cid:{picture.content_id}",
            "picture_text": "" if picture is None else self._picture_text(picture.values),
        }

    def _line(self, item: LetterItem) -> dict[str, Any]:
        alert = item.alert
        return {
            "title": self._title(alert),
            "severity": look(alert),
            "word": self._state(item),
            "where": where_of(alert),
            "when": self._when(item),
            "since": alert.first_at.isoformat(),
            "count": alert.tally,
            "active": not is_over(alert),
            "suppressed": self._suppressed(item),
            "url": alert.link,
        }

    def _listed(self, item: LetterItem) -> dict[str, Any]:
        line = self._line(item)
        title, where = short(line["title"], MAX_LISTED_TITLE), short(line["where"], MAX_LISTED_PLACE)
        return {**line, "title": title, "where": where}

    def _rows(self, item: LetterItem, share: int) -> list[dict[str, str]]:
        alert, names, most = item.alert, self.words.rows, MAX_ROWS // share
        pairs = list(zip(names, (alert.object, alert.node, alert.source, alert.category), strict=False))
        began = alert.occurred_at
        if began is not None and abs(alert.first_at - began) >= LATE:
            pairs.append((names[6], self._time(began)))
        if alert.tally > 1:
            pairs += [(names[4], str(alert.tally)), (names[5], self._time(alert.last_at))]
        known = {*_SHOWN, *(MISSING_LABEL if is_missing(alert) else ())}
        said = names_in(self._type(alert).body_in(self.language))
        pairs += facts_of(alert, besides={*known, *said})
        rows = [
            (plain(name, MAX_NAME // share), plain(value, MAX_VALUE // share))
            for name, value in dict(pairs).items()
        ]
        rows = [(name, value) for name, value in rows if name and value]
        if len(rows) > most:
            left = len(rows) - most + 1
            rows[most - 1 :] = [("…", counted(self.words.more, left))]
        return [{"label": name, "value": value} for name, value in rows]

    def _groups(self, carded: int) -> list[dict[str, Any]]:
        """Return what is not told at length, in lists by what it is."""
        words, items = self.words, self.letter.items
        lists: list[tuple[str, Iterable[LetterItem]]]
        if self.letter.kind is LetterKind.ALERT:
            others = items[len(self.heads) :]
            lists = [
                (words.news, self.heads[carded:]),
                (words.ongoing, [item for item in others if not item.alert.is_occurrence]),
                (words.happened, [item for item in others if item.alert.is_occurrence]),
            ]
        else:
            over = [item for item in items if is_over(item.alert)]
            lists = [
                (words.ongoing, [item for item in items if not is_over(item.alert)]),
                (words.happened, [item for item in over if item.alert.is_occurrence]),
                (words.over, [item for item in over if not item.alert.is_occurrence]),
            ]
        room, groups = MAX_LISTED, []
        for name, some in lists:
            alerts = [self._listed(item) for item in some][:room]
            room -= len(alerts)
            if alerts:
                groups.append({"name": name, "alerts": alerts})
        return groups

    def _actions(self) -> list[dict[str, str]]:
        """Return what the reader may do: to the alert the letter is about, or to all of its news."""
        letter, links = self.letter, self.manner.links
        if links is None or letter.group is None or self._common_look() == "success":
            return []
        deeds = tuple(AlertDeed)
        if all(item.alert.is_occurrence for item in self.heads):
            deeds = (AlertDeed.SILENCE_HOUR, AlertDeed.SILENCE_DAY)
        single = self.heads[0].alert.id if len(self.heads) == 1 else None
        acts = []
        for deed in deeds:
            is_of_group = single is None or deed.is_rhythm
            act = AlertAct(
                deed=deed,
                tenant=letter.tenant,
                letter=letter.number,
                receiver=letter.receiver,
                alert=None if is_of_group else single,
                group=letter.group if is_of_group else None,
            )
            url = links.url(act, written_at=letter.at, now=self.manner.now)
            acts.append({"name": self.words.deed(deed), "url": url})
        return acts

    # ------------------------------------------------------------------ parts

    def _variables(self, item: LetterItem) -> dict[str, str]:
        """Return what ``{variable}`` may name; see ``filling.OWN``."""
        alert, words = item.alert, self.words
        span = self._duration(alert)
        own = {
            "key": alert.key,
            "type": self._label(alert),
            "category": alert.category,
            "severity": words.severity(alert.severity),
            "state": self._state(item),
            "source": alert.source,
            "object": alert.object,
            "node": alert.node,
            "title": self._title(alert),
            "text": plain(alert.text, MAX_TEXT, keep_lines=True),
            "link": alert.link,
            "since": self._time(alert.first_at),
            "duration": words.span(span) or counted(words.minutes, 0),
            "minutes": str(span // timedelta(minutes=1)),
            "count": str(alert.tally),
            "suppressed": str(item.suppressed),
        }
        values = {name: written(value) for name, value in alert.values.items()}
        return {**alert.details, **alert.labels, **own, **values}

    def _type(self, alert: AlertView) -> AlertType:
        types = self.manner.rules.types
        return types.get(alert.key) or types.get("*") or AlertType(key=alert.key)

    def _label(self, alert: AlertView) -> str:
        """Return the name of the alert's type in the reader's language."""
        kind = self._type(alert)
        if kind.key != alert.key or not kind.label:
            return alert.key
        tags = (self.language, self.language.partition("-")[0], "en", *kind.label)
        return next(kind.label[tag] for tag in tags if tag in kind.label)

    def _title(self, alert: AlertView) -> str:
        if is_missing(alert):
            return plain(self.words.missing.format(self._label(alert)), 200)
        return plain(alert.title or self._label(alert), 200)

    def _heading(self, alert: AlertView) -> str:
        """Return what stands above an alert's own title, and is not the same."""
        names = (alert.object, alert.source, self._label(alert), alert.category)
        found = (plain(name, 100) for name in names if name and name != self._title(alert))
        return next(found, counted(self.words.alerts, 1))

    def _common_title(self, heads: Sequence[LetterItem]) -> str:
        for names in (
            {self._title(item.alert) for item in heads},
            {self._label(item.alert) for item in heads},
        ):
            if len(names) == 1:
                return names.pop()
        return self.words.comma.join(self.letter.group_labels.values()) or self.letter.receiver

    def _suppressed(self, item: LetterItem) -> str:
        said = []
        if item.suppressed:
            since = item.suppressed_since or item.alert.told_at or item.alert.first_at
            one, many = self.words.suppressed
            said.append((one if item.suppressed == 1 else many).format(item.suppressed, self._time(since)))
        if item.alert.is_flapping and not is_over(item.alert):
            said.append(self.words.calming)
        return _MIDDLE.join(said)

    def _picture_text(self, values: tuple[float, ...]) -> str:
        numbers = (f"{value:.6g}" for value in (min(values), max(values), values[-1]))
        return self.words.chart.format(len(values), *numbers)

    def _time(self, at: datetime) -> str:
        return clock_time(at, self.zone, today=self.letter.at)

    def _duration(self, alert: AlertView) -> timedelta:
        """Return how long it is or was so: to its end, or to the letter."""
        return max((alert.resolved_at or self.letter.at) - alert.first_at, timedelta(0))


def _picture(letter: Letter, item: LetterItem, number: int) -> Picture | None:
    values = chart.shown(item.alert.history)
    if not values:
        return None
    return Picture(content_id=f"chart-{letter.number}-{number}@postroom.invalid", values=values)


def _text(lead: str, variables: Mapping[str, Any]) -> str:
    """Return the letter for a log or a program: what matters, without links to act."""
    lines = [lead]
    for card in variables["news"]:
        lines += [card["text"], *(f"{row['label']}: {row['value']}" for row in card["rows"])]
        lines.append(card["suppressed"])
    for group in variables["groups"]:
        lines.append(group["name"])
        lines += [
            "- " + ", ".join(filter(None, (one["word"], one["title"], one["where"], one["when"])))
            for one in group["alerts"]
        ]
    return "\n".join(line for line in (*lines, variables["more"], variables["details_url"]) if line)

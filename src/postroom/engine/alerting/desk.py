"""What a door may do with alerts: report, list, ask why, silence, acknowledge, change rhythm and rules.

Rules: a report is answered when it is on stable storage, before anybody looks at it. What a person changes is
committed before the answer, and nothing of it holds when that fails. What belongs to another tenant does not
exist.

What it does not do: deciding (``policy.alerting``), looking at events and clocks (``evaluator``), telling the
story of an alert (``why``).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from postroom.clock import Clock, Dice
from postroom.engine.alerting.evaluator import Evaluator
from postroom.engine.alerting.forms import (
    Acted,
    AlertCounts,
    AlertFilter,
    AlertPage,
    NewSilence,
    RuleKind,
    Why,
    WhyFilter,
)
from postroom.engine.alerting.listing import listed
from postroom.engine.alerting.rules import Rulebook
from postroom.engine.alerting.why import why
from postroom.errors import ConflictError, InputError, NotFoundError, Problem
from postroom.model.alert import (
    AlertEvent,
    AlertEventFilter,
    AlertId,
    AlertState,
    AlertView,
    GroupId,
    NewAlertEvent,
    Silence,
)
from postroom.model.alert_rules import AlertRules, AlertType, Matcher, MatchKind
from postroom.model.ids import DEFAULT_TENANT, TenantId, letters
from postroom.policy.alerting.book import Book
from postroom.policy.alerting.identity import labels_of
from postroom.policy.alerting.links import AlertAct
from postroom.policy.alerting.matching import MatcherError, Matching, parse_matchers, written
from postroom.policy.alerting.own import PREFIX, SOURCE, pretends
from postroom.policy.alerting.trying import Trial, event_of, tried
from postroom.ports import AlertRecords, Spool
from postroom.telemetry import logger
from postroom.telemetry.catalogue import ALERT_EVENTS

LEAST_RHYTHM = timedelta(minutes=1)
SILENCE_ID_BYTES = 12

log = logger("alerts")


class Alerts:
    """The verbs. Raises only what ``errors`` draws."""

    def __init__(
        self,
        *,
        records: AlertRecords,
        evaluator: Evaluator,
        rulebook: Rulebook,
        spool: Spool,
        clock: Clock,
        dice: Dice,
    ) -> None:
        """Take the parts."""
        self._records = records
        self._evaluator = evaluator
        self._rulebook = rulebook
        self._spool = spool
        self._clock = clock
        self._dice = dice

    # ------------------------------------------------------------------ events

    async def accept(self, events: Sequence[NewAlertEvent]) -> Sequence[int]:
        """Store reports in one commit; return their numbers, in their order.

        The id of the alert that a report belongs to is ``policy.alerting.identity.alert_id(event)``.
        Raises InputError: one is in Postroom's own name; OverloadError: too many wait already, or the store
        is busy; DiskFullError; UnknownOutcomeError.
        """
        _refuse_pretenders(events)
        self._evaluator.refuse_when_full(is_urgent=any(event.severity.is_urgent for event in events))
        numbers = await self._records.add(events, at=self._clock.now())
        self._evaluator.reported(len(events))
        for door, count in Counter(event.door for event in events).items():
            ALERT_EVENTS.count((door,), count)
        return numbers

    async def events(self, wanted: AlertEventFilter) -> Sequence[AlertEvent]:
        """Return reports as they came, newest first."""
        return await self._records.events(wanted)

    # ------------------------------------------------------------------ alerts

    async def list(self, wanted: AlertFilter) -> AlertPage:
        """Return one page of alerts, the worst first, then the youngest.

        Raises InputError: a matcher or the cursor is none; OverloadError.
        """
        return await listed(wanted, self._evaluator)

    async def view(self, alert_id: str, *, tenant: TenantId) -> AlertView:
        """Return one alert, active or still remembered. Raises NotFoundError, OverloadError."""
        found = await self._evaluator.read(lambda book, now: book.view(AlertId(alert_id), now))
        if found is None or found.tenant != tenant:
            raise NotFoundError(f"there is no alert {alert_id!r}")
        return found

    async def why(self, alert_id: str, wanted: WhyFilter) -> Why:
        """Tell the story of an alert, sentence by sentence. Raises NotFoundError, OverloadError."""
        found = await self._evaluator.read(lambda book, now: book.view(AlertId(alert_id), now))
        if found is not None and found.tenant != wanted.tenant:
            found = None
        told = await why(AlertId(alert_id), found, wanted, records=self._records, spool=self._spool)
        if not told.steps and found is None:
            raise NotFoundError(f"there is no alert {alert_id!r}")
        return told

    async def acknowledge(
        self, alert_id: str, *, by: str, until: datetime | None = None, tenant: TenantId
    ) -> AlertView:
        """Say that somebody works on an active alert: it is not told until ``until``, its end or a rise.

        Raises NotFoundError; ConflictError: it is not active; InputError: ``until`` is over; OverloadError,
        DiskFullError.
        """
        self._refuse_past(until, "until")
        alert = await self.view(alert_id, tenant=tenant)

        def act(book: Book, now: datetime) -> AlertView | None:
            return book.view(alert.id, now) if book.acknowledge(alert.id, by, until, now) else None

        found = await self._evaluator.change(act)
        if found is None:
            raise _not_active(alert_id)
        return found

    async def set_rhythm(self, group_id: str, every: timedelta, *, by: str, tenant: TenantId) -> None:
        """Repeat the letters of a group at this interval (at least a minute) while it is active.

        Raises NotFoundError: the group has no alerts; InputError; OverloadError, DiskFullError.
        """
        if every < LEAST_RHYTHM:
            raise _wrong("every", "less than a minute", "Give a minute or more.")
        if tenant != DEFAULT_TENANT or not await self._evaluator.change(
            lambda book, now: book.set_rhythm(GroupId(group_id), every, by, now)
        ):
            raise NotFoundError(f"there is no group {group_id!r} with alerts")

    async def set_rhythm_of(
        self, alert_id: str, every: timedelta, *, by: str, tenant: TenantId
    ) -> Mapping[GroupId, str]:
        """Repeat the letters of every group of an alert at this interval; return these with their routes.

        Raises NotFoundError; ConflictError: nobody is told of it; InputError; OverloadError, DiskFullError.
        """
        alert = await self.view(alert_id, tenant=tenant)
        groups = await self._evaluator.read(lambda book, _: book.groups_of(alert.id))
        if not groups:
            cause, fix = f"nobody is told of the alert {alert_id}", "Only what is mailed is repeated."
            raise ConflictError(Problem(code="alert-not-told", field="id", cause=cause, fix=fix))
        for group in groups:
            await self.set_rhythm(group, every, by=by, tenant=tenant)
        return groups

    async def act(self, act: AlertAct) -> Acted:
        """Do what the reader of a letter asks for by a link of it.

        A link to a group is about the alerts that the letter told of as news.
        Raises NotFoundError: the letter is not kept any more, or nothing of it is active; OverloadError,
        DiskFullError.
        """
        by, span = f"{act.receiver} (letter {act.letter})", act.deed.span
        if act.deed.is_rhythm and act.group is not None and span is not None:
            await self.set_rhythm(act.group, span, by=by, tenant=act.tenant)
            return Acted(deed=act.deed)
        told = await self.about(act)
        found = [alert for alert in told if alert.state is AlertState.FIRING or span is not None]
        if not found:
            raise NotFoundError("nothing that this letter told of is active any more")
        if span is not None:
            now = self._clock.now()
            ends_at = now + span
            new = [
                NewSilence(
                    tenant=act.tenant, matchers=_of_one(alert), ends_at=ends_at, author=by, reason="by a link"
                )
                for alert in found
            ]
            return Acted(
                deed=act.deed, alerts=tuple(found), silences=await self._silenced_once(new, span, now)
            )

        def acknowledge(book: Book, now: datetime) -> None:
            for alert in found:
                book.acknowledge(alert.id, by, None, now)

        await self._evaluator.change(acknowledge)
        return Acted(deed=act.deed, alerts=tuple(found))

    async def about(self, act: AlertAct) -> Sequence[AlertView]:
        """Return the alerts that a link is about, as they stand: its one, or the news of its letter.

        Raises NotFoundError: the letter is not kept any more; OverloadError.
        """
        ids: tuple[AlertId, ...] = () if act.alert is None else (act.alert,)
        if act.group is not None:
            stored = await self._records.letter(act.letter, tenant=act.tenant)
            if stored is None or stored.letter.group != act.group:
                raise NotFoundError(f"there is no letter {act.letter} of this group any more")
            ids = tuple(item.alert.id for item in stored.letter.items if item.is_news)
        found = await self._evaluator.read(lambda book, now: [book.view(one, now) for one in ids])
        return [alert for alert in found if alert is not None and alert.tenant == act.tenant]

    # ------------------------------------------------------------------ silences

    async def silence(self, wanted: NewSilence) -> Silence:
        """Tell nobody of alerts that match. Raises InputError, OverloadError, DiskFullError."""
        (made,) = await self._silenced([wanted], self._clock.now())
        return made

    async def silence_alert(
        self, alert_id: str, *, ends_at: datetime, author: str, reason: str = "", tenant: TenantId
    ) -> Silence:
        """Tell nobody of one alert, whatever its severity: matches every other label that it has.

        Raises NotFoundError, InputError, OverloadError, DiskFullError.
        """
        alert = await self.view(alert_id, tenant=tenant)
        return await self.silence(
            NewSilence(tenant=tenant, matchers=_of_one(alert), ends_at=ends_at, author=author, reason=reason)
        )

    async def unsilence(self, silence_id: str, *, by: str, tenant: TenantId) -> None:
        """End a silence now. Raises NotFoundError, OverloadError, DiskFullError."""

        def end(book: Book, now: datetime) -> None:
            if not any(one.id == silence_id and one.tenant == tenant for one in book.silences()):
                raise NotFoundError(f"there is no silence {silence_id!r}")
            book.end_silence(silence_id, now)

        await self._evaluator.change(end)
        log.info("silence ended", silence=silence_id, by=by)

    async def silences(self, *, tenant: TenantId) -> Sequence[Silence]:
        """Return the silences that hold or will hold, the one that ends first first. Raises OverloadError."""
        found = await self._evaluator.read(lambda book, _: list(book.silences()))
        return sorted((one for one in found if one.tenant == tenant), key=lambda one: (one.ends_at, one.id))

    async def _silenced_once(
        self, wanted: Sequence[NewSilence], span: timedelta, now: datetime
    ) -> tuple[Silence, ...]:
        """Make silences, but those of the same link that hold already: a button may be pressed twice."""
        held = {
            (one.matchers, one.author): one
            for one in await self._evaluator.read(lambda book, _: list(book.silences()))
            if one.ends_at > now and one.ends_at - one.created_at == span
        }
        before = [held[one] for one in ((new.matchers, new.author) for new in wanted) if one in held]
        new = [one for one in wanted if (one.matchers, one.author) not in held]
        return (*before, *(await self._silenced(new, now) if new else ()))

    async def _silenced(self, wanted: Sequence[NewSilence], now: datetime) -> tuple[Silence, ...]:
        made = tuple(self._silence(one, now) for one in wanted)

        def begin(book: Book, now: datetime) -> None:
            for silence in made:
                book.silence(silence, now)

        await self._evaluator.change(begin)
        return made

    def _silence(self, wanted: NewSilence, now: datetime) -> Silence:
        starts_at = wanted.starts_at or now
        if wanted.ends_at <= max(starts_at, now):
            raise _wrong("ends_at", "not after its beginning and now", "Give a later end.")
        return Silence(
            id=letters(self._dice.token(SILENCE_ID_BYTES)),
            tenant=wanted.tenant,
            matchers=tuple(written(one) for one in _matchers(wanted.matchers)),
            starts_at=starts_at,
            ends_at=wanted.ends_at,
            author=wanted.author,
            reason=wanted.reason,
            created_at=now,
        )

    # ------------------------------------------------------------------ rules

    def rules(self, *, tenant: TenantId) -> AlertRules:
        """Return everything that decides; each entry says in ``origin`` where it stands."""
        return self._rulebook.rules if tenant == DEFAULT_TENANT else AlertRules()

    def types(self, *, tenant: TenantId) -> Sequence[AlertType]:
        """Return the catalogue, by key."""
        return [one for _, one in sorted(self.rules(tenant=tenant).types.items())]

    async def put_rule(self, kind: RuleKind, name: str, data: str, *, tenant: TenantId) -> AlertRules:
        """Store a rule as JSON, in place of a stored one of this kind and name; return what holds now.

        Everything is checked together before anything is stored.
        Raises InputError: the rule is wrong, or does not fit the others; ConflictError (``read-only``): an
        entry of the settings has this name; OverloadError, DiskFullError.
        """
        return await self._rulebook.put(kind, name, data, tenant=tenant, evaluator=self._evaluator)

    async def remove_rule(self, kind: RuleKind, name: str, *, tenant: TenantId) -> AlertRules:
        """Remove a stored rule; return what holds now.

        Raises NotFoundError; ConflictError (``read-only``); InputError: others need it; OverloadError,
        DiskFullError.
        """
        return await self._rulebook.remove(kind, name, tenant=tenant, evaluator=self._evaluator)

    async def test(self, labels: Mapping[str, str], *, tenant: TenantId) -> Trial:
        """Return what would become of a report with these labels. Raises OverloadError."""
        silences = await self.silences(tenant=tenant)
        return tried(self.rules(tenant=tenant), event_of(labels), self._clock.now(), silences)

    # ------------------------------------------------------------------ state

    async def counts(self) -> AlertCounts:
        """Return how the alerts stand. Raises OverloadError."""
        letters_waiting, oldest = await self._records.letters_waiting()
        return AlertCounts(
            active=self._evaluator.active,
            events_waiting=self._evaluator.waiting,
            letters_waiting=letters_waiting,
            oldest_letter_at=oldest,
        )

    @property
    def troubles(self) -> Sequence[str]:
        """What a person should look at, in sentences."""
        trouble = self._evaluator.trouble
        return (*self._rulebook.troubles, trouble) if trouble else self._rulebook.troubles

    # ------------------------------------------------------------------ checks

    def _refuse_past(self, at: datetime | None, field: str) -> None:
        if at is not None and at <= self._clock.now():
            raise _wrong(field, "in the past", "Give a later instant.")


def _refuse_pretenders(events: Sequence[NewAlertEvent]) -> None:
    if found := [number for number, event in enumerate(events) if pretends(event)]:
        cause = f"from {SOURCE} what begins with {PREFIX} is only reported by Postroom itself"
        fix = "Give another key or source."
        raise InputError([_problem(f"alerts.{number}.key", cause, fix) for number in found])


def _of_one(alert: AlertView) -> tuple[str, ...]:
    """Return matchers on every label of an alert, but those that may change while it is the same."""
    labels = labels_of(alert)
    if labels["alertname"] == alert.key:
        del labels["alertname"]
    labels.pop("severity", None)
    return tuple(written(Matcher(name, MatchKind.EQUAL, value)) for name, value in sorted(labels.items()))


def _matchers(texts: Sequence[str]) -> tuple[Matcher, ...]:
    """Read the matchers of a silence. Raises InputError."""
    found: list[Matcher] = []
    problems: list[Problem] = []
    for index, text in enumerate(texts):
        try:
            found += parse_matchers(text)
        except MatcherError as error:
            problems.append(
                _problem(f"matchers.{index}", str(error), 'Write name="value" or name=~"pattern".')
            )
    if problems:
        raise InputError(problems)
    if all(Matching((one,)).fits({}) for one in found):
        raise _wrong("matchers", "they match everything", "Name a label that the alerts have.")
    return tuple(found)


def _wrong(field: str, cause: str, fix: str) -> InputError:
    return InputError([_problem(field, cause, fix)])


def _problem(field: str, cause: str, fix: str) -> Problem:
    return Problem(code="alert-value", field=field, cause=cause, fix=fix)


def _not_active(alert_id: str) -> ConflictError:
    return ConflictError(
        Problem(
            code="alert-not-active",
            field="id",
            cause=f"the alert {alert_id} is not active",
            fix="Only an active alert can be acknowledged.",
        )
    )

"""What a group tells when it looks, and what goes to whom when.

A look is the same whenever it comes: it tells what is due, past the gate of its group and not muted, and
repeats what is to be repeated. So a look too many changes nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from heapq import nsmallest

from postroom.model.alert import AlertState, Clause, Letter, LetterItem, LetterKind, Severity
from postroom.policy.alerting import lives, own
from postroom.policy.alerting.alerts import Alert
from postroom.policy.alerting.digests import Digest, digest_id
from postroom.policy.alerting.groups import Group, Member
from postroom.policy.alerting.identity import labels_of
from postroom.policy.alerting.ledger import Ledger, Rank
from postroom.policy.alerting.muting import Mute
from postroom.policy.alerting.recipients import Letters, Person, later

MAX_ITEMS = 50
"""Alerts that a letter names; nobody reads more, and the rest is counted."""


class Look:
    """One look of a group."""

    def __init__(self, ledger: Ledger, group: Group, now: datetime) -> None:
        """Begin it."""
        self._ledger = ledger
        self._group = group
        self._now = now
        branch = group.branch
        self._outside = ledger.muting.outside(branch.active, branch.mute, now)
        self._mutes: dict[Member, Mute | None] = {}

    def take(self) -> None:
        """Tell what is to be told now, and find when to look again."""
        group, now = self._group, self._now
        news: list[Member] = []
        if group.pending and group.gate <= now:
            due = [one for one in group.pending if one.due is not None and one.due <= now]
            news = [one for one in sorted(due, key=_by_id) if self._may_be_told(one)]
        repeat_at = group.repeat_at()
        repeated: list[Member] = []
        if repeat_at is not None and repeat_at <= now:
            told = set(news)
            among = [one for one in group.members.values() if one.is_repeating and one not in told]
            repeated = [one for one in sorted(among, key=_by_id) if self._may_be_told(one)]
        if news or repeated:
            self._tell(news, repeated)
        self._wait()

    def _mute(self, member: Member) -> Mute | None:
        if member not in self._mutes:
            self._mutes[member] = self._ledger.mute_of(member.alert, self._now, self._outside)
        return self._mutes[member]

    def _may_be_told(self, member: Member) -> bool:
        """Say whether nothing mutes a member, and note what does when it is something else than before."""
        mute = self._mute(member)
        reason = "" if mute is None else str(mute.clause)
        if reason != member.reason:
            member.reason = reason
            self._ledger.changed["member", member.id] = member
            if mute is not None:
                data = dict(mute.data)
                if mute.until is not None:
                    data["until"] = mute.until.isoformat()
                self._ledger.say_of(self._now, member, mute.clause, data=data)
        return mute is None

    def _tell(self, news: list[Member], repeated: list[Member]) -> None:
        ledger, group, now = self._ledger, self._group, self._now
        worst = max((one.alert.severity for one in news or repeated), key=lambda one: one.rank)
        people = ledger.directory.people(group.branch.receiver, group.branch.own)
        at_once, deferred = self._split(people, worst)
        letters = self._letters(at_once, news) if at_once else []
        if letters:
            _sent(ledger, group.branch.receiver).add(ledger.rules.storm, now)
        for member, clause in [(one, Clause.TOLD) for one in news] + [
            (one, Clause.REPEATED) for one in repeated
        ]:
            self._decide(member, clause, letters, deferred)
            self._mark(member, is_news=clause is Clause.TOLD)
        group.last_letter_at = now
        ledger.changed["group", group.id] = group
        for member in news:
            if not member.alert.is_active:
                lives.forget(ledger, member.alert, now)

    def _split(
        self, people: Sequence[Person], worst: Severity
    ) -> tuple[dict[tuple[str, str], list[str]], dict[tuple[Clause, datetime | None], list[Person]]]:
        """Return who hears at once, by language and zone, and who later, by cause and instant."""
        ledger, receiver, now = self._ledger, self._group.branch.receiver, self._now
        is_piercing = ledger.directory.pierces(receiver, worst)
        sent = ledger.sent.get(receiver)
        until = None if sent is None else sent.storm_until(ledger.rules.storm, now)
        at_once: dict[tuple[str, str], list[str]] = {}
        deferred: dict[tuple[Clause, datetime | None], list[Person]] = {}
        for person in people:
            summary_at = None if until is None else ledger.summary_at(person.address) or until
            when = None if is_piercing else later(person, now, summary_at)
            if when is None:
                at_once.setdefault((person.language, person.time_zone), []).append(person.address)
            else:
                deferred.setdefault(when, []).append(person)
        return at_once, deferred

    def _letters(self, at_once: dict[tuple[str, str], list[str]], news: list[Member]) -> list[Letter]:
        ledger, group, now = self._ledger, self._group, self._now
        branch, is_news = group.branch, set(news)
        others = [
            one
            for one in group.members.values()
            if one.alert.is_active and one not in is_news and self._mute(one) is None
        ]
        shown = nsmallest(MAX_ITEMS, news, key=_by_worst)
        shown += nsmallest(MAX_ITEMS - len(shown), others, key=_by_worst)
        items = tuple(_item(ledger, one, now, is_news=one in is_news) for one in shown)
        active = sum(one.alert.is_active_state for one in group.members.values())
        group.letters += 1
        made = []
        for (language, time_zone), recipients in at_once.items():
            ledger.last_letter += 1
            made.append(
                Letter(
                    number=ledger.last_letter,
                    at=now,
                    tenant=shown[0].alert.tenant,
                    kind=LetterKind.ALERT,
                    receiver=branch.receiver,
                    route=branch.path,
                    group=group.id,
                    group_labels=branch.labels,
                    incident=group.incident,
                    nth=group.letters,
                    recipients=tuple(recipients),
                    language=language,
                    time_zone=time_zone,
                    items=items,
                    news=len(news),
                    more=len(news) + len(others) - len(shown),
                    active=active,
                    avoid=_avoided(one.alert for one in shown),
                )
            )
        ledger.letters += made
        ledger.changed["book", "letters"] = ledger
        return made

    def _decide(
        self,
        member: Member,
        clause: Clause,
        letters: list[Letter],
        deferred: dict[tuple[Clause, datetime | None], list[Person]],
    ) -> None:
        """Say who is told of a member now and later, and enter it into the digests of those."""
        ledger, now = self._ledger, self._now
        for letter in letters:
            recipients = ", ".join(letter.recipients)
            ledger.say_of(now, member, clause, letter=letter.number, data={"recipients": recipients})
        for (cause, until), people in deferred.items():
            data = {"recipients": ", ".join(one.address for one in people)}
            if until is not None:
                data["until"] = until.isoformat()
                for person in people:
                    ledger.enter(self._digest(person, cause, until), member.alert, now)
            ledger.say_of(now, member, cause, data=data)
        if not letters and not deferred:
            ledger.say_of(now, member, Clause.NO_RECIPIENT)

    def _digest(self, person: Person, cause: Clause, due_at: datetime) -> Digest:
        ledger = self._ledger
        number = digest_id(person.address, cause, due_at)
        digest = ledger.digests.get(number)
        if digest is None:
            digest = Digest(person.address, cause, due_at)
            ledger.add_digest(digest)
            digest.receiver = self._group.branch.receiver
            digest.language, digest.time_zone = person.language, person.time_zone
            ledger.changed["digest", number] = digest
            ledger.wake(Rank.DIGEST, "digest", number, due_at)
        return digest

    def _mark(self, member: Member, *, is_news: bool) -> None:
        """Note what was told of a member."""
        alert = member.alert
        if alert.is_active:
            member.told = AlertState.FIRING
            member.told_at = self._now
            member.told_tally = alert.tally
            member.told_severity = alert.severity
        else:
            member.told = AlertState.RESOLVED
        if is_news:
            member.due = None
        self._ledger.settle(member)

    def _wait(self) -> None:
        """Find when to look again, and let go what was waited for before."""
        ledger, group, now = self._ledger, self._group, self._now
        ledger.muting.unwait(group.id, group.waits)
        group.is_held, group.waits = False, ()
        if not group.members:
            return
        held: list[Member] = []
        for member in group.pending:
            at = max(member.due or now, group.gate)
            if at > now:
                ledger.wake(Rank.GROUP, "group", group.id, at)
            else:
                held.append(member)
        repeat_at = group.repeat_at()
        if repeat_at is not None and repeat_at > now:
            ledger.wake(Rank.GROUP, "group", group.id, repeat_at)
        elif repeat_at is not None:
            held += [one for one in group.members.values() if one.is_repeating]
        if held:
            self._hold(held)

    def _hold(self, held: list[Member]) -> None:
        """Look again when what mutes these ends."""
        ledger, group, now = self._ledger, self._group, self._now
        waits: dict[tuple[object, ...], None] = {}
        for member in held:
            mute = self._mute(member)
            if mute is not None and mute.until is not None:
                ledger.wake(Rank.GROUP, "group", group.id, mute.until)
            if not ledger.muting.is_blind:
                waits.update(dict.fromkeys(ledger.muting.waits(labels_of(member.alert), now)))
        group.is_held, group.waits = True, tuple(waits)
        ledger.muting.wait(group.id, group.waits)


def write_digest(ledger: Ledger, digest: Digest, now: datetime) -> None:
    """Write the letter of a digest that is due, and forget it."""
    ledger.last_letter += 1
    letter = digest_letter(ledger, digest, now, number=ledger.last_letter)
    ledger.letters.append(letter)
    ledger.changed["book", "letters"] = ledger
    ledger.changed["digest", digest.id] = None
    ledger.forget_digest(digest)
    if digest.cause is Clause.STORM:
        _sent(ledger, digest.receiver).add_summary(ledger.rules.storm, now)
    for number, entry in sorted(digest.entries.items()):
        ledger.changed["entry", entry.id] = None
        data = {
            "recipients": digest.address,
            "receiver": digest.receiver,
            "count": str(entry.count),
            "cause": str(digest.cause),
        }
        alert = entry.alert
        ledger.say(now, alert, Clause.TOLD, letter=letter.number, data=data)
        alert.digests -= 1
        if number in ledger.alerts and not alert.is_active:
            lives.forget(ledger, alert, now)


def digest_letter(ledger: Ledger, digest: Digest, now: datetime, *, number: int) -> Letter:
    """Return the letter of a digest as it would be now."""
    entries = list(digest.entries.values())
    shown = nsmallest(MAX_ITEMS, entries, key=lambda one: _worst(one.alert))
    items = tuple(
        LetterItem(
            alert=ledger.view(one.alert, now),
            is_news=True,
            suppressed=max(one.count - 1, 0),
            suppressed_since=one.since if one.count > 1 else None,
        )
        for one in shown
    )
    return Letter(
        number=number,
        at=now,
        tenant=shown[0].alert.tenant,
        kind=digest.kind,
        receiver=digest.receiver,
        route="",
        group=None,
        incident=digest.id,
        nth=1,
        recipients=(digest.address,),
        language=digest.language,
        time_zone=digest.time_zone,
        items=items,
        news=len(entries),
        more=len(entries) - len(shown),
        active=sum(one.alert.is_active_state for one in entries),
        avoid=_avoided(one.alert for one in shown),
    )


def _item(ledger: Ledger, member: Member, now: datetime, *, is_news: bool) -> LetterItem:
    """Return a member as it stands, with how often it was reported since it was told."""
    alert = member.alert
    suppressed = alert.tally - member.told_tally - (is_news and alert.is_active)
    return LetterItem(
        alert=replace(ledger.view(alert, now), told_at=member.told_at),
        is_news=is_news,
        suppressed=max(suppressed, 0),
        suppressed_since=(member.told_at or alert.first_at) if suppressed > 0 else None,
    )


def _sent(ledger: Ledger, receiver: str) -> Letters:
    """Return the last letters of a receiver, to add one."""
    sent = ledger.sent.setdefault(receiver, Letters(receiver))
    ledger.changed["sent", sent.id] = sent
    return sent


def _avoided(alerts: Iterable[Alert]) -> tuple[str, ...]:
    found = {one.labels.get(own.TRANSPORT_LABEL, "") for one in alerts if own.is_own(one)}
    return tuple(sorted(found - {""}))


def _by_id(member: Member) -> str:
    return member.alert.id


def _by_worst(member: Member) -> tuple[object, ...]:
    return _worst(member.alert)


def _worst(alert: Alert) -> tuple[object, ...]:
    return -alert.severity.rank, alert.first_at, alert.id

"""The recipients of the reference model of alerts: section 8 of ``docs/alert-clocks.md``."""

from dataclasses import replace
from datetime import datetime

from policy.alert_world import Alert, Group, Mail, Member, Name, Person, World, state_of

Entry = tuple[str, str, datetime]
"""An address, why it hears later, and when."""


class Post:
    """Tells persons at once or later."""

    def __init__(self, world: World) -> None:
        """Begin."""
        self.world = world
        self.entries: dict[Entry, dict[Name, Alert]] = {}
        self.receivers: dict[Entry, str] = {}
        self.sent: dict[str, list[datetime]] = {}
        self.summarised: dict[str, datetime] = {}
        """When the last summaries of storms were sent."""
        self.mails: list[Mail] = []

    def send(self, group: Group, mail: Mail, why: list[Member], told: list[Member]) -> None:
        """Tell each recipient of a group's mail at once, or keep it for later."""
        now, receiver = mail.at, mail.receiver
        worst = max((member.alert.severity for member in why), key=lambda one: one.rank)
        window = [at for at in self.sent.get(receiver, []) if at > now - self.world.mails_within]
        at_once: dict[str, list[str]] = {}
        for person in self.world.people[receiver]:
            quiet = None if person.quiet_until is None else person.quiet_until(now)
            if worst in self.world.pierce:
                at_once.setdefault(person.language, []).append(person.address)
            elif person.digest_at is not None:
                self._keep(mail, person, ("in-digest", person.digest_at(now)), told)
            elif quiet is not None:
                self._keep(mail, person, ("quiet-hours", quiet), told)
            elif self.world.mails and len(window) >= self.world.mails:
                address = person.address
                waiting = [at for whose, why, at in self.entries if (whose, why) == (address, "storm")]
                until = window[-self.world.mails] + self.world.mails_within
                self._keep(mail, person, ("storm", min(waiting, default=until)), told)
            else:
                at_once.setdefault(person.language, []).append(person.address)
        for addresses in at_once.values():
            self.mails.append(replace(mail, recipients=tuple(sorted(addresses))))
        if at_once:
            window.append(now)
            group.nth += 1
        self.sent[receiver] = window

    def _keep(self, mail: Mail, person: Person, when: tuple[str, datetime], told: list[Member]) -> None:
        entry = self.entries.setdefault((person.address, *when), {})
        self.receivers.setdefault((person.address, *when), mail.receiver)
        entry |= {member.alert.name: member.alert for member in told}

    def digest(self, entry: Entry, now: datetime) -> None:
        """Tell what was kept."""
        kept, receiver = self.entries.pop(entry), self.receivers.pop(entry)
        if entry[1] == "storm" and self.summarised.get(receiver) != now:
            self.summarised[receiver] = now
            self.sent.setdefault(receiver, []).append(now)
        self.mails.append(
            Mail(
                at=now,
                kind="summary" if entry[1] == "storm" else "digest",
                receiver=receiver,
                recipients=(entry[0],),
                news=frozenset((name, state_of(alert)) for name, alert in kept.items()),
                listed=frozenset(),
                active=sum(alert.is_still_so for alert in kept.values()),
                nth=1,
            )
        )

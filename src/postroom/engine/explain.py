"""What would become of a submission, and why, without accepting it: nothing is stored, sent or counted.

It is judged by the same functions that intake uses, at this moment: another message, a failure or a person
may change the answer a second later. A leg that waits for a probe is not given one here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from postroom.clock import Clock, Dice
from postroom.engine import freezing
from postroom.engine.health import Health
from postroom.engine.limits import MessageLimits
from postroom.engine.rendering import size_problem
from postroom.engine.routes import Chosen, Routes
from postroom.engine.ways import Way, Ways
from postroom.errors import Problem
from postroom.mime.rendered import RenderedMessage
from postroom.mime.writer import render
from postroom.model.address import Address, Mailbox, parse_mailbox
from postroom.model.hold import Hold, Suppression, SuppressionReason
from postroom.model.message import MailClass, Message, Submission, UncertainPolicy
from postroom.model.template import TemplatePin
from postroom.model.view import TransportPause
from postroom.policy.blocking import NOBODY, BlockList
from postroom.policy.failover import Fitness
from postroom.policy.matching import Traits, first_hold
from postroom.policy.pacing import Used
from postroom.policy.retry import ClassRules, next_delay
from postroom.ports import KeyReused, Operations, Replayed, Spool

_UNMAKEABLE = frozenset({"from-missing", "recipients-missing"})
NO_SENDER = parse_mailbox("sender@example.com")
"""Stands for From where nobody has said any."""
SHOWN_RETRIES = 5
"""Waits that are shown: enough to see the schedule's shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One transport of the route, as it is now."""

    name: str
    target: str
    is_chosen: bool
    """A message accepted now would wait for it."""
    fitness: Fitness
    pauses: tuple[TransportPause, ...]
    """The longest first; one that is over waits for a message to get past it."""
    limits: tuple[Used, ...]
    paced_until: datetime | None
    """When its pace lets the next message go; ``None``: at once."""
    quota_ends_at: datetime | None
    """When the day's quota will be used up at the pace of the last hour."""
    is_absent: bool = False
    """The route names it, no such transport exists, and it is passed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedRecipient:
    """One recipient: would mail of this class go there?"""

    address: Address
    suppression: Suppression | None
    hold: Hold | None
    """The standing hold that would keep it; never beside a suppression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """What the idempotency key of a submission would do."""

    key: str
    earlier: Replayed | KeyReused | None
    """``None``: the key is new, and is kept until ``keep_until``."""
    keep_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What is known only once the message is made."""

    from_: Mailbox
    wished: Mailbox | None
    """The wished sender when the transport sends as its account instead."""
    reverse_path: Address
    size: int
    """Bytes on the wire, before dot-stuffing."""
    expires_at: datetime
    uncertain_policy: UncertainPolicy
    not_before: datetime
    """When its first attempt can begin: ``send_at``, the pause and the pace of its transport."""
    recipients: tuple[ExplainedRecipient, ...]
    key: KeyUse | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The whole answer."""

    at: datetime
    """The moment it is true for."""
    problems: tuple[Problem, ...]
    """Why it would be refused; empty when it would be accepted."""
    rule: str
    route: str
    """Written, with the legs in the order for one message; a round robin turns it for each."""
    legs: tuple[Leg, ...]
    mail_class: MailClass
    retries: tuple[tuple[float, float], ...]
    """Least and most seconds before each of the first repetitions."""
    uncertain_failover: bool
    max_size: int
    """Bytes on the wire that are accepted."""
    made: Made | None
    """``None`` when the message cannot be made: no sender, no recipient."""
    template: TemplatePin | None = None
    """What it was rendered from."""


class Explainer:
    """Explains submissions."""

    def __init__(  # noqa: PLR0913 - the wiring hands over every part by name
        self,
        *,
        spool: Spool,
        operations: Operations,
        ways: Ways,
        routes: Routes,
        health: Health,
        rules: Mapping[MailClass, ClassRules],
        limits: MessageLimits,
        clock: Clock,
        dice: Dice,
        blocked: BlockList = NOBODY,
    ) -> None:
        """Take the parts that intake and dispatcher work with."""
        self._spool = spool
        self._operations = operations
        self._ways = ways
        self._routes = routes
        self._health = health
        self._rules = rules
        self._limits = limits
        self._clock = clock
        self._dice = dice
        self._blocked = blocked

    async def explain(self, submission: Submission, *, senders: Sequence[str] = ()) -> Explanation:
        """Say what ``Intake.submit`` would do with a submission, whose files need not be stored.

        ``senders`` are what the caller's key allows, empty for any.
        """
        now, entropy = self._clock.now(), self._dice.token(freezing.FREEZE_BYTES)
        chosen = self._routes.foreseen(submission, now=now, entropy=entropy)
        rules = self._rules[submission.mail_class]
        found = freezing.problems(
            submission, sending=chosen.sending, limits=self._limits, senders=senders, now=now
        )
        made = None
        if not {problem.code for problem in found} & _UNMAKEABLE:
            message = freezing.freeze(
                submission, sending=chosen.sending, rules=rules, id_domain=None, now=now, entropy=entropy
            )
            rendered = render(message.content, chosen.way.transport.variant)
            if (problem := size_problem(rendered, self._limits)) is not None:
                found.append(problem)
            made = await self._made(submission, message, rendered.size, chosen.way)
            if made.key is not None and isinstance(made.key.earlier, KeyReused):
                found += freezing.reuse_problems(made.key.earlier)
        return Explanation(
            at=now,
            problems=tuple(found),
            rule=chosen.rule,
            route=str(chosen.route),
            legs=tuple(self._leg(name, chosen, now) for name in self._legs(chosen)),
            mail_class=submission.mail_class,
            retries=tuple(
                (next_delay(rules, tries, 0.0), next_delay(rules, tries, 1.0))
                for tries in range(SHOWN_RETRIES)
            ),
            uncertain_failover=rules.uncertain_failover,
            max_size=self._limits.max_wire,
            made=made,
            template=submission.template,
        )

    def written(self, submission: Submission) -> RenderedMessage:
        """Return the bytes that a submission would be on the wire, were it accepted now with all its files.

        Message-ID, Date and boundary are those of this one time. Without any sender it is from
        ``NO_SENDER``. The submission has a recipient.
        """
        now, entropy = self._clock.now(), self._dice.token(freezing.FREEZE_BYTES)
        chosen = self._routes.foreseen(submission, now=now, entropy=entropy)
        from_ = submission.from_ or chosen.sending.default_from or NO_SENDER
        message = freezing.freeze(
            replace(submission, from_=from_),
            sending=chosen.sending,
            rules=self._rules[submission.mail_class],
            id_domain=None,
            now=now,
            entropy=entropy,
        )
        return render(message.content, chosen.way.transport.variant)

    async def _made(self, submission: Submission, message: Message, size: int, way: Way) -> Made:
        paced_until = self._paced_until(way, message.created_at)
        paused_until = max((pause.until for pause in way.pauses.values()), default=message.created_at)
        wished = message.content.from_
        shown = way.transport.variant.applied(message.content).from_
        return Made(
            from_=shown,
            wished=None if shown is wished else wished,
            reverse_path=message.envelope.reverse_path,
            size=size,
            expires_at=message.expires_at,
            uncertain_policy=message.uncertain_policy,
            not_before=max(message.send_at, paused_until, paced_until or message.created_at),
            recipients=await self._recipients(message, way),
            key=await self._key_use(submission, message),
        )

    async def _recipients(self, message: Message, way: Way) -> tuple[ExplainedRecipient, ...]:
        addresses, now = message.envelope.recipients, message.created_at
        suppressed = await self._operations.suppressed(
            addresses, tenant=message.tenant, mail_class=message.mail_class, now=now
        )
        suppressed = {**suppressed, **self._blocks(addresses, message)}
        holds = await self._operations.holds(message.tenant)
        traits = Traits(
            tenant=message.tenant,
            mail_class=message.mail_class,
            sender=message.content.from_.address.spec,
            tags=message.tags,
            transport=way.name,
            created_at=now,
        )
        return tuple(
            ExplainedRecipient(
                address=address,
                suppression=suppressed.get(address),
                hold=None
                if address in suppressed
                else first_hold(reversed(holds), traits, address.spec, now=now),
            )
            for address in addresses
        )

    def _blocks(self, addresses: Sequence[Address], message: Message) -> Mapping[Address, Suppression]:
        """Return the blocks of the settings in the form of suppressions, which they count as."""
        return {
            address: Suppression(
                tenant=message.tenant,
                address=address.spec,
                reason=SuppressionReason.MANUAL,
                note="blocked in the settings",
                author="settings",
                created_at=message.created_at,
            )
            for address in addresses
            if self._blocked.blocks(address.spec)
        }

    def _legs(self, chosen: Chosen) -> Sequence[str]:
        """Return the route's legs, and the way that takes the message when none of them exists."""
        legs = chosen.route.legs
        return legs if chosen.way.name in legs else (*legs, chosen.way.name)

    def _leg(self, name: str, chosen: Chosen, now: datetime) -> Leg:
        way = self._ways.named(name)
        if way is None:
            return Leg(
                name=name,
                target="",
                is_chosen=False,
                fitness=Fitness.DOWN,
                pauses=(),
                limits=(),
                paced_until=None,
                quota_ends_at=None,
                is_absent=True,
            )
        return Leg(
            name=name,
            target=way.target,
            is_chosen=way is chosen.way,
            fitness=way.fitness(now),
            pauses=tuple(self._health.pauses(name)),
            limits=tuple(self._health.limits(name)),
            paced_until=self._paced_until(way, now),
            quota_ends_at=self._health.forecast(name),
        )

    def _paced_until(self, way: Way, now: datetime) -> datetime | None:
        monotonic = self._clock.monotonic()
        wait_s = way.pace.next_at(monotonic) - monotonic
        return now + timedelta(seconds=wait_s) if wait_s > 0 else None

    async def _key_use(self, submission: Submission, message: Message) -> KeyUse | None:
        claim = freezing.idempotency_claim(submission, message)
        if claim is None:
            return None
        earlier = await self._spool.earlier_use(claim, tenant=message.tenant, now=message.created_at)
        return KeyUse(key=claim.key, earlier=earlier, keep_until=claim.keep_until)

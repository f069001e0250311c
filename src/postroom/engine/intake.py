"""The only writer of new messages: check, freeze, render, prove, store, and only then answer.

Everything that can be refused is refused before the commit (reliability rule A5). Between the end of the
caller's data and the commit nothing is looked up, fetched or sent.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from postroom.clock import Clock, Dice
from postroom.engine import freezing, measuring
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.limits import MessageLimits
from postroom.engine.rendering import RenderedMessages, proven, size_problem
from postroom.engine.routes import Routes
from postroom.engine.ways import Way, Ways
from postroom.errors import InputError, TooLargeError
from postroom.model.guest import StoredGuest
from postroom.model.ids import MessageId
from postroom.model.message import MailClass, Message, Submission
from postroom.model.route import Route
from postroom.policy.retry import ClassRules
from postroom.ports import KeyReused, Replayed, Spool, Stored


class Intake:
    """Takes submissions in."""

    def __init__(  # noqa: PLR0913 - the wiring hands over every part by name
        self,
        *,
        spool: Spool,
        ways: Ways,
        routes: Routes | None = None,
        dispatcher: Dispatcher,
        rendered: RenderedMessages,
        rules: Mapping[MailClass, ClassRules],
        limits: MessageLimits,
        clock: Clock,
        dice: Dice,
        id_domain: str | None = None,
    ) -> None:
        """Take the parts.

        ``routes`` is ``None`` when the first way takes everything. ``id_domain`` is the right side of every
        Message-ID when given.
        """
        self._spool = spool
        self._routes = routes or Routes(ways)
        self._dispatcher = dispatcher
        self._rendered = rendered
        self._rules = rules
        self._limits = limits
        self._clock = clock
        self._dice = dice
        self._id_domain = id_domain

    async def submit(
        self,
        submission: Submission,
        *,
        senders: Sequence[str],
        route: Route | None = None,
        guest: StoredGuest | None = None,
    ) -> tuple[MessageId, Way, bool]:
        """Store one submission; return its id, its way out and whether it is a replay.

        ``route`` is taken instead of what the rules would choose; its first leg is one of the ways. ``guest``
        is the account the caller brought, which is at work and is stored with the message.

        Raises InputError, TooLargeError, and whatever ``Spool.accept`` raises.
        """
        begun_at = self._clock.monotonic()
        now, entropy = self._clock.now(), self._dice.token(freezing.FREEZE_BYTES)
        if guest is not None:
            route = Route((guest.name,))
        if route is None:
            chosen = self._routes.choose(submission, now=now, entropy=entropy)
        else:
            chosen = self._routes.given(route)
        way = chosen.way
        message = self._frozen(submission, chosen.sending, senders, now=now, entropy=entropy)
        await self._prove(message, way)
        claim = freezing.idempotency_claim(submission, message, None if guest is None else guest.guest)
        is_urgent = submission.mail_class is MailClass.CODE
        announced = None
        if guest is None and message.send_at <= message.created_at:
            announced = self._dispatcher.announce(way.name, is_urgent=is_urgent)
        stored = None
        try:
            stored = await self._spool.accept(
                message, transport=way.name, route=chosen.written, idempotency=claim, guest=guest
            )
        finally:
            if not isinstance(stored, Stored):
                self._rendered.forget(message.id)
        if isinstance(stored, KeyReused):
            raise InputError(freezing.reuse_problems(stored))
        if isinstance(stored, Replayed):
            measuring.replayed(submission, stored.message_id)
            return stored.message_id, way, True
        measuring.accepted(message, self._clock.monotonic() - begun_at)
        self._dispatcher.wake(way.name, due_at=submission.send_at, is_urgent=is_urgent, announced=announced)
        return message.id, way, False

    def _frozen(
        self,
        submission: Submission,
        sending: freezing.Sending,
        senders: Sequence[str],
        *,
        now: datetime,
        entropy: bytes,
    ) -> Message:
        found = freezing.problems(submission, sending=sending, limits=self._limits, senders=senders, now=now)
        if found:
            raise InputError(found)
        return freezing.freeze(
            submission,
            sending=sending,
            rules=self._rules[submission.mail_class],
            id_domain=self._id_domain,
            now=now,
            entropy=entropy,
        )

    async def _prove(self, message: Message, way: Way) -> None:
        """Render the default variant and read it back; keep the bytes for an attempt that is due now.

        What has still to be fetched is not in these bytes: such a message is rendered anew.
        """
        variant = way.transport.variant
        rendered = await proven(message.content, variant)
        if (problem := size_problem(rendered, self._limits)) is not None:
            raise TooLargeError(problem)
        if message.send_at <= message.created_at and not message.content.remote_files:
            self._rendered.keep(message.id, variant, rendered)

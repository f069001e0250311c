"""Hands letters in as mails: each once, urgent ones first, those of an incident in their order.

Rules:

* A letter becomes a message under the key ``postroom-alert-NUMBER``, and then its record says so. A crash
  between the two neither loses nor doubles it: the next life hands it in again and is told that it was there.
* The message comes by the door ``alerts`` and not by ``postroom``: what becomes of it is told like what
  becomes of everybody's mail. That cannot go round in circles, because notices of failures are no alerts.
* It goes the way of its receiver, else of the rules of mail; never by a transport it is about, and by one
  that is down only when none works. A letter that is severe, or about Postroom itself, and finds no way for a
  minute is told by a fallback (``fallbacks``); others wait.
* A letter that can never be sent is closed, and the log says so loudly.

What it does not do: deciding whom to tell (``policy.alerting``), delivering (the dispatcher).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from postroom.clock import Clock
from postroom.engine.alerting.fallbacks import Fallbacks, is_severe, mailboxes, once
from postroom.engine.alerting.letters import LetterWriter, WrittenLetter
from postroom.engine.intake import Intake
from postroom.engine.limits import MessageLimits
from postroom.engine.routes import Routes
from postroom.engine.ways import Way, Ways
from postroom.errors import (
    CallerError,
    ConfigError,
    DiskFullError,
    InputError,
    InvariantError,
    OverloadError,
    StoreError,
    UnknownOutcomeError,
)
from postroom.model.address import Mailbox
from postroom.model.alert import Letter, StoredLetter
from postroom.model.alert_rules import AlertRules, Receiver
from postroom.model.ids import MessageId
from postroom.model.message import Attachment, Disposition, Door, MailClass, Submission
from postroom.model.route import Route
from postroom.policy.alerting.phrasing import bare
from postroom.policy.failover import Fitness
from postroom.policy.routing import parse_route
from postroom.ports import AlertRecords, Blobs, Spool
from postroom.telemetry import logger

TAG = "alert"
MAIL = "mail"
FAILED = "failed"
NO_WAY = "no transport works"
KEY_LIFE = timedelta(days=30)
"""Longer than a server is down between handing a letter in and its record; content is kept as long."""
PAGE = 32
"""Letters at a time: an urgent one that comes meanwhile waits for no more than these."""
PARALLEL = 8
POLL_S = 5.0
BUSY_S = 15.0
WAIT_FOR_WAY = timedelta(seconds=60)
MAX_TO = MessageLimits().max_recipients
"""Recipients of one mail."""
MAX_FAULTS = 5
"""Tries of a letter at which this program fails."""
FATAL = (StoreError, UnknownOutcomeError)
_MAY_WORK = (Fitness.WORKS, Fitness.PROBING)

log = logger("alerts")


class _Choice(NamedTuple):
    """How a letter goes."""

    way: Way
    """What takes it first."""
    route: Route | None
    """``None``: as the rules of mail choose."""


class Courier:
    """Runs until stopped."""

    def __init__(  # noqa: PLR0913 - the wiring hands over every part by name
        self,
        *,
        records: AlertRecords,
        rules: Callable[[], AlertRules],
        writer: LetterWriter,
        fallbacks: Fallbacks,
        intake: Intake,
        routes: Routes,
        ways: Ways,
        spool: Spool,
        blobs: Blobs,
        clock: Clock,
        fatal: Callable[[BaseException], None],
    ) -> None:
        """Take the parts.

        Args:
            records: The letters.
            rules: Returns those that hold now.
            writer: Makes their mails.
            fallbacks: Tells what finds no way.
            intake: Takes the mails.
            routes: Says which way the rules of mail choose.
            ways: To know which of them work.
            spool: The mail that began an incident.
            blobs: Where the pictures of a mail go.
            clock: Time and waiting.
            fatal: Called when the store fails and the process must end.
        """
        self._records = records
        self._rules = rules
        self.writer = writer
        self._fallbacks = fallbacks
        self._intake = intake
        self._routes = routes
        self._ways = ways
        self._spool = spool
        self._blobs = blobs
        self._clock = clock
        self._fatal = fatal
        self._faults: dict[int, int] = {}
        self._unrecorded: dict[int, tuple[MessageId | None, str]] = {}
        """What became of letters whose record failed: they are not told twice."""
        self._bell = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._serve(), name="alert letters")

    async def stop(self) -> None:
        """End; what was not handed in yet is handed in by the next life."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def hint(self) -> None:
        """Say that letters were stored."""
        self._bell.set()

    async def _serve(self) -> None:
        while True:
            self._bell.clear()
            wait_s = BUSY_S
            try:
                wait_s = await self._turn()
            except FATAL as error:
                self._fatal(error)
                return
            except (OverloadError, DiskFullError) as error:
                log.warning("alert letters put off", error=str(error))
            except Exception:  # supervision: telling never ends by a bug; the next turn comes
                log.exception("alert letters put off")
            if wait_s:
                await self._pause(wait_s)

    async def _pause(self, seconds: float) -> None:
        """Wait until somebody rings, at most so long."""
        waits = {asyncio.ensure_future(self._bell.wait()), asyncio.ensure_future(self._clock.sleep(seconds))}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    async def _turn(self) -> float:
        """Hand in what waits; return the seconds until the next look."""
        found = await self._records.open_letters(limit=PAGE)
        chains: dict[str, list[Letter]] = {}
        for stored in found:
            chains.setdefault(stored.letter.incident, []).append(stored.letter)
        gate = asyncio.Semaphore(PARALLEL)

        async def follow(chain: list[Letter]) -> bool:
            async with gate:
                for letter in sorted(chain, key=lambda one: one.number):
                    if not await self._carry(letter):
                        return False
                return True

        # Every chain goes on when another one fails: the worst that happened is told after that.
        ended = await asyncio.gather(*map(follow, chains.values()), return_exceptions=True)
        errors = [one for one in ended if isinstance(one, BaseException)]
        for error in sorted(errors, key=lambda one: not isinstance(one, FATAL)):
            raise error
        return 0.0 if len(found) == PAGE and all(ended) else POLL_S

    # ------------------------------------------------------------------ one letter

    async def _carry(self, letter: Letter) -> bool:
        """Hand one letter in; ``False`` while it waits."""
        try:
            told = self._unrecorded.get(letter.number) or await self._told(letter)
        except FATAL:
            raise
        except (OverloadError, DiskFullError) as error:
            told = await self._rescued(letter, cause=str(error))
        except Exception:  # supervision: a letter at which this program fails keeps no other one back
            count = self._faults[letter.number] = self._faults.get(letter.number, 0) + 1
            log.exception("an alert letter put off", letter=letter.number, tries=count)
            told = await self._given_up(letter, cause="a fault") if count >= MAX_FAULTS else None
        if told is None:
            return False
        self._unrecorded[letter.number] = message_id, by = told
        await self._records.sent(letter.number, message_id=message_id, by=by)
        del self._unrecorded[letter.number]
        self._faults.pop(letter.number, None)
        return True

    async def _told(self, letter: Letter) -> tuple[MessageId | None, str] | None:
        to, bad = mailboxes(letter)
        if bad:
            log.critical("an alert has addresses that are none", letter=letter.number, addresses=list(bad))
        if not to:
            return await self._given_up(letter, cause="no valid address")
        if not self._may_find_way(letter):  # nothing is rendered for days of an outage
            return await self._rescued(letter, cause=NO_WAY)
        first = await self._first(letter)
        written = await self.writer.written(
            letter, first=None if first is None else first.letter, is_hurried=self._is_late(letter)
        )
        submission = await self._submission(letter, written, to, first)
        choice = self._choice(letter, submission)
        if choice is None:
            return await self._rescued(letter, cause=NO_WAY)
        try:
            message_id = await self._submit(submission, choice)
        except (CallerError, InvariantError) as error:  # once more it would fail again
            return await self._given_up(letter, cause=str(error))
        log.info("alert letter", letter=letter.number, message_id=message_id, receiver=letter.receiver)
        return message_id, MAIL

    async def _first(self, letter: Letter) -> StoredLetter | None:
        """Return the letter that began the incident, unless it is this one."""
        first = await self._records.first_of(letter.incident)
        return None if first is None or first.letter.number == letter.number else first

    async def _submission(
        self, letter: Letter, written: WrittenLetter, to: tuple[Mailbox, ...], first: StoredLetter | None
    ) -> Submission:
        thread = await self._thread(letter, first)
        return Submission(
            tenant=letter.tenant,
            door=Door.ALERTS,
            to=to,
            subject=written.subject,
            text=written.text,
            html=written.html,
            headers=(("Auto-Submitted", "auto-generated"),),
            attachments=await asyncio.to_thread(self._pictures, letter, written),
            in_reply_to=thread,
            references=() if thread is None else (thread,),
            tags=(TAG,),
            metadata={"alert-letter": str(letter.number)},
            mail_class=MailClass.ALERT,
            idempotency_key=once(letter),
            idempotency_life=KEY_LIFE,
            template=written.template,
            template_asked=None if written.template is None else {"letter": str(letter.number)},
        )

    async def _thread(self, letter: Letter, first: StoredLetter | None) -> str | None:
        """Return the Message-ID of the mail that began the incident."""
        if first is None or first.message_id is None:
            return None
        try:
            message = await self._spool.message(first.message_id, tenant=letter.tenant)
        except StoreError as error:  # damaged content: it is told elsewhere, and the alert still goes
            log.warning("an alert begins a new thread", letter=letter.number, error=str(error))
            return None
        return None if message is None else message.content.message_id

    def _pictures(self, letter: Letter, written: WrittenLetter) -> tuple[Attachment, ...]:
        """Store the curves. Blocking."""
        found = []
        for number, one in enumerate(written.drawings, 1):
            staged = self._blobs.stage(letter.tenant)
            try:
                staged.write(one.data)
                ref = staged.commit()
            finally:
                staged.discard()
            found.append(
                Attachment(
                    filename=f"chart-{number}.png",
                    content_type="image/png",
                    blob=ref,
                    content_id=one.content_id,
                    disposition=Disposition.INLINE,
                )
            )
        return tuple(found)

    # ------------------------------------------------------------------ the way

    def _may_find_way(self, letter: Letter) -> bool:
        now = self._clock.now()
        return any(way.name not in letter.avoid and way.fitness(now) in _MAY_WORK for way in self._ways)

    def _choice(self, letter: Letter, submission: Submission) -> _Choice | None:
        """Return the way of a letter; ``None`` while there is none.

        What its receiver or the rules name, while any of that works; else every other transport that does,
        and after these what may be well again. The capture inbox is no way unless it is named.
        """
        now = self._clock.now()
        receiver = self._rules().receivers.get(letter.receiver)
        names = () if receiver is None else _legs(receiver)
        if not names:
            entropy = letter.number.to_bytes(8, "big")
            chosen = self._routes.foreseen(submission, now=now, entropy=entropy)
            names = chosen.route.legs
            if chosen.way.fitness(now) is Fitness.WORKS and not set(names) & set(letter.avoid):
                return _Choice(chosen.way, None)  # with the rule's words for the subject
        named = [way for name in names if (way := self._ways.named(name)) is not None]
        others = [way for way in self._ways if way not in named and not way.transport.is_capture]
        for fitness in _MAY_WORK:
            for ways in (named, others):
                found = [way for way in ways if way.name not in letter.avoid and way.fitness(now) is fitness]
                if found:
                    return _Choice(found[0], Route(tuple(way.name for way in found)))
        return None

    async def _submit(self, submission: Submission, choice: _Choice) -> MessageId | None:
        """Hand a mail in, to very many as several; return the id of the first.

        One that was handed in before in other words has no id here.
        """
        way = choice.way
        if way.default_from is None:  # the account, else the reader
            from_ = submission.to[0] if way.account is None else Mailbox(way.account)
            submission = replace(submission, from_=from_)
        ids: list[MessageId | None] = []
        for begin in range(0, len(submission.to), MAX_TO):
            key = submission.idempotency_key if not ids else f"{submission.idempotency_key}-{len(ids) + 1}"
            part = replace(submission, to=submission.to[begin : begin + MAX_TO], idempotency_key=key)
            try:
                message_id, _, _ = await self._intake.submit(part, senders=(), route=choice.route)
            except InputError as error:
                if all(problem.code != "idempotency-key-reused" for problem in error.problems):
                    raise
                ids.append(None)
            else:
                ids.append(message_id)
        return ids[0]

    # ------------------------------------------------------------------ without mail

    async def _rescued(self, letter: Letter, *, cause: str) -> tuple[None, str] | None:
        """Tell a severe letter by a fallback once it has waited for long enough."""
        if not is_severe(letter) or not self._is_late(letter):
            return None
        return None, await self._fallback(letter, cause=cause)

    def _is_late(self, letter: Letter) -> bool:
        """Say whether it has waited for long enough; so has one by a clock that was ahead of ours."""
        return not timedelta() <= self._clock.now() - letter.at < WAIT_FOR_WAY

    async def _given_up(self, letter: Letter, *, cause: str) -> tuple[None, str]:
        """Close a letter that can never be sent; a severe one is told by a fallback."""
        log.critical(
            "an alert cannot be mailed", letter=letter.number, to=list(letter.recipients), cause=cause
        )
        if not is_severe(letter):
            return None, FAILED
        return None, await self._fallback(letter, cause=cause)

    async def _fallback(self, letter: Letter, *, cause: str) -> str:
        try:
            said = await asyncio.to_thread(self.writer.phrased, letter)  # draws up to 50 alerts
        except Exception:  # supervision: what finds no words is told all the same
            log.exception("an alert is told in the barest words", letter=letter.number)
            said = bare(letter)
        return await self._fallbacks.tell(letter, said, cause=cause, now=self._clock.now())


def _legs(receiver: Receiver) -> Sequence[str]:
    """Return the transports that a receiver names."""
    if not receiver.route:
        return ()
    try:
        return parse_route(receiver.route, field="route").legs
    except ConfigError as error:  # its alerts go as other mail does
        log.warning("the route of a receiver cannot be read", receiver=receiver.name, error=str(error))
        return ()

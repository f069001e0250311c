"""Storing messages, in the writer thread: one transaction for the whole batch.

A message with an idempotency key is stored together with the key (reliability rule H1); every blob it
names must be there in the same batch (A2).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from postroom.errors import InvariantError
from postroom.model.ids import MessageId, TenantId
from postroom.model.message import BlobRef, Message
from postroom.ports import IdempotencyClaim, KeyReused, Replayed, Stored
from postroom.spool.codec import micros
from postroom.spool.groups import PRIORITIES, members_text, replay_or_reuse
from postroom.spool.sqlite.ledger import Ledger
from postroom.spool.sqlite.statement import statement

_EARLIER_USE = statement("earlier_use")
_REMEMBER_KEY = statement("remember_key")
_INSERT_MESSAGE = statement("insert_message")
_INSERT_CONTENT = statement("insert_content")
_INSERT_RECIPIENT = statement("insert_recipient")
_INSERT_REFERENCE = statement("insert_reference")
INSERT_GROUP = statement("insert_group")


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """One message to store."""

    message: Message
    body: bytes
    sha256: bytes
    transport: str
    idempotency: IdempotencyClaim | None


Verdict = Stored | Replayed | KeyReused | InvariantError
HasBlob = Callable[[TenantId, BlobRef], bool]


def accept(ledger: Ledger, intakes: Sequence[Intake], *, has_blob: HasBlob) -> Sequence[Verdict]:
    """Store messages; a missing blob fails only the message that names it."""
    verdicts: list[Verdict] = []
    rows = _Rows()
    for intake in intakes:
        verdict: Verdict | None = None
        if intake.idempotency is not None:
            verdict = _earlier(ledger, intake.message, intake.idempotency)
        if verdict is None and intake.message.content.attachments:
            verdict = _missing_blob(intake.message, has_blob)
        if verdict is None:
            rows.add(ledger, intake)
            verdict = Stored(message_id=intake.message.id)
        verdicts.append(verdict)
    rows.write(ledger)
    return verdicts


class _Rows:
    """Rows of a batch, by table, so that each statement runs over all of them."""

    __slots__ = ("contents", "groups", "messages", "recipients", "references")

    def __init__(self) -> None:
        self.messages: list[tuple[int | str | None, ...]] = []
        self.contents: list[tuple[int, bytes, bytes]] = []
        self.recipients: list[tuple[int, int, str]] = []
        self.references: list[tuple[str, str, int]] = []
        self.groups: list[tuple[int | str | None, ...]] = []

    def add(self, ledger: Ledger, intake: Intake) -> None:
        message = intake.message
        seq = ledger.next_seq()
        expires_at = micros(message.expires_at)
        recipients = message.envelope.recipients
        self.messages.append(_message_row(seq, intake, expires_at))
        self.contents.append((seq, intake.sha256, intake.body))
        for number, address in enumerate(recipients):
            self.recipients.append((seq, number, address.spec))
        for attachment in message.content.attachments:
            self.references.append((attachment.blob.sha256, message.tenant, seq))
        self.groups.append(
            (
                seq,
                0,
                intake.transport,
                PRIORITIES[message.mail_class],
                "queued",
                micros(message.send_at),
                "0" if len(recipients) == 1 else members_text(range(len(recipients))),
                0,
                0,
                None,
                0,
                expires_at,
            )
        )
        if intake.idempotency is not None:
            # At once, not with the rest: a second use of the key may stand in the same batch.
            _remember(ledger, message, intake.idempotency)
        ledger.count("queued", len(recipients))
        ledger.recent.put(seq, message, len(intake.body))

    def write(self, ledger: Ledger) -> None:
        ledger.run_many(_INSERT_MESSAGE, self.messages)
        ledger.run_many(_INSERT_CONTENT, self.contents)
        ledger.run_many(_INSERT_RECIPIENT, self.recipients)
        ledger.run_many(INSERT_GROUP, self.groups)
        if self.references:
            ledger.run_many(_INSERT_REFERENCE, self.references)


def _message_row(seq: int, intake: Intake, expires_at: int) -> tuple[int | str | None, ...]:
    message = intake.message
    return (
        seq,
        message.id,
        message.tenant,
        message.door,
        message.mail_class,
        intake.transport,
        message.uncertain_policy,
        micros(message.created_at),
        expires_at,
        message.content.from_.address.spec,
        message.content.subject,
        json.dumps(message.tags) if message.tags else None,
        json.dumps(dict(message.metadata)) if message.metadata else None,
    )


def _earlier(ledger: Ledger, message: Message, claim: IdempotencyClaim) -> Replayed | KeyReused | None:
    row = ledger.run(_EARLIER_USE, (message.tenant, claim.key)).fetchone()
    if row is None or int(str(row[2])) <= micros(message.created_at):
        return None
    message_id, fields, _ = row
    before: dict[str, str] = json.loads(str(fields))
    return replay_or_reuse(MessageId(str(message_id)), before, claim)


def _remember(ledger: Ledger, message: Message, claim: IdempotencyClaim) -> None:
    fields = json.dumps(dict(claim.fields))
    ledger.run(_REMEMBER_KEY, (message.tenant, claim.key, message.id, fields, micros(claim.keep_until)))


def _missing_blob(message: Message, has_blob: HasBlob) -> InvariantError | None:
    for attachment in message.content.attachments:
        if not has_blob(message.tenant, attachment.blob):
            return InvariantError(f"attachment {attachment.blob.sha256} was not committed to the blob store")
    return None

"""Messages whose files were fetched, for whoever has the connection.

The content, its hash, the references to its files and the end of the lease are one transaction: a message has
all of its files or none.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from postroom.errors import InvariantError
from postroom.model.attempt import Lease
from postroom.model.message import Attachment
from postroom.spool.codec import encode_message
from postroom.spool.sqlite.claiming import stored_message
from postroom.spool.sqlite.ending import leased, put_back
from postroom.spool.sqlite.intake import HasBlob
from postroom.spool.sqlite.ledger import Ledger
from postroom.spool.sqlite.statement import statement

_REPLACE_CONTENT = statement("replace_content")
_INSERT_REFERENCE = statement("insert_reference")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What was fetched for the message of a lease."""

    lease: Lease
    attachments: tuple[Attachment, ...]


def complete(
    ledger: Ledger, completions: Sequence[Completion], *, has_blob: HasBlob
) -> Sequence[bool | InvariantError]:
    """Complete messages; a missing blob fails only the one that names it."""
    return [_complete(ledger, one, has_blob) for one in completions]


def _complete(ledger: Ledger, one: Completion, has_blob: HasBlob) -> bool | InvariantError:
    row = leased(ledger, one.lease)
    if row is None:
        return False
    message = stored_message(ledger, row.seq)
    if message is not None and message.content.remote_files:  # else damaged: the next claim holds it
        for attachment in one.attachments:
            if not has_blob(message.tenant, attachment.blob):
                return InvariantError(f"file {attachment.blob.sha256} was not committed to the blob store")
        attachments = message.content.attachments + one.attachments
        content = replace(message.content, attachments=attachments, remote_files=())
        body = encode_message(replace(message, content=content))
        ledger.run(_REPLACE_CONTENT, (hashlib.sha256(body).digest(), body, row.seq))
        ledger.run_many(
            _INSERT_REFERENCE,
            [(attachment.blob.sha256, message.tenant, row.seq) for attachment in one.attachments],
        )
        ledger.recent.take(row.seq)  # another group of it may wait for its first claim
    put_back(ledger, row, one.lease)
    return True

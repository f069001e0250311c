"""What the parameters of MAIL mean for a mail: when it is sent, how long it is tried, which class it is.

| parameter | meaning here |
|---|---|
| ``HOLDFOR=n``, ``HOLDUNTIL=t`` (RFC 4865) | ``send_at``; a time that is over means now |
| ``BY=n;R`` (RFC 2852) | ``expires_at``: not sent by then, it is given back as expired |
| ``BY=n;N`` | what waits then is reported as delayed, but for recipients with ``NOTIFY=NEVER`` |
| ``MT-PRIORITY=3`` to ``9`` (RFC 6710) | class alert |
| ``MT-PRIORITY=-2`` to ``2``, or none | the class that the mail has anyway |
| ``MT-PRIORITY=-9`` to ``-3`` | class bulk |

No priority means class code: such a mail expires after minutes, which somebody who asks for haste did not ask
for; that class is asked for by its name. The steps at 3 and -3 leave room for clients that mark mail as
slightly more or less urgent (RFC 6710 section 4 counts from -9 to 9 with 0 as the usual).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from postroom.model.address import Address
from postroom.model.message import MailClass, Notify
from postroom.smtp.server_events import Wishes
from postroom.smtp.server_replies import ServerReply

URGENT_FROM = 3
"""Priorities from here on are class alert."""
PATIENT_TO = -3
"""Priorities down from here are class bulk."""
_USUAL = frozenset({Notify.FAILURE})
"""The wish of who wishes nothing (RFC 3461 section 4.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What becomes of a submission by its envelope; ``None`` where the envelope says nothing."""

    send_at: datetime | None = None
    expires_at: datetime | None = None
    relative: Mapping[str, timedelta] = field(default_factory=dict)
    """Which of the two were counted from the arrival, and how long."""
    late_at: datetime | None = None
    """When what waits is to be reported as delayed."""
    mail_class: MailClass | None = None


def terms_of(wishes: Wishes, *, now: datetime) -> Terms:
    """Return what these wishes mean for a mail that came at ``now``."""
    by, relative = wishes.deliver_by, {}
    if wishes.hold_for is not None:
        relative["send_at"] = wishes.hold_for
    if by is not None and by.returns:
        relative["expires_at"] = timedelta(seconds=by.seconds)
    return Terms(
        send_at=_release(wishes, now),
        expires_at=now + relative["expires_at"] if "expires_at" in relative else None,
        relative=relative,
        late_at=None if by is None or by.returns else now + timedelta(seconds=by.seconds),
        mail_class=_class_of(wishes.priority),
    )


def and_of_delay(
    notify: Mapping[Address, frozenset[Notify]], recipients: Iterable[Address]
) -> Mapping[Address, frozenset[Notify]]:
    """Return the wishes of all recipients with that for a delay beside the others; NEVER stays alone."""
    wanted = {address: notify.get(address, _USUAL) for address in recipients}
    return {
        address: said if Notify.NEVER in said else said | {Notify.DELAY} for address, said in wanted.items()
    }


def objection_to(wishes: Wishes, *, now: datetime, max_hold: timedelta) -> ServerReply | None:
    """Return why these wishes cannot be granted to a mail that begins at ``now``."""
    release = _release(wishes, now)
    if release is None:
        return None
    if release > now + max_hold:
        return ServerReply(
            501, "5.5.4", f"A mail is held for {int(max_hold.total_seconds())} seconds at most"
        )
    by = wishes.deliver_by
    if by is not None and by.returns and now + timedelta(seconds=by.seconds) <= release:
        return ServerReply(501, "5.5.4", "BY ends before the mail is released; give it more time")
    return None


def _release(wishes: Wishes, now: datetime) -> datetime | None:
    return wishes.hold_until if wishes.hold_for is None else now + wishes.hold_for


def _class_of(priority: int | None) -> MailClass | None:
    if priority is None or PATIENT_TO < priority < URGENT_FROM:
        return None
    return MailClass.ALERT if priority > 0 else MailClass.BULK

"""Links in alert mails by which their readers act: signed, expiring, and the same whenever they are made.

A link is ``PUBLIC_URL/alerts/act?do=DEED&alert=ID&to=RECEIVER&letter=NUMBER&tenant=TENANT&s=SIGNED`` (or
``group=ID`` in place of ``alert``), and ``SIGNED`` is ``EXPIRY.KEY.SIGNATURE``. The signature is an
HMAC-SHA256 over all other members with a key derived for the deed, so that no link is good for another deed
or as a link to a file, which the same keys sign. A link shows a page; only what is sent from that page acts,
because scanners open every link of a mail.

Whoever has the mail can act, as its reader: the receiver's name says so in the history. Nothing here says
whether the letter or the alert still exist.

Pure: keys and instants are arguments.
"""

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from urllib.parse import urlencode

from postroom.model.alert import AlertId, GroupId
from postroom.model.ids import TenantId
from postroom.policy.links import LinkKeys, key_name

PATH = "/alerts/act"
LIFETIME = timedelta(days=7)
"""Longer than a weekend and a holiday; a link that is rendered late has at least half of it left."""
_HEX = re.compile(r"[0-9a-f]{20}\Z")
_SIGNED = re.compile(r"([0-9]{1,12})\.([0-9a-f]{8})\.([A-Za-z0-9_\-]{43})\Z")


class AlertDeed(StrEnum):
    """What a link is good for."""

    ACKNOWLEDGE = "ack"
    """Somebody works on it: until it is over nobody is told that it is still so."""
    SILENCE_HOUR = "silence-1h"
    SILENCE_DAY = "silence-1d"
    RHYTHM_HOURS = "rhythm-4h"
    RHYTHM_DAY = "rhythm-1d"
    RHYTHM_WEEK = "rhythm-1w"
    """How often the group repeats what is still active."""

    @property
    def span(self) -> timedelta | None:
        """How long is silenced, or how often is repeated; ``None`` for an acknowledgement."""
        return _SPANS.get(self)

    @property
    def is_rhythm(self) -> bool:
        """Whether it is about the group, whatever alert the link stands beside."""
        return self.value.startswith("rhythm")


_SPANS = {
    AlertDeed.SILENCE_HOUR: timedelta(hours=1),
    AlertDeed.SILENCE_DAY: timedelta(days=1),
    AlertDeed.RHYTHM_HOURS: timedelta(hours=4),
    AlertDeed.RHYTHM_DAY: timedelta(days=1),
    AlertDeed.RHYTHM_WEEK: timedelta(weeks=1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertAct:
    """What the reader of a letter may do: to one alert, or to all that its group told of in the letter."""

    deed: AlertDeed
    tenant: TenantId
    letter: int
    """Number of the letter the link stands in."""
    receiver: str
    """Who acts: the name of the letter's receiver."""
    alert: AlertId | None = None
    group: GroupId | None = None
    """Exactly one of the two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertLinks:
    """Makes the links of letters, and reads them."""

    public_url: str
    keys: LinkKeys

    def url(self, act: AlertAct, *, written_at: datetime, now: datetime) -> str:
        """Return the link for a letter that was written then and is rendered now."""
        half = LIFETIME / 2
        expires = written_at + max((now - written_at) // half, 0) * half + LIFETIME
        return f"{self.public_url.rstrip('/')}{PATH}?{signed(act, self.keys, expires=expires)}"


def signed(act: AlertAct, keys: LinkKeys, *, expires: datetime) -> str:
    """Return the query of a link."""
    seconds = int(expires.timestamp())
    digest = urlsafe_b64encode(_digest(keys.keys[0], act, seconds)).decode().rstrip("=")
    return urlencode({**_members(act), "s": f"{seconds}.{keys.id}.{digest}"})


def read_act(query: Mapping[str, str], keys: LinkKeys) -> tuple[AlertAct, datetime] | None:
    """Return what a link is good for and when it ends; ``None`` for what none of the keys signed.

    Members that it does not know are ignored. A link that has ended is returned too: its page says so.
    """
    match = _SIGNED.match(query.get("s", ""))
    act = _act(query)
    if match is None or act is None:
        return None
    expires, given = int(match[1]), urlsafe_b64decode(match[3] + "=")
    for key in keys.keys:
        if key_name(key) == match[2] and hmac.compare_digest(_digest(key, act, expires), given):
            return act, datetime.fromtimestamp(expires, UTC)
    return None


def _act(query: Mapping[str, str]) -> AlertAct | None:
    alert, group, letter = query.get("alert"), query.get("group"), query.get("letter", "")
    about = alert or group or ""
    if query.get("do", "") not in list(AlertDeed) or _HEX.match(about) is None or (alert and group):
        return None
    if not (letter.isascii() and letter.isdecimal() and len(letter) <= 15):
        return None
    return AlertAct(
        deed=AlertDeed(query["do"]),
        tenant=TenantId(query.get("tenant", "")),
        letter=int(letter),
        receiver=query.get("to", ""),
        alert=AlertId(alert) if alert else None,
        group=GroupId(group) if group else None,
    )


def _members(act: AlertAct) -> dict[str, str]:
    about = {"alert": act.alert} if act.alert is not None else {"group": str(act.group)}
    return {
        "do": act.deed.value,
        **about,
        "to": act.receiver,
        "letter": str(act.letter),
        "tenant": act.tenant,
    }


def _digest(key: bytes, act: AlertAct, expires: int) -> bytes:
    own = hmac.digest(key, f"postroom alert link {act.deed.value}".encode(), hashlib.sha256)
    text = json.dumps([_members(act), expires])
    return hmac.digest(own, text.encode(), hashlib.sha256)

"""The ways of an alert that cannot go by mail: a webhook, the machine's own sendmail, the log.

They are asked in the order of the settings until one has taken it. What is told twice because of a crash
between the telling and its record has the same id: ``postroom-alert-NUMBER``, in the webhook's header
``webhook-id`` and as the mail's Message-ID. The log always takes it.
"""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from postroom.mime.writer import render
from postroom.model.address import AddressError, Mailbox, parse_mailbox
from postroom.model.alert import AlertState, Letter
from postroom.model.message import Content
from postroom.policy.alerting.own import is_own
from postroom.policy.alerting.phrasing import Phrased
from postroom.ports import HookPoster
from postroom.telemetry import logger

JOURNAL, SENDMAIL, WEBHOOK = "journal", "sendmail", "webhook:"
TIMEOUT_S = 10.0
MAX_NAMED = 50

log = logger("alerts")


class LocalMail(Protocol):
    """The machine's own way for mail."""

    async def hand_in(self, mail: bytes) -> str:
        """Hand a mail with LF line ends to it; return ``""``, or why it was not taken."""
        ...


class Fallbacks:
    """Tells a letter by a way that needs none of the transports."""

    def __init__(
        self,
        *,
        ways: Callable[[], Sequence[str]],
        poster: HookPoster,
        local: LocalMail,
        installation: str = "Postroom",
    ) -> None:
        """Take the settings' ways in their order, and what makes them."""
        self._ways = ways
        self._poster = poster
        self._local = local
        self._installation = installation

    async def tell(self, letter: Letter, said: Phrased, *, cause: str, now: datetime) -> str:
        """Tell a letter; return by which way. Never raises for what a way does.

        Args:
            letter: What is told.
            said: Its words.
            cause: Why it does not go by mail.
            now: For the mail's date.
        """
        for way in self._ways():
            if way == JOURNAL:
                break
            try:
                if way == SENDMAIL:
                    problem = await self._hand_in(letter, said, now=now)
                else:
                    problem = await self._post(way.removeprefix(WEBHOOK), letter, said, cause=cause)
            except Exception as error:  # noqa: BLE001 - supervision: a way that fails leaves the next
                problem = type(error).__name__  # no more: an address may have a secret in it
            if not problem:
                log.warning("an alert was told by a fallback", letter=letter.number, way=_name(way))
                return _name(way)
            log.error("a fallback took no alert", letter=letter.number, way=_name(way), problem=problem)
        log.critical(
            said.subject, letter=letter.number, cause=cause, to=list(letter.recipients), text=said.text
        )
        return JOURNAL

    async def _hand_in(self, letter: Letter, said: Phrased, *, now: datetime) -> str:
        to, _ = mailboxes(letter)
        return await self._local.hand_in(_mail(letter, said, to=to, now=now)) if to else "no valid address"

    async def _post(self, url: str, letter: Letter, said: Phrased, *, cause: str) -> str:
        if problem := self._poster.problem_with(url):
            return problem
        headers = {"content-type": "application/json", "webhook-id": once(letter)}
        body = self._body(letter, said, cause=cause)
        answer = await self._poster.post(url, headers=headers, body=body, timeout_s=TIMEOUT_S)
        if answer.status is not None and 200 <= answer.status < 300:
            return ""
        return f"{answer.status or 'no answer'}: {answer.text[:200]}"

    def _body(self, letter: Letter, said: Phrased, *, cause: str) -> bytes:
        alerts = [
            {
                "id": item.alert.id,
                "key": item.alert.key,
                "severity": item.alert.severity.value,
                "state": item.alert.state.value,
                "source": item.alert.source,
                "object": item.alert.object,
                "title": item.alert.title,
                "since": item.alert.first_at.isoformat(),
            }
            for item in letter.items[:MAX_NAMED]
        ]
        told = {
            "type": "alert",
            "id": once(letter),
            "installation": self._installation,
            "at": letter.at.isoformat(),
            "receiver": letter.receiver,
            "subject": said.subject,
            "text": said.text,
            "still_active": letter.active,
            "not_mailed_because": cause,
            "alerts": alerts,
        }
        return json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")


def is_severe(letter: Letter) -> bool:
    """Say whether a letter is told by a fallback rather than late."""
    news = [item.alert for item in letter.items if item.is_news] or [item.alert for item in letter.items]
    return any(
        (alert.severity.is_urgent and alert.state is AlertState.FIRING) or is_own(alert) for alert in news
    )


def once(letter: Letter) -> str:
    """Return the key under which a letter is told once."""
    return f"postroom-alert-{letter.number}"


def _name(way: str) -> str:
    """Return how the history calls a way: an address may have a secret in it."""
    return way.partition(":")[0]


def mailboxes(letter: Letter) -> tuple[tuple[Mailbox, ...], tuple[str, ...]]:
    """Return the recipients of a letter, and those whose address is none."""
    good, bad = [], []
    for recipient in letter.recipients:
        try:
            good.append(parse_mailbox(recipient))
        except AddressError:
            bad.append(recipient)
    return tuple(good), tuple(bad)


def _mail(letter: Letter, said: Phrased, *, to: tuple[Mailbox, ...], now: datetime) -> bytes:
    """Return a plain mail for ``sendmail -t``; the machine may put another sender."""
    content = Content(
        message_id=f"{once(letter)}@{to[0].address.domain}",
        date=now,
        boundary=once(letter),
        from_=to[0],
        to=to,
        subject=said.subject,
        text=said.text,
        headers=(("Auto-Submitted", "auto-generated"),),
    )
    segments = [segment for segment in render(content).segments if isinstance(segment, bytes)]
    return b"".join(segments).replace(b"\r\n", b"\n")

"""The page behind the links of alert mails: GET shows what would happen, POST does it.

The signed link is the only key, on the page as well: its button sends the same link. GET and HEAD never act,
because scanners open every link of a mail. Doing it twice is as good as once. A link that none of our keys
signed is 403, one that has ended 410, and one whose alerts are over 410.

No script, nothing from elsewhere; the link stands in the query, which no log records, and no referrer tells
it.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.alerting.forms import Acted
from postroom.errors import NotFoundError, OverloadError, Problem, StoreError
from postroom.ingress.http import markup
from postroom.ingress.http.alert_words import PAGE_WORDS, PageWords
from postroom.ingress.http.alerts import AlertRoom
from postroom.ingress.http.language import language_asked
from postroom.model.alert import AlertState, AlertView
from postroom.policy.alerting.links import AlertAct, read_act
from postroom.policy.alerting.words import words_of
from postroom.web.problem import HttpError, problem_of

MAX_SHOWN = 20
"""Alerts named on a page."""


class AlertPageDoors:
    """``/alerts/act``."""

    def __init__(self, room: AlertRoom) -> None:
        """Take what is behind the page."""
        self._alerts = room.alerts
        self._clock = room.clock
        self._keys = room.keys

    async def show(self, request: Request) -> Response:
        """Show what a link would do; change nothing."""
        language = language_asked(request)
        said, words = PAGE_WORDS[language], words_of(language)
        try:
            act, ends_at = await self._link(request, said)
            about = await self._alerts.about(act)
            if not any(one.state is AlertState.FIRING or act.deed.span is not None for one in about):
                raise NotFoundError("nothing of it is active any more")  # noqa: TRY301 - the same answer
        except (HttpError, NotFoundError, StoreError, OverloadError) as error:
            return _refused(error, said, language)
        deed = words.deed(act.deed)
        content = (
            f"<h1>{escape(deed)}</h1><section>{_facts(act, about, ends_at, said)}"
            f'<p>{escape(said.lead)}</p><form method="post"><button>{escape(deed)}</button></form></section>'
        )
        return _page(deed, content, language=language, has_form=True)

    async def act(self, request: Request) -> Response:
        """Do it."""
        language = language_asked(request)
        said = PAGE_WORDS[language]
        try:
            act, _ = await self._link(request, said)
            acted = await self._alerts.act(act)
        except (HttpError, NotFoundError, StoreError, OverloadError) as error:
            return _refused(error, said, language)
        content = (
            f"<h1>{escape(said.done)}</h1><section><p>{escape(_told(act, acted, said, language))}</p>"
            f"{_facts(act, acted.alerts, None, said)}<p>{escape(said.close)}</p></section>"
        )
        return _page(said.done, content, language=language)

    def refusal(self, error: Exception) -> Response:
        """Answer what the gate refuses as a page too."""
        return _refused(error, PAGE_WORDS["en"], "en")

    async def _link(self, request: Request, said: PageWords) -> tuple[AlertAct, datetime]:
        """Return what a link is good for, and until when. Raises HttpError for what is none (any more)."""
        keys = await asyncio.to_thread(self._keys)
        query = request.query_params.multi_items()
        found = read_act(dict(query), keys) if keys is not None and len(dict(query)) == len(query) else None
        if found is None:
            raise _no_link(403, code="link-forged", cause=said.forged)
        if found[1] <= self._clock.now():
            raise _no_link(410, code="link-expired", cause=said.expired.format(at=_time(found[1])))
        return found


def _facts(act: AlertAct, alerts: Sequence[AlertView], ends_at: datetime | None, said: PageWords) -> str:
    """Mark up which alerts it is about, who asks, and until when the link is good."""
    names = [one.title or f"{one.key} {one.object}".strip() for one in alerts[:MAX_SHOWN]]
    more = [f"+ {len(alerts) - MAX_SHOWN}"] if len(alerts) > MAX_SHOWN else []
    pairs = [(said.alerts if not number else "", name) for number, name in enumerate([*names, *more])]
    pairs.append((said.asks, act.receiver))
    if ends_at is not None:
        pairs.append((said.ends, _time(ends_at)))
    return markup.facts(pairs)


def _told(act: AlertAct, acted: Acted, said: PageWords, language: str) -> str:
    if act.deed.is_rhythm:
        return said.repeated.format(deed=words_of(language).deed(act.deed))
    if acted.silences:
        return said.silenced.format(until=_time(max(one.ends_at for one in acted.silences)))
    return said.acknowledged


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _no_link(status: int, *, code: str, cause: str) -> HttpError:
    return HttpError(status, Problem(code=code, field="s", cause=cause, fix=""))


def _refused(error: Exception, said: PageWords, language: str) -> Response:
    document = problem_of(error)
    match error:
        case HttpError():
            status, text = error.status, error.problem.cause
        case NotFoundError():
            status, text = 410, said.over
        case _:
            status, text = document.status, said.busy
    content = f'<h1>Postroom</h1><p class="loud">{escape(text)}</p>'
    page = _page("Postroom", content, language=language, status=status)
    page.headers.update(document.headers)
    return page


def _page(title: str, content: str, *, language: str, status: int = 200, has_form: bool = False) -> Response:
    page = markup.page(title, content, status=status, language=language, has_form=has_form)
    page.headers.update({"content-language": language, "vary": "Accept-Language"})
    return page

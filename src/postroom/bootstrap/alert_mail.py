"""Who makes mails of the letters of alerts, and what tells them when no mail can be sent."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from postroom.bootstrap.hooks_out import link_keys
from postroom.bootstrap.naming import installation
from postroom.bootstrap.seeing import begin_log
from postroom.bootstrap.templates import renderer_of, templating_of
from postroom.bootstrap.way_in import WayIn
from postroom.clock import Clock, SystemClock
from postroom.config.settings import Settings
from postroom.egress.local_sendmail import LocalSendmail
from postroom.engine.alerting.courier import Courier
from postroom.engine.alerting.fallbacks import Fallbacks
from postroom.engine.alerting.letters import LetterWriter, WrittenLetter
from postroom.engine.templates import Templating
from postroom.engine.ways import Ways
from postroom.model.alert import Letter
from postroom.model.alert_rules import AlertRules
from postroom.policy.alerting.links import AlertLinks
from postroom.ports import HookPoster
from postroom.spool.memory.templates import MemoryTemplates
from postroom.spool.sqlite.opening import SqliteStore


@dataclass(frozen=True, slots=True, kw_only=True)
class MailParts:
    """What alert mails go through."""

    entrance: WayIn
    templating: Templating
    poster: HookPoster


def writer_of(
    settings: Settings, templating: Templating, *, rules: Callable[[], AlertRules], clock: Clock
) -> LetterWriter:
    """Return who writes letters; the keys of links are made with the first one."""
    public_url = settings.public_url

    @cache
    def links() -> AlertLinks | None:
        return (
            None if public_url is None else AlertLinks(public_url=public_url, keys=link_keys(settings.data))
        )

    return LetterWriter(
        templating=templating,
        rules=rules,
        clock=clock,
        installation=installation(settings),
        links=links,
    )


def letters_alone(settings: Settings, letters: Sequence[Letter]) -> Sequence[WrittenLetter]:
    """Return what would be mailed, made without a server. Raises OverloadError."""
    begin_log(settings, level=logging.ERROR)

    async def write() -> Sequence[WrittenLetter]:
        clock = SystemClock()
        renderer = renderer_of(settings.templates, clock=clock)
        templating = templating_of(settings.templates, renderer, MemoryTemplates(), clock=clock)
        writer = LetterWriter(
            templating=templating,
            rules=lambda: settings.alerts,
            clock=clock,
            installation=installation(settings),
        )
        try:
            return [await writer.written(letter) for letter in letters]
        finally:
            await renderer.close()

    return asyncio.run(write())


def courier_of(
    settings: Settings,
    store: SqliteStore,
    parts: MailParts,
    *,
    ways: Ways,
    rules: Callable[[], AlertRules],
    clock: Clock,
    fatal: Callable[[BaseException], None],
) -> Courier:
    """Put the courier together; nothing runs yet."""
    return Courier(
        records=store.alerts,
        rules=rules,
        writer=writer_of(settings, parts.templating, rules=rules, clock=clock),
        fallbacks=Fallbacks(
            ways=lambda: rules().fallback,
            poster=parts.poster,
            local=LocalSendmail(),
            installation=installation(settings),
        ),
        intake=parts.entrance.intake,
        routes=parts.entrance.routes,
        ways=ways,
        spool=store.spool,
        blobs=store.blobs,
        clock=clock,
        fatal=fatal,
    )

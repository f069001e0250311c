"""The store of a data directory, and the refusal to capture from one that has sent real mail."""

from dataclasses import replace

from postroom.bootstrap.way_in import class_rules
from postroom.clock import Clock
from postroom.config.checks import exposure_problems
from postroom.config.settings import Settings
from postroom.errors import ConfigError, Problem
from postroom.policy.blocking import BlockList
from postroom.spool.settings import SpoolSettings
from postroom.spool.sqlite.opening import SqliteStore, open_sqlite


def open_store(settings: Settings, clock: Clock) -> SqliteStore:
    """Open the data directory."""
    return open_sqlite(settings.data, settings=bounds_of(settings), clock=clock)


def bounds_of(settings: Settings) -> SpoolSettings:
    """Return the store's settings. A bound that was set holds as it is, whatever the size of the volume."""
    rules = class_rules(settings)
    bounds = SpoolSettings(
        lifetimes={mail_class: rule.expires for mail_class, rule in rules.items()},
        secret_key=settings.secret_key,
        blocked=BlockList(settings.blocked),
    )
    if settings.disk.reserve is not None:
        bounds = replace(bounds, reserve=settings.disk.reserve, reserve_share=1.0)
    if settings.disk.sending_reserve is not None:
        bounds = replace(bounds, sending_reserve=settings.disk.sending_reserve)
    if settings.disk.ballast is not None:
        bounds = replace(bounds, ballast=settings.disk.ballast, ballast_share=1.0)
    return bounds


async def refuse_silent_capture(settings: Settings, store: SqliteStore) -> None:
    """A store that has sent real mail is not captured from by a forgotten setting."""
    if settings.capture or not settings.is_capturing:
        return
    if not settings.transports and await store.transports.all():
        return
    if problems := exposure_problems(settings):
        raise ConfigError(problems)
    if await store.spool.has_sent_real_mail():
        raise ConfigError(
            [
                Problem(
                    code="transport-missing",
                    field="transports",
                    cause=f"the store {settings.data} has sent real mail, and now no transport is set",
                    fix="Set POSTROOM_TRANSPORT (or [[transports]] in postroom.toml), or give --capture.",
                )
            ]
        )

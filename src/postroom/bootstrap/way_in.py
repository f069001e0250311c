"""The way in: the rules of the classes and routes, intake, and what explains its decisions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from postroom.clock import Clock, Dice
from postroom.config.settings import Settings
from postroom.engine.dispatcher import Dispatcher
from postroom.engine.explain import Explainer
from postroom.engine.intake import Intake
from postroom.engine.rendering import RenderedMessages
from postroom.engine.routes import Routes
from postroom.engine.ways import Ways
from postroom.model.message import MailClass
from postroom.policy.blocking import BlockList
from postroom.policy.retry import CLASS_RULES, ClassRules
from postroom.policy.routing import RouteTable
from postroom.spool.sqlite.opening import SqliteStore


def class_rules(settings: Settings) -> Mapping[MailClass, ClassRules]:
    """Return the class table with what the settings change."""
    rules = dict(CLASS_RULES)
    for mail_class, changed in settings.classes.items():
        rule = rules[mail_class]
        rules[mail_class] = replace(
            rule,
            expires=changed.expires or rule.expires,
            first_s=changed.first_retry.total_seconds() if changed.first_retry else rule.first_s,
            cap_s=changed.max_retry.total_seconds() if changed.max_retry else rule.cap_s,
            schedule=changed.retry or (),
            uncertain=changed.uncertain or rule.uncertain,
            uncertain_failover=bool(changed.uncertain_failover),
        )
    return rules


@dataclass(frozen=True, slots=True, kw_only=True)
class WayIn:
    """What takes mail in, which way it goes, and what says how."""

    intake: Intake
    routes: Routes
    explainer: Explainer


def way_in(
    settings: Settings,
    store: SqliteStore,
    *,
    ways: Ways,
    dispatcher: Dispatcher,
    rules: Mapping[MailClass, ClassRules],
    rendered: RenderedMessages,
    clock: Clock,
    dice: Dice,
) -> WayIn:
    """Put both together over the same rules; the default route is a group of URLs, else the first way."""
    default = settings.default_route
    table = None if default is None else RouteTable(settings.routes, default)
    routes = Routes(ways, table, rules=settings.routes)
    intake = Intake(
        spool=store.spool,
        ways=ways,
        routes=routes,
        dispatcher=dispatcher,
        rendered=rendered,
        rules=rules,
        limits=settings.message_limits,
        clock=clock,
        dice=dice,
    )
    explainer = Explainer(
        spool=store.spool,
        operations=store.operations,
        ways=ways,
        routes=routes,
        health=dispatcher.health,
        rules=rules,
        limits=settings.message_limits,
        clock=clock,
        dice=dice,
        blocked=BlockList(settings.blocked),
    )
    return WayIn(intake=intake, routes=routes, explainer=explainer)

"""The rules of ``[[routes]]`` and the default route, checked against the transports there are.

Pure. Every problem is collected; a rule that can never be asked is a warning, and so is a leg that is not
configured, because a call may make a transport of that name.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from postroom.config.document import RouteSection
from postroom.config.settings import AbsentLeg
from postroom.errors import ConfigError, Problem
from postroom.model.ids import TenantId
from postroom.model.route import Route
from postroom.model.transport import TransportKind, TransportSpec
from postroom.policy.routing import DEFAULT_RULE, RouteRule, parse_route
from postroom.schema.quantities import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRoutes:
    """What the tables come to."""

    rules: tuple[RouteRule, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    absent: tuple[AbsentLeg, ...]


def read_routes(
    sections: tuple[RouteSection, ...], *, transports: Sequence[TransportSpec] | None
) -> ReadRoutes:
    """Read every rule; ``transports`` are ``None`` when they could not be read."""
    rules: list[RouteRule] = []
    problems: list[Problem] = []
    absent: list[AbsentLeg] = []
    names = {DEFAULT_RULE}
    for index, section in enumerate(sections):
        name = section.name or f"rule-{index + 1}"
        field = f"routes.{index}"
        if name in names:
            cause, fix = f"{name!r} is taken", "Give each rule a name of its own."
            problems.append(Problem(code="route-name", field=f"{field}.name", cause=cause, fix=fix))
        names.add(name)
        problems += _condition_problems(section, field)
        try:
            route = parse_route(section.to, field=f"{field}.to")
        except ConfigError as error:
            problems += error.problems
            continue
        if transports is not None:
            kinds = {spec.name: spec.kind for spec in transports}
            absent += absent_legs(route, kinds, f"{field}.to")
            known = [kinds[leg] for leg in route.legs if leg in kinds]
            if (problem := swallow_problem(known, f"{field}.to")) is not None:
                problems.append(problem)
        rules.append(_rule(section, name, route))
    return ReadRoutes(
        rules=tuple(rules),
        problems=tuple(problems),
        warnings=tuple(_warnings(rules)),
        absent=tuple(absent),
    )


def _rule(section: RouteSection, name: str, route: Route) -> RouteRule:
    return RouteRule(
        name=name,
        route=route,
        senders=frozenset(section.sender),
        recipient_domains=frozenset(section.recipient_domain),
        any_recipient=section.recipients == "any",
        tags=frozenset(section.tag),
        classes=frozenset(section.class_),
        over=section.over,
        under=section.under,
        tenants=frozenset(map(TenantId, section.tenant)),
        subject_prefix=section.subject_prefix,
    )


def _condition_problems(section: RouteSection, field: str) -> Iterator[Problem]:
    if section.recipients == "any" and not section.recipient_domain:
        cause, fix = "any of no domains", "Set recipient_domain, or remove recipients."
        yield Problem(code="route", field=f"{field}.recipients", cause=cause, fix=fix)
    if section.over is not None and section.under is not None and section.under <= section.over + 1:
        cause, fix = "no size is over the one and under the other", "Make `under` larger than `over`."
        yield Problem(code="route", field=f"{field}.under", cause=cause, fix=fix)


def absent_legs(route: Route, configured: Collection[str], field: str) -> Iterator[AbsentLeg]:
    """Yield the legs of a route that are not configured."""
    for leg in route.legs:
        if leg not in configured:
            near = nearest(leg, sorted(configured))
            hint = f" Did you mean {near}?" if near else ""
            yield AbsentLeg(
                leg,
                f"{field}: the settings have no transport {leg!r}; until a call makes one, the route passes"
                f" it over.{hint}",
            )


def swallow_problem(kinds: Collection[TransportKind], field: str) -> Problem | None:
    """Refuse a group that sends some of its mail and captures the rest, as when an account fails."""
    if len(set(kinds)) < 2 or TransportKind.CAPTURE not in kinds:
        return None
    cause = "the capture inbox beside accounts: mail would be kept there and never sent when they fail"
    fix = "Leave it out, or let a rule of its own send mail there."
    return Problem(code="route", field=field, cause=cause, fix=fix)


def _warnings(rules: list[RouteRule]) -> Iterator[str]:
    for index, rule in enumerate(rules[:-1]):
        if rule.is_catch_all:
            yield f"routes: {rule.name} matches every message, so {rules[index + 1].name} is never asked"
            return

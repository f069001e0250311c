"""The rules of alerts as models: types, routes, receivers, tables and inhibitions.

The settings file and ``/v1/alerts/rules`` read the same ones. What a model holds is right for itself; whether
entries fit together, and whether what must be there is, says ``alert_fitting``: a name that is missing is an
empty one here, so that everything else can be looked at too.
"""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, RootModel, model_validator

from postroom.errors import ConfigError
from postroom.model.alert import Severity
from postroom.model.alert_rules import (
    AlertRoute,
    AlertType,
    Expectation,
    Flapping,
    Inhibition,
    ObjectSettings,
    Receiver,
    Recipient,
    Repeat,
    SampleRule,
    Storm,
    TimeTable,
    TypeSettings,
)
from postroom.policy.alerting.routing import ALL_LABELS
from postroom.policy.routing import parse_route
from postroom.schema.alert_fields import (
    MAX_LIST,
    AddressText,
    AddressTexts,
    Cron,
    EntryName,
    Language,
    Line,
    Lines,
    Matchers,
    Names,
    RepeatList,
    Span,
    TypeKey,
    Windows,
    Zone,
)
from postroom.schema.mailbox_lists import mailbox_texts
from postroom.schema.transport_fields import MAX_PREFIX
from postroom.schema.written import Section, listed, not_boolean, one_line

Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(not_boolean)]
Points = Annotated[int, Field(ge=1, le=100_000), BeforeValidator(not_boolean)]
Amount = Annotated[int, Field(ge=0, le=100_000), BeforeValidator(not_boolean)]
Severities = Annotated[tuple[Severity, ...], BeforeValidator(listed)]


def _by_language(value: object) -> object:
    """One text is the English one, which stands in where a language has none."""
    return {"en": value} if isinstance(value, str) else value


def _in_english(texts: Mapping[str, str]) -> str:
    """Return the text that stands in where a language has none."""
    return texts.get("en") or next(iter(texts.values()), "")


def _addresses_or_tables(value: object) -> object:
    """Each address is a recipient with nothing else to say."""
    texts = mailbox_texts(value)
    if not isinstance(texts, list):
        return value
    return [{"address": one} if isinstance(one, str) else one for one in texts]


def _grouping(names: tuple[str, ...]) -> tuple[str, ...]:
    if ALL_LABELS[0] in names and names != ALL_LABELS:
        msg = "... is every label, and stands alone"
        raise ValueError(msg)
    return names


def _way(text: str) -> str:
    """Return a route for mail whose form is right. Raises ValueError."""
    try:
        parse_route(text, field="route")
    except ConfigError as error:
        raise ValueError(error.problems[0].cause) from None
    return text


LineByLanguage = Annotated[dict[Language, Line], BeforeValidator(_by_language)]
LinesByLanguage = Annotated[dict[Language, Lines], BeforeValidator(_by_language)]

# ------------------------------------------------------------------------------- types


class SampleSection(Section):
    """A threshold and how many values in a row must be beyond it."""

    value: Line = "value"
    """Which of the event's `values` is looked at."""
    above: Number | None = None
    """Bad is this and more; or `below`, one of the two."""
    below: Number | None = None
    """Bad is this and less."""
    points: Points = 1
    """So many bad values one after the other; one good value ends it."""

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if (self.above is None) == (self.below is None):
            msg = "set above or below, one of the two"
            raise ValueError(msg)
        return self

    def rule(self) -> SampleRule:
        """Return it as a value."""
        is_above = self.above is not None
        threshold = self.above if self.above is not None else self.below
        return SampleRule(value=self.value, is_above=is_above, threshold=threshold or 0.0, points=self.points)


class ExpectSection(Section):
    """Raise an alert when an event does not come."""

    every: Span | None = None
    """It comes at least once in this time; or `cron`, one of the two."""
    cron: Cron | None = None
    """It comes at these times: minute, hour, day, month, weekday."""
    time_zone: Zone | None = None
    """Of `cron`; else that of `[alerts]`."""
    grace: Span = Field(default_factory=lambda: Expectation().grace)
    """How much later it may come."""
    objects: Names = ()
    """One is expected of each of these; else one of any."""
    severity: Severity = Severity.CRITICAL
    """Of the alert that is raised."""

    @model_validator(mode="after")
    def _one_rhythm(self) -> Self:
        if (self.every is None) == (self.cron is None):
            msg = "set every or cron, one of the two"
            raise ValueError(msg)
        if self.every is not None and not self.every:
            msg = "every is longer than nothing"
            raise ValueError(msg)
        return self

    def expectation(self, time_zone: str) -> Expectation:
        """Return it as a value; ``time_zone`` is the general one."""
        return Expectation(
            every=self.every,
            cron=self.cron,
            time_zone=self.time_zone or time_zone,
            grace=self.grace,
            objects=self.objects,
            severity=self.severity,
        )


class ObjectSection(Section):
    """What is different for one object."""

    object: Line = ""
    """Its name; `*` stands for any characters."""
    open: bool | None = None
    """As of a type, and so the others; what is not said, the type says."""
    mail: bool | None = None
    """Off: never mailed."""
    every: Span | None = None
    """At most one mail in this time."""
    severity: Severity | None = None
    """Of events that name none."""
    resolved: bool | None = None
    """Mail also that it is over."""
    repeat: Repeat | None = None
    """While `active`, or when the `event` comes again."""
    receivers: AddressTexts | None = None
    """Addresses in place of the receiver's; an empty list takes those of the type away."""
    rule: SampleSection | None = None
    """A threshold of its own."""
    resolve_after: Span | None = None
    """Resolved when it is not reported again for so long."""

    def settings(self) -> TypeSettings:
        """Return what it says."""
        return _settings(self)


class TypeSection(Section):
    """One kind of event."""

    key: TypeKey = ""
    """The `key` of its events; `*` alone is for those whose key has no entry."""
    label: LineByLanguage = Field(default_factory=dict)
    """A name for people: text, or a table by language."""
    category: Line = ""
    """What it is about: task, connection, system."""
    open: bool | None = None
    """Off: its events are kept in the history, and nothing else; else on."""
    mail: bool | None = None
    """Off: listed and counted, never mailed; else on."""
    every: Span | None = None
    """At most one mail in this time about one alert; else 5 minutes."""
    severity: Severity | None = None
    """Of events that name none; else `warning`."""
    resolved: bool | None = None
    """Mail also that it is over; else as the route says."""
    repeat: Repeat | None = None
    """Told again while `active`, or when the `event` comes again; else `active`."""
    receivers: AddressTexts | None = None
    """Addresses in place of the receiver's."""
    rule: SampleSection | None = None
    """A threshold, such as `{ value = "lag_ms", above = 60000, points = 60 }`."""
    resolve_after: Span | None = None
    """Resolved when it is not reported again for so long."""
    objects: Annotated[tuple[ObjectSection, ...], Field(max_length=MAX_LIST)] = ()
    """What is different for some objects; the first whose name fits holds."""
    expect: ExpectSection | None = None
    """An event that must come, such as `{ every = "1 d" }`."""
    variables: Names = ()
    """Names that its events bring in `values`."""
    subject: LineByLanguage = Field(default_factory=dict)
    """With `{variable}`: text, or a table by language; else the template's."""
    body: LinesByLanguage = Field(default_factory=dict)
    """HTML with `{variable}`: text, or a table by language; else the template's."""
    template: Line = ""
    """A template in place of the shipped one."""

    def type(self, *, origin: str, time_zone: str) -> AlertType:
        """Return it as a value."""
        return AlertType(
            key=self.key,
            label=self.label,
            category=self.category,
            settings=_settings(self),
            objects=tuple(ObjectSettings(object=one.object, settings=_settings(one)) for one in self.objects),
            expect=None if self.expect is None else self.expect.expectation(time_zone),
            variables=self.variables,
            subject=_in_english(self.subject),
            subjects=self.subject if len(self.subject) > 1 else {},
            body=_in_english(self.body),
            bodies=self.body if len(self.body) > 1 else {},
            template=self.template,
            origin=origin,
        )


def _settings(section: TypeSection | ObjectSection) -> TypeSettings:
    return TypeSettings(
        is_open=section.open,
        mail=section.mail,
        interval=section.every,
        severity=section.severity,
        resolved=section.resolved,
        repeat=section.repeat,
        receivers=section.receivers,
        rule=None if section.rule is None else section.rule.rule(),
        resolve_after=section.resolve_after,
    )


# ------------------------------------------------------------------------------- routes


class RootSection(Section):
    """What holds for every route that says nothing else."""

    receiver: EntryName | None = None
    """Who is told; at the root `default`."""
    group_by: Annotated[Names, AfterValidator(_grouping)] | None = None
    """What is alike in these labels shares its mails; `...` is every label; at the root `key`."""
    group_wait: Span | None = None
    """Wait so long for more before the first mail; at the root 0."""
    group_interval: Span | None = None
    """At least so long between two mails of a group; at the root 5 minutes."""
    repeat: RepeatList | None = None
    """Told again after so long, longer as it gets older, or `"never"`; at the root `"4 h, 1 d, 1 w"`."""
    resolved: bool | None = None
    """Mail also that it is over; at the root `true`."""
    active: Names | None = None
    """Told only in these tables."""
    mute: Names | None = None
    """Not told in these tables."""

    def route(self, *, above: AlertRoute) -> AlertRoute:
        """Return the root, what it does not say as in ``above``."""
        said = {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}
        return AlertRoute(name="root", **{**_clocks_of(above), **said})


class AlertRouteSection(RootSection):
    """A branch of the tree; what it does not say, the one above says."""

    name: Line = ""
    """Its name among its siblings; else made of its matchers."""
    matchers: Matchers = ()
    """Conditions on labels, such as `'team="db", severity!="info"'`; text, a list, or a table."""
    continue_: Annotated[bool, Field(alias="continue")] = False
    """The routes after it are asked too."""
    routes: Annotated[tuple["AlertRouteSection", ...], Field(max_length=MAX_LIST)] = ()
    """Branches of this one, asked first."""

    def branch(self, *, origin: str) -> AlertRoute:
        """Return it as a value, with everything below it."""
        return AlertRoute(
            name=self.name,
            matchers=self.matchers,
            receiver=self.receiver,
            group_by=self.group_by,
            group_wait=self.group_wait,
            group_interval=self.group_interval,
            repeat=self.repeat,
            resolved=self.resolved,
            active=self.active,
            mute=self.mute,
            is_continued=self.continue_,
            routes=tuple(one.branch(origin=origin) for one in self.routes),
            origin=origin,
        )


def _clocks_of(route: AlertRoute) -> Mapping[str, object]:
    return {name: getattr(route, name) for name in RootSection.model_fields}


# ------------------------------------------------------------------------------- who and when


class RecipientSection(Section):
    """One address, where it differs from its receiver."""

    address: AddressText = ""
    """Where its mails go."""
    language: Language | None = None
    """Of its mails; else the receiver's."""
    time_zone: Zone | None = None
    """Of its times; else the receiver's."""
    quiet: Windows | None = None
    """Nothing is sent then; else as the receiver says."""
    digest: Cron | None = None
    """Everything in one mail at these times; else as the receiver says."""

    def recipient(self) -> Recipient:
        """Return it as a value."""
        return Recipient(
            address=self.address,
            language=self.language or "",
            time_zone=self.time_zone or "",
            quiet=self.quiet,
            digest=self.digest,
        )


class ReceiverSection(Section):
    """Who is told."""

    name: EntryName = ""
    """Routes name it; `default` is that of the root."""
    to: Annotated[
        tuple[RecipientSection, ...], Field(max_length=MAX_LIST), BeforeValidator(_addresses_or_tables)
    ] = ()
    """Addresses, or tables with `address`, `language`, `time_zone`, `quiet`, `digest`."""
    groups: Names = ()
    """Other receivers whose addresses belong to this one."""
    from_label: Line = ""
    """A label that holds the addresses; where it has none, `to` holds."""
    takes_lists: bool = True
    """Addresses that an event or its type names go before these."""
    language: Language | None = None
    """Of its mails; else that of `[alerts]`."""
    time_zone: Zone | None = None
    """Of its times; else that of `[alerts]`."""
    quiet: Windows = ()
    """Nothing is sent then, it comes after; such as `"22:00-07:00"` or `["sat,sun"]`."""
    digest: Cron | None = None
    """Everything in one mail at these times: minute, hour, day, month, weekday."""
    pierce: Severities = Receiver(name="").pierce
    """Severities that wait for nothing."""
    template: Line = ""
    """A template in place of the shipped one."""
    subject_prefix: Annotated[str, Field(max_length=MAX_PREFIX), AfterValidator(one_line)] = ""
    """Put before the subject as it is."""
    route: Annotated[str, AfterValidator(_way)] | None = None
    """Transports for its mails, as in `[[routes]]`; else as for any mail."""

    def receiver(self, *, origin: str) -> Receiver:
        """Return it as a value."""
        return Receiver(
            name=self.name,
            recipients=tuple(one.recipient() for one in self.to),
            groups=self.groups,
            from_label=self.from_label,
            takes_lists=self.takes_lists,
            language=self.language or "",
            time_zone=self.time_zone or "",
            quiet=self.quiet,
            digest=self.digest or "",
            pierce=self.pierce,
            template=self.template,
            subject_prefix=self.subject_prefix,
            route=self.route or "",
            origin=origin,
        )


class TableSection(Section):
    """Times of the week under a name."""

    name: EntryName = ""
    """Routes name it in `active` and `mute`."""
    windows: Windows = ()
    """Such as `["mon-fri 09:00-17:30"]`; one of them is enough."""
    time_zone: Zone | None = None
    """Else that of `[alerts]`."""

    def table(self, *, origin: str, time_zone: str) -> TimeTable:
        """Return it as a value; ``time_zone`` is the general one."""
        zone = self.time_zone or time_zone
        return TimeTable(name=self.name, windows=self.windows, time_zone=zone, origin=origin)


class InhibitionSection(Section):
    """While a source is active, its targets are not told."""

    name: Line = ""
    """For people."""
    source: Matchers = ()
    """Conditions on the labels of the alert that stands for the others."""
    target: Matchers = ()
    """Conditions on the labels of those that are not told."""
    equal: Names = ()
    """Labels that must have the same value in both."""

    def inhibition(self, *, origin: str) -> Inhibition:
        """Return it as a value."""
        return Inhibition(
            name=self.name, source=self.source, target=self.target, equal=self.equal, origin=origin
        )


class FlappingSection(Section):
    """What changes too often is told when it is calm."""

    changes: Amount = Flapping().changes
    """It flaps when it began again so often; 0: never."""
    within: Span = Flapping().within
    """In this time."""
    calm: Span = Flapping().calm
    """It is calm after so long without a change."""

    def flapping(self) -> Flapping:
        """Return it as a value."""
        return Flapping(changes=self.changes, within=self.within, calm=self.calm)


class StormSection(Section):
    """A receiver gets so many mails, and what is beyond in one summary."""

    mails: Amount = Storm().mails
    """So many; 0: no bound."""
    within: Span = Storm().within
    """In this time."""

    def storm(self) -> Storm:
        """Return it as a value."""
        return Storm(mails=self.mails, within=self.within)


class AlertRuleBody(
    RootModel[TypeSection | AlertRouteSection | ReceiverSection | TableSection | InhibitionSection]
):
    """A rule as it is stored; which of them, the path says."""

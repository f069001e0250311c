"""Alertmanager's configuration: the mail account, the tree of routes, receivers, times and inhibitions. Pure.

Read is ``alertmanager.yml`` as its documentation describes it. Routes keep Alertmanager's clocks, also where
the file says nothing (30 s, 5 min, 4 h), and its rules of inheritance: times of muting are not inherited
there, so a route below one that has them says that it has none. What is not about mail is named as left.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from postroom.model.address import AddressError, parse_mailbox
from postroom.model.alert_rules import Matcher, MatchKind
from postroom.policy.alerting.matching import MatcherError, parse_matchers, written
from postroom.policy.alerting.times import is_zone
from postroom.schema.alert_fields import MIN_REPEAT, parse_window
from postroom.schema.alert_fitting import MAX_DEPTH
from postroom.schema.import_result import Imported, Left, checked, text_of, wrong
from postroom.schema.mailbox_lists import split_mailboxes

_MAX_ROUTES = 2000
"""Nodes of the tree (security limit): references of YAML can make many of a few."""
_ROOT = {"group_wait": 30.0, "group_interval": 300.0, "repeat": 14400.0}
"""Alertmanager's own defaults, in seconds."""
_SPAN_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_SPAN = re.compile(r"(?:([0-9]{1,9})(ms|[smhdwy]))")
_TEMPLATE = "a template of Alertmanager; templates of Postroom say how its mails look"
_MATCHES = {"match": MatchKind.EQUAL, "match_re": MatchKind.MATCHES}
_DATES = ("days_of_month", "months", "years")

_FROM_LABEL = re.compile(r"\{\{-?\s*\.(?:GroupLabels|CommonLabels)\.([A-Za-z_]\w*)\s*-?\}\}\Z")
"""An address that is a label of the alerts."""

Table = dict[str, Any]


def import_alertmanager(data: bytes, name: str) -> Imported:
    """Read the file. Raises ConfigError."""
    try:
        content = yaml.load(text_of(data, name), Loader=yaml.BaseLoader)  # noqa: S506 - it makes texts only
    except (yaml.YAMLError, RecursionError, ValueError):  # its text may quote a secret
        raise wrong("import-file", name, "not YAML", "Give alertmanager.yml.") from None
    if not isinstance(content, dict) or not isinstance(content.get("route"), dict):
        raise wrong("import-file", name, "holds no route", "Give alertmanager.yml.")
    found = Imported()
    reading = _Reading(found.left)
    given = _Given(content, "", reading)
    _take_account(given.table("global"), found)
    tables = list(reading.tables(given.list("time_intervals") + given.list("mute_time_intervals")))
    receivers = list(reading.receivers(given.list("receivers")))
    root = reading.route(given.table("route"), inherited={})
    routes = root.pop("routes", [])
    for key in ("matchers", "continue"):
        root.pop(key, None)
    inhibitions = list(reading.inhibitions(given.list("inhibit_rules")))
    given.leave(templates=_TEMPLATE)
    alerts: Table = {"root": {"group_by": [], **_ROOT, **root}}
    lists = {"receivers": receivers, "routes": routes, "tables": tables, "inhibitions": inhibitions}
    found.sections["alerts"] = alerts | {key: value for key, value in lists.items() if value}
    found.notes.append("[alerts.root] holds for every alert, also for those that do not come from Prometheus")
    return found


class _Given:
    """A table of the file; what is not taken from it is left by name."""

    def __init__(self, content: Any, place: str, reading: "_Reading") -> None:
        self._content = dict(content) if isinstance(content, Mapping) else {}
        self._place = place
        self._reading = reading

    def text(self, key: str) -> str:
        value = self._content.pop(key, "")
        return value.strip() if isinstance(value, str) else ""

    def texts(self, key: str) -> list[str]:
        value = self._content.pop(key, None)
        if isinstance(value, str):
            return [value] if value else []
        return [one for one in value or () if isinstance(one, str)] if isinstance(value, list) else []

    def flag(self, key: str, *, default: bool) -> bool:
        return {"true": True, "false": False}.get(self.text(key).lower(), default)

    def span(self, key: str) -> float | int | None:
        """Return seconds; ``None`` when there is no such key."""
        if not (text := self.text(key)):
            return None
        parts = _SPAN.findall(text)
        if "".join(count + unit for count, unit in parts) != text and text != "0":
            raise wrong("setting-value", self.name(key), "not a duration", "Write it as in 5m or 1h30m.")
        seconds = sum(int(count) * _SPAN_S[unit] for count, unit in parts)
        return int(seconds) if seconds == int(seconds) else seconds

    def has(self, key: str) -> bool:
        return key in self._content

    def table(self, key: str) -> "_Given":
        return _Given(self._content.pop(key, None), self.name(key), self._reading)

    def pairs(self, key: str) -> dict[str, str]:
        value = self._content.pop(key, None)
        pairs = value.items() if isinstance(value, Mapping) else ()
        return {name: text for name, text in pairs if isinstance(name, str) and isinstance(text, str)}

    def list(self, key: str) -> "list[_Given]":
        value = self._content.pop(key, None)
        rows = value if isinstance(value, list) else []
        return [_Given(one, f"{self.name(key)}.{number}", self._reading) for number, one in enumerate(rows)]

    def name(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key

    def leave(self, **reasons: str) -> None:
        """Name what nobody took."""
        for key in self._content:
            reason = reasons.get(key, "Postroom has no counterpart")
            self._reading.left.append(Left(self.name(str(key)), reason))


class _Reading:
    """One reading: which tables and receivers there are, and what is left."""

    def __init__(self, left: list[Left]) -> None:
        self.left = left
        self._tables: dict[str, list[str]] = {}
        self._is_told: dict[str, bool] = {}
        """Whether a receiver hears that it is over."""
        self._routes = 0

    # ------------------------------------------------------------------ routes

    def route(self, given: _Given, *, inherited: Mapping[str, Sequence[str]], depth: int = 0) -> Table:
        """Return a route with everything below it."""
        self._routes += 1
        if self._routes > _MAX_ROUTES or depth > MAX_DEPTH:
            cause = f"more than {_MAX_ROUTES} routes, or {MAX_DEPTH} below each other"
            raise wrong("import-file", "route", cause, "Split the file.")
        found: Table = {}
        if matchers := self.matchers(given, "matchers", _MATCHES):
            found["matchers"] = matchers
        if receiver := given.text("receiver"):
            found |= {"receiver": receiver, "resolved": self._is_told.get(receiver, False)}
        if given.has("group_by"):
            found["group_by"] = given.texts("group_by")
        found |= _clocks(given)
        if given.flag("continue", default=False):
            found["continue"] = True
        times: dict[str, Sequence[str]] = {}
        for key in ("active", "mute"):
            names = given.texts(f"{key}_time_intervals")
            times[key] = [table for name in names for table in self._tables.get(name, ())]
            if times[key] or inherited.get(key):
                found[key] = times[key]
        rows = given.list("routes")
        if below := [self.route(one, inherited=times, depth=depth + 1) for one in rows]:
            found["routes"] = below
        given.leave()
        return found

    def matchers(self, given: _Given, key: str, old: Mapping[str, MatchKind]) -> list[str]:
        """Return matchers in one form, also those of the two older keys."""
        found: list[Matcher] = []
        place = given.name(key)
        for text in given.texts(key):
            try:
                found += parse_matchers(text)
            except MatcherError as error:
                raise wrong("setting-value", place, str(error), 'Write it as in team="db".') from None
        for name, kind in old.items():
            found += [Matcher(label, kind, value) for label, value in given.pairs(name).items()]
        return list(map(written, found))

    def inhibitions(self, rows: Iterable[_Given]) -> Iterator[Table]:
        for given in rows:
            found: Table = {"name": name} if (name := given.text("name")) else {}
            for side in ("source", "target"):
                old = {f"{side}_{key}": kind for key, kind in _MATCHES.items()}
                found[side] = self.matchers(given, f"{side}_matchers", old)
            if equal := given.texts("equal"):
                found["equal"] = equal
            if found["source"] and found["target"]:
                yield found
            else:
                self.left.append(Left(given.name("source_matchers"), "a rule without source or target"))
            given.leave()

    # ------------------------------------------------------------------ receivers

    def receivers(self, rows: Iterable[_Given]) -> Iterator[Table]:
        for given in rows:
            found: Table = {"name": given.text("name")}
            addresses: list[str] = []
            told: set[bool] = set()
            for email in given.list("email_configs"):
                to, place = email.text("to"), email.name("to")
                if (match := _FROM_LABEL.match(to)) and "from_label" not in found:
                    found["from_label"] = match[1]
                else:
                    addresses += self._addresses(to, place)
                told.add(email.flag("send_resolved", default=False))
                reasons = dict.fromkeys(("html", "text", "headers"), _TEMPLATE)
                reasons |= dict.fromkeys(("from", "smarthost"), "one account is taken over, that of `global`")
                email.leave(**reasons)
            self._is_told[found["name"]] = True in told
            if len(told) > 1:
                reason = "it differs among its addresses: all are told"
                self.left.append(Left(f"{found['name']} send_resolved", reason))
            if addresses:
                found["to"] = addresses
            yield found
            given.leave()

    def _addresses(self, to: str, place: str) -> Iterator[str]:
        for text in split_mailboxes(to):
            try:
                yield parse_mailbox(text).address.spec
            except AddressError:
                self.left.append(Left(place, "a template" if "{{" in text else "no address"))

    # ------------------------------------------------------------------ times

    def tables(self, rows: Iterable[_Given]) -> Iterator[Table]:
        """Return the tables of named intervals: one for each zone that an interval has."""
        for given in rows:
            name = given.text("name")
            by_zone: dict[str, list[str]] = {}
            for one in given.list("time_intervals"):
                self._take_interval(one, by_zone)
            names = [name] if len(by_zone) == 1 else [f"{name} {zone}" for zone in by_zone]
            self._tables[name] = names
            for table, (zone, windows) in zip(names, by_zone.items(), strict=True):
                yield {"name": table, "windows": windows, "time_zone": zone}
            given.leave()

    def _take_interval(self, given: _Given, by_zone: dict[str, list[str]]) -> None:
        zone = given.text("location") or "UTC"
        if not is_zone(zone):
            self.left.append(Left(given.name("location"), "not a time zone"))
            return
        if dates := [key for key in _DATES if given.has(key)]:
            self.left.append(Left(given.name(dates[0]), "times of the week only: the whole entry is left"))
            return
        days = ",".join(one.replace(":", "-") for one in given.texts("weekdays"))
        times = [f"{one.text('start_time')}-{one.text('end_time')}" for one in given.list("times")]
        for text in [f"{days} {one}".strip() for one in times] or [days or "mon-sun"]:
            try:
                parse_window(text)
            except ValueError:
                self.left.append(Left(given.name("times"), "not times of the week"))
            else:
                by_zone.setdefault(zone, []).append(text)
        given.leave()


def _clocks(given: _Given) -> Table:
    found: Table = {}
    for key in ("group_wait", "group_interval"):
        if (seconds := given.span(key)) is not None:
            found[key] = seconds
    if (seconds := given.span("repeat_interval")) is not None:
        found["repeat"] = max(seconds, MIN_REPEAT.total_seconds())
    return found


def _take_account(given: _Given, found: Imported) -> None:
    """Take the account of ``global``."""
    keys = {"username": "smtp_auth_username", "password": "smtp_auth_password", "ehlo_name": "smtp_hello"}
    keys |= {"password_file": "smtp_auth_password_file", "from": "smtp_from"}
    transport: Table = {key: text for key, name in keys.items() if (text := given.text(name))}
    host, _, port = given.text("smtp_smarthost").rpartition(":")
    is_required = given.flag("smtp_require_tls", default=True)
    if transport.get("ehlo_name") == "localhost":
        del transport["ehlo_name"]
    given.leave(resolve_timeout="senders say when an alert ends; a type may have `resolve_after`")
    if not host:
        return
    if port.isdigit():
        transport["port"] = int(port)
    host = host.removeprefix("[").removesuffix("]")
    encryption = "tls" if port == "465" else "starttls" if is_required else "starttls-if-offered"
    found.transport = {"name": "alertmanager", "host": host, "encryption": encryption, **transport}
    named = {"host": "smtp_smarthost", "port": "smtp_smarthost", **keys}
    known = {key: value for key, value in found.transport.items() if key != "password_file"}
    names = {ours: f"global.{name}" for ours, name in named.items()}
    found.notes += checked(known, names, hidden="password_file" in transport)

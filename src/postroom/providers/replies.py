"""The reply rules: from what a server said, or what was found locally, to a named cause with its words.

``data/replies.toml`` is the table and says in its head how a rule is found; ``data/local.toml`` names what
Postroom finds by itself. Loading takes tens of milliseconds and happens at the first look-up; patterns are
compiled when first tried. No opinion here: what an action does to a message is ``policy.classify``'s.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any

from postroom.model.outcome import Action
from postroom.model.step import Step
from postroom.providers import catalogue
from postroom.providers.phrasing import essence
from postroom.providers.words import translated

MAX_TEXT = 1024
"""Characters of a reply that the patterns look at: the worst text takes 25 ms, known ones are far shorter
(security limit)."""
_ANY_PROVIDER = "*"

MAX_OWN_TEXT = 200
"""As ``MAX_TEXT`` for the patterns of one's own: with the limits of ``row_checks`` a nasty one takes 50 ms
(security limit)."""

_STAGES: Mapping[Step, str] = {
    Step.RESOLVE: "connect",
    Step.CONNECT: "connect",
    Step.PROXY: "connect",
    Step.BODY: "body",
    Step.BODY_END: "body",
    Step.RSET: "mail",
}
"""Steps that the table knows under another name."""


STAGES = frozenset({"any", *(_STAGES.get(step, step.value) for step in Step)})
"""What a row's ``stage`` may name."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One row of the table."""

    id: str
    meaning: str
    remedy: str
    action: Action
    min_delay_s: float | None = None
    """``None`` when the row names none."""
    is_final: bool = False
    """A 4xx that never succeeds."""
    provider: str = _ANY_PROVIDER
    stages: tuple[str, ...] = ()
    codes: frozenset[str] = frozenset()
    """Reply codes and ``4xx``, ``5xx``; empty means a local fault."""
    ports: frozenset[int] = frozenset()
    match: str = ""
    sample: str = ""
    grade: str = ""
    sources: tuple[str, ...] = ()
    max_text: int = MAX_TEXT + 4  # the code and a space stand before it
    """Characters of a reply that this rule looks at."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """``match`` compiled, without regard to case."""
        return re.compile(self.match, re.IGNORECASE)

    def concerns(self, stage: str, code: int | None) -> bool:
        """Say whether stage and code are this rule's."""
        if stage not in self.stages and "any" not in self.stages:
            return False
        if code is None:
            return not self.codes
        return str(code) in self.codes or f"{code // 100}xx" in self.codes


def find_rule(
    *, host: str, port: int, step: Step, code: int | None, text: str, provider: str | None = None
) -> Rule | None:
    """Return the first rule for a reply (``code`` and the joined lines) or a local fault (``code`` is None).

    The group is that of ``provider``, the id of whose server it is whatever its name, else of the host.

    Every 4xx and 5xx has one; a local fault may have none.
    """
    stage = _STAGES.get(step, step.value)
    if code is None and step is Step.BODY:
        stage = "data"  # the table's body faults are uncertain, and before the final dot nothing is
    group = group_of_provider(provider) if provider else _ANY_PROVIDER
    if group == _ANY_PROVIDER:
        group = group_of(host)
    return find_by_stage(group, port, stage, code=code, text=text)


def find_by_stage(group: str, port: int, stage: str, *, code: int | None, text: str) -> Rule | None:
    """Return the first rule of ``group``, then of everybody, by the table's own stage names."""
    said = text[:MAX_TEXT] if code is None else essence(text, MAX_TEXT)
    return _first(group, port, stage, code=code, text=said)


def find_own(group: str, stage: str, *, code: int, text: str) -> Rule | None:
    """Return the first rule of ``group`` for a reply, and none of everybody's."""
    subject = f"{code} {essence(text, MAX_TEXT)}"
    rows = (row for row in _candidates(group, stage, code) if row.provider == group and not row.ports)
    return next((row for row in rows if row.pattern.search(subject, 0, row.max_text)), None)


@lru_cache(maxsize=2048)
def _first(group: str, port: int, stage: str, *, code: int | None, text: str) -> Rule | None:
    subject = text if code is None else f"{code} {text}"
    for rule in _candidates(group, stage, code):
        if (not rule.ports or port in rule.ports) and rule.pattern.search(subject, 0, rule.max_text):
            return rule
    return None


@lru_cache(maxsize=256)
def group_of(host: str) -> str:
    """Return the provider group of a submission host, ``*`` when it is nobody's in particular."""
    dotted = "." + host.lower().rstrip(".")
    for group, suffixes in _table().hosts.items():
        if any(dotted.endswith("." + suffix.lstrip(".")) for suffix in suffixes):
            return group
    return _ANY_PROVIDER


@lru_cache(maxsize=256)
def group_of_provider(id: str) -> str:  # noqa: A002 - the word of the settings
    """Return the group of a provider by its id, ``*`` when it has none or nobody knows it."""
    known = catalogue.provider(id)
    found = (group_of(host) for host in (*known.all_hosts, known.host_template)) if known is not None else ()
    return next((group for group in found if group != _ANY_PROVIDER), _ANY_PROVIDER)


def rule(cause: str) -> Rule | None:
    """Return the rule with this id, from either file."""
    return _table().by_id.get(cause)


def is_shipped(cause: str) -> bool:
    """Say whether an id is one of this package's own files."""
    found = rule(cause)
    return found is not None and found not in _own_rules


def rules() -> Sequence[Rule]:
    """Return every reply rule in file order."""
    return _table().replies


def local_rules() -> Sequence[Rule]:
    """Return every cause that Postroom finds by itself, in file order."""
    return _table().local


def words(cause: str, language: str = "en") -> tuple[str, str]:
    """Return meaning and remedy of a cause, in English where the language has no translation.

    Two empty strings for an unknown or empty cause.
    """
    found = rule(cause)
    if found is None:
        return "", ""
    return (
        translated(f"{cause}.meaning", found.meaning, language),
        translated(f"{cause}.remedy", found.remedy, language),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    hosts: Mapping[str, Sequence[str]]
    replies: Sequence[Rule]
    local: Sequence[Rule]
    by_id: Mapping[str, Rule]


_own_hosts: dict[str, Sequence[str]] = {}
_own_rules: list[Rule] = []
"""Rules of files of one's own and the groups of hosts they are for; they stand before the table's."""


def use(hosts: Mapping[str, Sequence[str]], rows: Iterable[Mapping[str, Any]]) -> None:
    """Put in the rules of files of one's own (``files``), in place of those put in before."""
    _own_hosts.clear()
    _own_hosts.update(hosts)
    _own_rules[:] = [replace(_rule(row), max_text=MAX_OWN_TEXT) for row in rows]
    for cached in (_table, group_of, group_of_provider, _first, _candidates):
        cached.cache_clear()


def groups() -> Mapping[str, Sequence[str]]:
    """Return the ends of host names by provider group."""
    return _table().hosts


@lru_cache(maxsize=1)
def _table() -> _Table:
    data = _parsed("replies.toml")
    replies = [*_own_rules, *(_rule(row) for row in data["rule"])]
    local = [_rule(row) for row in _parsed("local.toml")["rule"]]
    return _Table(
        hosts=_own_hosts | data["hosts"],
        replies=replies,
        local=local,
        by_id={row.id: row for row in replies + local},
    )


def _parsed(name: str) -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "data" / name).read_text(encoding="utf-8"))


def _rule(row: Mapping[str, Any]) -> Rule:
    return Rule(
        id=row["id"],
        meaning=row["meaning"],
        remedy=row["remedy"],
        action=Action(row["action"]),
        min_delay_s=row.get("min_delay_s"),
        is_final=row.get("final", False),
        provider=row.get("provider", _ANY_PROVIDER),
        stages=tuple(row.get("stage", ())),
        codes=frozenset(row.get("code", ())),
        ports=frozenset(row.get("port", ())),
        match="|".join([row.get("match", ""), *row.get("abroad", ())]),
        sample=row.get("sample", ""),
        grade=row.get("grade", ""),
        sources=tuple(row.get("sources", ())),
    )


@lru_cache(maxsize=4096)
def _candidates(group: str, stage: str, code: int | None) -> Sequence[Rule]:
    """Rules that can hit, in their order: the group's, then everybody's."""
    groups = (group, _ANY_PROVIDER) if group != _ANY_PROVIDER else (_ANY_PROVIDER,)
    return [row for name in groups for row in rules() if row.provider == name and row.concerns(stage, code)]

"""What a letter is about, whatever its language: its heads, how many, the worst, and where.

Pure.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import chain

from postroom.model.alert import AlertState, AlertView, Letter, LetterItem, LetterKind, Severity
from postroom.policy.alerting.expecting import MISSING_LABEL
from postroom.policy.alerting.filling import plain, written

_NUMBER = re.compile(r"[-+]?[0-9.,]+\s*%?\Z")
_LOOKS = {Severity.WARNING: "warning", Severity.INFO: "info"}


def look(alert: AlertView) -> str:
    """Return the colours of an alert: ``critical``, ``warning``, ``info``, or ``success`` when it is over."""
    if alert.state is AlertState.RESOLVED and not alert.is_occurrence:
        return "success"
    return _LOOKS.get(alert.severity, "critical")


def heads_of(letter: Letter) -> tuple[LetterItem, ...]:
    """Return why a letter was written."""
    return tuple(item for item in letter.items if item.is_news) or letter.items


def count_of(letter: Letter) -> int:
    """Return how many alerts a letter is about, with those that found no room."""
    if letter.kind is LetterKind.ALERT and any(item.is_news for item in letter.items):
        return max(letter.news, sum(item.is_news for item in letter.items))
    return len(letter.items) + letter.more


def worst_of(items: Sequence[LetterItem]) -> LetterItem | None:
    """Return what decides the word and the colour of a letter."""

    def weight(item: LetterItem) -> tuple[bool, int]:
        return look(item.alert) != "success", item.alert.severity.rank

    return max(items, key=weight, default=None)


def is_over(alert: AlertView) -> bool:
    """Say whether it is not so any more; what only happened is over at once."""
    return alert.state is AlertState.RESOLVED or alert.is_occurrence


def is_missing(alert: AlertView) -> bool:
    """Say whether it is about an expected event that did not come."""
    return not alert.title and MISSING_LABEL.items() <= alert.labels.items()


def is_same(some: Sequence[LetterItem], others: Sequence[LetterItem]) -> bool:
    """Say whether both are about the same alerts."""
    return {item.alert.id for item in some} == {item.alert.id for item in others}


def facts_of(alert: AlertView, *, besides: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield labels, values and details for people, but not these names.

    A text of values and details is told under one name; of numbers it says something that two are alike.
    """
    yield from ((name, value) for name, value in alert.labels.items() if name not in besides)
    said = {alert.key, alert.object, alert.node, alert.source, alert.title, alert.text}
    said |= {str(value) for name, value in alert.values.items() if name in besides}
    for name, value in chain(alert.values.items(), alert.details.items()):
        is_text = isinstance(value, str) and _NUMBER.match(value) is None
        if name in besides or (is_text and value in said):
            continue
        said.add(str(value))
        yield name, written(value)


def where_of(alert: AlertView) -> str:
    """Return what an alert is about, as far as its title does not say it."""
    where = alert.object or alert.source
    if where and _is_named(where, alert.title):
        return ""
    return plain(f"{where} ({alert.node})" if where and alert.node else where, 100)


def _is_named(name: str, title: str) -> bool:
    """Say whether a title has a name as a word: the disk ``a`` is not named in every title with an a."""
    word = rf"(?<!\w)(?<!\w[-.]){re.escape(name)}(?!\w|[-.]\w)"
    return re.search(word, title, re.IGNORECASE | re.ASCII) is not None

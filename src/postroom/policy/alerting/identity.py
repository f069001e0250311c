"""Which reports are the same alert, and what its labels are.

The ids are hashes of their parts, so that every process and every start makes the same. Who can report an
event can name any alert, so nothing rests on nobody guessing them.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Protocol

from postroom.model.alert import AlertId, GroupId, NewAlertEvent, Severity

_FIELDS = ("key", "category", "source", "object", "node")


class Labelled(Protocol):
    """An event, or an alert in any form; it has each of the fields that count as labels."""

    @property
    def key(self) -> str:
        """What kind of thing happened."""
        ...

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """Its own labels."""
        ...


def alert_id(event: NewAlertEvent) -> AlertId:
    """Return the identity of the alert that an event belongs to."""
    if event.dedup:
        return AlertId(digest_of(event.tenant, event.dedup))
    tenant, key, source, name, node = event.tenant, event.key, event.source, event.object, event.node
    # As ``_written`` does, in one go: it is asked twice for each event.
    text = f"{len(tenant)}:{tenant}{len(key)}:{key}{len(source)}:{source}{len(name)}:{name}{len(node)}:{node}"
    return AlertId(_digest(text + _written(_pairs(event.labels)) if event.labels else text))


def labels_of(alert: Labelled) -> dict[str, str]:
    """Return what matchers and grouping see of an event or an alert; an empty label is absent.

    The severity is the one in ``alert``: where an event names none, put the one of its type there first.
    """
    labels = {name: value for name, value in alert.labels.items() if value}
    for name in _FIELDS:
        if name not in labels and (value := getattr(alert, name)):
            labels[name] = value
    if "severity" not in labels:
        labels["severity"] = alert.severity.value  # a plain text, as the store gives it back
    if "alertname" not in labels:
        labels["alertname"] = alert.key
    return labels


def group_id(route: Iterable[str], receiver: str, own: Iterable[str], labels: Mapping[str, str]) -> GroupId:
    """Return the identity of a group: its route from the root, whom it tells and what it has in common."""
    route, own = tuple(route), sorted(own)
    return GroupId(digest_of(*route, "", receiver, *own, "", *_pairs(labels)))


def digest_of(*parts: str) -> str:
    """Return 20 hex digits that differ where any part does."""
    return _digest(_written(parts))


def _written(parts: Iterable[str]) -> str:
    """Return text that differs where any part does."""
    return "".join([f"{len(part)}:{part}" for part in parts])


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()


def _pairs(labels: Mapping[str, str]) -> list[str]:
    """Return names and values in turn, sorted by name, without what is empty."""
    return [part for name in sorted(labels) if labels[name] for part in (name, labels[name])]

"""The catalogue of providers: look-up by id, submission host, mail domain and MX.

``data/providers.toml`` is cut at its row headings and a row is parsed when somebody asks for it: the whole
file takes 50 ms, a look-up by host or domain 1 ms. Everything is cached. Nothing here asks the network.

Rows from files of one's own (``files``) stand before the table's: they replace the row with the same id, or
are new. They are put in once, at start.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from postroom.providers.provider import Provider, provider_of

_HEADING = "\n[[provider]]\n"
_ID = re.compile(r'^id = "([^"]+)"$', re.MULTILINE)
_REGION = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_NOBODYS = frozenset({"localhost"})
"""Hosts that say nothing about who answers there."""


_own: dict[str, Provider] = {}
"""Providers of one's own by id."""


def use(own: Iterable[Provider]) -> None:
    """Put in the providers of files of one's own, in place of those put in before."""
    _own.clear()
    _own.update((one.id, one) for one in own)
    by_host.cache_clear()
    by_domain.cache_clear()


def providers() -> Sequence[Provider]:
    """Return every provider in file order, new ones of one's own last."""
    new = [one for id_, one in _own.items() if id_ not in _rows()]
    return (*(_parsed(each) for each in _rows()), *new)


def provider(id: str) -> Provider | None:  # noqa: A002 - the word of the settings
    """Return the provider with this id."""
    return _parsed(id) if id in _own or id in _rows() else None


def shipped_row(id: str) -> Mapping[str, Any] | None:  # noqa: A002 - as above
    """Return a row of the table as it is written."""
    return tomllib.loads(_rows()[id]) if id in _rows() else None


@lru_cache(maxsize=256)
def by_host(host: str) -> Provider | None:
    """Return whose submission host this is: by name, by a named alternative, or by a host template."""
    name = _plain(host)
    if not name or name in _NOBODYS:
        return None
    named = _first(name, lambda one: name in one.all_hosts)
    if named is not None:
        return named
    templates = _with("\nhost_template = ")
    return next((one for one in templates if _fits(one.host_template, name)), None)


@lru_cache(maxsize=256)
def by_domain(domain: str) -> Provider | None:
    """Return whose mailboxes are in this domain; the table only, see ``detection`` for the rest."""
    name = _plain(domain)
    return _first(name, lambda one: name in one.domains) if name else None


def by_mx(names: Iterable[str]) -> Sequence[Provider]:
    """Return who may stand behind MX names: the longest suffix first, else in file order."""
    wanted = [_plain(name) for name in names]
    found = []
    for one in _with("\nmx_suffix = "):
        hits = [len(end) for end in one.mx_suffix for name in wanted if name.endswith(end)]
        if hits:
            found.append((-max(hits), one))
    return tuple(one for _, one in sorted(found, key=lambda pair: pair[0]))


@lru_cache(maxsize=1)
def sources() -> Mapping[str, str]:
    """Return the sources that rows name: key to page or thread."""
    head = _text().partition(_HEADING)[0]
    return dict(tomllib.loads(head)["sources"])


def _first(quoted: str, fits: Callable[[Provider], bool]) -> Provider | None:
    """Return the first provider that fits; of the table's rows those that have the string are looked at."""
    return next((one for one in _with(f'"{quoted}"') if fits(one)), None)


def _with(needle: str) -> Iterator[Provider]:
    """Yield the providers of one's own, then those whose row has the text; other rows are not parsed."""
    yield from _own.values()
    yield from (_parsed(each) for each, text in _rows().items() if needle in text and each not in _own)


def _fits(template: str, host: str) -> bool:
    before, _, after = template.partition("{region}")
    return bool(template) and re.fullmatch(re.escape(before) + _REGION + re.escape(after), host) is not None


def _plain(name: str) -> str:
    return name.strip().lower().rstrip(".")


@lru_cache(maxsize=1)
def _text() -> str:
    return (files(__package__) / "data" / "providers.toml").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _rows() -> Mapping[str, str]:
    """Return the text of each row by its id."""
    rows = _text().split(_HEADING)[1:]
    return {match[1]: row for row in rows if (match := _ID.search(row))}


def _parsed(id: str) -> Provider:  # noqa: A002 - as above
    return _own.get(id) or _shipped(id)


@cache
def _shipped(id: str) -> Provider:  # noqa: A002 - as above
    return provider_of(tomllib.loads(_rows()[id]))

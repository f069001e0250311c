"""What services publish for the domains of their customers; the data is ``data/relays.toml``."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Records by which a domain names a service; empty where none is known."""

    spf: str = ""
    """The name to include."""
    selectors: tuple[str, ...] = ()
    """Usual selectors of DKIM keys."""


def relay(provider_id: str) -> Relay:
    """Return what the provider with this id publishes."""
    return _relays().get(provider_id, Relay())


@lru_cache(maxsize=1)
def _relays() -> Mapping[str, Relay]:
    text = (files(__package__) / "data" / "relays.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)["relay"]
    return {
        name: Relay(spf=row["spf"], selectors=tuple(row.get("selectors", ()))) for name, row in rows.items()
    }

"""Words for people in five languages: the reader's language, stages, fixes, and steps of set-up.

English stands in the data (``phrases.toml``, ``setup.toml``, and the rules of ``replies``); the other
languages in gettext catalogues below ``locale/``, looked up by key (``fix.use-starttls``) and read when
somebody wants that language. What has no translation is said in English. ``tools/compile_catalogues.py``
writes the catalogues.

Sources: RFC 9110 section 12.5.4 (Accept-Language), RFC 4647 section 3.4 (look-up), POSIX.1-2017 section 8.2
(LANG).
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from postroom.model.checkup import Stage, StageStatus
from postroom.providers import catalogue
from postroom.providers.provider import Provider

if TYPE_CHECKING:
    from gettext import NullTranslations

LANGUAGES = ("en", "zh", "ko", "de", "fr")
"""English, Simplified Chinese, Korean, German, French."""
MAX_WISHES = 1000
"""Characters of a wish for a language that are looked at: longer ones are no wishes (security limit)."""

_WEIGHT = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
_HANGUL = re.compile("[\uac00-\ud7a3]")
_SHARED = "@"
"""Beginning of a step that several providers share."""


@lru_cache(maxsize=256)
def language_of(wishes: str) -> str:
    """Return the language to answer in: from ``Accept-Language``, ``LANG`` (``zh_CN.UTF-8``) or a bare name.

    A wish with weight 0 or a broken weight is none; of equal ones the first counts; else English.
    """
    weights: dict[str, float] = {}
    for wish in re.split("[,:]", wishes[:MAX_WISHES]):
        name, *parameters = (part.strip() for part in wish.split(";"))
        tongue = re.split("[-_.@]", name.lower())[0]
        weight = _weight_of(parameters)
        if weight is not None and (tongue == "*" or tongue in LANGUAGES):
            weights[tongue] = max(weight, weights.get(tongue, 0.0))
    if weights.pop("*", 0) and not any(weights.values()):
        return next((one for one in LANGUAGES if one not in weights), LANGUAGES[0])
    best = max(weights, key=lambda one: weights[one], default=LANGUAGES[0])
    return best if weights.get(best) else LANGUAGES[0]


def translated(key: str, english: str, language: str) -> str:
    """Return the translation of a key, or the English text when there is none."""
    tongue = language_of(language)
    if not english or tongue == LANGUAGES[0]:
        return english
    found = _catalogue(tongue).gettext(key)
    return english if found == key else found


def is_translated(key: str, language: str) -> bool:
    """Say whether the catalogue of a language other than English has the key."""
    return _catalogue(language).gettext(key) != key


def phrase(key: str, language: str = "en") -> str:
    """Return a phrase of ``phrases.toml`` (``secret.api_key``); empty when there is no such phrase."""
    return translated(key, phrases().get(key, ""), language)


def stage_word(stage: Stage, language: str = "en") -> str:
    """Return what a stage of a check-up looks at."""
    return phrase(f"stage.{stage.value}", language)


def status_word(status: StageStatus, language: str = "en") -> str:
    """Return how a stage went, in a word."""
    return phrase(f"status.{status.value}", language)


def fix_sentence(fix_id: str, language: str = "en") -> str:
    """Return what a fix does; empty for an unknown one."""
    return phrase(f"fix.{fix_id}", language)


def steps(provider_id: str, language: str = "en") -> Sequence[str]:
    """Return the steps of set-up in their order, numbered from 1 in their own texts; empty without any."""
    found = catalogue.provider(provider_id)
    if found is not None and provider_id in _own_steps:
        return _own_steps[provider_id]
    setup = setups().get(provider_id)
    if found is None or setup is None:
        return ()
    values = _values(found, setup.site, language_of(language))
    texts = (translated(key, setup_texts()[key], language) for key in setup.keys)
    return tuple(text.format_map(values) for text in texts)


_own_steps: dict[str, Sequence[str]] = {}
"""Steps from files of one's own by provider, in whatever language they are written."""


def use(own: Mapping[str, Sequence[str]]) -> None:
    """Put in the steps of files of one's own (``files``), in place of those put in before."""
    _own_steps.clear()
    _own_steps.update(own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Set-up at one provider."""

    site: str
    """Where a person logs in."""
    keys: tuple[str, ...]
    """Of the steps in their order (``setup.qq.1``, ``setup.store-code``)."""


@lru_cache(maxsize=1)
def phrases() -> Mapping[str, str]:
    """Return every phrase in English by its key."""
    return {
        f"{group}.{name}": text
        for group, rows in _parsed("phrases.toml").items()
        for name, text in rows.items()
    }


@lru_cache(maxsize=1)
def setups() -> Mapping[str, Setup]:
    """Return set-up by provider."""
    return {
        row["provider"]: Setup(site=row["site"], keys=tuple(_keyed(row)))
        for row in _parsed("setup.toml")["setup"]
    }


@lru_cache(maxsize=1)
def setup_texts() -> Mapping[str, str]:
    """Return every step in English by its key, the shared ones first."""
    data = _parsed("setup.toml")
    texts = {f"setup.{name}": text for name, text in data["shared"].items()}
    for row in data["setup"]:
        own = zip(_keyed(row), row["steps"], strict=True)
        texts |= {key: text for key, text in own if not text.startswith(_SHARED)}
    return texts


def _keyed(row: Mapping[str, Any]) -> Sequence[str]:
    return [
        f"setup.{text.removeprefix(_SHARED)}"
        if text.startswith(_SHARED)
        else f"setup.{row['provider']}.{number}"
        for number, text in enumerate(row["steps"], 1)
    ]


def name_of(one: Provider, language: str = "en") -> str:
    """Return a provider's name: the local one for who reads its language."""
    if not one.name_local:
        return one.name
    local = "ko" if _HANGUL.search(one.name_local) else "zh"
    return one.name_local if local == language_of(language) else one.name


def _values(found: Provider, site: str, language: str) -> Mapping[str, str]:
    """Return what stands for the names in braces."""
    return {
        "name": name_of(found, language),
        "site": site,
        "host": found.host,
        "port": str(found.prefer.port),
        "word": found.username_literal,
        "docs": found.docs,
    }


def _weight_of(parameters: Sequence[str]) -> float | None:
    """Return a wish's weight, 1 without one; ``None`` when it is broken."""
    if not parameters:
        return 1.0
    match = _WEIGHT.fullmatch(parameters[0])
    return float(match[1]) if match else None


@lru_cache(maxsize=len(LANGUAGES))
def _catalogue(language: str) -> "NullTranslations":
    from gettext import GNUTranslations  # noqa: PLC0415 - only who reads another language needs it

    with (files(__package__) / "locale" / language / "LC_MESSAGES" / "postroom.mo").open("rb") as file:
        return GNUTranslations(file)


def _parsed(name: str) -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "data" / name).read_text(encoding="utf-8"))

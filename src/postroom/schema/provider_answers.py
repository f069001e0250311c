"""Answers about providers: models for the OpenAPI document, and the functions that write them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from pydantic import BaseModel, ConfigDict

from postroom.providers import catalogue, words
from postroom.providers.provider import LITERAL, Provider, UsernameRule
from postroom.schema.answers import Json


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProviderLine(_Answer):
    """One provider in a list."""

    id: str
    name: str
    name_local: str
    host: str
    """Empty for servers of one's own."""
    port: int
    encryption: str
    domains: list[str]


class Named(_Answer):
    """A value of the catalogue, and what it says in the reader's language."""

    value: str
    text: str


class PortAnswer(_Answer):
    """A port, how it is encrypted, and what that says in the reader's language."""

    port: int
    encryption: str
    text: str


class OneProviderAnswer(ProviderLine):
    """Everything about a provider, in the reader's language."""

    language: str
    hosts: dict[str, str]
    host_template: str
    regions: list[str]
    ports: list[PortAnswer]
    """The preferred one first."""
    mx_suffix: list[str]
    login: list[Named]
    """The user name; a second entry is the form that some accounts want."""
    secrets: list[Named]
    from_rule: Named
    from_note: str
    auth: list[str]
    oauth2_scope: str
    limits: dict[str, int]
    """Only what is known."""
    limits_note: str
    steps: list[str]
    note: str
    docs: str
    grade: dict[str, str]
    sources: list[str]


class ProviderListAnswer(_Answer):
    """Every provider."""

    providers: list[ProviderLine]


def found(wanted: Sequence[str]) -> Sequence[Provider]:
    """Return the providers whose id, name, domains or hosts have every word, in any case."""
    folded = [word.casefold() for word in wanted]
    return [one for one in catalogue.providers() if all(word in _searched(one) for word in folded)]


def listed(providers: Iterable[Provider]) -> Json:
    """Return a list of providers."""
    return {"providers": [_line(one) for one in providers]}


def shown(one: Provider, language: str) -> Json:
    """Return everything about one, in a language of ``words.LANGUAGES``."""
    sources = catalogue.sources()
    logins = [one.username, *([one.username_alt] if one.username_alt is not None else [])]
    return {
        **_line(one),
        "language": language,
        "hosts": dict(one.hosts),
        "host_template": one.host_template,
        "regions": list(one.regions),
        "ports": [_port(one, port, language) for port in ports_of(one)],
        "mx_suffix": list(one.mx_suffix),
        "login": [_login(one, rule, language) for rule in logins],
        "secrets": [_named("secret", kind, language) for kind in one.secrets],
        "from_rule": _named("from", one.from_rule, language),
        "from_note": one.from_note,
        "auth": list(one.auth),
        "oauth2_scope": one.oauth2_scope,
        "limits": {name: count for name, count in asdict(one.limits).items() if count is not None},
        "limits_note": one.limits_note,
        "steps": list(words.steps(one.id, language)),
        "note": one.note,
        "docs": one.docs,
        "grade": dict(one.grade),
        "sources": [sources.get(key, key) for key in one.sources],
    }


def ports_of(one: Provider) -> Sequence[int]:
    """Return every port once, the preferred one first."""
    return list(dict.fromkeys((one.prefer.port, *one.tls, *one.starttls, *one.plain)))


def _line(one: Provider) -> Json:
    return {
        "id": one.id,
        "name": one.name,
        "name_local": one.name_local,
        "host": one.host,
        "port": one.prefer.port,
        "encryption": one.prefer.mode.value,
        "domains": list(one.domains),
    }


def _port(one: Provider, port: int, language: str) -> Json:
    mode = one.mode_of(port) or one.prefer.mode
    return {"port": port, "encryption": mode.value, "text": words.phrase(f"mode.{mode.value}", language)}


def _login(one: Provider, rule: UsernameRule, language: str) -> Json:
    named = _named("username", rule, language)
    if rule is not UsernameRule.LITERAL:
        return named
    return {
        "value": f"{LITERAL}{one.username_literal}",
        "text": named["text"].replace("{word}", one.username_literal),
    }


def _named(group: str, value: str, language: str) -> Json:
    return {"value": str(value), "text": words.phrase(f"{group}.{value}", language)}


def _searched(one: Provider) -> str:
    return "\n".join((one.id, one.name, one.name_local, *one.domains, *one.all_hosts)).casefold()

"""What the description of a transport takes from the catalogue of providers, as pure decisions.

Where something is not known of a provider, nothing is made up; what the ports and limits come to is in
``docs/transports.md``.
"""

from dataclasses import dataclass

from postroom.errors import Problem
from postroom.model.address import Address, AddressError, Mailbox, parse_address
from postroom.model.transport import Rate, TlsMode
from postroom.providers import catalogue
from postroom.providers.provider import Endpoint, FromRule, Grade, Limits, Provider, SecretKind, UsernameRule
from postroom.schema.quantities import nearest


def known_provider(id: str, field: str) -> tuple[Provider | None, Problem | None]:  # noqa: A002 - its word
    """Return the provider, or the problem that names the nearest one."""
    found = catalogue.provider(id)
    if found is not None:
        return found, None
    near = nearest(id, [one.id for one in catalogue.providers()])
    hint = f"Did you mean {near}? " if near else ""
    fix = f"{hint}`postroom providers` lists them; without one, give the server's own URL or host."
    return None, Problem(code="provider-unknown", field=field, cause="no such provider", fix=fix)


def hostless_problem(one: Provider, field: str) -> Problem:
    """Say that a provider has no host that is everybody's."""
    fix = "Write the server after '@' in the URL, or set host."
    return Problem(code="host-missing", field=field, cause=f"{one.id} has no host of its own", fix=fix)


def endpoint_of(one: Provider, *, port: int | None, mode: TlsMode | None) -> Endpoint:
    """Return port and encryption from what is given of them, the rest as the provider prefers it."""
    if port is not None:
        return Endpoint(port, mode or one.mode_of(port) or usual_mode(port))
    if mode is None or mode is one.prefer.mode:
        return one.prefer
    ports = {TlsMode.IMPLICIT: one.tls, TlsMode.STARTTLS: one.starttls}.get(mode, one.plain or one.starttls)
    return Endpoint(ports[0] if ports else usual_port(mode), mode)


def usual_mode(port: int) -> TlsMode:
    """Return how a port of an unknown server is encrypted (RFC 8314 section 3)."""
    return {465: TlsMode.IMPLICIT, 587: TlsMode.STARTTLS}.get(port, TlsMode.OPPORTUNISTIC)


def usual_port(mode: TlsMode) -> int:
    """Return the port of an unknown server (RFC 8314 section 3.3, RFC 5321 section 4.5.4.2)."""
    if mode is TlsMode.IMPLICIT:
        return 465
    return 25 if mode is TlsMode.NONE else 587


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """How much of a provider to ask for where a person set nothing; ``None`` and empty: our own defaults."""

    rates: tuple[Rate, ...] = ()
    connections: int | None = None
    recipients: int | None = None
    messages: int | None = None


UNPUBLISHED_CONNECTIONS = 1
"""Connections to a mailbox provider that has limits and does not publish them. A guess, not a fact: such
limits are low, and crossing them locks the mailbox for hours. No rate is made up."""


_MAILBOX_SECRETS = frozenset(
    {SecretKind.ACCOUNT_PASSWORD, SecretKind.AUTHORIZATION_CODE, SecretKind.APP_PASSWORD}
)
"""Of people's mailboxes; sending services give keys."""


def hints_of(one: Provider | None, mailbox: Mailbox | None) -> Hints:
    """Return what the provider's limits come to for this mailbox (``docs/transports.md``).

    Messages in a span of time only where the provider's own pages or a file of one's own say so; of the
    shipped ones those of an hour or a day only for mailboxes of the provider's domains: with a domain of your
    own the plan decides. Connections, recipients of one message and messages of one connection also where
    others found them: too few of these cost little.
    """
    if one is None:
        return Hints()
    limits = one.limits
    grade = one.grade.get("limits", Grade.UNKNOWN)
    is_ours = grade == Grade.UNKNOWN and limits != Limits()  # shipped numbers all have a grade
    windows = {1: limits.per_second, 60: limits.per_minute}
    if is_ours or (mailbox is not None and mailbox.address.domain in one.domains):
        windows |= {3600: limits.per_hour, 86400: limits.per_day}
    known = [(window, most) for window, most in windows.items() if most is not None]
    is_mailbox = one.from_rule is FromRule.EQUALS_ACCOUNT and one.secrets[0] in _MAILBOX_SECRETS
    is_secretive = grade == Grade.UNKNOWN and not is_ours and is_mailbox
    return Hints(
        rates=tuple(Rate(*each) for each in known) if grade == Grade.DOCUMENTED or is_ours else (),
        connections=limits.connections or (UNPUBLISHED_CONNECTIONS if is_secretive else None),
        recipients=limits.rcpt_per_message,
        messages=limits.messages_per_connection,
    )


def login_name(one: Provider, username: str, sender: str | None) -> tuple[str, str]:
    """Return the user name in the form the provider wants, and what to say about it (or nothing).

    A form that some accounts want is left as it was written.
    """
    forms = {one.username, one.username_alt}
    if forms & {UsernameRule.API_CREDENTIAL, UsernameRule.ACCOUNT_LOGIN}:
        return username, ""
    if one.username is UsernameRule.LITERAL:
        if username == one.username_literal:
            return username, ""
        return username, f"{one.id} expects the word {one.username_literal} as user name"
    if "@" in username and UsernameRule.FULL_ADDRESS not in forms:
        return username.rpartition("@")[0], f"{one.id} logs in with the part before the @; it is used"
    if "@" not in username and UsernameRule.LOCAL_PART not in forms:
        if sender is not None and sender.startswith(f"{username}@"):
            return sender, ""
        return username, f"{one.id} expects the whole address as user name"
    return username, ""


def mailbox_of(username: str | None, provider: Provider | None, sender: Address | None) -> Address | None:
    """Return the address of the mailbox behind a login by local part; ``None`` where it does not follow."""
    if username is None or "@" in username or provider is None:
        return None
    if UsernameRule.LOCAL_PART not in {provider.username, provider.username_alt}:
        return None
    if sender is not None and sender.local == username and sender.domain in provider.domains:
        return sender
    try:
        return parse_address(f"{username}@{provider.domains[0]}") if len(provider.domains) == 1 else None
    except AddressError:
        return None


def port_warning(one: Provider, port: int) -> str:
    """Say that the provider has no such port; empty when it has, or when its ports are not known."""
    if one.mode_of(port) is not None or not one.host:
        return ""
    return f"{one.id} has no port {port}; use {one.prefer.port} ({one.prefer.mode})"

"""What a check of an account is about: settings, provider, sender and recipient, as one value.

Pure; the look-ups of providers read packaged data only.
"""

from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

from postroom.model.address import Address, AddressError, parse_address
from postroom.model.transport import FromPolicy, SmtpAccount, TransportSpec
from postroom.providers import catalogue
from postroom.providers.provider import Provider, UsernameRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One account to be looked at."""

    spec: TransportSpec
    account: SmtpAccount
    provider: Provider | None
    owner: Address | None
    """The mailbox that logs in, where the login tells it."""
    sender: Address | None
    """Of MAIL FROM."""
    recipient: Address | None
    """Of RCPT TO."""
    is_own_recipient: bool
    """The recipient is the sender, because nobody named one."""
    worked_until: datetime | None = None
    """When a login with this account last worked."""

    @property
    def endpoint(self) -> str:
        """Host and port for people."""
        host = f"[{self.account.host}]" if ":" in self.account.host else self.account.host
        return f"{host}:{self.account.port}"


def case_of(
    spec: TransportSpec,
    account: SmtpAccount,
    *,
    recipient: Address | None = None,
    worked_until: datetime | None = None,
) -> Case:
    """Return the case of a transport's account."""
    provider = provider_of(account)
    owner = _owner(account, provider)
    sender = spec.default_from.address if spec.default_from is not None else owner
    if spec.from_policy is FromPolicy.REWRITE and owner is not None:
        sender = owner
    return Case(
        spec=spec,
        account=account,
        provider=provider,
        owner=owner,
        sender=sender,
        recipient=recipient or sender,
        is_own_recipient=recipient is None,
        worked_until=worked_until,
    )


def provider_of(account: SmtpAccount) -> Provider | None:
    """Return the provider that the settings name, else the one whose host it is."""
    named = catalogue.provider(account.provider) if account.provider else None
    return named or catalogue.by_host(account.host)


def is_near(host: str) -> bool:
    """Say whether a host is this machine or in a private network, as far as its spelling tells."""
    if host.endswith((".localhost", ".local", ".internal")) or not {".", ":"} & set(host):
        return True
    try:
        return ip_address(host.partition("%")[0]).is_private
    except ValueError:
        return False


def _owner(account: SmtpAccount, provider: Provider | None) -> Address | None:
    """Return the mailbox that logs in; a login without a domain has the only domain of its provider."""
    login = account.username or ""
    if "@" not in login and provider is not None and provider.domains:
        forms = {provider.username, provider.username_alt}
        if UsernameRule.LOCAL_PART in forms and login:
            login = f"{login}@{provider.domains[0]}"
    try:
        return parse_address(login)
    except AddressError:
        return None

"""Changes of settings that mend what a check found, each applied by one call.

A patch has the form of ``PATCH /v1/transports/{name}`` and never holds a secret; ``strip-secret`` has an
empty one, because only who has the secret can apply it. Nothing is offered that would make somebody on the
line trusted: a known provider's certificate is never pinned and its name never replaced.
"""

from collections.abc import Sequence

from postroom.model.checkup import Fix
from postroom.model.transport import FromPolicy, TlsMode
from postroom.policy.doctor_case import Case
from postroom.providers import catalogue
from postroom.providers.provider import Provider, UsernameRule

SUBMISSION_PORTS = (465, 587, 2525)
"""Where mail of accounts is taken, best first."""
LOW_RATE = "10/min"
"""A start for providers that publish no limit."""


def use_implicit_tls() -> Fix:
    """TLS from the first byte, on the same port."""
    return Fix(id="use-implicit-tls", patch={"encryption": TlsMode.IMPLICIT.value})


def use_starttls() -> Fix:
    """STARTTLS, on the same port."""
    return Fix(id="use-starttls", patch={"encryption": TlsMode.STARTTLS.value})


def other_port(case: Case, open_ports: Sequence[int] = ()) -> Fix | None:
    """The port that the provider prefers, else one of its others or of everybody's that was seen open."""
    own, provider = case.account.port, case.provider
    if provider is not None and provider.host:
        if provider.prefer.port != own:
            return _switch("switch-port", provider.prefer.port, provider.prefer.mode)
        for port in (*provider.tls, *provider.starttls):
            mode = provider.mode_of(port)
            if port != own and port in open_ports and mode is not None:
                return _switch("switch-port", port, mode)
        return None
    found = next((port for port in SUBMISSION_PORTS if port != own and port in open_ports), None)
    return None if found is None else _switch("use-open-port", found, mode_of_port(found))


def mode_of_port(port: int) -> TlsMode:
    """Return how a port is usually encrypted: the others than these begin in plain."""
    return TlsMode.IMPLICIT if port in {443, 465, 994, 2465, 8465} else TlsMode.STARTTLS


def sender_as_account(case: Case) -> Fix | None:
    """From rewritten to the account; with no other sender wished, the account set as sender."""
    if case.owner is None or case.spec.from_policy is FromPolicy.REWRITE:
        return None
    if case.sender is not None and not case.sender.is_same(case.owner):
        return Fix(id="rewrite-from", patch={"from_policy": FromPolicy.REWRITE.value})
    return None


def slower(case: Case) -> Fix:
    """One connection (or what the provider allows) and a few messages a minute."""
    known = case.provider.limits.connections if case.provider is not None else None
    connections = min(known or 1, case.spec.max_connections)
    return Fix(id="lower-pace", patch={"max_connections": connections, "rate": LOW_RATE})


def login(case: Case) -> Fix | None:
    """What is most likely wrong with a refused login besides the secret itself."""
    return blanks_removed(case) or own_host(case) or user_name(case)


def blanks_removed(case: Case) -> Fix | None:
    """The secret without blanks, which only who has it can apply."""
    password = case.account.password
    return (
        Fix(id="strip-secret", patch={}) if password is not None and has_blanks(password.reveal()) else None
    )


def has_blanks(secret: str) -> bool:
    """Say whether a secret has what pages and lines add to it: blanks in groups of four, or a line break."""
    groups = secret.split(" ")
    is_grouped = len(groups) > 2 and all(len(group) == 4 for group in groups)
    return secret != secret.strip() or "\n" in secret or "\r" in secret or is_grouped


def own_host(case: Case) -> Fix | None:
    """The server of the service where the mailbox is."""
    other = host_owner(case)
    if other is None:
        return None
    patch = {"host": other.host, "port": other.prefer.port, "encryption": other.prefer.mode.value}
    return Fix(id="use-provider-host", patch=patch)


def host_owner(case: Case) -> Provider | None:
    """Return the provider of the mailbox when the server is another provider's."""
    if case.provider is None or not case.provider.domains or case.owner is None:
        return None
    other = catalogue.by_domain(case.owner.domain)
    if other is None:  # a domain of its own at QQ's mailbox server: Exmail has those
        is_qq = case.provider.id == "qq" and case.owner.domain not in case.provider.domains
        other = catalogue.provider("exmail") if is_qq else None
    is_other = other is not None and other.id != case.provider.id and bool(other.host)
    return other if is_other else None


def user_name(case: Case) -> Fix | None:
    """The other form of the user name that this provider wants or may want."""
    provider, name = case.provider, case.account.username
    if provider is None or not name:
        return None
    known = case.owner or case.sender
    address = (
        known.spec if known is not None and known.local.lower() == name.partition("@")[0].lower() else name
    )
    for rule in (provider.username, provider.username_alt):
        match rule:
            case UsernameRule.LITERAL if name != provider.username_literal:
                return Fix(id="set-user-name", patch={"username": provider.username_literal})
            case UsernameRule.FULL_ADDRESS if "@" not in name and "@" in address:
                return Fix(id="full-address-login", patch={"username": address})
            case UsernameRule.LOCAL_PART if "@" in name:
                return Fix(id="local-part-login", patch={"username": name.rpartition("@")[0]})
            case _:
                continue
    return None


def certificate_name(case: Case, names: Sequence[str]) -> Fix | None:
    """The certificate's own name, when it is of the same domain as the host, or the host is an address."""
    if case.provider is not None:
        return None
    parent = ".".join(case.account.host.rsplit(".", 2)[-2:])
    is_address = case.account.host.replace(".", "").isdigit() or ":" in case.account.host
    for name in names:
        own = name.removeprefix("*.")
        if "*" not in name and (is_address or own == parent or own.endswith(f".{parent}")):
            return Fix(id="set-server-name", patch={"server_name": name})
    return None


def pinned(case: Case, digest: str) -> Fix | None:
    """The certificate that was shown; for servers of one's own."""
    return Fix(id="pin-certificate", patch={"pin": digest}) if digest and case.provider is None else None


def _switch(id: str, port: int, mode: TlsMode) -> Fix:  # noqa: A002 - the word of the model
    return Fix(id=id, patch={"port": port, "encryption": mode.value})

"""The SMTP door's settings, and what must not be started. Pure.

A door that takes mail without a key from anybody who reaches it is an open relay. Without a key come only
this machine's programs (``smtp.keyless``) and networks that somebody listed (``smtp.networks``); a list that
holds the world, and a proxy that lends its own address to the world, are refused at start.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, ip_network

from postroom.config.settings import Settings, SmtpSettings, TlsFiles
from postroom.config.smtp_section import SmtpSection
from postroom.errors import Problem

_MIN_PREFIX = {4: 8, 6: 16}
"""A public network that is larger is no list of callers: the largest that one organisation was given."""


def smtp_settings(section: SmtpSection, *, tls: TlsFiles | None) -> SmtpSettings:
    """Return what the section comes to."""
    return SmtpSettings(
        listeners=section.listen,
        tls=tls,
        names=section.names,
        keyless=section.keyless,
        networks=section.networks,
        max_connections=section.max_connections,
        max_connections_per_address=section.max_connections_per_address,
        postmaster=None if section.postmaster is None else section.postmaster.address,
    )


def keyless_smtp_problems(settings: Settings) -> Sequence[Problem]:
    """Refuse a door without a key that would take everybody's mail."""
    smtp = settings.smtp
    problems = []
    if smtp.keyless and (settings.public_url is not None or settings.trusted_proxies):
        problems.append(
            Problem(
                code="keyless-behind-proxy",
                field="smtp.keyless",
                cause="set while a proxy may stand before Postroom, so peers cannot be told apart",
                fix="Remove smtp.keyless and give the programs keys, or remove http.public_url and "
                "http.trusted_proxies.",
            )
        )
    problems += [
        Problem(
            code="open-relay",
            field=field,
            cause=f"{network} is most of the internet, and whoever is in it could send mail without a key",
            fix="List the networks of your own programs, or give the programs keys.",
        )
        for field, networks in (
            ("smtp.networks", smtp.networks),
            ("nexus.tenant_networks", settings.nexus.tenant_networks),
        )
        for network in networks
        if _is_world(network)
    ]
    return problems


def smtp_warnings(settings: Settings) -> Sequence[str]:
    """Say aloud what is set and has no effect."""
    smtp = settings.smtp
    if smtp.listeners or not (smtp.tls or smtp.names or smtp.keyless or smtp.networks):
        return ()
    return ("[smtp] has settings but no `listen`: there is no SMTP door",)


def _is_world(text: str) -> bool:
    network = ip_network(text)
    if isinstance(network, IPv4Network) or network.prefixlen:
        return not network.is_private and network.prefixlen < _MIN_PREFIX[network.version]
    return True

"""``[smtp]`` of the settings file: the SMTP door, off unless it listens somewhere."""

from typing import Annotated

from pydantic import BeforeValidator

from postroom.config.settings import SmtpListener
from postroom.schema.written import Count, HostName, Networks, Section, Sender, host_port, listed

IMPLICIT_TLS_PORT = 465
"""RFC 8314 section 7.3: submissions, TLS from the first byte."""


def parse_smtp_listener(text: object) -> SmtpListener:
    """Read ``HOST:PORT``, or ``smtps://HOST:PORT`` and ``smtp://HOST:PORT`` to say how TLS begins.

    Raises ValueError.
    """
    scheme, parted, rest = str(text).strip().rpartition("://")
    if parted and scheme.lower() not in {"smtp", "smtps"}:
        msg = "not HOST:PORT, smtp://HOST:PORT (STARTTLS) or smtps://HOST:PORT (TLS from the first byte)"
        raise ValueError(msg)
    host, port = host_port(rest, example="587")
    is_implicit = scheme.lower() == "smtps" if parted else port == IMPLICIT_TLS_PORT
    return SmtpListener(host=host, port=port, is_implicit=is_implicit)


SmtpListen = Annotated[
    tuple[Annotated[SmtpListener, BeforeValidator(parse_smtp_listener)], ...], BeforeValidator(listed)
]


class SmtpSection(Section):
    """The SMTP door."""

    listen: SmtpListen = ()
    """Addresses to listen on, `HOST:PORT`; one or a list. Port 465 and `smtps://HOST:PORT` begin with TLS."""
    tls_cert: str | None = None
    """PEM file with the certificate and its intermediates; else one of the local authority is used."""
    tls_key: str | None = None
    """PEM file with the certificate's key."""
    names: Annotated[tuple[HostName, ...], BeforeValidator(listed)] = ()
    """Names by which programs call this door, for the certificate of the local authority."""
    keyless: bool = False
    """Programs on this machine need no key."""
    networks: Networks = ()
    """Networks whose programs need no key."""
    max_connections: Count = 1024
    """Sessions at once."""
    max_connections_per_address: Count = 20
    """Sessions at once from one address; loopback and `networks` are exempt."""
    postmaster: Sender | None = None
    """Address that a recipient `<postmaster>` without a domain means; none is refused."""

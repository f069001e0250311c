"""``[http]`` of the settings file: where the HTTP doors listen, with which certificate, and which doors."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator

from postroom.config.settings import HttpDoor, Listener
from postroom.config.sources import DEFAULT_HTTP
from postroom.schema.written import Networks, Section, host_port, listed


def parse_listener(text: object) -> Listener:
    """Read ``HOST:PORT``, ``[IPv6]:PORT`` or ``:PORT`` (every address). Raises ValueError."""
    host, port = host_port(str(text), example="8587")
    return Listener(host=host, port=port)


def _public_url(text: str) -> str:
    parts = urlsplit(text)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.query
        or parts.fragment
        or parts.username
    ):
        msg = "not an http or https URL of a host with an optional path"
        raise ValueError(msg)
    return text.rstrip("/")


class ListenSection(Section):
    """One address with what is its own; `listen` may also hold plain `HOST:PORT`."""

    address: Annotated[Listener, BeforeValidator(parse_listener)] | None = None
    """`HOST:PORT` to listen on. Needed."""
    tls_cert: str | None = None
    """PEM file of this address alone; else that of `[http]`."""
    tls_key: str | None = None
    """PEM file with that certificate's key."""
    tls: bool | None = None
    """`false` speaks plain although `[http]` has a certificate."""
    doors: Annotated[tuple[HttpDoor, ...], BeforeValidator(listed)] = ()
    """What is served here: `v1`, `nexus`, `hap`; else everything. The health checks always are."""


def _table(value: object) -> object:
    """An address alone is a table too; its mistakes are told of the address."""
    return {"address": value} if isinstance(value, str) and parse_listener(value) else value


def _tables(value: object) -> object:
    return [value] if isinstance(value, dict) else listed(value)


def only(address: str) -> ListenSection:
    """Return the table of an address alone."""
    table: dict[str, Any] = {"address": address}
    return ListenSection.model_validate(table)


Listen = Annotated[tuple[Annotated[ListenSection, BeforeValidator(_table)], ...], BeforeValidator(_tables)]


class HttpSection(Section):
    """The HTTP doors."""

    listen: Listen = (only(DEFAULT_HTTP),)
    """Addresses to listen on, `HOST:PORT`; one, a list, or tables `[[http.listen]]`."""
    tls_cert: str | None = None
    """PEM file with the certificate and its intermediates; makes every address of `listen` speak TLS."""
    tls_key: str | None = None
    """PEM file with the certificate's key."""
    public_url: Annotated[str, AfterValidator(_public_url)] | None = None
    """The URL callers use when a proxy stands before Postroom; links in mails begin with it."""
    trusted_proxies: Networks = ()
    """Networks of proxies whose X-Forwarded-* headers are believed."""

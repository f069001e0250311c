"""``[hap]`` of the settings file: the doors for mail from Mingdao HAP, and how its files are fetched."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from postroom.net.destination import DestinationError, parse_place
from postroom.schema.quantities import parse_duration
from postroom.schema.written import Duration, Hidden, HostName, Networks, Section, Sender, listed

Place = tuple[str, int | None]
"""A host and its port; ``None``: every port."""


def _place(text: object) -> Place:
    try:
        return parse_place(str(text).strip())
    except DestinationError as error:
        raise ValueError(str(error)) from None


Places = Annotated[tuple[Annotated[Place, BeforeValidator(_place)], ...], BeforeValidator(listed)]


class HapSection(Section):
    """The HAP doors `/hap/email` and `/email/webhook`."""

    from_: Annotated[Sender | None, Field(alias="from")] = None
    """Sender of these doors, under the name that `Signature` says; else the transport's."""
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")] = "X-Hap-Token"
    """Name of the header that carries `secret`; `Authorization` is one too."""
    secret: Hidden | None = None
    """What that header must hold, the same as in HAP's `WebhookHeaders`. Secret."""
    secret_file: str | None = None
    """File that holds `secret`."""
    keyless: bool | None = None
    """Callers on this machine and in `networks` need no secret; else so in a `[hap]` without `secret`."""
    networks: Networks = ()
    """Networks whose callers need no secret, where there is none."""
    hosts: Annotated[tuple[HostName, ...], BeforeValidator(listed)] = ()
    """Names by which callers without a secret call this machine, beside those of `http.listen`."""
    attachment_hosts: Places = ()
    """Your own file servers, `HOST` or `HOST:PORT`: called although their addresses are private."""
    attachment_timeout: Annotated[float, BeforeValidator(parse_duration), Field(ge=1, le=1800)] = 120.0
    """How long fetching one file may take, at most 30 min."""
    attachment_redirects: Annotated[int, Field(ge=0, le=5)] = 0
    """Redirects that are followed for one file, at most 5."""
    ca_file: str | None = None
    """PEM file of authorities that are trusted for file servers, beside the system's."""
    duplicate_window: Annotated[Duration, Field(le=86400)] = 0.0
    """The same mail again within this time, at most a day, is the first one; `0`: each call is a new mail."""

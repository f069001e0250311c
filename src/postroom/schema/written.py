"""Values as people write them in settings and in bodies about transports: types that read them.

Parsing only: what a value means beside others is for whoever reads the whole. Error texts never contain the
value that was refused. Where several addresses stand in one text, see ``schema.mailbox_lists``.
"""

import re
from ipaddress import ip_address, ip_network
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from postroom.grammar import HOST_NAME
from postroom.model.address import Mailbox, parse_mailbox
from postroom.model.secret import Secret
from postroom.model.transport import Rate
from postroom.schema.mailbox_lists import mailbox_texts
from postroom.schema.quantities import parse_duration, parse_rates, parse_schedule, parse_size


class Section(BaseModel):
    """A table of settings: unknown names are errors, values are frozen, errors hide what was written."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        arbitrary_types_allowed=True,
        populate_by_name=False,
    )


def listed(value: object) -> object:
    """One entry, or entries separated by commas, are a list too: environment variables have only text."""
    if isinstance(value, str):
        return [entry.strip() for entry in value.split(",") if entry.strip()]
    return value


def domain_name(text: str) -> str:
    """Return a domain name in lower case. Raises ValueError."""
    if not HOST_NAME.match(text):
        msg = "not a domain name"
        raise ValueError(msg)
    return text.lower()


def host_name(text: str) -> str:
    """Return a domain name or an IP address in the form that is compared. Raises ValueError."""
    bare = text.lower().removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(bare))
    except ValueError:
        return domain_name(bare)


def host_port(text: str, *, example: str) -> tuple[str, int]:
    """Read ``HOST:PORT``, ``[IPv6]:PORT`` or ``:PORT`` (every address, ``0.0.0.0``). Raises ValueError.

    ``example`` is the port of the examples in the error.
    """
    host, colon, port = text.strip().rpartition(":")
    if not colon or not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        forms = f"127.0.0.1:{example}, [::1]:{example} or :{example} for every address"
        msg = f"not HOST:PORT, for example {forms}"
        raise ValueError(msg)
    bare = host.removeprefix("[").removesuffix("]")
    if (":" in bare) != (host != bare):
        msg = f"an IPv6 address stands in brackets, for example [::1]:{example}"
        raise ValueError(msg)
    return bare or "0.0.0.0", int(port)  # noqa: S104 - what ":PORT" asks for


def one_line(text: str) -> str:
    """Return text without control characters. Raises ValueError."""
    if not text.isprintable():
        msg = "control characters are not allowed"
        raise ValueError(msg)
    return text


def not_boolean(value: object) -> object:
    """Return anything but true and false, which Python takes for numbers. Raises ValueError."""
    if isinstance(value, bool):
        msg = "not a number"
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects value errors only
    return value


def _network(text: object) -> str:
    try:
        return str(ip_network(str(text).strip()))
    except ValueError:
        msg = "not a network in CIDR form, for example 10.0.0.0/8 or 192.0.2.7"
        raise ValueError(msg) from None


def _sender(value: object) -> Mailbox:
    if isinstance(value, Mailbox):
        return value
    if not isinstance(value, str):
        msg = "not text"
        raise ValueError(msg)  # noqa: TRY004 - pydantic collects value errors only
    return parse_mailbox(value)


def _secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, str) and not _SURROGATE.search(value):
        return Secret(value)
    msg = "not text"
    raise ValueError(msg)


_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, from JSON or an environment that is not UTF-8: no login can send it."""
_DURATION = WithJsonSchema(
    {"anyOf": [{"type": "number"}, {"type": "string", "examples": ["30 s", "15 min"]}]}
)
_MAILBOX = {"type": "string", "examples": ["Name <name@example.com>", "name@example.com"]}
_MAILBOXES = {"anyOf": [_MAILBOX, {"type": "array", "items": _MAILBOX}]}

Duration = Annotated[float, BeforeValidator(parse_duration), _DURATION]
Size = Annotated[int, BeforeValidator(parse_size)]
Count = Annotated[int, Field(ge=1), BeforeValidator(not_boolean)]
Network = Annotated[str, BeforeValidator(_network)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(listed)]
HostName = Annotated[str, AfterValidator(host_name)]
Hidden = Annotated[
    Secret,
    BeforeValidator(_secret),
    WithJsonSchema({"type": "string", "format": "password", "writeOnly": True}),
]
"""As it was written, line ends included: whoever uses it says what is left out."""
Sender = Annotated[Mailbox, BeforeValidator(_sender), WithJsonSchema(_MAILBOX)]
Senders = Annotated[tuple[Sender, ...], BeforeValidator(mailbox_texts), WithJsonSchema(_MAILBOXES)]
Rates = Annotated[
    tuple[Rate, ...],
    BeforeValidator(parse_rates),
    WithJsonSchema({"type": "string", "examples": ["10/s, 200/h, 2000/d"]}),
]
Schedule = Annotated[tuple[float, ...], BeforeValidator(parse_schedule)]

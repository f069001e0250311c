"""What this server calls itself towards others."""

import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from postroom.config.settings import Settings
from postroom.grammar import HOST_NAME


def own_name(names: Sequence[str]) -> str:
    """Return the first name that the server is called by and that is no address, else the machine's."""
    found = [*names, socket.gethostname().lower()]
    return next((name for name in found if HOST_NAME.match(name) and not name[-1].isdigit()), "localhost")


def installation(settings: Settings) -> str:
    """Return what an operator of several installations knows this one by."""
    if settings.public_url and (host := urlsplit(settings.public_url).hostname):
        return host
    if not settings.listeners:
        return f"Postroom on {own_name(())}"
    front = settings.listeners[settings.front]
    return f"Postroom at {front.host}:{front.port}"

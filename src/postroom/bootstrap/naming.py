"""What this server calls itself towards others."""

import socket
from collections.abc import Sequence

from postroom.grammar import HOST_NAME


def own_name(names: Sequence[str]) -> str:
    """Return the first name that the server is called by and that is no address, else the machine's."""
    found = [*names, socket.gethostname().lower()]
    return next((name for name in found if HOST_NAME.match(name) and not name[-1].isdigit()), "localhost")

"""The doctor of a run: the same for a server and for a command without one."""

from collections.abc import Iterable

from postroom.clock import Clock
from postroom.egress.doctor.doctor import AccountDoctor, TokensOf
from postroom.net.guard import Guard
from postroom.ports.doctor import Doctor


def build_doctor(
    clock: Clock, *, tokens_of: TokensOf | None = None, allowed_networks: Iterable[str] = ()
) -> Doctor:
    """Return a doctor who asks this machine's name servers.

    Args:
        clock: Time.
        tokens_of: Of a server: where a transport that is in use gets its tokens, ``None`` for any other, so
            that a refresh token is not used up behind its back.
        allowed_networks: Where identity servers of the others may be besides the public network.
    """
    return AccountDoctor(clock=clock, tokens_of=tokens_of, guard=Guard(allowed_networks))

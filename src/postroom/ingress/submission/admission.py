"""Who may hand in mail by SMTP: decided from where a client comes from and the key it shows. Pure.

Rules: without a key come only peers that a setting names; a key that is shown must be right, also from there;
the key is the password and the user name is free. Wrong keys cost their address time: the answer waits longer
with each, whoever it was that guessed, and nobody is locked out, because a key is too long to be guessed.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address

from postroom.model.view import ApiKey
from postroom.smtp import server_replies as replies
from postroom.smtp.server_replies import ServerReply
from postroom.web.auth import Caller
from postroom.web.keyless import Network, is_loopback, is_within, parse_networks

NEEDED_SCOPE = "send"

_FORGET_S = 60.0
"""One wrong key of an address is forgotten in this time."""
_FIRST_DELAY_S = 1.0
_MAX_DELAY_S = 16.0
_MAX_COUNT = 10.0
"""Wrong keys of an address that are counted: ten minutes after a flood nobody there waits any longer."""
_MAX_ADDRESSES = 4096
"""Addresses whose wrong keys are remembered; the one that was wrong the longest ago goes (security limit)."""

NOT_FOR_SENDING = ServerReply(535, "5.7.8", "This key may not send; it lacks the scope 'send'")
NOT_FROM_HERE = ServerReply(535, "5.7.8", "This key is not for clients at your address")


class Admission:
    """Says who a client is."""

    def __init__(
        self, key_for: Callable[[str], ApiKey | None], *, keyless: bool, networks: Sequence[Network]
    ) -> None:
        """Take the look-up of live keys; ``keyless`` peers are this machine's, besides ``networks``."""
        self._key_for = key_for
        self._keyless = keyless
        self._networks = tuple(networks)

    def without_key(self, peer: str) -> Caller | None:
        """Return who a client is that has shown no key; ``None``: it has to."""
        if (self._keyless and is_loopback(peer)) or is_within(peer, self._networks):
            return Caller(peer=peer)
        return None

    def with_key(self, secret: str, peer: str) -> Caller | ServerReply:
        """Return who the client is that shows this key, or why it is refused."""
        key = self._key_for(secret)
        if key is None:
            return replies.WRONG_KEY
        if NEEDED_SCOPE not in key.scopes:
            return NOT_FOR_SENDING
        if key.networks and not is_within(peer, parse_networks(key.networks)):
            return NOT_FROM_HERE
        return Caller(tenant=key.tenant, senders=key.senders, key=key.name, peer=peer)


class WrongKeys:
    """Remembers which addresses showed wrong keys."""

    def __init__(self) -> None:
        """Begin with none."""
        self._seen: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def delay_s(self, peer: str, now_s: float) -> float:
        """Count a wrong key; return the seconds its answer waits. ``now_s`` is monotonic."""
        place = _place(peer)
        count, at_s = self._seen.pop(place, (0.0, now_s))
        count = max(count - (now_s - at_s) / _FORGET_S, 0.0)
        self._seen[place] = (min(count + 1, _MAX_COUNT), now_s)
        if len(self._seen) > _MAX_ADDRESSES:
            self._seen.popitem(last=False)
        return float(min(_FIRST_DELAY_S * 2.0**count, _MAX_DELAY_S))


def _place(peer: str) -> str:
    """Return what is counted as one: an address, or the network of 64 bits that one IPv6 host has."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(int(address) >> 64)
    return peer

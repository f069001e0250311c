"""Logins with a password: PLAIN (RFC 4616), LOGIN (never standardised), CRAM-MD5 (RFC 2195).

Order: PLAIN, LOGIN, CRAM-MD5; without TLS the challenge comes first, because it does not show the password.
PLAIN carries an empty authorization identity (Naver refuses a filled one) and goes in the AUTH line; LOGIN
waits for its two prompts, since not every server takes the name in the AUTH line and it happens once in the
life of a connection.
"""

import hmac
from collections.abc import Sequence
from enum import StrEnum
from typing import assert_never

MAX_CHALLENGES = 4
"""Challenges answered before the login is given up (security limit); nothing here needs more than two."""


class Mechanism(StrEnum):
    """SASL mechanisms we speak."""

    PLAIN = "PLAIN"
    LOGIN = "LOGIN"
    CRAM_MD5 = "CRAM-MD5"


_UNDER_TLS = (Mechanism.PLAIN, Mechanism.LOGIN, Mechanism.CRAM_MD5)
_IN_PLAIN = (Mechanism.CRAM_MD5, Mechanism.PLAIN, Mechanism.LOGIN)


def choose(offered: Sequence[str], *, is_encrypted: bool, forced: str | None) -> Mechanism | None:
    """Return the mechanism to use, ``None`` when there is none in common.

    ``forced`` is used even when it is not offered: the server's refusal says more than ours would.
    """
    if forced is not None:
        return Mechanism(forced.upper()) if forced.upper() in frozenset(Mechanism) else None
    order = _UNDER_TLS if is_encrypted else _IN_PLAIN
    return next((mechanism for mechanism in order if mechanism in offered), None)


class Login:
    """One login: the initial response and the answers to challenges."""

    def __init__(self, mechanism: Mechanism, username: str, password: str) -> None:
        """Take the mechanism and the credentials; raw UTF-8 goes out, without SASLprep."""
        self.mechanism = mechanism
        self._username = username.encode()
        self._password = password.encode()
        self._challenges = 0

    @property
    def initial(self) -> bytes | None:
        """What goes in the AUTH line."""
        return self._plain() if self.mechanism is Mechanism.PLAIN else None

    def answer(self, challenge: bytes) -> bytes | None:
        """Return the answer to one decoded challenge, ``None`` when there is none to give."""
        self._challenges += 1
        if self._challenges > MAX_CHALLENGES:
            return None
        match self.mechanism:
            case Mechanism.PLAIN:
                return self._plain()
            case Mechanism.LOGIN:
                return self._username if self._challenges == 1 else self._password
            case Mechanism.CRAM_MD5:
                return self._username + b" " + hmac.digest(self._password, challenge, "md5").hex().encode()
            case _:
                assert_never(self.mechanism)

    def _plain(self) -> bytes:
        return b"\0" + self._username + b"\0" + self._password

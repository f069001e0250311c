"""Logins as a server takes them: PLAIN (RFC 4616) and LOGIN, line by line (RFC 4954).

The user name is free and the password is the key, but both must be there. The authorization identity must
be empty or the user name itself. Nothing of a secret is kept after the answer, nor shown.
"""

import binascii
from base64 import b64decode, b64encode

from postroom.model.secret import Secret
from postroom.smtp import server_replies as replies
from postroom.smtp.server_events import Login
from postroom.smtp.server_replies import ServerReply

MECHANISMS = ("PLAIN", "LOGIN")

_USERNAME = b"334 " + b64encode(b"Username:") + b"\r\n"
_PASSWORD = b"334 " + b64encode(b"Password:") + b"\r\n"
"""What clients of LOGIN, which no RFC defines, are used to."""
_EMPTY = b"334 \r\n"


class SaslExchange:
    """One AUTH command."""

    def __init__(self, mechanism: str) -> None:
        """Begin; ``mechanism`` is one of ``MECHANISMS``."""
        self._is_plain = mechanism == "PLAIN"
        self._username: str | None = None

    def begin(self, initial: str | None) -> bytes | Login | ServerReply:
        """Return a challenge, the login, or a refusal; ``initial`` stood behind the mechanism."""
        if initial is None:
            return _EMPTY if self._is_plain else _USERNAME
        return self.take("" if initial == "=" else initial)

    def take(self, line: str) -> bytes | Login | ServerReply:
        """Return what the client's next line leads to."""
        if line == "*":
            return replies.CANCELLED
        try:
            response = b64decode(line.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            return replies.NOT_BASE64
        try:
            text = response.decode("utf-8")
        except UnicodeDecodeError:
            return replies.NOT_A_LOGIN
        if self._is_plain:
            return _plain(text)
        if "\0" in text or not text:
            return replies.NOT_A_LOGIN
        if self._username is None:
            self._username = text
            return _PASSWORD
        return Login(self._username, Secret(text))


def _plain(text: str) -> Login | ServerReply:
    fields = text.split("\0")
    if len(fields) != 3 or not fields[1] or not fields[2]:
        return replies.NOT_A_LOGIN
    identity, username, password = fields
    if identity not in ("", username):
        return replies.NOT_AS_ANOTHER
    return Login(username, Secret(password))

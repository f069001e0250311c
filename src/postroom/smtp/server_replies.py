"""What the server says: replies as values, and those that it says by itself (RFC 5321 section 4.2, RFC 2034).

Every refusal names its cause and what to do. Texts are US-ASCII, as clients that did not ask for SMTPUTF8
must get them (RFC 6531 section 3.7.4); other characters become visible escapes. Each line of a reply carries
the code and the enhanced code, and no line is longer than 512 octets (RFC 5321 section 4.5.3.1.5).
"""

import re
from dataclasses import dataclass

_UNSAFE = re.compile(r"[^ -~]")
_MAX_TEXT = 480
"""Octets of a text on one line: 512 less code, enhanced code (at most 12) and CR LF."""


@dataclass(frozen=True, slots=True)
class ServerReply:
    """One reply to one command."""

    code: int
    enhanced: str
    """``class.subject.detail`` of RFC 3463; empty for those that have none (220, 250 to EHLO, 334, 354)."""
    text: str
    closes: bool = False
    """The connection ends after it."""

    @property
    def wire(self) -> bytes:
        """Return it as bytes, with CR LF; a line end in the text begins another line."""
        lines = [part for line in self.text.split("\n") for part in _pieces(_UNSAFE.sub(_escape, line))]
        mark = f"{self.enhanced} " if self.enhanced else ""
        wire = [f"{self.code}-{mark}{line}\r\n" for line in lines[:-1]]
        wire.append(f"{self.code} {mark}{lines[-1]}\r\n")
        return "".join(wire).encode("ascii")


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _pieces(line: str) -> list[str]:
    """Cut a line at blanks into pieces that fit."""
    pieces = []
    while len(line) > _MAX_TEXT:
        cut = line.rfind(" ", 1, _MAX_TEXT) + 1 or _MAX_TEXT
        pieces.append(line[:cut])
        line = line[cut:]
    return [*pieces, line]


# ----------------------------------------------------------------- progress, as bytes: these are the hot ones

MAIL_OK = b"250 2.1.0 Sender ok\r\n"
RCPT_OK = b"250 2.1.5 Recipient ok\r\n"
RESET_OK = b"250 2.0.0 Ok\r\n"
GO_AHEAD = b"354 End the content with CR LF dot CR LF\r\n"
CHUNK_OK = b"250 2.0.0 %d octets taken\r\n"
LOGGED_IN = b"235 2.7.0 Logged in\r\n"
TLS_READY = b"220 2.0.0 Ready to start TLS\r\n"
BYE = b"221 2.0.0 Bye\r\n"


def accepted(text: str) -> bytes:
    """Say that a mail was accepted, with ``text``."""
    if text.isascii() and text.isprintable() and len(text) <= _MAX_TEXT:
        return f"250 2.0.0 {text}\r\n".encode("ascii")
    return ServerReply(250, "2.0.0", text).wire


# ----------------------------------------------------------------- the order of things

HELP = ServerReply(
    214,
    "2.0.0",
    "EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\n"
    "Hand mail in with EHLO, AUTH (a Postroom key is the password), MAIL, RCPT, DATA",
)
CANNOT_VERIFY = ServerReply(252, "2.5.0", "Addresses are not verified here; send to it")
UNKNOWN = ServerReply(500, "5.5.1", "Command not known; HELP lists those that are")
NOT_DONE = ServerReply(502, "5.5.1", "Command not done here")
HELLO_FIRST = ServerReply(503, "5.5.1", "Say EHLO first")
MAIL_FIRST = ServerReply(503, "5.5.1", "Say MAIL FROM first")
RCPT_FIRST = ServerReply(503, "5.5.1", "No recipient was accepted; say RCPT TO first")
NESTED_MAIL = ServerReply(503, "5.5.1", "A mail is begun already; say RSET to drop it")
NO_DATA_AMONG_CHUNKS = ServerReply(503, "5.5.1", "This mail comes by BDAT; DATA and RCPT may not follow it")
NEEDS_ARGUMENT = ServerReply(501, "5.5.4", "This command needs an argument")
NO_ARGUMENT = ServerReply(501, "5.5.4", "This command takes no argument")
HELLO_NEEDS_NAME = ServerReply(501, "5.5.4", "Say the name of your host: EHLO client.example.com")
TALKED_TOO_SOON = ServerReply(554, "5.5.0", "You spoke before the greeting; wait for it", closes=True)

# ----------------------------------------------------------------- lines

LINE_TOO_LONG = ServerReply(500, "5.5.6", "Line too long")
LINE_ENDLESS = ServerReply(500, "5.5.6", "Line too long; closing", closes=True)
BARE_LINE_END = ServerReply(
    500, "5.5.2", "End each line with CR LF; a bare CR, LF or NUL is refused", closes=True
)
NOT_SMTP = ServerReply(521, "5.5.1", "This is SMTP, and that is no command of it; closing", closes=True)
NOT_TEXT = ServerReply(500, "5.5.2", "A control character or broken UTF-8 in a command")
IMPROPER_PIPELINING = ServerReply(
    554, "5.5.0", "Improper pipelining: wait for the reply to DATA before sending the content", closes=True
)
TLS_INJECTION = ServerReply(
    554, "5.5.0", "Something was sent behind STARTTLS before TLS; wait for its reply", closes=True
)

# ----------------------------------------------------------------- content

BARE_IN_CONTENT = ServerReply(
    554, "5.5.2", "A bare CR, bare LF or NUL in the content; end each line with CR LF", closes=True
)
LONG_LINE = ServerReply(
    550,
    "5.6.0",
    "A line of the content is longer than 998 octets; encode the part in quoted-printable or base64",
)
BAD_CHUNK_SIZE = ServerReply(501, "5.5.4", "Say BDAT and the octets that follow: BDAT 1000 LAST", closes=True)


def too_large(max_size: int, *, closes: bool = False) -> ServerReply:
    """More than ``max_size`` bytes are announced or were sent."""
    return ServerReply(552, "5.3.4", f"The mail is larger than the {max_size} octets taken here", closes)


# ----------------------------------------------------------------- who may

LOGIN_FIRST = ServerReply(530, "5.7.0", "Log in first: AUTH with a Postroom key as the password")
TLS_AND_LOGIN_FIRST = ServerReply(
    530, "5.7.0", "Say STARTTLS, then log in with a Postroom key as the password"
)
NO_LOGIN_OVER_PLAIN = ServerReply(538, "5.7.11", "Logins are taken only under TLS; say STARTTLS first")
NO_LOGIN_WITHOUT_TLS = ServerReply(
    538, "5.7.11", "Logins are taken only under TLS, which this port does not offer; use the port for TLS"
)
NO_TLS = ServerReply(502, "5.5.1", "TLS is not offered here")
TLS_ALREADY = ServerReply(503, "5.5.1", "TLS is on already")
LOGIN_ALREADY = ServerReply(503, "5.5.1", "You are logged in already")
LOGIN_WITHIN_MAIL = ServerReply(503, "5.5.1", "Not while a mail is begun; say RSET first")
UNKNOWN_MECHANISM = ServerReply(504, "5.5.4", "Use AUTH PLAIN or AUTH LOGIN")
CANCELLED = ServerReply(501, "5.7.0", "Login cancelled")
NOT_BASE64 = ServerReply(501, "5.5.2", "That is not base64")
NOT_A_LOGIN = ServerReply(501, "5.5.2", "A user name and a password are needed, both in UTF-8")
NOT_AS_ANOTHER = ServerReply(535, "5.7.8", "Acting for another identity is not done here; leave it empty")
WRONG_KEY = ServerReply(535, "5.7.8", "This key is not known; the password must be a Postroom key")
TOO_MANY_LOGINS = ServerReply(421, "4.7.0", "Too many failed logins; closing", closes=True)
TOO_MANY_ERRORS = ServerReply(421, "4.7.0", "Too many errors; closing", closes=True)
TOO_MUCH_IDLING = ServerReply(421, "4.7.0", "Too many commands without a mail; closing", closes=True)

# ----------------------------------------------------------------- envelopes

TOO_MANY_RECIPIENTS = ServerReply(452, "4.5.3", "Too many recipients; send the rest in another mail")
NEEDS_SMTPUTF8 = ServerReply(553, "5.6.7", "A non-ASCII address needs SMTPUTF8 with MAIL")
NO_POSTMASTER = ServerReply(550, "5.1.1", "No postmaster is named here; write the whole address")

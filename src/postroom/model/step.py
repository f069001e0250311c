"""Where in the way out something happened."""

from enum import StrEnum


class Step(StrEnum):
    """Steps of one attempt, in their order (``docs/glossary.md``)."""

    FETCH = "fetch"
    """Files that the mail names by URL are fetched; nothing was said to a mail server yet."""
    RESOLVE = "resolve"
    CONNECT = "connect"
    PROXY = "proxy"
    TLS = "tls"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    """The content is being sent; the final dot has not been handed to the socket."""
    BODY_END = "body_end"
    """The final dot was handed to the socket; the reply decides."""
    ANSWER = "answer"
    """A webhook had the whole request and answered otherwise than with an acceptance."""
    RSET = "rset"
    QUIT = "quit"


TRANSPORT_STEPS = frozenset(
    {
        Step.RESOLVE,
        Step.CONNECT,
        Step.PROXY,
        Step.TLS,
        Step.GREETING,
        Step.EHLO,
        Step.STARTTLS,
        Step.AUTH,
    }
)
"""A failure at one of these concerns the transport: it pauses it and is never an attempt of a message."""

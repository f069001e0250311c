"""A mail server others wrote (aiosmtpd) with a login and STARTTLS or TLS from the first byte, on loopback."""

import email
import email.policy
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from peers.foreign import TidyController
from peers.postroom_process import free_port


class MailHost:
    """What the server was told; ``refused`` recipients get a 550."""

    def __init__(self, password: str = "", *, refused: tuple[str, ...] = ()) -> None:
        self.password = password
        self.refused = refused
        self.mails: list[tuple[Envelope, EmailMessage]] = []
        self.logins: list[bytes] = []
        self.sessions = 0
        self.port = 0

    @property
    def raw(self) -> list[bytes]:
        """The bytes of each mail."""
        return [envelope.original_content or b"" for envelope, _ in self.mails]

    def login(  # noqa: PLR0917 - aiosmtpd's hook
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        del server, session, envelope, mechanism
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login)
        return AuthResult(success=data.password == self.password.encode(), handled=False)

    async def handle_EHLO(  # noqa: N802, PLR0917 - a hook
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        del server, envelope
        self.sessions += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802, PLR0917 - a hook
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del server, session, options
        if address in self.refused:
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - a hook
        del server, session
        content = envelope.original_content
        assert isinstance(content, bytes)
        parsed = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        self.mails.append((envelope, parsed))
        return "250 2.0.0 queued as 4Xyz"


@contextmanager
def running(
    host: MailHost, *, starttls: ssl.SSLContext | None = None, implicit: ssl.SSLContext | None = None
) -> Iterator[MailHost]:
    """Serve until the end of the block; STARTTLS is demanded when there is a context for it."""
    host.port = free_port()  # aiosmtpd cannot say which one it was given
    controller = TidyController(
        host,
        hostname="127.0.0.1",
        port=host.port,
        ssl_context=implicit,
        tls_context=starttls,
        require_starttls=starttls is not None,
        auth_required=bool(host.password),
        auth_require_tls=starttls is not None,
        authenticator=host.login if host.password else None,
    )
    controller.start()
    try:
        yield host
    finally:
        controller.stop()

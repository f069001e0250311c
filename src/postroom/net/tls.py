"""TLS over bytes: asyncio hands no session to ``wrap_bio``, so this layer is ours.

Rules: TLS 1.2 at least; the certificate and the host's name are checked unless the account says
otherwise, and that is logged at every dial; a pin stands in place of authority and name and is checked at
every handshake; sessions are resumed per account (RFC 8446 section 2.2), which saves a flight and the
certificates. No input or output here: ``Connection`` moves the bytes.
"""

import ssl
from collections import OrderedDict
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from postroom.model.outcome import Fault, FaultKind
from postroom.model.transport import SmtpAccount

MAX_SESSIONS = 1024
"""Accounts whose last session is remembered; the oldest goes (security limit)."""
_RECORD = 16 * 1024
"""Bytes of a TLS record's content, RFC 8446 section 5.1."""
_RECORD_TYPES = frozenset({20, 21, 22, 23})
"""change_cipher_spec, alert, handshake, application_data: the first byte of anything a TLS peer sends."""

_sessions: OrderedDict[tuple[object, ...], tuple[ssl.SSLContext, ssl.SSLSession]] = OrderedDict()


def is_tls(first_bytes: bytes) -> bool:
    """Say whether a peer's first bytes can be TLS records."""
    return first_bytes[0] in _RECORD_TYPES


def tls_context(account: SmtpAccount) -> ssl.SSLContext:
    """Return the context of an account's settings, shared by all that have the same.

    Raises:
        OSError: the CA file cannot be read or holds no certificate (``ssl.SSLError`` is one).
    """
    if account.pin is not None or not account.verify:
        return _context(None, 0, False)
    changed_at = Path(account.ca_file).stat().st_mtime_ns if account.ca_file else 0
    return _context(account.ca_file, changed_at, True)


@lru_cache(maxsize=64)
def _context(ca_file: str | None, _changed_at: int, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class TlsLayer:
    """One TLS client between two byte buffers. Raises ``ssl.SSLError`` for what the peer sent."""

    def __init__(self, account: SmtpAccount) -> None:
        """Prepare a handshake with the last session of this account, when there is one."""
        context = tls_context(account)
        name = (account.server_name or account.host).rstrip(".")
        self._key = (
            *(account.host, account.port, account.username),
            *(name, account.ca_file, account.verify, account.pin),
        )
        self._context = context
        self._pin = account.pin
        known = _sessions.get(self._key)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_hostname=name,
            session=known[1] if known is not None and known[0] is context else None,
        )
        self._is_session_kept = False
        self.is_ended = False
        """The peer sent close_notify."""

    @property
    def version(self) -> str:
        """The protocol, for example ``TLSv1.3``."""
        return self._object.version() or ""

    @property
    def cipher(self) -> str:
        """The cipher suite, for example ``TLS_AES_256_GCM_SHA384``."""
        known = self._object.cipher()
        return known[0] if known is not None else ""

    @property
    def certificate(self) -> bytes:
        """The server's certificate in DER, after the handshake; also when a session was taken up."""
        return self._object.getpeercert(binary_form=True) or b""

    def pin_fault(self) -> Fault | None:
        """Return why the server is not the pinned one, ``None`` when it is or nothing is pinned."""
        if self._pin is None:
            return None
        from postroom.net.certificates import digest, key_digest  # noqa: PLC0415 - see there

        found = self.certificate
        own, own_key = digest(found), key_digest(found)
        if self._pin in {own, own_key}:
            return None
        text = f"the certificate is not the pinned one: its sha-256 is {own}, of its public key {own_key}"
        return Fault(kind=FaultKind.TLS, text=text, cause="pin-mismatch")

    @property
    def is_resumed(self) -> bool:
        """Whether the handshake took up an earlier session."""
        return bool(self._object.session_reused)

    def handshake(self, received: bytes) -> bool:
        """Take what came; return whether the handshake is done. ``to_send`` has the answer."""
        self._incoming.write(received)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def to_send(self) -> bytes:
        """Return the bytes that must go to the peer now."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def encrypt(self, data: bytes) -> bytes:
        """Return ``data`` as records."""
        sent = self._object.write(data)
        while sent < len(data):
            sent += self._object.write(memoryview(data)[sent:])
        return self._outgoing.read()

    def decrypt(self, received: bytes) -> bytes:
        """Take records and return the content of those that are complete."""
        self._incoming.write(received)
        chunks = []
        try:
            while chunk := self._object.read(_RECORD):
                chunks.append(chunk)
                if not (self._incoming.pending or self._object.pending()):
                    break  # asking again would cost an exception
            else:
                self.is_ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.is_ended = True
        if chunks and not self._is_session_kept:
            # TLS 1.3 tickets follow the handshake and precede the first content
            self._is_session_kept = True
            self._keep_session()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def end(self) -> bytes:
        """Return close_notify."""
        with suppress(ssl.SSLError):  # wants the peer's close_notify, which nobody waits for
            self._object.unwrap()
        return self.to_send()

    def _keep_session(self) -> None:
        session = self._object.session
        if session is None:
            return
        _sessions[self._key] = (self._context, session)
        _sessions.move_to_end(self._key)
        if len(_sessions) > MAX_SESSIONS:
            _sessions.popitem(last=False)

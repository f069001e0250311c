"""What goes wrong below a dialogue: name, socket and TLS failures, as one exception with a ``Fault`` in it.

The texts keep the words of the operating system and of OpenSSL (``connection refused``, ``certificate has
expired``), because the reply rules match them. ``NetFault`` never passes the transport that dialled: there
it becomes evidence.
"""

import errno
import os
import ssl

from postroom.model.outcome import Fault, FaultKind
from postroom.model.step import Step

_KINDS = {
    errno.ECONNREFUSED: FaultKind.REFUSED,
    errno.ETIMEDOUT: FaultKind.TIMEOUT,
    errno.ECONNRESET: FaultKind.CLOSED,
    errno.ECONNABORTED: FaultKind.CLOSED,
    errno.EPIPE: FaultKind.CLOSED,
    errno.EMFILE: FaultKind.LOCAL,
    errno.ENFILE: FaultKind.LOCAL,
    errno.ENOMEM: FaultKind.LOCAL,
    errno.ENOBUFS: FaultKind.LOCAL,
}
"""What is not listed is a way that does not exist: no route, no such address family, a local firewall."""

_VERIFY_CAUSES = {9: "tls-not-yet-valid", 66: "tls-old", 67: "tls-old", 68: "tls-old"}
"""By OpenSSL's X509_V_ERR: not yet valid; server key, authority key or signature hash too weak."""
_NOTHING_IN_COMMON = frozenset({"SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV1_ALERT_INSUFFICIENT_SECURITY"})


class NetFault(Exception):  # noqa: N818 - a finding about a peer; "error" is kept for ``postroom.errors``
    """A connection could not be made or used.

    Attributes:
        step: where it happened; a caller that knows better (it sent MAIL) replaces it.
        fault: the evidence.
        peer: the peer's address, or its name when there is none yet.
    """

    def __init__(self, step: Step, fault: Fault, peer: str) -> None:
        """Take the three facts."""
        super().__init__(fault.text)
        self.step = step
        self.fault = fault
        self.peer = peer


def socket_fault(error: OSError, peer: str) -> Fault:
    """Return what a socket's error means; ``peer`` is ``address:port``."""
    words = os.strerror(error.errno).lower() if error.errno else str(error) or "connection lost"
    return Fault(kind=_KINDS.get(error.errno or 0, FaultKind.UNREACHABLE), text=f"{words} ({peer})")


def tls_fault(error: ssl.SSLError) -> Fault:
    """Return what OpenSSL says, without the place in Python's source.

    The reply rules find the cause by these words; what they would misname is named here.
    """
    text = (str(error.args[-1]) if error.args else "tls failure").partition(" (_ssl.c")[0]
    if getattr(error, "reason", None) in _NOTHING_IN_COMMON:  # only OpenSSL's own errors have one
        text += " (no cipher or certificate that both sides accept)"
    cause = None
    if isinstance(error, ssl.SSLCertVerificationError):
        cause = _VERIFY_CAUSES.get(error.verify_code)
    return Fault(kind=FaultKind.TLS, text=text, cause=cause)

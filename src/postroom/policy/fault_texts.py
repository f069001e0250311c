"""Error texts without a reply: of TLS libraries, of the network, and of mail programs, each with its cause.

The first that fits counts, so the particular stand before the general. Patterns look at the text as it was
pasted, whatever stands around them. RE2 reads them: it goes through a long text once for each, where ``re``
tries every alternative at every letter. It is loaded with the first text: most runs have none.
"""

from collections.abc import Callable, Sequence
from functools import cache

_TEXTS: Sequence[tuple[str, str]] = (
    # App Builder, in both languages; the library is MailKit.
    ("sender-refused", r"argument passed in is not serializable|argument ist nicht serialisierbar"),
    (
        "from-missing",
        (
            r"(?:value cannot be null|darf nicht null sein)[^\n]{0,80}\n?[^\n]{0,40}(?:from ?address"
            r"|von ?adresse)"
        ),
    ),
    ("uri-scheme-unknown", r"unknown uri scheme|unbekanntes uri-?schema|uri must be absolute"),
    ("host-missing", r"host name cannot be empty|hostname darf nicht leer sein"),
    ("from-missing", r"no sender has been specified|a from address must be specified"),
    (
        "recipients-missing",
        (
            r"no recipients (?:have been specified|defined)"
            r"|a recipient must be specified|provide at least one recipient"
        ),
    ),
    (
        "starttls-not-offered",
        (
            r"does not support the starttls extension|starttls extension not supported"
            r"|tls is required, but was not offered"
            r"|did not offer tls support|starttls is required but|server does not support secure connections"
            r"|server doesn't support starttls|tls not available"
            r"(?:\z|[^ ]| (?:\z|[^d]|d(?:\z|[^u]|u(?:\z|[^e]))))"
        ),
    ),
    (
        "login-not-offered",
        (
            r"server does not support authentication|auth extension not supported"
            r"|server doesn't support auth\b"
            r"|no login methods supported|no suitable authentication method found"
            r"|no supported authentication method"
        ),
    ),
    ("smtputf8-not-offered", r"smtputf8 (?:is )?not supported|smtputf8 is required, but was not offered"),
    ("password-missing", r"missing credentials for|credentials must not be empty"),
    # TLS
    (
        "pin-mismatch",
        (
            r"pinned public key (?:verification failed|mismatch)"
            r"|certificate pinning failure|fingerprint mismatch"
        ),
    ),
    (
        "tls-not-yet-valid",
        r"certificate is not yet valid|CertificateNotYetValidException|x509[^\n]{0,80} is before ",
    ),
    (
        "tls-hostname",
        (
            r"hostname mismatch|not valid for '|ip address mismatch"
            r"|doesn't match|does not match certificate"
            r"|altname"
            r"|no (?:subject )?alternative (?:dns )?name"
            r"|x509: certificate is valid for|RemoteCertificateNameMismatch"
            r"|no alternative certificate subject name|certificate not valid for name"
            r"|cannot validate certificate for"
        ),
    ),
    (
        "tls-expired",
        r"certificate has expired|CERT_HAS_EXPIRED|certificate is expired|CertificateExpiredException",
    ),
    (
        "tls-untrusted",
        (
            r"self[- _]signed[ _]cert|unable to get local issuer"
            r"|unable to verify the first|certificate[ _]verify[ _]failed"
            r"|PKIX path|unable to find valid certification path"
            r"|signed by unknown authority|RemoteCertificateChainErrors"
            r"|remote certificate (?:is invalid|was rejected)|UNABLE_TO_|unknown_?ca\b|certificate problem"
            r"|zertifikat[^\n]{0,40}ung\x{fc}ltig|alert unknown ca|certificate is not trusted"
        ),
    ),
    (
        "tls-on-plain",
        (
            r"wrong[ _]version[ _]number|ssl[^\n]{0,60}unknown[ _]protocol"
            r"|unrecognized ssl message|unexpected tls packet"
            r"|first record does not look like a tls handshake|plaintext connection\?|packet length too long"
            r"|cannot determine the frame size|unexpected packet format|not an ssl/tls record"
        ),
    ),
    (
        "tls-old",
        (
            r"unsupported[ _]protocol|alert protocol version|no protocols available|no appropriate protocol"
            r"|dh key too small|ee_key_too_small|ca_md_too_weak|handshake[ _]failure"
            r"|no cipher suites in common"
            r"|protocol version not supported"
        ),
    ),
    # The network
    ("proxy-auth", r"(?:proxy|socks)[^\n]{0,60}(?:authentication (?:required|failed)|\b407\b)"),
    (
        "proxy-refused",
        r"socks[^\n]{0,60}(?:not allowed|refused|denied)|proxy[^\n]{0,40}(?:denied|forbidden|refused)",
    ),
    ("rcpt-domain", r"name service error for name=[^\s]{1,253} type=MX: (?:host|domain) not found"),
    (
        "net-dns",
        (
            r"name or service not known|nodename nor servname"
            r"|no address associated|name resolution|getaddrinfo"
            r"|nxdomain"
            r"|name does not resolve|ENOTFOUND|EAI_AGAIN|UnknownHostException|no such host"
            r"|host (?:is )?unknown"
            r"|could ?n.t resolve host|host or domain name not found|der angegebene host|unknown host"
        ),
    ),
    (
        "net-loopback",
        (
            r"(?:127\.0\.0\.1|\blocalhost|\[?::1\]?)[^\n]{0,60}refused"
            r"|(?:refused|call failed)[^\n]{0,60}(?:127\.0\.0\.1"
            r"|localhost)"
        ),
    ),
    (
        "net-port25",
        (
            r"(?::25\b|port:? ?25\b|, ?25\)|\b25;)[^\n]{0,80}(?:timed ?out|timeout|refused|unreachable)"
            r"|(?:timed ?out|timeout|unreachable)[^\n]{0,80}(?::25\b|port:? ?25\b|, ?25\))"
        ),
    ),
    (
        "net-refused",
        r"connection refused|ECONNREFUSED|actively refused|connect call failed|verbindung verweigerte",
    ),
    (
        "net-unreachable",
        r"network is unreachable|no route to host|ENETUNREACH|EHOSTUNREACH|host is unreachable",
    ),
    # The dialogue
    ("greet-not-smtp", r"\A\s{0,20}(?:\+OK\b|\* OK\b)"),
    (
        "greet-not-smtp",
        (
            r"(?:invalid greeting|initial (?:server )?(?:greeting|response)"
            r"|banner)[^\n]{0,60}(?:HTTP/1|<html|\+OK|\* OK)"
        ),
    ),
    (
        "greet-implicit",
        (
            r"greeting never received[^\n]{0,80}:?465\b"
            r"|:465\b[^\n]{0,80}greeting never received"
        ),
    ),
    ("greet-implicit", r"(?:waiting for|reading)[^\n]{0,30} greeting[^\n]{0,60}:465\b"),
    (
        "conn-lost-body",
        r"lost connection[^\n]{0,80}(?:end of data|final dot)|connection lost after sending the final dot",
    ),
    (
        "conn-lost",
        (
            r"(?:lost connection|connection lost|timed out"
            r"|timeout)[^\n]{0,80}(?:sending|after) (?:MAIL FROM"
            r"|RCPT TO|MAIL|RCPT|DATA|message body)"
        ),
    ),
    (
        "conn-closed-early",
        (
            r"lost connection[^\n]{0,80}(?:greeting|EHLO|HELO|handshake)|disconnected before secure tls"
            r"|closed before the greeting|remote host closed connection during handshake"
        ),
    ),
    (
        "net-timeout",
        (
            r"connect(?:ion|ing)?[^\n]{0,60}(?:timed ?out"
            r"|timeout)|dial tcp[^\n]{0,80}i/o timeout|ETIMEDOUT|(?:timed out"
            r"|timeout)[^\n]{0,20}connect"
        ),
    ),
    (
        "unknown-closed",
        (
            r"connection unexpectedly closed|unexpected socket close|forcibly closed"
            r"|server (?:has )?disconnected|connection reset|ECONNRESET"
        ),
    ),
    ("quit-any", r"closed while waiting for the reply to QUIT"),
    # Alone it is the words of an exception; in a reply they have a code and were found before.
    ("auth-required", r"\bauthentication required\b|authentifizierung erforderlich"),
)


def cause_of_text(text: str) -> str:
    """Return the cause that a text names, empty for an unknown one."""
    raw = text.encode("utf-8", "replace")  # once for all, and half a pair of surrogates is no error
    return next((cause for cause, search in _known() if search(raw)), "")


@cache
def _known() -> Sequence[tuple[str, Callable[[bytes], object]]]:
    import re2  # noqa: PLC0415 - see above

    options = re2.Options()
    options.case_sensitive = False
    return tuple((cause, re2.compile(pattern, options).search) for cause, pattern in _TEXTS)

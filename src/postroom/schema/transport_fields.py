"""One transport as people describe it: in ``[[transports]]`` of the file, and in bodies about transports.

Names, types and bounds, and the sentence for the docs. What the fields come to together is for
``transport_spec``; other programs' names for them are read by ``transport_forms``.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from postroom.model.transport import FromPolicy, GrantKind, HookForm, TlsMode, TransportKind
from postroom.schema.quantities import parse_duration
from postroom.schema.written import (
    Duration,
    Hidden,
    Rates,
    Section,
    Sender,
    Senders,
    domain_name,
    not_boolean,
    one_line,
)

MAX_PREFIX = 200
"""Characters of a subject prefix (security limit)."""
MAX_TEXT = 2000
"""Characters of a host, a user name, a path or a scope (security limit)."""

MAX_CONNECTIONS = 10_000
"""To one server; each asks for a descriptor, and twice as many messages are claimed (security limit)."""
MAX_NUMBER = 1_000_000
"""Recipients of a transaction, messages of a connection; more than any server takes."""

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(one_line)]
Port = Annotated[int, Field(ge=1, le=65535), BeforeValidator(not_boolean)]
Connections = Annotated[int, Field(ge=1, le=MAX_CONNECTIONS), BeforeValidator(not_boolean)]
Number = Annotated[int, Field(ge=1, le=MAX_NUMBER), BeforeValidator(not_boolean)]


class TimeoutsSection(Section):
    """Seconds without progress at each SMTP step; what is missing keeps its default."""

    connect: Duration | None = None
    """All addresses of the server together (30 s)."""
    connect_per_address: Duration | None = None
    """One address of the server (15 s)."""
    greeting: Duration | None = None
    """The server's first line (60 s)."""
    tls: Duration | None = None
    """The TLS handshake (30 s)."""
    ehlo: Duration | None = None
    """The answer to EHLO (30 s)."""
    starttls: Duration | None = None
    """The answer to STARTTLS (30 s)."""
    auth: Duration | None = None
    """Each answer while logging in (60 s)."""
    mail: Duration | None = None
    """The answer to MAIL FROM (120 s)."""
    rcpt: Duration | None = None
    """The answer to each RCPT TO (120 s)."""
    data: Duration | None = None
    """The answer to DATA (120 s)."""
    body: Duration | None = None
    """Each stretch of the body being taken (180 s)."""
    body_end: Annotated[float, BeforeValidator(parse_duration), Field(ge=600)] | None = None
    """The answer to the final dot (600 s, the least allowed): ending this wait early makes duplicates."""
    rset: Duration | None = None
    """The answer to RSET (30 s)."""
    quit: Duration | None = None
    """The answer to QUIT (2 s)."""


class OAuthSection(Section):
    """Where the token of a login comes from; the login then needs no password."""

    kind: GrantKind = GrantKind.REFRESH_TOKEN
    """`refresh_token`, `client_credentials`, or `service_account` (a key file, as Google's)."""
    token_url: Text | None = None
    """Where the token is asked for; else the provider's, or the key file's."""
    client_id: Text | None = None
    """Id of the application."""
    client_secret: Hidden | None = None
    """Secret of the application. Secret."""
    secret: Hidden | None = None
    """The refresh token, or the content of the key file. Secret."""
    secret_file: Text | None = None
    """File that holds `secret`; in the settings file only."""
    scope: Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(one_line)] = ""
    """What the token is for; else the provider's."""


class TransportFields(Section):
    """One way out. The first one is used for every message that no route gives to another."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_\-]{0,39}$")] = "default"
    """Its name in answers, logs and metrics: lower-case letters, digits, `-` and `_`."""
    kind: TransportKind | None = None
    """`smtp`, `webhook` or `capture`; else as `url` says."""
    url: Hidden | None = None
    """Where and as whom to send, in one line; the forms are in transports.md. Secret."""
    url_file: Text | None = None
    """File that holds `url`, for secrets mounted as files; in the settings file only."""
    provider: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_\-]{0,39}$")] | None = None
    """Id of a provider; it fills in what is not set. Else it is found by the host."""
    host: Text | None = None
    """The server; instead of `url`."""
    port: Port | None = None
    """Its port; else the provider's, else the usual one of `encryption`."""
    encryption: TlsMode | None = None
    """`tls` from the first byte, `starttls`, `starttls-if-offered` or `none`; else by port and provider."""
    username: Text | None = None
    """Whom to log in as; else what the provider makes of `from`."""
    password: Hidden | None = None
    """Password, authorization code or key for the login. Secret."""
    password_file: Text | None = None
    """File that holds `password`; in the settings file only."""
    access_key_id: Text | None = None
    """Amazon SES: an access key instead of `username`."""
    secret_access_key: Hidden | None = None
    """Amazon SES: its secret; the SMTP password is derived from it and only that is kept. Secret."""
    from_: Annotated[Sender | None, Field(alias="from")] = None
    """Sender of messages that name none; replaces the general `from`."""
    from_policy: FromPolicy | None = None
    """When From is not the account: `keep`, `rewrite` or `refuse` it; else as the provider demands."""
    subject_prefix: Annotated[str, Field(max_length=MAX_PREFIX), AfterValidator(one_line)] = ""
    """Put before every subject as it is, without a blank."""
    receivers: Senders = ()
    """Who gets test mails; one address, several with commas or semicolons, or a list."""
    ehlo_name: Annotated[str, AfterValidator(domain_name)] | None = None
    """Host name given at EHLO; else this machine's."""
    rate: Rates = ()
    """Messages in any second, minute, hour or day, such as `"10/s, 200/h, 2000/d"`; else as many as go."""
    max_connections: Connections = 10
    """Connections at once; providers cap this."""
    max_recipients: Number = 100
    """Recipients of one transaction; more are sent in several."""
    max_messages: Number = 1000
    """Messages on one connection before it is replaced."""
    max_idle: Duration = 30.0
    """How long an idle connection is kept."""
    max_age: Duration = 600.0
    """How long any connection is kept, so that DNS changes are followed."""
    pipelining: bool = True
    """Send commands without waiting for each answer when the server announces it."""
    proxy: Hidden | None = None
    """Proxy to go through: `socks5://USER:SECRET@HOST:1080` or `http://HOST:3128`. Secret."""
    source_address: Text | None = None
    """IP address of this machine to connect from."""
    server_name: Annotated[str, AfterValidator(domain_name)] | None = None
    """Name in the certificate when it is not the host."""
    ca_file: Text | None = None
    """PEM file with the authorities to trust instead of the system's."""
    pin: Text | None = None
    """SHA-256 of the server's certificate or public key, in hex; no other is taken, whoever signed it."""
    verify: bool = True
    """Check the server's certificate and its name. Without it anybody in between can read the mail."""
    allow_plaintext_login: bool = False
    """Send the password also when the connection is not encrypted."""
    auth: Annotated[str, Field(pattern=r"^[A-Z0-9\-_]{1,20}$")] | None = None
    """Force one SASL mechanism, for example `LOGIN`."""
    oauth: OAuthSection | None = None
    """Log in with a token (OAuth 2.0) instead of a password."""
    timeouts: TimeoutsSection | None = None
    """Timeouts of this transport."""
    form: HookForm | None = None
    """Of a webhook: what is posted, `hap` or `mapped`; else by whether there is a mapping."""
    mapping: str | Mapping[str, Any] | None = None
    """Of a webhook: a shipped mapping (`hap`, `nexus`) or one of your own; see webhook-transports.md."""
    mapping_file: Text | None = None
    """File that holds `mapping`; in the settings file only."""
    headers: Mapping[str, Hidden] | None = None
    """Of a webhook: header fields to send. Secret."""
    signing_secret: Hidden | None = None
    """Of a webhook: `whsec_` secret by which each call is signed (Standard Webhooks). Secret."""
    timeout: Duration | None = None
    """Of a webhook: the connection, each stretch of the body, and the answer may take this long (30 s)."""

"""Options that several commands share, in one spelling."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from postroom.cli.server import Server
    from postroom.config.settings import Settings
    from postroom.config.sources import Flags


def _many(flag: str, text: str, metavar: str | None = None) -> Any:
    return typer.Option(flag, metavar=metavar, help=f"{text}; repeat for more.")


def _one(flag: str, text: str, metavar: str | None = None) -> Any:
    return typer.Option(flag, metavar=metavar, help=text)


Data = Annotated[
    Path | None, _one("--data", "Data directory; also POSTROOM_DATA. Default ./postroom-data.", "DIR")
]
Config = Annotated[
    Path | None,
    _one("--config", "Settings file; also POSTROOM_CONFIG. Default ./postroom.toml if there.", "FILE"),
]
EnvFile = Annotated[Path | None, _one("--env-file", "Variables to read. Default ./.env if there.", "FILE")]
Json = Annotated[bool, _one("--json", "Print one JSON value, for machines.")]

Http = Annotated[
    list[str] | None, _many("--http", "Address to listen on, default 127.0.0.1:8587", "HOST:PORT")
]
Capture = Annotated[bool, _one("--capture", "Keep every mail in the capture inbox, whatever transports say.")]
NexusConfig = Annotated[
    Path | None, _one("--nexus-config", "INI file of a Nexus mail API to take over.", "FILE")
]
HapConfig = Annotated[
    Path | None, _one("--hap-config", "appextensions.json of a Mingdao HAP to take over.", "FILE")
]
TlsCert = Annotated[Path | None, _one("--tls-cert", "Certificate (PEM): every --http speaks TLS.", "FILE")]
Smtp = Annotated[
    list[str] | None,
    _many("--smtp", "Address of the SMTP door; port 465 and smtps:// speak TLS at once", "HOST:PORT"),
]
SmtpCert = Annotated[
    Path | None, _one("--smtp-cert", "Certificate (PEM) of the SMTP door, default a local one.", "FILE")
]
SmtpKey = Annotated[Path | None, _one("--smtp-key", "Key of that certificate (PEM).", "FILE")]
TlsKey = Annotated[Path | None, _one("--tls-key", "Key of the certificate (PEM).", "FILE")]

To = Annotated[list[str] | None, _many("--to", "Recipient", "ADDRESS")]
Cc = Annotated[list[str] | None, _many("--cc", "Recipient of a copy", "ADDRESS")]
Bcc = Annotated[list[str] | None, _many("--bcc", "Hidden recipient", "ADDRESS")]
From = Annotated[str | None, _one("--from", "Sender. Default the transport's.", "ADDRESS")]
ReplyTo = Annotated[list[str] | None, _many("--reply-to", "Where answers go", "ADDRESS")]
Subject = Annotated[str, _one("--subject", "Subject.", "TEXT")]
Words = Annotated[str | None, _one("--message", "The text itself.", "WORDS")]
TextFile = Annotated[str | None, _one("--text", "File with the text, - for standard input.", "FILE|-")]
HtmlFile = Annotated[str | None, _one("--html", "File with the HTML, - for standard input.", "FILE|-")]
TemplateName = Annotated[
    str | None, _one("--template", "Template instead of texts: NAME, NAME@VERSION or PACKAGE:NAME.", "NAME")
]
SetValue = Annotated[
    list[str] | None, _many("--set", "Variable of the template; NAME:=JSON for what is no text", "NAME=TEXT")
]
Locale = Annotated[str | None, _one("--locale", "Language of the template, for example fr-CA.", "TAG")]
Attach = Annotated[list[Path] | None, _many("--attach", "File to attach", "FILE")]
Header = Annotated[list[str] | None, _many("--header", "Extra header", "'NAME: VALUE'")]
Tag = Annotated[list[str] | None, _many("--tag", "Tag to find it by", "TAG")]
MailClassName = Annotated[
    str | None, _one("--class", "code, alert, transactional (default) or bulk.", "CLASS")
]
SendAt = Annotated[str | None, _one("--send-at", "When to send, for example 2030-01-31T08:00:00Z.", "TIME")]
Wait = Annotated[
    int,
    typer.Option("--wait", metavar="N", min=0, max=30, help="Wait up to N seconds for the first attempt."),
]
IdempotencyKey = Annotated[
    str | None, _one("--idempotency-key", "Sending again with this key sends nothing new.", "KEY")
]
Direct = Annotated[
    bool, _one("--direct", "Without a server: store and send from here, waiting 30 s unless --wait is given.")
]

KeyName = Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.")]
Scopes = Annotated[
    list[str] | None,
    _many("--scope", "What it may do: send (default), read, operate, admin, tenant-smtp", "SCOPE"),
]
Senders = Annotated[
    list[str] | None, _many("--sender", "Address or @domain it may send as, default any", "SENDER")
]
Networks = Annotated[
    list[str] | None, _many("--network", "Network its callers must be in, default any", "CIDR")
]

Host = Annotated[
    str | None, _one("--host", "Name or address of the mail server; asked for without --provider.", "HOST")
]
ProviderId = Annotated[str | None, _one("--provider", "Id of a provider, instead of --host.", "ID")]
Encryption = Annotated[
    str | None,
    _one(
        "--encryption",
        "tls (from the first byte), starttls, starttls-if-offered or none; default the provider's, else tls.",
        "HOW",
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        "--port", metavar="PORT", min=1, max=65535, help="Default the provider's, else that of --encryption."
    ),
]
User = Annotated[str | None, _one("--user", "Login; leave out for a server without login.", "NAME")]
ProxyUrl = Annotated[
    str | None, _one("--proxy", "Proxy: socks5://USER:SECRET@HOST:1080 or http://HOST:3128.", "URL")
]
PasswordFile = Annotated[
    str | None, _one("--password-file", "File with the secret, - for standard input; else asked.", "FILE|-")
]

OneId = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="Id of one message; without it give a filter.")
]
Recipients = Annotated[
    list[str] | None, _many("--recipient", "Address meant; in a filter one, or @domain", "ADDRESS")
]
State = Annotated[str | None, _one("--state", "Filter: state of the recipient.", "STATE")]
ClassFilter = Annotated[str | None, _one("--class", "Filter: mail class.", "CLASS")]
TagFilter = Annotated[str | None, _one("--tag", "Filter: a tag.", "TAG")]
SenderFilter = Annotated[str | None, _one("--sender", "Filter: From's address, or @domain.", "ADDRESS")]
RecipientFilter = Annotated[str | None, _one("--recipient", "Filter: a recipient, or @domain.", "ADDRESS")]
TransportFilter = Annotated[str | None, _one("--transport", "Filter: name of a transport.", "NAME")]
Since = Annotated[str | None, _one("--since", "Filter: accepted at or after this time.", "TIME")]
Until = Annotated[str | None, _one("--until", "Filter: accepted before this time.", "TIME")]
Yes = Annotated[bool, _one("--yes", "Do it without asking.")]
End = Annotated[str | None, _one("--until", "When it ends by itself, default never.", "TIME")]
Reason = Annotated[str, _one("--reason", "Why; others read it.", "TEXT")]
Note = Annotated[str, _one("--note", "How you know; kept in the event.", "TEXT")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=200, help="How many to list.")]


def flags_of(data: Path | None, config: Path | None, env_file: Path | None) -> "Flags":
    """Return the flags of a client command."""
    from postroom.config.sources import Flags  # noqa: PLC0415 - see the package: --help answers at once

    return Flags(data=data, config=config, env_file=env_file)


def server_of(flags: "Flags", lang: str | None = None) -> "Server":
    """Return the server these flags and the environment lead to; it is asked to speak ``lang``."""
    from postroom.cli.language import wish_of  # noqa: PLC0415 - as above
    from postroom.cli.server import Server, find_server  # noqa: PLC0415 - as above

    return Server(find_server(flags, os.environ, Path.cwd()), language=wish_of(lang, os.environ))


def settings_of(flags: "Flags") -> "Settings":
    """Load the settings. Raises ConfigError with every problem."""
    from postroom.config.load import load  # noqa: PLC0415 - as above

    return load(flags, os.environ, Path.cwd())

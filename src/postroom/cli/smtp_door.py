"""``postroom smtp``: make programs trust the SMTP door."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from postroom.cli.exits import CliError, Exit
from postroom.cli.options import Config, Data, EnvFile, flags_of

if TYPE_CHECKING:
    from postroom.bootstrap.submission import SmtpStarted

app = typer.Typer(help="The SMTP door.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def smtp() -> None:
    """The SMTP door."""


@app.command()
def trust(
    *,
    pem: Annotated[bool, typer.Option("--pem", help="Print the certificate itself.")] = False,
    data: Data = None,
    config: Config = None,
    env_file: EnvFile = None,
) -> None:
    """Say how programs come to trust the door's own certificate."""
    from postroom.cli.show import say
    from postroom.config.sources import data_directory, read_sources
    from postroom.net.authority import authority_file

    sources = read_sources(flags_of(data, config, env_file), os.environ, Path.cwd())
    file = authority_file(data_directory(sources, Path.cwd()))
    try:
        content = file.read_text(encoding="ascii")
    except FileNotFoundError:
        fix = "It is made when `postroom serve --smtp HOST:PORT` starts without --smtp-cert."
        raise CliError(Exit.FAILED, f"there is no local authority at {file}", fix=fix) from None
    except (OSError, UnicodeDecodeError):
        fix = "Run this as the user of the server."
        raise CliError(Exit.UNAUTHORISED, f"{file} cannot be read", fix=fix) from None
    if pem:
        typer.echo(content, nl=False)
        return
    say("The SMTP door shows a certificate that this authority signed:", file)
    say("Copy the file to where the program runs (`postroom smtp trust --pem` prints it), and:")
    for who, how in _WAYS:
        say(f"  {who}:", how.format(file=file))


def announce(started: "SmtpStarted") -> None:
    """Tell the person at the terminal of the SMTP door."""
    from postroom.cli.show import say

    say("  SMTP door:", " ".join(started.urls))
    say("    log in with a key as the password and any user name; TLS everywhere but on this machine")
    if started.keyless:
        say("    no key is needed from:", ", ".join(started.keyless), style="yellow")
    if started.authority is not None:
        made = "a new authority" if started.is_new else "the authority"
        say(f"    its certificate is signed by {made} of this machine:", started.authority)
        say("    for the names", ", ".join(started.names))
        say("    `postroom smtp trust` says how programs come to trust it")


_WAYS = (
    ("Python, curl, Ruby, PHP", "export SSL_CERT_FILE={file}"),
    ("Node.js", "export NODE_EXTRA_CA_CERTS={file}"),
    ("Java", "keytool -importcert -cacerts -alias postroom -file {file}"),
    ("Postfix", "postconf -e smtp_tls_CAfile={file}"),
    ("msmtp", "tls_trust_file {file}"),
    (
        "every program on Debian, Ubuntu",
        "sudo cp {file} /usr/local/share/ca-certificates/postroom.crt && sudo update-ca-certificates",
    ),
    (
        "every program on Fedora, RHEL",
        "sudo cp {file} /etc/pki/ca-trust/source/anchors/postroom.crt && sudo update-ca-trust",
    ),
    ("every program on Windows", "certutil -addstore Root {file}"),
    (
        "every program on macOS",
        "sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {file}",
    ),
)

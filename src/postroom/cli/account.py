"""``postroom transport-url``: an account from what a person knows about it."""

import sys
from pathlib import Path

import typer

from postroom.cli.exits import CliError, Exit
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, TlsMode
from postroom.schema.quantities import did_you_mean
from postroom.schema.transport_url import (
    SMTPS_PORT,
    SUBMISSION_PORT,
    build_transport_url,
    parse_transport_url,
)


def account_of(
    host: str, port: int | None, encryption: str, *, user: str | None, secret: Secret | None
) -> SmtpAccount:
    """Return the account. Raises CliError or ConfigError for what cannot be one."""
    try:
        tls = TlsMode(encryption.lower())
    except ValueError:
        fix = did_you_mean(encryption, list(TlsMode))
        raise CliError(Exit.USAGE, "--encryption is not known", fix=fix) from None
    port = port or (SMTPS_PORT if tls is TlsMode.IMPLICIT else SUBMISSION_PORT)
    account = SmtpAccount(host=host.strip("[]"), port=port, tls=tls, username=user, password=secret)
    # Read back, so that what is printed is what will be understood.
    parse_transport_url(build_transport_url(account), field="transport-url")
    return account


def read_secret(file: str | None) -> Secret:
    """Take the secret from a file, from standard input (``-``), or ask for it without showing it."""
    if file is None:
        return Secret(typer.prompt("Password", hide_input=True))
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError):
        raise CliError(Exit.USAGE, f"{file} cannot be read as text", fix="Check --password-file.") from None
    return Secret(text.rstrip("\r\n"))

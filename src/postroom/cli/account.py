"""``postroom transport-url``: a URL from what a person knows about an account."""

import sys
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError

from postroom.cli.exits import CliError, Exit
from postroom.errors import ConfigError
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, TlsMode
from postroom.schema.findings import Place, found_problems
from postroom.schema.quantities import did_you_mean
from postroom.schema.transport_fields import TransportFields
from postroom.schema.transport_spec import ReadTransport, Setting, spec_of
from postroom.schema.transport_url import build_provider_url, build_transport_url

_OPTIONS = {
    "host": "--host",
    "port": "--port",
    "provider": "--provider",
    "username": "--user",
    "password": "--password-file",
    "proxy": "--proxy",
}


def url_of(encryption: str | None, given: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return the URL of an account and what to say about it.

    Args:
        encryption: As written, ``None`` for the provider's or TLS from the first byte.
        given: Fields of ``TransportFields`` by name; ``None`` where nothing was given.

    Raises:
        CliError: The encryption is not known.
        ConfigError: The rest is not an account.
    """
    fields = {name: value for name, value in given.items() if value is not None}
    if encryption is not None:
        fields["encryption"] = _mode(encryption)
    read = _read(fields)
    if read.spec is None or read.spec.account is None:
        raise ConfigError(read.problems)
    account = read.spec.account
    is_named = "provider" in fields and not fields.keys() & {"host", "port", "encryption"}
    url = _named_url(account) if is_named else build_transport_url(account)
    # Read back, so that what is printed is what will be understood.
    again = _read({"url": url})
    if again.spec is None:
        raise ConfigError(again.problems)
    return url, tuple(warning for warning in read.warnings if not warning.startswith("transport "))


def read_secret(file: str | None) -> Secret:
    """Take the secret from a file, from standard input (``-``), or ask for it without showing it."""
    if file is None:
        return Secret(typer.prompt("Password", hide_input=True))
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError):
        raise CliError(Exit.USAGE, f"{file} cannot be read as text", fix="Check --password-file.") from None
    return Secret(text.rstrip("\r\n"))


def _mode(text: str) -> TlsMode:
    try:
        return TlsMode(text.lower())
    except ValueError:
        fix = did_you_mean(text, list(TlsMode))
        raise CliError(Exit.USAGE, "--encryption is not known", fix=fix) from None


def _named_url(account: SmtpAccount) -> str:
    return build_provider_url(
        account.provider or "", username=account.username, password=account.password, proxy=account.proxy
    )


def _read(fields: dict[str, Any]) -> ReadTransport:
    def named(path: Place) -> str:
        return _OPTIONS.get(str(path[0]), str(path[0]))

    try:
        return spec_of(TransportFields.model_validate(fields), Setting(names=_OPTIONS))
    except ValidationError as error:
        raise ConfigError([found for _, found in found_problems(error, TransportFields, named)]) from None

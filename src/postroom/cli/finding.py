"""From an address to the account it may be: the provider's server, and what to hand in for it."""
# ruff: noqa: PLC0415 - commands import what they need when they run, so that --help answers at once

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from postroom.cli.exits import CliError, Exit

if TYPE_CHECKING:
    from postroom.config.settings import Settings
    from postroom.model.address import Address
    from postroom.providers.detection import Proposal


def parsed(address: str) -> "Address":
    """Return an address. Raises CliError."""
    from postroom.model.address import AddressError, parse_address

    try:
        return parse_address(address.strip())
    except AddressError as error:
        fix = "Write it as name@example.com."
        raise CliError(Exit.USAGE, f"not an address: {error}", fix=fix) from None


def found_server(address: str, settings: "Settings", *, language: str, asks: bool) -> "Proposal":
    """Return the server of an address; a person says yes to one that was only guessed. Raises CliError."""
    from postroom.bootstrap.detection import find_servers
    from postroom.providers.words import phrase

    domain = parsed(address).domain
    for one in find_servers(domain, allowed_networks=settings.allowed_networks):
        if not one.must_ask:
            return one
        question = phrase("ask.is-right", language).format(host=one.host, port=one.port)
        if asks and typer.confirm(question):
            return one
    cause = phrase("told.not-found", language).format(domain=domain)
    raise CliError(Exit.FAILED, cause, fix="Give HOST PORT, or `postroom transports create` with --host.")


def body_of(address: str, proposal: "Proposal", secret: str) -> Mapping[str, Any]:
    """Return the body of ``POST /v1/transports`` for an account."""
    body: dict[str, Any] = {
        "host": proposal.host,
        "port": proposal.port,
        "encryption": proposal.mode.value,
        "from": address,
        "receivers": [address],
        "password": secret,
    }
    if proposal.provider is not None:
        return {"provider": proposal.provider.id, **body}
    return {**body, "username": _login(address, proposal)}


def _login(address: str, proposal: "Proposal") -> str:
    from postroom.providers.provider import UsernameRule

    is_local = proposal.username is UsernameRule.LOCAL_PART
    return address.rpartition("@")[0] if is_local else address

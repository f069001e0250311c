"""What a connection's login needs beside the account: a token, a nonce, and what binds it to its TLS."""

from base64 import b64encode

from postroom.clock import Dice
from postroom.model.outcome import Evidence
from postroom.model.secret import Secret
from postroom.model.step import Step
from postroom.model.transport import SmtpAccount
from postroom.net.connection import Connection
from postroom.ports import TokenSource
from postroom.smtp.sasl import SignIn

NONCE_SIZE = 18
"""Octets, 144 bits; in base64 without padding."""


def sign_in_of(connection: Connection, *, dice: Dice, token: Secret | None = None) -> SignIn:
    """Return it for one connection."""
    return SignIn(
        token=token,
        nonce=b64encode(dice.token(NONCE_SIZE)).decode("ascii"),
        binding=lambda: connection.channel_binding,
    )


async def token_of(
    transport: str, account: SmtpAccount, tokens: TokenSource | None, *, rejected: Secret | None = None
) -> Secret | None:
    """Return a token when the account logs in with one. Raises NetFault as ``TokenSource.token``."""
    if account.oauth is None or tokens is None:
        return None
    return await tokens.token(transport, rejected=rejected)


def refuses_token(evidence: Evidence) -> bool:
    """Say whether a login with a token ended because of the token: then a fresh one may work."""
    reply = evidence.reply
    return evidence.step is Step.AUTH and reply is not None and reply.is_permanent and reply.code != 504

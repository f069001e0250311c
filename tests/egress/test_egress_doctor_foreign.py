"""The doctor against a server that others wrote."""

import asyncio

import pytest
import trustme

from egress.foreign_smtp import LOGIN, REFUSED, Kept, aiosmtpd, context
from peers.doctor_room import HURRIED
from postroom.clock import SystemClock
from postroom.egress.doctor.doctor import AccountDoctor
from postroom.model.address import parse_address
from postroom.model.checkup import Checkup
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, TlsMode, TransportKind, TransportSpec

AUTHORITY = trustme.CA()


def examined(tls: TlsMode, kept: Kept, **terms: object) -> Checkup:
    """Check an account at aiosmtpd, which wants TLS and a login."""
    made = context(AUTHORITY)

    async def story() -> Checkup:
        implicit = made if tls is TlsMode.IMPLICIT else None
        later = {} if implicit else {"tls_context": made, "require_starttls": True}
        with AUTHORITY.cert_pem.tempfile() as ca_file:
            async with aiosmtpd(kept, implicit=implicit, auth_require_tls=implicit is None, **later) as port:
                login = {**LOGIN, "password": terms.pop("password", LOGIN["password"])}
                account = SmtpAccount(host="127.0.0.1", port=port, tls=tls, ca_file=ca_file, **login)
                spec = TransportSpec(name="main", kind=TransportKind.SMTP, account=account)
                doctor = AccountDoctor(clock=SystemClock(), limits=HURRIED)
                return await doctor.check(spec, with_records=False, **terms)  # type: ignore[arg-type] # by name

    return asyncio.run(story())


@pytest.mark.parametrize("tls", [TlsMode.IMPLICIT, TlsMode.STARTTLS])
def test_a_good_account_passes_and_nothing_is_sent(tls: TlsMode) -> None:
    """Every stage is well, and the server has no message."""
    kept = Kept()
    checkup = examined(tls, kept)
    assert (True, "") == (checkup.ok, checkup.cause)
    assert [] == kept.messages


def test_a_wrong_password_and_an_unknown_recipient_are_told_apart() -> None:
    """By aiosmtpd's own words."""
    assert "auth-wrong" == examined(TlsMode.STARTTLS, Kept(), password=Secret("something-else")).cause
    assert "rcpt-unknown" == examined(TlsMode.STARTTLS, Kept(), recipient=parse_address(REFUSED)).cause

"""The reply to EHLO: what a session announces (RFC 5321 section 4.1.1.1)."""

from datetime import UTC, datetime

from postroom.smtp.server_events import Offers
from postroom.smtp.server_sasl import MECHANISMS


def announced(offers: Offers, *, opened_at: datetime, is_encrypted: bool) -> str:
    """Return the lines of the reply, our name first."""
    lines = [offers.host, "PIPELINING", f"SIZE {offers.max_size}", "8BITMIME", "SMTPUTF8", "CHUNKING"]
    lines += ["ENHANCEDSTATUSCODES", "DSN"]
    if offers.starttls and not is_encrypted:
        lines.append("STARTTLS")
    if is_encrypted or offers.plain_login:
        lines.append(f"AUTH {' '.join(MECHANISMS)}")
    if offers.max_hold is not None:
        latest = (opened_at + offers.max_hold).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        lines.append(f"FUTURERELEASE {int(offers.max_hold.total_seconds())} {latest}")
    if offers.min_deliver_by_s is not None:
        lines.append(f"DELIVERBY {offers.min_deliver_by_s}")
    if offers.priorities:
        lines.append("MT-PRIORITY")
    return "\n".join([*lines, f"LIMITS RCPTMAX={offers.max_recipients}", "HELP"])

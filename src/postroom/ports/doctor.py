"""The doctor: looks at an account stage by stage and sends no mail."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from postroom.model.address import Address
from postroom.model.checkup import Checkup
from postroom.model.transport import TransportSpec

ESCAPE_PORTS = (25, 465, 587, 2525)
"""What a check of a host alone tries."""


class Doctor(Protocol):
    """Checks within 15 seconds, whatever the peer does; never raises for what a peer does."""

    async def check(
        self,
        spec: TransportSpec,
        *,
        recipient: Address | None = None,
        worked_until: datetime | None = None,
        with_records: bool = True,
    ) -> Checkup:
        """Look at an account: name to RSET, then the sender's domain. No body is sent.

        Args:
            spec: The transport, saved or not.
            recipient: Of RCPT TO; ``None`` takes the sender itself.
            worked_until: When a login with this account last worked, as far as is known.
            with_records: Also look at MX, SPF, DKIM and DMARC of the sender's domain.
        """
        ...

    async def knock(self, host: str, ports: Sequence[int] = ESCAPE_PORTS) -> Sequence[Checkup]:
        """Look at ports of a host without credentials: name to EHLO, one checkup a port, side by side."""
        ...

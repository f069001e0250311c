"""DNS records for a check, each asked for once.

dnspython is imported at the first question: it costs 60 ms and 10 MB that an idle server need not have.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from postroom.policy.records import Answer, Question

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver


class SilentNamesError(Exception):
    """No name server gave an answer."""


class Names:
    """Asks the machine's name servers, or the ones it is given."""

    def __init__(self, servers: Sequence[tuple[str, int]] = (), *, timeout_s: float = 3.0) -> None:
        """Take name servers as address and port; none are the machine's own."""
        self._servers = servers
        self._timeout_s = timeout_s
        self._known: dict[Question, Answer] = {}

    def renewed(self, timeout_s: float) -> "Names":
        """Return one for the next check, which knows nothing yet."""
        return Names(self._servers, timeout_s=timeout_s)

    async def ask(self, question: Question) -> Answer:
        """Return the records of a name. Raises SilentNamesError."""
        known = self._known.get(question)
        if known is None:
            known = self._known[question] = await self._asked(*question)
        return known

    async def _asked(self, name: str, kind: str) -> Answer:
        from dns.exception import DNSException, Timeout  # noqa: PLC0415 - see above
        from dns.resolver import NXDOMAIN, YXDOMAIN, NoNameservers  # noqa: PLC0415 - see above

        try:
            found = await self._resolver.resolve(name, kind, search=False, raise_on_no_answer=False)
        except NXDOMAIN:
            return Answer(exists=False)
        except (Timeout, NoNameservers, YXDOMAIN) as error:
            raise SilentNamesError(f"{name} {kind}: {error}") from None
        except (DNSException, OSError) as error:  # not a name, no configuration, no network
            raise SilentNamesError(f"{name} {kind}: {error or type(error).__name__}") from None
        if kind == "TXT":
            texts = (b"".join(each.strings).decode("utf-8", "replace") for each in found.rrset or ())
            return Answer(tuple(texts))
        if kind == "MX":
            hosts = (f"{each.preference} {_plain(each.exchange.to_text())}" for each in found.rrset or ())
            return Answer(tuple(hosts))
        return Answer(tuple(each.to_text() for each in found.rrset or ()))

    @cached_property
    def _resolver(self) -> "Resolver":
        from dns.asyncresolver import Resolver  # noqa: PLC0415 - see above
        from dns.nameserver import Do53Nameserver  # noqa: PLC0415 - see above

        resolver = Resolver(configure=not self._servers)
        if self._servers:
            resolver.nameservers = [Do53Nameserver(address, port) for address, port in self._servers]
        resolver.timeout = self._timeout_s / 2
        resolver.lifetime = self._timeout_s
        return resolver


def _plain(name: str) -> str:
    return name.rstrip(".") or "."

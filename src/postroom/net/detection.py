"""Asking the network where the account of an address is: MX, SRV and autoconfig, side by side.

The table of domains answers by itself, without a question to anybody. Everything else has ``TIME_S`` seconds
in all; what has not answered by then is left out. Autoconfig is asked for over HTTPS only, through the egress
guard, from the domain itself, and without the address. What an answer means is ``providers.detection``'s.

dnspython and httpcore2 are imported at the first question, in a thread: an idle server need not have them,
and a busy one not wait for them.

What it does not do: it asks no third party (no central database of providers) and guesses no host names.
"""

import asyncio
import ssl
from collections.abc import Coroutine, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from postroom.model.transport import TlsMode
from postroom.net.destination import DestinationError, parse_url
from postroom.net.guard import Guard
from postroom.providers.detection import (
    MAX_AUTOCONFIG,
    Proposal,
    Srv,
    from_autoconfig,
    from_domain,
    from_mx,
    from_srv,
    ordered,
)

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver

TIME_S = 5.0
"""Seconds in all; a person waits for the answer."""
_SRV = {"_submissions._tcp": TlsMode.IMPLICIT, "_submission._tcp": TlsMode.STARTTLS}
_PLACES = (
    "https://autoconfig.{domain}:{port}/mail/config-v1.1.xml",
    "https://{domain}:{port}/.well-known/autoconfig/mail/config-v1.1.xml",
)


class Detection:
    """Finds accounts; holds no connection between two questions."""

    def __init__(
        self,
        guard: Guard | None,
        *,
        servers: Sequence[tuple[str, int]] = (),
        ca_file: str | None = None,
        https_port: int = 443,
        time_s: float = TIME_S,
    ) -> None:
        """Set up without asking anybody.

        Args:
            guard: For autoconfig; ``None`` where the network allows no HTTPS, then it is not asked for.
            servers: Name servers as address and port; none are the machine's own.
            ca_file: PEM file with the authorities to trust instead of the system's.
            https_port: Where autoconfig is served.
            time_s: Seconds in all.
        """
        self._guard = guard
        self._servers = servers
        self._ca_file = ca_file
        self._https_port = https_port
        self._time_s = time_s

    async def find(self, domain: str) -> Sequence[Proposal]:
        """Return where an account of this mail domain (A-labels) may be, the best first; often nothing."""
        if known := from_domain(domain):
            return known
        await asyncio.to_thread(_load)
        questions = [self._srv(domain), self._autoconfig(domain), self._mx(domain)]
        return ordered(*await self._answers(questions))

    async def _answers(
        self, questions: Sequence[Coroutine[None, None, Sequence[Proposal]]]
    ) -> Sequence[Sequence[Proposal]]:
        """Return the answers that came in time, in the order of the questions."""
        tasks = [asyncio.create_task(each, name="detection") for each in questions]
        try:
            await asyncio.wait(tasks, timeout=self._time_s)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return [task.result() for task in tasks if not task.cancelled()]

    async def _mx(self, domain: str) -> Sequence[Proposal]:
        return from_mx([each.exchange.to_text() for each in await self._records(domain, "MX")])

    async def _srv(self, domain: str) -> Sequence[Proposal]:
        answers = await asyncio.gather(*(self._records(f"{name}.{domain}", "SRV") for name in _SRV))
        found = [
            Srv(
                priority=each.priority,
                weight=each.weight,
                port=each.port,
                target=each.target.to_text(),
                mode=mode,
            )
            for mode, records in zip(_SRV.values(), answers, strict=True)
            for each in records
        ]
        return from_srv(domain, found)

    async def _records(self, name: str, kind: str) -> Sequence[Any]:
        """Return the records of a name as dnspython has them; none when nobody knows it or answers."""
        from dns.exception import DNSException  # noqa: PLC0415 - see the module

        try:
            found = await self._resolver().resolve(name, kind, search=False, raise_on_no_answer=False)
        except (DNSException, OSError):
            return ()
        return tuple(found.rrset or ())

    def _resolver(self) -> "Resolver":
        from dns.asyncresolver import Resolver  # noqa: PLC0415 - see the module
        from dns.nameserver import Do53Nameserver  # noqa: PLC0415 - see the module

        resolver = Resolver(configure=not self._servers)
        if self._servers:
            resolver.nameservers = [Do53Nameserver(address, port) for address, port in self._servers]
        resolver.lifetime = self._time_s
        return resolver

    async def _autoconfig(self, domain: str) -> Sequence[Proposal]:
        if self._guard is None:
            return ()
        documents = await asyncio.gather(
            *(
                self._document(self._guard, each.format(domain=domain, port=self._https_port))
                for each in _PLACES
            )
        )
        return next(filter(None, (from_autoconfig(domain, each) for each in documents)), ())

    async def _document(self, guard: Guard, url: str) -> bytes:
        """Return what is at a URL, empty when there is nothing of use."""
        import httpcore2  # noqa: PLC0415 - see the module

        from postroom.net.faults import NetFault  # noqa: PLC0415 - with what raises it
        from postroom.net.guarded import GuardedBackend  # noqa: PLC0415 - imports httpcore2

        try:
            place = parse_url(url)
            context = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_file)
            async with (
                httpcore2.AsyncConnectionPool(
                    ssl_context=context, network_backend=GuardedBackend(guard)
                ) as pool,
                pool.stream(
                    "GET", url, headers={"host": place.authority, "user-agent": "Postroom"}
                ) as answer,
            ):
                if answer.status != 200:
                    return b""
                document = b""
                async for chunk in answer.aiter_stream():
                    document += chunk
                    if len(document) > MAX_AUTOCONFIG:
                        return b""
                return document
        except (
            DestinationError,
            NetFault,
            OSError,
            httpcore2.TimeoutException,
            httpcore2.NetworkError,
            httpcore2.ProtocolError,
        ):
            return b""


def _load() -> None:
    """Import what only questions need, while others go on: 100 ms the first time."""
    import_module("dns.asyncresolver")
    import_module("postroom.net.guarded")

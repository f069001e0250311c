"""Tokens for logins: asked for once whoever waits, kept until a minute before their end.

Rules: one question at a time for each transport; a token that a mail server refused is given to nobody again
and is renewed once; a refusal of the identity server is the cause ``token-refused`` and pauses the login, a
server that cannot be asked is ``token-unreachable`` and is tried again soon. Tokens live in memory only. A
refresh token that the server replaces is used from then on and told to ``rotated``, or it is lost at the next
start.

The HTTP is ``egress.calls`` behind the egress guard: no redirects, bounded answers, loaded at the first
question. Plain ``http`` is taken for loopback only.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from postroom.clock import Clock
from postroom.egress.grants import Denied, GrantError, fields_of, read_answer, shown
from postroom.model.outcome import Fault, FaultKind
from postroom.model.secret import Secret
from postroom.model.step import Step
from postroom.model.transport import OAuthGrant, SmtpAccount
from postroom.net.destination import Destination, DestinationError, parse_url
from postroom.net.faults import NetFault
from postroom.net.guard import Guard
from postroom.telemetry import logger
from postroom.telemetry.redaction import conceal

if TYPE_CHECKING:
    from postroom.egress.calls import Calls

TIMEOUT_S = 15.0
"""Seconds for the whole question; identity servers answer in one."""
MARGIN_S = 60.0
"""A token is renewed so many seconds before its end, or at half of a life shorter than two margins."""
_HEADERS = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}

Rotated = Callable[[str, Secret], None]
"""Told the transport's name and its new refresh token."""

log = logger("tokens")


@dataclass(slots=True, kw_only=True, eq=False)
class _Entry:
    """What is known of one transport."""

    username: str
    given: OAuthGrant
    """As the settings have it."""
    grant: OAuthGrant
    """The same with the newest refresh token."""
    token: Secret | None = None
    renew_at: float = 0.0
    """Monotonic seconds."""
    rejected: Secret | None = None
    """The last token that a mail server refused."""
    flight: "asyncio.Task[Secret] | None" = None


class Tokens:
    """The port ``TokenSource`` for all transports of a process. ``stop`` ends what is under way."""

    def __init__(
        self,
        guard: Guard,
        *,
        clock: Clock,
        rotated: Rotated | None = None,
        ca_file: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Take the guard; ``ca_file`` is a PEM file of authorities to trust instead of the system's."""
        self._guard = guard
        self._clock = clock
        self._rotated = rotated
        self._ca_file = ca_file
        self._timeout_s = timeout_s
        self._entries: dict[str, _Entry] = {}
        self._calls: Calls | None = None
        self._loading = asyncio.Lock()

    def keep(self, transport: str, account: SmtpAccount) -> None:
        """Take a transport's account, new or changed; one without a grant needs no tokens."""
        grant, entry = account.oauth, self._entries.get(transport)
        if grant is None:
            self.drop(transport)
            return
        username = account.username or ""
        if entry is not None and entry.username == username and grant in {entry.given, entry.grant}:
            entry.given = grant  # other settings changed, or the renewed refresh token was stored
            return
        self._entries[transport] = _Entry(username=username, given=grant, grant=grant)

    def serves(self, transport: str, account: SmtpAccount) -> bool:
        """Say whether the tokens of this transport are for this account."""
        entry = self._entries.get(transport)
        return (
            entry is not None
            and entry.username == (account.username or "")
            and account.oauth in {entry.given, entry.grant}
        )

    def drop(self, transport: str) -> None:
        """Forget a transport; whoever waits for its token still gets it."""
        self._entries.pop(transport, None)

    async def token(self, transport: str, *, rejected: Secret | None = None) -> Secret:
        """Return a token for this transport's account that lives at least another minute.

        Raises:
            NetFault: at step AUTH with the cause ``token-refused``, at step CONNECT with
                ``token-unreachable``.
        """
        entry = self._entries.get(transport)
        if entry is None:
            raise _refused("the transport has no settings to get a token with", transport)
        if rejected is not None and rejected == entry.token:
            entry.token, entry.rejected = None, rejected
        if entry.token is not None and self._clock.monotonic() < entry.renew_at:
            return entry.token
        if entry.flight is None:
            entry.flight = asyncio.create_task(self._renew(transport, entry), name=f"token {transport}")
            entry.flight.add_done_callback(lambda flight: _landed(entry, flight))
        return await asyncio.shield(entry.flight)

    async def stop(self) -> None:
        """End every question and close what is idle."""
        flights = [entry.flight for entry in self._entries.values() if entry.flight is not None]
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        if self._calls is not None:
            await self._calls.stop()

    async def _renew(self, transport: str, entry: _Entry) -> Secret:
        grant = entry.grant
        destination = _destination(grant.token_url)
        begun = self._clock.monotonic()
        try:
            fields = await asyncio.to_thread(fields_of, grant, entry.username, self._clock.now())
        except GrantError as error:
            raise _refused(str(error), destination.authority) from None
        calls, body = self._calls or await self._loaded(), urlencode(fields).encode("ascii")
        answer = await calls.post(destination, headers=_HEADERS, body=body, timeout_s=self._timeout_s)
        if answer.status is None:
            text = f"no token, the identity server cannot be asked: {answer.phrase}"
            raise _unreachable(shown(text, fields), destination.authority)
        found = read_answer(answer.status, answer.content)
        if isinstance(found, Denied):
            text = f"{shown(found.text, fields)} ({destination.host})"
            raise (_unreachable if found.is_passing else _refused)(text, destination.authority)
        if found.token == entry.rejected:
            text = "the identity server gives the same token again, which the mail server refused"
            raise _refused(text, destination.authority)
        entry.token = found.token
        entry.renew_at = begun + max(found.life_s - MARGIN_S, found.life_s / 2)
        if found.refresh_token is not None and found.refresh_token != grant.secret:
            self._keep_rotated(transport, entry, found.refresh_token)
        return found.token

    def _keep_rotated(self, transport: str, entry: _Entry, secret: Secret) -> None:
        conceal(secret.reveal())
        entry.grant = replace(entry.grant, secret=secret)
        if self._rotated is None:
            log.warning(
                "the refresh token was replaced and is known until the next start", transport=transport
            )
        elif self._entries.get(transport) is entry:
            self._rotated(transport, secret)

    async def _loaded(self) -> "Calls":
        async with self._loading:
            if self._calls is None:
                self._calls = await asyncio.to_thread(self._load)
            return self._calls

    def _load(self) -> "Calls":
        from postroom.egress.calls import Calls  # noqa: PLC0415 - a tenth of a start, and few need it

        return Calls(self._guard, ca_file=self._ca_file)


def _landed(entry: _Entry, flight: "asyncio.Task[Secret]") -> None:
    entry.flight = None
    if not flight.cancelled():
        flight.exception()  # everybody who asked may have gone


def _destination(url: str) -> Destination:
    """Read ``token_url``. Raises NetFault when it is none, or would show secrets to the network."""
    try:
        destination = parse_url(url)
    except DestinationError as error:
        raise _refused(f"token_url cannot be used: {error}", "token_url") from None
    address = destination.address
    is_local = address.is_loopback if address is not None else destination.host == "localhost"
    if not destination.is_tls and not is_local:
        raise _refused("token_url must begin with https://", destination.authority)
    return destination


def _refused(text: str, peer: str) -> NetFault:
    return NetFault(Step.AUTH, Fault(kind=FaultKind.REFUSED, text=text, cause="token-refused"), peer)


def _unreachable(text: str, peer: str) -> NetFault:
    fault = Fault(kind=FaultKind.UNREACHABLE, text=text, cause="token-unreachable")
    return NetFault(Step.CONNECT, fault, peer)

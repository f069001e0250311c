"""From a transport's settings to a session that takes mail, or to the evidence why not.

Rules: a port that does not speak as configured is recognised by what it speaks. Implicit TLS on a port
that answers in plain becomes STARTTLS *required*, never plain. A plain or STARTTLS account whose port sends
no greeting is tried with implicit TLS beside it; what the port speaks decides, not its number.
Both are remembered as long as the transport lives, and logged once as a warning.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

from postroom.clock import Clock, Dice, SystemDice
from postroom.egress.link import Job, Link
from postroom.egress.sign_in import refuses_token, sign_in_of, token_of
from postroom.model.outcome import Evidence, FaultKind
from postroom.model.secret import Secret
from postroom.model.step import Step
from postroom.model.transport import SmtpAccount, StepTimeouts, TlsMode, TransportSpec
from postroom.net.connection import Connection
from postroom.net.dialing import dial
from postroom.net.faults import NetFault
from postroom.ports import TokenSource
from postroom.providers import catalogue
from postroom.smtp.client import ClientSession, Failed
from postroom.smtp.opening import Derive, Opened, Upgrade
from postroom.smtp.steps import step_seconds
from postroom.telemetry import logger

GREETING_PROBE_S = 5.0
"""Seconds without a greeting after which implicit TLS is tried; most servers greet within one, tarpits
after 20 to 30, and then the first connection goes on waiting."""

CHINESE_HOSTS = (
    ".cn",
    ".qq.com",
    ".foxmail.com",
    ".163.com",
    ".126.com",
    ".yeah.net",
    ".188.com",
    ".netease.com",
    ".aliyun.com",
    ".aliyuncs.com",
    ".mxhichina.com",
    ".qcloudmail.com",
    ".sina.com",
    ".sohu.com",
)
KOREAN_HOSTS = (".kr", ".naver.com", ".daum.net", ".hanmail.net", ".kakao.com", ".worksmobile.com")
"""Hosts whose replies are GB18030 or CP949 when they are not UTF-8."""

Dial = Callable[..., Awaitable[Connection]]

log = logger("egress")


class Dialer:
    """Opens connections of one transport."""

    def __init__(
        self,
        spec: TransportSpec,
        account: SmtpAccount,
        *,
        clock: Clock,
        greeting_probe_s: float = GREETING_PROBE_S,
        dial: Dial = dial,
        tokens: TokenSource | None = None,
        dice: Dice | None = None,
    ) -> None:
        """Take the settings; ``greeting_probe_s`` in seconds. ``dice`` make nonces, the system's if none."""
        self._spec = spec
        self._account = account
        self._timeouts = spec.timeouts or StepTimeouts()
        self._seconds = step_seconds(self._timeouts)
        self._clock = clock
        self._probe_s = greeting_probe_s
        self._dial = dial
        self._tokens = tokens
        self._dice = dice or SystemDice()
        self._charset = reply_charset(account.host, account.provider)

    async def open(self) -> Link | Evidence:
        """Connect, greet, encrypt, log in; a token that is refused is renewed and tried once more."""
        token: Secret | None = None
        try:
            token = await token_of(self._spec.name, self._account, self._tokens)
            opened = await self._open(token)
            if token is None or not isinstance(opened, Evidence) or not refuses_token(opened):
                return opened
            token = await token_of(self._spec.name, self._account, self._tokens, rejected=token)
        except NetFault as failure:
            return self._evidence(failure)
        return await self._open(token)

    async def _open(self, token: Secret | None) -> Link | Evidence:
        """Do it with this token; an address that greets with "no service" is not the last one."""
        refused: dict[str, Evidence] = {}
        while True:
            try:
                connection = await self._connect(refused)
            except NetFault as failure:
                return next(iter(refused.values()), self._evidence(failure))
            try:
                first = b""
                if connection.account.tls is not TlsMode.IMPLICIT:
                    connection, first = await self._first_words(connection)
                opened = await self._converse(connection, first, token)
            except NetFault as failure:
                connection.abort()
                return self._evidence(failure)
            except BaseException:
                connection.abort()  # a cancelled opening must not leave a socket
                raise
            if not isinstance(opened, Evidence) or not _is_no_service(opened):
                return opened
            refused[connection.peer_address] = opened

    async def _connect(self, refused: Mapping[str, Evidence]) -> Connection:
        dial = partial(self._dial, avoid=refused) if refused else self._dial
        try:
            return await dial(self._account, self._timeouts, clock=self._clock)
        except NetFault as failure:
            if failure.fault.cause != "tls-on-plain":
                raise
        self._adopt(TlsMode.STARTTLS, "the port speaks plain, not TLS: STARTTLS is required from now on")
        return await dial(self._account, self._timeouts, clock=self._clock)

    async def _converse(self, connection: Connection, first: bytes, token: Secret | None) -> Link | Evidence:
        """Have the dialogue with the settings it was dialled with, whatever was learnt since."""
        session: ClientSession[Job] = ClientSession(
            connection.account,
            ehlo_name=self._spec.ehlo_name or own_name(connection.local_address or connection.peer_address),
            is_loopback=connection.is_loopback,
            charset=self._charset,
            sign_in=sign_in_of(connection, dice=self._dice, token=token),
        )
        if first:
            session.receive(first)
        link = Link(connection, session, seconds=self._seconds, clock=self._clock)
        while True:
            match session.next_event():
                case None:
                    await link.exchange()
                case Opened():
                    return link
                case Failed(evidence):
                    connection.abort()
                    return evidence
                case Upgrade():
                    try:
                        await connection.start_tls(self._timeouts.tls)
                    except NetFault as failure:
                        return self._evidence(failure)
                    session.tls_done()
                case Derive(run):
                    session.derived(await asyncio.to_thread(run))

    async def _first_words(self, connection: Connection) -> tuple[Connection, bytes]:
        """Wait a little for the greeting; without one, see whether the port wants TLS first.

        Raises:
            NetFault: it does, and its certificate is not trusted.
        """
        try:
            return connection, await connection.receive(min(self._probe_s, self._timeouts.greeting))
        except NetFault as failure:
            if failure.fault.kind is not FaultKind.TIMEOUT:
                return connection, b""  # the next wait tells it again
        implicit = replace(self._account, tls=TlsMode.IMPLICIT)
        timeouts = replace(self._timeouts, tls=min(self._probe_s, self._timeouts.tls))
        try:
            encrypted = await self._dial(implicit, timeouts, clock=self._clock)
        except NetFault as beside:
            fault = beside.fault
            if fault.kind is FaultKind.TLS and fault.cause != "tls-on-plain":
                raise  # no greeting will come, and waiting for it would hide why
            return connection, b""  # not that either: the greeting may still come
        connection.abort()
        self._adopt(TlsMode.IMPLICIT, "the port speaks TLS at once: implicit TLS is used from now on")
        return encrypted, b""

    def _adopt(self, tls: TlsMode, text: str) -> None:
        log.warning(text, transport=self._spec.name, host=self._account.host, port=self._account.port)
        self._account = replace(self._account, tls=tls)

    def _evidence(self, failure: NetFault) -> Evidence:
        return Evidence(
            step=failure.step, fault=failure.fault, host=self._account.host, port=self._account.port
        )


def _is_no_service(evidence: Evidence) -> bool:
    """Say whether a host greeted with 554 (RFC 5321 section 3.1): another address may serve."""
    return evidence.step is Step.GREETING and evidence.reply is not None and evidence.reply.code == 554


def reply_charset(host: str, provider: str | None = None) -> str:
    """Return the charset to try for replies that are not UTF-8, by the host or by whose server it is."""
    known = catalogue.provider(provider) if provider else None
    dotted = tuple(f".{name.lower()}" for name in (host, *(known.all_hosts if known is not None else ())))
    if any(name.endswith(CHINESE_HOSTS) for name in dotted):
        return "gb18030"
    return "cp949" if any(name.endswith(KOREAN_HOSTS) for name in dotted) else "latin-1"


def own_name(peer_address: str) -> str:
    """Return the name to greet with: this machine's when it has a dot, else its address as a literal."""
    name = socket.gethostname().strip(".").lower()
    if "." in name and name.isascii() and not name.startswith("localhost"):
        return name
    family = socket.AF_INET6 if ":" in peer_address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((peer_address, 25))  # asks the routing table; sends nothing
            address = str(probe.getsockname()[0]).partition("%")[0]
        except OSError:
            address = "127.0.0.1"
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

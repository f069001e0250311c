"""The dialogue of a check: connect, encrypt, greet, log in, name sender and recipient, take it back, leave.

Rules: what the port speaks decides, not its number (as when mail is sent): implicit TLS at a plain port goes
on with STARTTLS required, a silent plain port is tried with TLS beside. No DATA is ever sent. No credential
goes over a connection whose certificate was not trusted, and none at all when there is a user name without a
password. Every wait ends at the limit of its step or of the whole check.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from postroom.clock import Clock, SystemDice
from postroom.egress.dialer import own_name, reply_charset
from postroom.egress.doctor.chart import Chart, CheckLimits
from postroom.egress.doctor.wire import is_open, reach, reach_encrypted, seen_of, timeouts_of
from postroom.egress.sign_in import refuses_token, sign_in_of, token_of
from postroom.errors import InvariantError
from postroom.model.checkup import Stage, StageResult
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.secret import Secret
from postroom.model.step import Step
from postroom.model.transport import SmtpAccount, TlsMode
from postroom.net.connection import Connection
from postroom.net.dialing import addresses_of, connect, pass_proxy
from postroom.net.faults import NetFault
from postroom.policy import doctoring as means
from postroom.policy.doctor_case import Case
from postroom.policy.doctor_fixes import SUBMISSION_PORTS
from postroom.ports.transport import TokenSource
from postroom.smtp.blanking import Blanking
from postroom.smtp.client import ClientSession, Done, Failed
from postroom.smtp.opening import Derive, Opened, Upgrade
from postroom.smtp.probing import ProbeTransaction, Transcript
from postroom.smtp.steps import STEPS

_PORT_STEPS = frozenset({Step.CONNECT, Step.STARTTLS})
"""Where a failure may be one of the port alone."""


class Dialogue:
    """One connection's way through the stages; results go into the chart."""

    def __init__(
        self,
        case: Case,
        chart: Chart,
        *,
        limits: CheckLimits,
        clock: Clock,
        blanking: Blanking,
        tokens: TokenSource | None = None,
        has_envelope: bool = True,
    ) -> None:
        """Take the case; without ``has_envelope`` it ends after EHLO. A token is told to ``blanking``."""
        self._case = case
        self._chart = chart
        self._limits = limits
        self._clock = clock
        self._has_envelope = has_envelope
        self._blanking = blanking
        self._tokens = tokens
        self._token: Secret | None = None
        self._no_token: Evidence | None = None
        """Why there is no token for the login."""
        self._is_renewed = False
        account = case.account
        self._is_login_possible = bool(account.password) or account.oauth is not None
        if account.username and not self._is_login_possible:
            account = replace(account, username=None)  # an empty password is never sent
        self._account = account
        self._adapted: means.Adapted | None = None
        self._charset = reply_charset(account.host, account.provider)
        self._transcript = Transcript(self._charset)
        self._connection: Connection | None = None
        self._waited_for = -1
        self._avoided: list[str] = []
        """Addresses that greeted with "no service"."""

    async def run(self) -> None:
        """Go as far as the server lets it."""
        self._chart.is_tls_first = self._account.tls is TlsMode.IMPLICIT
        try:
            self._connection = await self._connected()
            if self._connection is not None and await self._is_tls_done():
                await self._fetch_token()
                await self._converse()
        except NetFault as failure:  # of a step made again, after the port was found to speak otherwise
            await self._fail(self._evidence(failure))
        finally:
            if self._connection is not None:
                self._connection.abort()

    # ------------------------------------------------------------- to the first byte

    async def _connected(self) -> Connection | None:
        chart, account = self._chart, self._account
        is_direct = account.proxy is None
        try:
            with chart.timing(Stage.DNS if is_direct else Stage.PROXY):
                addresses = await addresses_of(account, chart.left(self._limits.names))
            if is_direct:
                chart.note(means.passed(Stage.DNS, ", ".join(each.ip for each in addresses)))
                chart.note(means.skipped(Stage.PROXY, "no proxy is configured"))
            else:
                chart.note(means.skipped(Stage.DNS, "the proxy looks the name up"))
            with chart.timing(Stage.TCP if is_direct else Stage.PROXY):
                seconds = chart.left(self._limits.connect)
                connection = await connect(account, addresses, timeouts_of(seconds), clock=self._clock)
            with chart.timing(Stage.PROXY):
                await pass_proxy(connection, chart.left(self._limits.connect))
        except NetFault as failure:
            await self._fail(self._evidence(failure))
            return None
        if account.proxy is not None:
            proxy = account.proxy
            chart.note(means.passed(Stage.PROXY, f"{proxy.kind.value} proxy {proxy.host}:{proxy.port}"))
        where = f"{connection.peer_address} port {account.port}"
        chart.note(means.passed(Stage.TCP, where if is_direct else f"{self._case.endpoint} by the proxy"))
        return connection

    async def _is_tls_done(self) -> bool:
        """Make the handshake where it comes first, or find out that it does."""
        if self._account.tls is not TlsMode.IMPLICIT:
            return await self._is_greeted_in_plain()
        connection = self._wire
        try:
            with self._chart.timing(Stage.TLS):
                await connection.encrypt(self._chart.left(self._limits.tls))
        except NetFault as failure:
            if failure.fault.cause != "tls-on-plain":
                await self._distrust(self._evidence(failure))
                return False
            first_line = _quoted(failure.fault.text)
            if means.service_named(first_line):
                self._chart.note(means.other_service(self._case, Stage.TLS, first_line))
                return False
            self._adapt(TlsMode.STARTTLS, "tls-on-plain", f"the port speaks plain first: {first_line}")
            connection.abort()
            self._connection = await self._again()
        return True

    async def _is_greeted_in_plain(self) -> bool:
        """Wait a little for the greeting; without one, see whether the port wants TLS first."""
        connection = self._wire
        with self._chart.timing(Stage.GREETING):
            try:
                first = await connection.receive(self._chart.left(self._limits.silence))
                connection.put_back(first)
            except NetFault as failure:
                if failure.fault.kind is not FaultKind.TIMEOUT:
                    return True  # the next wait tells it again
            else:
                return True
            seconds = self._chart.left(self._limits.beside)
            try:
                encrypted = await reach_encrypted(self._account, seconds, clock=self._clock)
            except NetFault as failure:
                return await self._is_still_plain(failure)
        connection.abort()
        self._connection = encrypted
        self._adapt(TlsMode.IMPLICIT, "greet-implicit", "no greeting in plain; the port speaks TLS at once")
        return True

    async def _is_still_plain(self, failure: NetFault) -> bool:
        """Look at why TLS beside failed: another service, a certificate, or a server that greets late."""
        fault = failure.fault
        if fault.cause == "tls-on-plain":
            first_line = _quoted(fault.text)
            if means.service_named(first_line):
                self._chart.note(means.other_service(self._case, Stage.GREETING, first_line))
                return False
        elif fault.kind is FaultKind.TLS:
            self._adapt(
                TlsMode.IMPLICIT, "greet-implicit", "no greeting in plain; the port speaks TLS at once"
            )
            await self._distrust(self._evidence(failure))
            return False
        return True

    def _adapt(self, tls: TlsMode, cause: str, evidence: str) -> None:
        self._adapted = means.Adapted(cause=cause, evidence=evidence)
        self._account = replace(self._account, tls=tls)
        self._chart.is_tls_first = tls is TlsMode.IMPLICIT

    async def _again(self) -> Connection:
        return await reach(self._account, self._chart.left(self._limits.connect), clock=self._clock)

    # ------------------------------------------------------------- the dialogue

    async def _converse(self) -> None:
        session = self._session(self._account, self._wire)
        evidence = await self._open(session)
        if evidence is not None:
            if await self._has_another_chance(evidence):
                return await self._converse()
            return await self._opening_failed(session, evidence)
        if self._no_token is not None:
            self._chart.note(self._result(session, self._no_token))
        self._note_opening(session, until=None)
        if self._has_envelope and (self._account.username or not self._case.account.username):
            await self._name_both(session)
        return await self._leave(session)

    async def _open(self, session: "ClientSession[None]") -> Evidence | None:
        """Go on until mail could be sent; return why it cannot."""
        while True:
            match session.next_event():
                case None:
                    await self._exchange(session)
                case Opened():
                    return None
                case Failed(evidence):
                    return evidence
                case Upgrade():
                    try:
                        with self._chart.timing(Stage.TLS):
                            await self._wire.start_tls(self._chart.left(self._limits.tls))
                    except NetFault as failure:
                        return self._evidence(failure)
                    self._transcript.restart()
                    session.tls_done()
                case Derive(run):
                    with self._chart.timing(Stage.AUTH):
                        session.derived(await asyncio.to_thread(run))

    async def _has_another_chance(self, evidence: Evidence) -> bool:
        """Connect anew, as sending would: elsewhere after "no service", or with another token."""
        if _is_no_service(evidence):
            self._avoided.append(self._wire.peer_address)
        elif self._token is not None and not self._is_renewed and refuses_token(evidence):
            self._is_renewed = True
            await self._fetch_token(rejected=self._token)
            if self._no_token is not None:
                self._chart.note(self._result(None, self._no_token))
                return False
        else:
            return False
        account, chart = self._account, self._chart
        self._wire.abort()
        try:
            seconds = chart.left(self._limits.connect)
            connection = await reach(account, seconds, clock=self._clock, avoid=self._avoided)
        except NetFault:
            return False
        self._connection = connection
        try:
            if account.tls is TlsMode.IMPLICIT:
                await connection.encrypt(chart.left(self._limits.tls))
        except NetFault:
            return False
        self._transcript = Transcript(self._charset)
        self._waited_for = -1
        return True

    async def _fetch_token(self, *, rejected: Secret | None = None) -> None:
        """Ask for the token of the login; without one the dialogue ends before the login."""
        account = self._account
        if account.oauth is None or not self._has_envelope:
            return
        try:
            with self._chart.timing(Stage.AUTH):
                async with asyncio.timeout(self._chart.left(self._limits.step)):
                    self._token = await token_of(
                        self._case.spec.name, account, self._tokens, rejected=rejected
                    )
        except NetFault as failure:
            self._no_token = replace(self._evidence(failure), step=Step.AUTH)
        except TimeoutError:
            text = f"timed out waiting for a token ({account.oauth.token_url})"
            fault = Fault(kind=FaultKind.TIMEOUT, text=text, cause="token-unreachable")
            self._no_token = Evidence(step=Step.AUTH, fault=fault, host=account.host, port=account.port)
        if self._token is not None:
            self._blanking.add_secret(self._token.reveal())
        else:
            self._account = replace(account, username=None)

    async def _name_both(self, session: "ClientSession[None]") -> None:
        """MAIL, RCPT, RSET."""
        case, chart = self._case, self._chart
        if case.sender is None or case.recipient is None:
            for stage in (Stage.MAIL, Stage.RCPT, Stage.RSET):
                chart.note(means.skipped(stage, "there is no sender to name", "from-missing"))
            return
        probe = ProbeTransaction(reverse_path=case.sender, recipient=case.recipient)
        session.begin(probe)
        while not isinstance(session.next_event(), Done):
            await self._exchange(session)
        for step, word in ((Step.MAIL, case.sender), (Step.RCPT, case.recipient), (Step.RSET, "")):
            reply = self._transcript.replies.get(step)
            if reply is not None and reply.is_positive:
                text = f"{word}: {reply.code} {reply.text}" if word else f"{reply.code} {reply.text}"
                chart.note(means.passed(means.STAGE_OF[step], text))
            elif reply is not None and reply.code >= 400:
                evidence = Evidence(step=step, reply=reply, host=case.account.host, port=case.account.port)
                chart.note(means.refused(case, evidence))
        if probe.results[0] is not None:
            chart.note(self._result(session, probe.results[0]))

    async def _leave(self, session: "ClientSession[None]") -> None:
        """Say QUIT; whatever the server makes of it means nothing."""
        if session.is_over:
            return
        session.quit()
        self._wire.write(session.data_to_send())
        try:
            await self._wire.receive(self._chart.left(self._limits.leave))
        except NetFault:
            return
        self._wire.close()

    def _session(self, account: SmtpAccount, connection: Connection) -> "ClientSession[None]":
        return ClientSession(
            account,
            ehlo_name=self._case.spec.ehlo_name
            or own_name(connection.local_address or connection.peer_address),
            is_loopback=connection.is_loopback,
            charset=self._charset,
            sign_in=sign_in_of(connection, dice=SystemDice(), token=self._token),
        )

    async def _exchange(self, session: "ClientSession[None]") -> None:
        """Write what the session has to say, then read once if it waits for a reply."""
        wire = self._wire
        if data := session.data_to_send():
            wire.write(data)
        step = session.waiting_step
        if step is None:
            return
        limit = self._limits.total if step is Step.GREETING else self._limits.step
        seconds = None if self._waited_for == session.replies else self._chart.left(limit)
        self._waited_for = session.replies
        with self._chart.timing(means.STAGE_OF[step]):
            try:
                data = await wire.receive(seconds)
            except NetFault as failure:
                session.lose(failure.fault)
                return
        self._transcript.take(step, data)
        session.receive(data)

    # ------------------------------------------------------------- what it found

    def _note_opening(self, session: "ClientSession[None]", *, until: Step | None) -> None:
        """Note what went well before the step at which the opening ended, ``None`` for all of it."""
        chart, replies, case = self._chart, self._transcript.replies, self._case
        greeting = replies.get(Step.GREETING)
        if greeting is not None and greeting.is_positive:
            chart.note(means.passed(Stage.GREETING, f"{greeting.code} {greeting.text}"))
        wire = self._wire
        if wire.tls_version is not None:
            seen = seen_of(wire)
            chart.note(means.encrypted(case, seen, now=self._clock.now(), adapted=self._adapted))
        if until in {Step.GREETING, Step.EHLO, Step.STARTTLS, Step.TLS}:
            return
        extensions = session.extensions
        if wire.tls_version is None:
            chart.note(means.in_plain(case, is_loopback=wire.is_loopback, is_offered=extensions.starttls))
        ehlo = replies.get(Step.EHLO)
        if ehlo is not None:
            features = ", ".join(ehlo.lines[1:]) or "no extensions"
            chart.note(means.passed(Stage.EHLO, features, ehlo="; ".join(ehlo.lines)))
        if until is not None:
            return
        if self._account.username:
            login = replies.get(Step.AUTH)
            text = f"{login.code} {login.text}" if login is not None else "logged in"
            chart.note(means.passed(Stage.AUTH, f"{self._account.username}: {text}"))
        else:
            why = "there is no password" if case.account.username else "no login is configured"
            chart.note(means.skipped(Stage.AUTH, why))

    async def _opening_failed(self, session: "ClientSession[None]", evidence: Evidence) -> None:
        """Note the failure; a greeting of another service explains whatever came of it."""
        heard = self._transcript.replies.get(Step.GREETING)
        first_line = f"{heard.code} {heard.text}" if heard is not None else ""
        if evidence.fault is not None and evidence.fault.cause == "greet-not-smtp":
            first_line = evidence.fault.text.partition(": ")[2].removesuffix(STEPS[evidence.step].phrase)
        if evidence.step in {Step.GREETING, Step.EHLO} and means.service_named(first_line):
            self._chart.note(means.other_service(self._case, Stage.GREETING, first_line))
        self._note_opening(session, until=evidence.step)
        if evidence.step is Step.TLS:
            return await self._distrust(evidence)
        return await self._fail(evidence, session)

    async def _fail(self, evidence: Evidence, session: "ClientSession[None] | None" = None) -> None:
        """Note a failure, with another port where one answers."""
        open_ports: Sequence[int] = ()
        if evidence.step in _PORT_STEPS and self._account.proxy is None:
            open_ports = await self._open_ports()
        result = self._result(session, evidence, open_ports)
        self._chart.note(means.in_spite_of(self._adapted, result))

    def _result(
        self,
        session: "ClientSession[None] | None",
        evidence: Evidence,
        open_ports: Sequence[int] = (),
    ) -> StageResult:
        is_login_offered = session is None or bool(session.extensions.mechanisms)
        result = means.refused(self._case, evidence, open_ports=open_ports, is_login_offered=is_login_offered)
        fault = evidence.fault
        if fault is None or fault.kind is not FaultKind.TIMEOUT or not self._chart.is_cut:
            return result
        text = means.line(f"{result.evidence}; the time of the whole check is used up")
        is_slow = evidence.step in {Step.EHLO, Step.STARTTLS, Step.AUTH, Step.MAIL, Step.RCPT, Step.RSET}
        return replace(result, evidence=text, cause="check-cut" if is_slow else result.cause)

    async def _distrust(self, evidence: Evidence) -> None:
        """Note a handshake that failed, with what the same server shows to who does not check it."""
        seen = None
        fault = evidence.fault
        if fault is not None and fault.kind is FaultKind.TLS and fault.cause is None:
            seen = await self._unchecked()
        self._chart.note(means.untrusted(self._case, evidence, seen))

    async def _unchecked(self) -> means.TlsSeen | None:
        """Make the handshake again without checking, say nothing more, and look."""
        account = replace(self._account, verify=False, pin=None, username=None, password=None)
        seconds = self._chart.left(self._limits.beside)
        connection: Connection | None = None
        try:
            async with asyncio.timeout(seconds):
                if account.tls is TlsMode.IMPLICIT:
                    connection = await reach_encrypted(account, seconds, clock=self._clock)
                    return seen_of(connection)
                connection = await reach(account, seconds, clock=self._clock)
                session = self._session(account, connection)
                while (event := session.next_event()) is None:
                    connection.write(session.data_to_send())
                    session.receive(await connection.receive(seconds))
                if not isinstance(event, Upgrade):
                    return None
                await connection.start_tls(seconds)
                return seen_of(connection)
        except (NetFault, TimeoutError):
            return None
        finally:
            if connection is not None:
                connection.abort()

    async def _open_ports(self) -> Sequence[int]:
        """Return which other submission ports of the host take a connection."""
        seconds = self._chart.left(self._limits.beside)
        ports = [port for port in SUBMISSION_PORTS if port != self._account.port]
        answers = await asyncio.gather(
            *(is_open(self._account, port, seconds, clock=self._clock) for port in ports)
        )
        return [port for port, answer in zip(ports, answers, strict=True) if answer]

    def _evidence(self, failure: NetFault) -> Evidence:
        account = self._case.account
        return Evidence(step=failure.step, fault=failure.fault, host=account.host, port=account.port)

    @property
    def _wire(self) -> Connection:
        if self._connection is None:
            raise InvariantError("a dialogue without a connection")
        return self._connection


def _quoted(text: str) -> str:
    """Return the line that a fault quotes."""
    return text.partition('("')[2].rpartition('")')[0]


def _is_no_service(evidence: Evidence) -> bool:
    """Say whether a host greeted with 554 (RFC 5321 section 3.1): another address may serve."""
    return evidence.step is Step.GREETING and evidence.reply is not None and evidence.reply.code == 554

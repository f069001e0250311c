"""A look at a webhook: its name, its port, its certificate. Nothing is posted, for a post would be a mail."""

import asyncio
import contextlib
import ssl
from collections.abc import Sequence

from postroom.clock import Clock
from postroom.model.checkup import Checkup, Stage, StageResult, StageStatus
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.step import Step
from postroom.model.transport import HookTarget
from postroom.net.addresses import SocketAddress
from postroom.net.faults import NetFault, socket_fault, tls_fault
from postroom.net.guard import Guard
from postroom.policy.classify import classify
from postroom.policy.hook_url import HookUrl

STEP_S = 4.5
"""Seconds for each step."""
ANYWHERE = ("0.0.0.0/0", "::/0")
"""A transport is the operator's word, so its webhook may be anywhere."""


async def look_at_webhook(hook: HookTarget, *, clock: Clock) -> Checkup:
    """Return what a look finds; ends within three times ``STEP_S``."""
    look = _Look(hook, clock)
    with contextlib.suppress(NetFault):  # the failed stage is noted
        addresses = await look.names()
        await look.port(addresses)
    return Checkup(target=look.url.origin, stages=tuple(look.stages))


class _Look:
    """One look."""

    def __init__(self, hook: HookTarget, clock: Clock) -> None:
        self._hook = hook
        self._clock = clock
        self._begun = clock.monotonic()
        self.url = HookUrl.of(hook.url)
        text = f"webhook {self.url.origin} ({hook.form.value}); a check posts nothing"
        self.stages = [StageResult(stage=Stage.NAME, status=StageStatus.OK, evidence=text)]

    async def names(self) -> Sequence[SocketAddress]:
        """Look the host up. Raises NetFault, noted."""
        self._begun = self._clock.monotonic()
        try:
            found = await Guard(ANYWHERE).addresses(self.url.host, self.url.port, timeout_s=STEP_S)
        except NetFault as failure:
            raise self._failed(Stage.DNS, failure.step, failure.fault) from None
        self._note(Stage.DNS, ", ".join(address.ip for address in found))
        return found

    async def port(self, addresses: Sequence[SocketAddress]) -> None:
        """Connect, with TLS where the URL says so. Raises NetFault, noted."""
        self._begun = self._clock.monotonic()
        writer = await self._connected(addresses)
        try:
            address, port = writer.get_extra_info("peername")[:2]
            self._note(Stage.TCP, f"{address} port {port}")
            if self.url.is_tls:
                await self._encrypt(writer)
        finally:
            writer.transport.abort()

    async def _connected(self, addresses: Sequence[SocketAddress]) -> asyncio.StreamWriter:
        fault = Fault(kind=FaultKind.NAME, text="the name has no address")
        for address in addresses:
            try:
                async with asyncio.timeout(STEP_S / len(addresses)):
                    _, writer = await asyncio.open_connection(address.ip, self.url.port)
            except TimeoutError:
                fault = Fault(kind=FaultKind.TIMEOUT, text=f"no connection to {address}")
            except OSError as error:
                fault = socket_fault(error, str(address))
            else:
                return writer
        raise self._failed(Stage.TCP, Step.CONNECT, fault)

    async def _encrypt(self, writer: asyncio.StreamWriter) -> None:
        self._begun = self._clock.monotonic()
        try:
            context = await asyncio.to_thread(ssl.create_default_context, cafile=self._hook.ca_file)
            if not self._hook.verify:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            async with asyncio.timeout(STEP_S):
                await writer.start_tls(context, server_hostname=self.url.host)
        except ssl.SSLError as error:
            raise self._failed(Stage.TLS, Step.TLS, tls_fault(error)) from None
        except TimeoutError:
            fault = Fault(kind=FaultKind.TIMEOUT, text=f"no handshake within {STEP_S:g} s")
            raise self._failed(Stage.TLS, Step.TLS, fault) from None
        except OSError as error:
            raise self._failed(Stage.TLS, Step.TLS, socket_fault(error, self.url.authority)) from None
        layer: ssl.SSLObject = writer.get_extra_info("ssl_object")
        ends = (layer.getpeercert() or {}).get("notAfter", "")
        checked = "" if self._hook.verify else "; the certificate is NOT checked"
        self._note(Stage.TLS, f"{layer.version()}{f', until {ends}' if ends else ''}{checked}")

    def _note(self, stage: Stage, evidence: str) -> None:
        self.stages.append(
            StageResult(stage=stage, status=StageStatus.OK, ms=self._spent_ms(), evidence=evidence)
        )

    def _failed(self, stage: Stage, step: Step, fault: Fault) -> NetFault:
        cause = classify(Evidence(step=step, fault=fault, host=self.url.host, port=self.url.port)).cause
        self.stages.append(
            StageResult(
                stage=stage,
                status=StageStatus.FAILED,
                ms=self._spent_ms(),
                evidence=fault.text,
                cause=cause,
            )
        )
        return NetFault(step, fault, self.url.host)

    def _spent_ms(self) -> int:
        return round((self._clock.monotonic() - self._begun) * 1000)

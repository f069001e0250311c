"""The webhook transport: one attempt becomes one POST, in the server's own process.

The body is a pure function of the mail, of what the transport changes in it and of the recipients of the
attempt; ``digest_of`` stands for it, so that a later attempt posts the same or none. Files are named by
signed links or stand in the body, as the form says. Leave is asked for before the last byte of the request.

What an answer means is decided by ``policy.hook_outcomes`` and the rules of its causes.
"""

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from postroom.clock import Clock
from postroom.egress.hook_call import Caller, NoLeaveError
from postroom.errors import InvariantError
from postroom.mime.rendered import RenderedMessage, variant_of
from postroom.model.ids import TenantId
from postroom.model.message import Content
from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.secret import Secret
from postroom.model.step import Step
from postroom.model.transport import HookForm, HookTarget, TransportSpec
from postroom.policy import hooking
from postroom.policy.hook_hap import CONTENT_TYPE, hap_body
from postroom.policy.hook_mail import HookMail, addressed, uncarried
from postroom.policy.hook_mapped import MappedBody, mapped_body, needs_contents, needs_links
from postroom.policy.hook_outcomes import PUBLIC_URL_MISSING, SuccessRule, evidence_of, lost
from postroom.policy.hook_url import HookUrl
from postroom.policy.links import FilePlace, Links
from postroom.ports import Report, ReportLine, Work

ENCODER = "webhook/1"
"""Part of every digest: another number where the same mail makes another body."""
SMALL = 64 * 1024
"""Characters and bytes of texts and files from which on a body is made in a thread."""
_NOT_BEGUN = Report(lines=())


class MailFiles(Protocol):
    """The mail behind a content: its texts and its files, also of one in its own bytes."""

    async def described(self, work: Work, content: Content) -> HookMail:
        """Return the mail; its files have no links yet."""
        ...

    async def contents(self, tenant: TenantId, content: Content) -> Sequence[bytes]:
        """Return each file's content, in the order of ``described``. Raises OSError, InvariantError."""
        ...


class WebhookTransport:
    """A way out over HTTP (the ``Transport`` port)."""

    is_capture = False

    def __init__(
        self,
        spec: TransportSpec,
        *,
        files: MailFiles,
        clock: Clock,
        links: Links | None,
        headers: Mapping[str, str],
    ) -> None:
        """Take the spec with its target taken apart; without ``links`` mail that needs some is held.

        Blocking, for it reads the authorities to trust. Raises InvariantError, OSError, ssl.SSLError.
        """
        hook = spec.hook
        if hook is None:
            raise InvariantError(f"transport {spec.name} has no webhook")
        self.name = spec.name
        self.capacity = spec.max_connections * 2
        self.max_recipients = spec.max_recipients
        self.variant = variant_of(spec)
        self._hook: HookTarget = hook
        self._url = HookUrl.of(hook.url)
        self._files = files
        self._clock = clock
        self._links = links
        self._headers = dict(headers)
        self._caller = Caller(clock=clock, timeout_s=hook.timeout_s, ca_file=hook.ca_file, verify=hook.verify)
        self._success = _success_of(hook)
        self._slots = _Slots(spec.max_connections)
        self._under_way: dict[asyncio.Task[Report], _Leave] = {}
        self._is_stopping = False

    # ------------------------------------------------------------------ what is posted

    def digest_of(self, content: Content, rendered: RenderedMessage) -> str:
        """Return what stands for the posted bytes, whoever the recipients are."""
        parts = [ENCODER, rendered.digest, self._hook.form.value]
        if self._hook.form is HookForm.MAPPED:
            parts.append(json.dumps(self._hook.mapping, sort_keys=True))
        if self._links is not None and self._wants_links and _has_files(content):
            parts.append(self._links.origin)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def loses(self, content: Content) -> tuple[str, ...]:
        """Return what the body has no place for; a mapping is a person's own choice."""
        return uncarried(content) if self._hook.form is HookForm.HAP else ()

    @property
    def _wants_links(self) -> bool:
        return self._hook.form is HookForm.HAP or needs_links(self._hook.mapping)

    async def _mail(self, work: Work) -> HookMail | None:
        """Return the mail of an attempt with its links; ``None`` when it needs some and there are none."""
        content = work.content
        if content is None:
            raise InvariantError("a webhook posts a mail's content, and none was given")
        mail = await self._files.described(work, content)
        to, cc, bcc = addressed([address for _, address in work.recipients], mail.to, mail.cc)
        subject = self.variant.subject_prefix + mail.subject
        mail = replace(mail, to=to, cc=cc, bcc=bcc, subject=subject)
        if not mail.files or not self._wants_links:
            return mail
        links = self._links
        if links is None:
            return None
        files = [
            replace(
                one,
                url=links.url(
                    FilePlace(tenant=work.tenant, message=work.message_id, number=number),
                    name=one.name,
                    accepted_at=content.date,
                    now=self._clock.now(),
                ),
            )
            for number, one in enumerate(mail.files)
        ]
        return replace(mail, files=tuple(files))

    async def _request(self, work: Work, mail: HookMail) -> tuple[dict[str, str], MappedBody]:
        """Return headers and body; large ones are made beside the event loop."""
        contents: Sequence[bytes] = ()
        is_mapped = self._hook.form is HookForm.MAPPED
        if is_mapped and mail.files and work.content is not None and needs_contents(self._hook.mapping):
            contents = await self._files.contents(work.tenant, work.content)
        size = len(mail.text or "") + len(mail.html or "") + sum(map(len, contents))
        if size <= SMALL:
            return self._made(work, mail, contents)
        return await asyncio.to_thread(self._made, work, mail, contents)

    def _made(
        self, work: Work, mail: HookMail, contents: Sequence[bytes]
    ) -> tuple[dict[str, str], MappedBody]:
        if self._hook.form is HookForm.HAP:
            body = MappedBody(CONTENT_TYPE, hap_body(mail))
        else:
            body = mapped_body(self._hook.mapping, mail, contents)
        return self._signed(work, body), body

    def _signed(self, work: Work, body: MappedBody) -> dict[str, str]:
        """Return the headers; the id is the same at every attempt at the same recipients."""
        first = min(number for number, _ in work.recipients)
        id_ = f"msg_{work.message_id.replace('.', '_')}_{first}"
        headers = {"idempotency-key": id_, **self._headers}
        secret = self._hook.signing_secret
        if secret is not None:
            headers |= hooking.headers(
                [Secret(one) for one in secret.reveal().split()],
                webhook_id=id_,
                body=body.data,
                now=self._clock.now(),
            )
        return {**headers, "content-type": body.content_type}

    async def prepared(self, work: Work) -> tuple[dict[str, str], MappedBody]:
        """Return headers and body of an attempt, which is not made. Raises OSError, InvariantError."""
        mail = await self._mail(work)
        if mail is None:
            raise InvariantError(PUBLIC_URL_MISSING)
        return await self._request(work, mail)

    # ------------------------------------------------------------------ the port

    async def attempt(self, work: Work) -> Report:
        """Make one POST. Never raises for what a peer does; passes on what ``work.commit`` raises."""
        if self._is_stopping:
            return _NOT_BEGUN
        leave = _Leave(work)
        task = asyncio.create_task(self._posted(work, leave), name="webhook")
        self._under_way[task] = leave
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            del self._under_way[task]
        if not task.cancelled():
            return task.result()
        if not leave.is_given:
            return _NOT_BEGUN
        return self._report(work, lost("stopped before the answer", is_posted=True, at=self._url), 0.0)

    def allow(self, connections: int) -> None:
        """Make at most so many calls at once from now on."""
        self._slots.allow(connections)

    async def stop(self, *, grace_s: float) -> None:
        """Take no new attempt; before the last byte abort, after it wait up to ``grace_s``."""
        self._is_stopping = True
        for task, leave in self._under_way.items():
            if not leave.is_given:
                task.cancel()
        tasks = set(self._under_way)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=grace_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    # ------------------------------------------------------------------ one attempt

    async def _posted(self, work: Work, leave: "_Leave") -> Report:
        async with self._slots:
            begun = self._clock.monotonic()
            return self._report(work, await self._evidence(work, leave), begun)

    async def _evidence(self, work: Work, leave: "_Leave") -> Evidence | None:
        """Return what happened, ``None`` when nothing was begun."""
        try:
            mail = await self._mail(work)
            if mail is None:
                return self._unsendable(PUBLIC_URL_MISSING, "files need links, and public_url is not set")
            headers, body = await self._request(work, mail)
        except (OSError, InvariantError) as error:
            return self._unsendable("content-damaged", f"an attached file cannot be read: {error}")
        try:
            found = await self._caller.post(
                self._url,
                headers=headers,
                body=body.data,
                may_send=leave.asked,
                member=self._success.member if self._success is not None else None,
            )
        except NoLeaveError:
            return None
        if isinstance(found, Evidence):
            return found
        return evidence_of(found, form=self._hook.form, success=self._success, at=self._url)

    def _unsendable(self, cause: str, text: str) -> Evidence:
        fault = Fault(kind=FaultKind.LOCAL, text=text, cause=cause)
        return Evidence(step=Step.BODY, fault=fault, host=self._url.host, port=self._url.port)

    def _report(self, work: Work, evidence: Evidence | None, begun: float) -> Report:
        if evidence is None:
            return _NOT_BEGUN
        at, spent_s = self._clock.now(), self._clock.monotonic() - begun
        return Report(
            lines=tuple(
                ReportLine(recipient=number, evidence=evidence, at=at, duration_ms=round(spent_s * 1000))
                for number, _ in work.recipients
            )
        )


class _Leave:
    """Whether the last byte of an attempt may go."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.is_given = False

    async def asked(self) -> bool:
        self.is_given = await self._work.commit()
        return self.is_given


class _Slots:
    """At most so many at once; the number may change at any time."""

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def allow(self, count: int) -> None:
        self._allowed = max(count, 1)
        self._wake()

    async def __aenter__(self) -> None:
        while self._taken >= self._allowed:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        self._taken += 1

    async def __aexit__(self, *_: object) -> None:
        self._taken -= 1
        self._wake()

    def _wake(self) -> None:
        free = self._allowed - self._taken
        while self._waiting and free > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1


def _success_of(hook: HookTarget) -> SuccessRule | None:
    rule = hook.mapping.get("success") if hook.form is HookForm.MAPPED else None
    if rule is None:
        return None
    return SuccessRule(member=rule["member"], equals=rule["equals"], defer=rule.get("defer", ()))


def _has_files(content: Content) -> bool:
    return bool(content.attachments) or content.raw is not None

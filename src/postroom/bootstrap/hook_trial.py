"""A trial of a webhook transport without a server: what it would post of a test mail, and the post itself."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from postroom.clock import Clock, SystemClock, SystemDice
from postroom.egress.webhook import WebhookTransport
from postroom.mime.rendered import RenderedMessage
from postroom.model.address import Address, Mailbox
from postroom.model.ids import DEFAULT_TENANT, ENTROPY_BYTES, TenantId, new_message_id
from postroom.model.message import Content
from postroom.model.outcome import Evidence, Verdict
from postroom.model.transport import TransportSpec
from postroom.policy.classify import classify
from postroom.policy.hook_mail import HookFile, HookMail
from postroom.policy.hook_mapped import MappedBody
from postroom.policy.links import LinkKeys, Links
from postroom.ports import Work
from postroom.schema.hook_spec import sent_headers

SENDER = Mailbox(Address("postroom", "example.com"), "Postroom")
FILE = ("note.txt", "text/plain", b"A file of a test mail.\n")
_PUBLIC_URL = "https://postroom.example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was shown, and what came of the post."""

    headers: dict[str, str]
    """As they go out, secrets included."""
    body: MappedBody
    evidence: Evidence | None = None
    """``None``: nothing was posted."""
    verdict: Verdict | None = None


class _Sample:
    """A mail with one file, which exists only here (the ``MailFiles`` of a webhook)."""

    def __init__(self, *, has_file: bool) -> None:
        self._has_file = has_file

    async def described(self, work: Work, content: Content) -> HookMail:
        name, kind, _ = FILE
        files = (HookFile(name=name, content_type=kind),) if self._has_file else ()
        return HookMail(
            id=work.message_id,
            message_id=content.message_id,
            date=content.date,
            from_=content.from_,
            to=content.to,
            reply_to=content.reply_to,
            subject=content.subject,
            html=content.html,
            text=content.text,
            files=files,
        )

    async def contents(self, tenant: TenantId, content: Content) -> Sequence[bytes]:
        del tenant, content
        return [FILE[2]] if self._has_file else []


def try_webhook(
    spec: TransportSpec, *, to: Address, public_url: str | None = None, is_posted: bool = False
) -> Trial:
    """Return what a transport makes of a test mail to one recipient; post it when asked.

    A post has no file: the link to one would lead nowhere.
    """
    return asyncio.run(_try(spec, to, public_url, is_posted=is_posted))


async def _try(spec: TransportSpec, to: Address, public_url: str | None, *, is_posted: bool) -> Trial:
    clock: Clock = SystemClock()
    if spec.hook is None:
        raise AssertionError("a trial needs a webhook")
    transport = WebhookTransport(
        spec,
        files=_Sample(has_file=not is_posted),
        clock=clock,
        links=Links(public_url=public_url or _PUBLIC_URL, keys=LinkKeys((bytes(32),))),
        headers=sent_headers(spec.hook),
    )
    work = _work(spec, to, clock.now())
    headers, body = await transport.prepared(work)
    if not is_posted:
        return Trial(headers=headers, body=body)
    report = await transport.attempt(work)
    await transport.stop(grace_s=0)
    evidence = report.lines[0].evidence
    return Trial(headers=headers, body=body, evidence=evidence, verdict=classify(evidence))


def _work(spec: TransportSpec, to: Address, now: datetime) -> Work:
    sender = spec.default_from or SENDER
    id_ = new_message_id(now, SystemDice().token(ENTROPY_BYTES))
    content = Content(
        message_id=f"{id_}@{sender.address.domain}",
        date=now,
        boundary=id_,
        from_=sender,
        to=(Mailbox(to),),
        reply_to=(sender,),
        subject="Test by Postroom",
        html="<p>This is a test mail.</p>",
    )

    async def leave() -> bool:
        return True

    return Work(
        message_id=id_,
        tenant=DEFAULT_TENANT,
        reverse_path=sender.address,
        recipients=((0, to),),
        rendered=RenderedMessage(segments=(b"",), size=0, digest="", needs_smtputf8=False),
        subject=content.subject,
        sender=sender.address.spec,
        content=content,
        commit=leave,
    )


def shown_headers(spec: TransportSpec, headers: dict[str, str]) -> dict[str, str]:
    """Return headers for people: those of the settings may be secrets."""
    secret = {name.lower() for name in spec.hook.headers} if spec.hook is not None else set()
    return {name: "*****" if name in secret else value for name, value in headers.items()}

"""The webhook transport against real HTTP servers."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from egress.hook_works import LINKS, attached, content, posted, webhook
from egress.works import file_blobs, told
from net.wires import listening
from peers.hook_server import HookServer, hook_server, plain
from postroom.clock import SystemClock
from postroom.model.address import parse_mailbox
from postroom.model.message import Content
from postroom.model.outcome import OutcomeKind
from postroom.model.secret import Secret
from postroom.model.transport import HookForm
from postroom.policy.classify import classify
from postroom.policy.hook_hap import hap_body
from postroom.policy.hook_mail import HookMail, text_as_html
from postroom.policy.hooking import signature
from postroom.policy.links import FilePlace
from postroom.ports import Report
from postroom.schema.hook_mapping import profile
from postroom.telemetry.redaction import conceal, disclose

OK = plain(200, b'{"status":"success"}')


def outcome(report: Report) -> tuple[OutcomeKind, str]:
    (verdict,) = {classify(line.evidence) for line in report.lines}
    return verdict.outcome, verdict.cause


def post(data: Path, answer: bytes, *works: Any, **changes: Any) -> tuple[HookServer, list[Report]]:
    async def run() -> tuple[HookServer, list[Report]]:
        async with hook_server(answer) as server, webhook(server.url, data, **changes) as transport:
            return server, [await transport.attempt(work) for work in works or (posted(),)]

    return asyncio.run(run())


def test_the_body_is_that_of_the_document(tmp_path: Path) -> None:
    """Names, order and types of every member are HAP's; a blind recipient stands in its list alone."""
    server, (report,) = post(tmp_path, OK, headers={"X-Token": "secret-of-the-hook"})
    (request,) = server.requests
    assert "POST /hook HTTP/1.1" == request.line
    assert "application/json" == request.fields["content-type"]
    assert "secret-of-the-hook" == request.fields["x-token"]
    assert (
        b'{"ToEmails":["to@example.net"],"ReplyToEmails":["desk@example.com"],"CcEmails":["cc@example.net"],'
        b'"BccEmails":["blind@example.org"],"Signature":"Ann Example","Subject":"hello","Body":"<p>hi</p>",'
        b'"Attachments":{}}'
    ) == request.body
    assert (OutcomeKind.ACCEPTED, "") == outcome(report)
    assert {(200, '200 OK: {"status":"success"}'.partition(" ")[2])} == {
        (line.evidence.reply.code, line.evidence.reply.text) for line in report.lines if line.evidence.reply
    }


def test_a_text_is_escaped_and_the_address_signs_for_a_nameless_sender(tmp_path: Path) -> None:
    """A mail without HTML is HTML that shows its text; Signature is the address when there is no name."""
    mail = content(html=None, text="a < b\n  & c", from_=parse_mailbox("ann@example.com"))
    server, _ = post(tmp_path, OK, posted(mail=mail))
    body = json.loads(server.requests[0].body)
    assert "a &lt; b<br>\n&nbsp;&nbsp;&amp; c" == body["Body"]
    assert "ann@example.com" == body["Signature"]


def test_an_echoed_secret_is_not_kept(tmp_path: Path) -> None:
    """A server that answers with the headers it got puts no secret into the story of the mail."""
    secret = "echoed-hook-secret"
    conceal(secret)
    try:
        _, (report,) = post(tmp_path, plain(403, f"bad {secret}!".encode()), headers={"X-Token": secret})
    finally:
        disclose(secret)
    texts = {line.evidence.fault.text for line in report.lines if line.evidence.fault}
    assert {"403 Forbidden: bad *****!"} == texts


def test_runs_of_blanks_are_kept() -> None:
    """HTML swallows no blank of a text, whatever ends its lines; a single one stays where a line may wrap."""
    assert "a b &nbsp;c &nbsp; d" == text_as_html("a b  c   d")
    assert "&nbsp;a<br>\n&nbsp;&nbsp;b<br>\n&nbsp;" == text_as_html(" a\r\n  b\r\n ")


def test_a_large_body_is_made_beside_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of megabytes are escaped and written in a thread; other mail goes on meanwhile."""
    threads = []

    def noted(mail: HookMail) -> bytes:
        threads.append(threading.get_ident())
        return hap_body(mail)

    monkeypatch.setattr("postroom.egress.webhook.hap_body", noted)
    large = content(html=None, text="<" * 2**20)
    server, _ = post(tmp_path, OK, posted(), posted(mail=large))
    assert [True, False] == [thread == threading.get_ident() for thread in threads]
    assert "&lt;" * 2**20 == json.loads(server.requests[1].body)["Body"]


def test_a_second_post_names_only_those_it_is_for(tmp_path: Path) -> None:
    """An attempt at one of three recipients has that one alone, with an id of its own."""
    server, _ = post(tmp_path, OK, posted(), posted("blind@example.org"))
    body = json.loads(server.requests[1].body)
    assert ([], [], ["blind@example.org"]) == (body["ToEmails"], body["CcEmails"], body["BccEmails"])


def test_files_are_links_and_pictures_stand_in_the_text(tmp_path: Path) -> None:
    """Attachments map names to links, a second of one name says so; a ``cid:`` becomes its link."""
    blobs = file_blobs(tmp_path)
    files = (
        attached(blobs, "offer.pdf", b"one"),
        attached(blobs, "offer.pdf", b"two"),
        attached(blobs, "logo.png", b"three", content_id="logo@x"),
    )
    html = '<img src="cid:logo@x"><img src="cid:unknown">'
    server, _ = post(tmp_path, OK, posted(mail=content(html=html, attachments=files)))
    work = posted()
    body = json.loads(server.requests[0].body)

    def link(number: int, name: str) -> str:
        place = FilePlace(tenant=work.tenant, message=work.message_id, number=number)
        return LINKS.url(place, name=name, accepted_at=content().date, now=SystemClock().now())

    assert {"offer.pdf": link(0, "offer.pdf"), "offer (2).pdf": link(1, "offer.pdf")} == body["Attachments"]
    assert f'<img src="{link(2, "logo.png")}"><img src="cid:unknown">' == body["Body"]


def test_a_repetition_posts_the_same_bytes(tmp_path: Path) -> None:
    """Two attempts at the same recipients have one body and one id, whenever they are made."""
    mail = content(attachments=(attached(file_blobs(tmp_path), "a.pdf", b"one"),))
    server, _ = post(tmp_path, OK, posted(mail=mail), posted(mail=mail))
    first, second = server.requests
    assert first.body == second.body
    assert first.fields["idempotency-key"] == second.fields["idempotency-key"]


def test_without_a_public_address_mail_with_files_waits_for_a_person(tmp_path: Path) -> None:
    """Nothing is posted, and the cause names the setting; a mail without files goes."""
    mail = content(attachments=(attached(file_blobs(tmp_path), "a.pdf", b"one"),))
    server, (held, sent) = post(tmp_path, OK, posted(mail=mail), posted(), links=None)
    assert (OutcomeKind.DEFERRED, "public-url-missing") == outcome(held)
    assert (OutcomeKind.ACCEPTED, "") == outcome(sent)
    assert 1 == len(server.requests)


@pytest.mark.parametrize(
    ("status", "kind", "cause"),
    [
        (204, OutcomeKind.ACCEPTED, ""),
        (301, OutcomeKind.REFUSED, "webhook-redirect"),
        (307, OutcomeKind.REFUSED, "webhook-redirect"),
        (400, OutcomeKind.DEFERRED, "webhook-not-taken"),
        (401, OutcomeKind.DEFERRED, "webhook-not-taken"),
        (404, OutcomeKind.DEFERRED, "webhook-not-taken"),
        (408, OutcomeKind.DEFERRED, "webhook-unavailable"),
        (425, OutcomeKind.DEFERRED, "webhook-unavailable"),
        (429, OutcomeKind.DEFERRED, "webhook-throttled"),
        (500, OutcomeKind.DEFERRED, "webhook-unavailable"),
        (502, OutcomeKind.UNCERTAIN, "webhook-gateway"),
        (503, OutcomeKind.DEFERRED, "webhook-unavailable"),
        (504, OutcomeKind.UNCERTAIN, "webhook-gateway"),
    ],
)
def test_each_answer_has_its_meaning(tmp_path: Path, status: int, kind: OutcomeKind, cause: str) -> None:
    """The outcome of each status in the HAP form."""
    _, (report,) = post(tmp_path, plain(status, b"why"))
    assert (kind, cause) == outcome(report)


def test_a_mapped_webhook_refuses_the_mail_and_not_the_transport(tmp_path: Path) -> None:
    """A 4xx in the mapped form is the mail's."""
    _, (report,) = post(tmp_path, plain(422), form=HookForm.MAPPED, mapping=profile("hap"))
    assert (OutcomeKind.REFUSED, "webhook-refused") == outcome(report)


def test_retry_after_is_kept(tmp_path: Path) -> None:
    """What a webhook asks to wait replaces the schedule."""
    _, (report,) = post(tmp_path, plain(429, b"", b"Retry-After: 120"))
    verdict = classify(report.lines[0].evidence)
    assert (120.0, True) == (verdict.min_delay_s, verdict.replaces_schedule)


def test_the_shipped_hap_mapping_posts_the_same_bytes(tmp_path: Path) -> None:
    """The profile ``hap`` and the form ``hap`` are one body."""
    mail = content(attachments=(attached(file_blobs(tmp_path), "a.pdf", b"one"),))
    plain_form, _ = post(tmp_path, OK, posted(mail=mail))
    mapped, _ = post(tmp_path, OK, posted(mail=mail), form=HookForm.MAPPED, mapping=profile("hap"))
    assert plain_form.requests[0].body == mapped.requests[0].body


def test_a_success_rule_reads_the_answer(tmp_path: Path) -> None:
    """A Nexus says 200 whatever happened; its ``code`` decides."""
    changes = {"form": HookForm.MAPPED, "mapping": profile("nexus")}
    found = [
        outcome(post(tmp_path, plain(200, body), **changes)[1][0])
        for body in (b'{"code":"200"}', b'{"code":"411"}', b'{"code":"500"}', b"no JSON")
    ]
    assert [
        (OutcomeKind.ACCEPTED, ""),
        (OutcomeKind.REFUSED, "webhook-refused"),
        (OutcomeKind.DEFERRED, "webhook-unavailable"),
        (OutcomeKind.UNCERTAIN, "webhook-gateway"),
    ] == found


def test_a_signing_secret_signs_as_standard_webhooks_says(tmp_path: Path) -> None:
    """Id, time and signature verify with the secret, and the id stays the same."""
    secret = Secret("whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
    server, _ = post(tmp_path, OK, posted(), posted(), signing_secret=secret)
    for request in server.requests:
        fields = request.fields
        given = signature(
            secret,
            webhook_id=fields["webhook-id"],
            timestamp=int(fields["webhook-timestamp"]),
            body=request.body,
        )
        assert given == fields["webhook-signature"]
    assert 1 == len({request.fields["webhook-id"] for request in server.requests})


def test_leave_is_asked_before_the_last_byte(tmp_path: Path) -> None:
    """While leave is not given the server has all of the request but its last byte; refused, never that."""
    seen = bytearray()

    async def run(answer: bool) -> Report:
        arrived, ended = asyncio.Event(), asyncio.Event()
        seen.clear()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                seen.extend(data)
                if seen.endswith(b'"Attachments":{}'):
                    arrived.set()
                if seen.endswith(b"}}"):
                    writer.write(OK)
            ended.set()

        async def commit() -> bool:
            await arrived.wait()
            return answer

        async with (
            listening(serve) as port,
            webhook(f"http://127.0.0.1:{port}/hook", tmp_path) as transport,
        ):
            report = await transport.attempt(posted(commit=commit))
            await ended.wait()
            return report

    assert (OutcomeKind.ACCEPTED, "") == outcome(asyncio.run(run(True)))
    assert seen.endswith(b'"Attachments":{}}')
    assert () == asyncio.run(run(False)).lines
    assert seen.endswith(b'"Attachments":{}')


@dataclass
class Cutter:
    """A server that resets each connection after so many bytes; 0 takes everything and answers."""

    at: int = 0
    sizes: list[int] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = b""
        while not (self.at and len(data) >= self.at) and not data.endswith(b'"Attachments":{}}'):
            data += await reader.read(self.at - len(data) if self.at else 65536)
        self.sizes.append(len(data))
        if self.at:
            writer.transport.abort()
        else:
            writer.write(OK)


Cut = tuple[int, tuple[OutcomeKind, str]]
"""How often leave was asked in a post that is cut, and what it meant."""


async def cuts(cutter: Cutter, data: Path, mail: Content, places: Iterable[int]) -> AsyncIterator[Cut]:
    async with listening(cutter.serve) as port, webhook(f"http://127.0.0.1:{port}/", data) as transport:
        for cutter.at in places:
            leaves: list[bool] = []

            async def commit(leaves: list[bool] = leaves) -> bool:
                leaves.append(True)
                return True

            found = outcome(await transport.attempt(posted(mail=mail, commit=commit)))
            yield len(leaves), found


def test_a_wire_cut_at_any_byte_is_judged_by_leave(tmp_path: Path) -> None:
    """Cut before leave was asked nothing was posted; cut after it nobody knows, up to the last byte."""

    async def run() -> set[Cut]:
        cutter = Cutter()
        assert [(1, (OutcomeKind.ACCEPTED, ""))] == [
            one async for one in cuts(cutter, tmp_path, content(), [0])
        ]
        size = cutter.sizes[0]
        return {one async for one in cuts(cutter, tmp_path, content(), range(1, size + 1))}

    allowed = {
        (0, (OutcomeKind.DEFERRED, "webhook-unsent")),
        (1, (OutcomeKind.UNCERTAIN, "webhook-answer-lost")),
    }
    found = asyncio.run(run())
    assert found <= allowed
    assert (1, (OutcomeKind.UNCERTAIN, "webhook-answer-lost")) in found


def test_a_wire_cut_in_a_large_body_posts_nothing(tmp_path: Path) -> None:
    """A body that does not fit into the buffers on the way is cut before leave is asked."""
    mail = content(html="x" * 8_000_000)

    async def run() -> list[Cut]:
        return [one async for one in cuts(Cutter(), tmp_path, mail, [100_000])]

    assert [(0, (OutcomeKind.DEFERRED, "webhook-unsent"))] == asyncio.run(run())


def test_an_answer_cut_at_any_byte_counts_once_its_head_is_whole(tmp_path: Path) -> None:
    """Cut in the head of the answer nobody knows, cut after it the status counts."""
    head = OK.index(b"\r\n\r\n") + 4

    size = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'"Attachments":{}}')
        writer.write(OK[:size])
        await writer.drain()
        writer.close()

    async def run() -> dict[int, OutcomeKind]:
        nonlocal size
        found = {}
        async with (
            listening(serve) as port,
            webhook(f"http://127.0.0.1:{port}/hook", tmp_path) as transport,
        ):
            for size in range(len(OK) + 1):
                found[size] = outcome(await transport.attempt(posted()))[0]
        return found

    found = asyncio.run(run())
    assert {OutcomeKind.UNCERTAIN} == {kind for size, kind in found.items() if size < head}
    assert {OutcomeKind.ACCEPTED} == {kind for size, kind in found.items() if size >= head}


def test_a_closed_port_and_an_unknown_name_pause_the_transport(tmp_path: Path) -> None:
    """What fails before the request concerns the transport."""

    async def run(url: str) -> Report:
        async with webhook(url, tmp_path) as transport:
            return await transport.attempt(posted())

    assert {("connect", "refused")} == set(told(asyncio.run(run("http://127.0.0.1:9/hook"))))
    assert {("resolve", "name")} == set(told(asyncio.run(run("http://nowhere.invalid/hook"))))


def test_a_stop_gives_up_what_is_not_posted_and_waits_for_what_is(tmp_path: Path) -> None:
    """Before leave an attempt ends as not begun, after it as uncertain when no answer comes."""

    async def run(*, leave: bool) -> Report:
        reached, never = asyncio.Event(), asyncio.Event()

        async def commit() -> bool:
            reached.set()
            if not leave:
                await never.wait()
            return True

        async with hook_server(lambda _: None) as server, webhook(server.url, tmp_path) as transport:
            task = asyncio.create_task(transport.attempt(posted(commit=commit)))
            await reached.wait()
            await transport.stop(grace_s=0.05)
            return await task

    assert () == asyncio.run(run(leave=False)).lines
    assert (OutcomeKind.UNCERTAIN, "webhook-answer-lost") == outcome(asyncio.run(run(leave=True)))


def test_the_digest_stands_for_form_links_and_content(tmp_path: Path) -> None:
    """It changes with what is posted, and not with who gets it."""

    async def run() -> set[str]:
        mail = content(attachments=(attached(file_blobs(tmp_path), "a.pdf", b"one"),))
        other = replace(LINKS, public_url="https://other.example.com")
        found = []
        for changes in (
            {},
            {"links": other},
            {"form": HookForm.MAPPED, "mapping": profile("hap")},
        ):
            async with webhook("http://127.0.0.1:1/", tmp_path, **changes) as transport:
                found += [transport.digest_of(mail, posted().rendered)] * 2
        return set(found)

    assert 3 == len(asyncio.run(run()))

"""``POST /v1/messages/raw`` in process: what becomes a submission, what is refused, what goes to a file."""

from typing import Any

from each_row import each
from ingress.asgi_client import Answer, call
from peers.fake_service import FakeService
from postroom.engine.service import Receipt
from postroom.ingress.http.app import build_app
from postroom.ingress.http.settings import HttpSettings
from postroom.model.address import NULL_PATH, Mailbox, parse_address
from postroom.model.message import BlobRef, Door, MailClass, Notify, Submission
from postroom.schema.raw_submission import SMALL_BODY
from postroom.web.budget import MIB, ByteBudget

MAIL = (
    b"From: Ann <ann@example.com>\r\nTo: bob@example.org\r\nBcc: eve@example.org\r\nSubject: Hello\r\n"
    b"Date: Thu, 31 Jan 2030 09:05:07 +0000\r\nMessage-ID: <one@example.com>\r\n\r\nIt works.\r\n"
)


def post(query: str = "", mail: bytes = MAIL, service: FakeService | None = None, **options: Any) -> Answer:
    app = build_app(service or FakeService(), HttpSettings())
    headers = {"content-type": "message/rfc822", **options.pop("headers", {})}
    return call(app, "POST", "/v1/messages/raw", query=query[1:], body=mail, headers=headers, **options)


def taken(query: str = "", mail: bytes = MAIL, **options: Any) -> Submission:
    service = FakeService()
    answer = post(query, mail, service, **options)
    assert (202, 1) == (answer.status, len(service.submissions)), answer.body
    return next(iter(service.submissions.values()))


def specs(submission: Submission) -> list[str]:
    return [box.address.spec for box in submission.bcc]


def test_a_mail_is_taken_as_it_is() -> None:
    """The header loses Bcc alone, whose address receives the mail with those of To."""
    submission = taken()
    assert submission.raw is not None
    assert (
        MAIL.partition(b"\r\n\r\n")[0].replace(b"Bcc: eve@example.org\r\n", b"") + b"\r\n"
        == submission.raw.head
    )
    assert (b"It works.\r\n", "one@example.com", "Hello") == (
        submission.raw.body,
        submission.message_id,
        submission.subject,
    )
    assert ["bob@example.org", "eve@example.org"] == specs(submission)
    assert (Door.HTTP, None, None) == (submission.door, submission.sender, submission.reports)


def test_the_envelope_of_the_query() -> None:
    """``from`` and ``to`` decide, however many addresses one value names."""
    submission = taken("?from=bounce@example.com&to=a@example.org,b@example.org&to=<c@example.org>")
    assert ["a@example.org", "b@example.org", "c@example.org"] == specs(submission)
    assert Mailbox(parse_address("bounce@example.com")) == submission.sender
    assert Mailbox(NULL_PATH) == taken("?from=").sender
    both = taken("?to=a@example.org&header_recipients=true")
    assert ["a@example.org", "bob@example.org", "eve@example.org"] == specs(both)


def test_wishes_of_the_query_and_of_the_header() -> None:
    """Class, tags, times and key come from either; the header's own word wins."""
    submission = taken(
        "?class=bulk&tag=a&tag=b&send_at=2031-01-01T00:00:00Z", headers={"idempotency-key": "k1"}
    )
    assert (MailClass.BULK, ("a", "b"), "k1") == (
        submission.mail_class,
        submission.tags,
        submission.idempotency_key,
    )
    assert submission.send_at is not None
    assert 2031 == submission.send_at.year
    other = taken("?class=bulk&tag=a", b"X-Postroom-Class: code\r\nX-Postroom-Tag: own\r\n" + MAIL)
    assert (MailClass.CODE, ("own",)) == (other.mail_class, other.tags)


def test_sendmail_asks_for_reports() -> None:
    """What comes by sendmail is reported to its sender, as NOTIFY and RET say; a null path hears nothing."""
    wish = taken("?door=sendmail&notify=success,failure&return=full&envelope_id=e1&to=a@example.org").reports
    assert wish is not None
    assert ("ann@example.com", True, "e1") == (wish.to.spec, wish.full, wish.envelope_id)
    assert {parse_address("a@example.org"): {Notify.SUCCESS, Notify.FAILURE}} == wish.notify
    bounced = taken("?door=sendmail&from=bounce@example.com").reports
    assert bounced is not None
    assert "bounce@example.com" == bounced.to.spec
    assert taken("?door=sendmail&from=").reports is None
    assert Door.SENDMAIL is taken("?door=sendmail").door


def test_a_large_body_is_a_file() -> None:
    """What is above the bound is staged while it comes, and the file holds exactly the body."""
    service = FakeService()
    body = b"line\r\n" * (SMALL_BODY // 4)
    answer = post("", MAIL + body, service)
    assert 202 == answer.status
    raw = next(iter(service.submissions.values())).raw
    assert raw is not None
    assert isinstance(raw.body, BlobRef)
    assert len(b"It works.\r\n" + body) == raw.body.size


class Metered(FakeService):
    """Notes what the byte budget was charged when a mail is handed over."""

    def __init__(self, budget: ByteBudget) -> None:
        super().__init__()
        self.budget = budget
        self.charged = 0

    async def submit(self, submission: Submission, **options: Any) -> Receipt:
        self.charged = self.budget.used
        return await super().submit(submission, **options)


def test_a_body_in_a_file_is_charged_for_what_is_in_memory() -> None:
    """16 MiB in a file take less than 1 MiB of the byte budget, so that a few of them lock out nobody."""
    service = Metered(ByteBudget())
    app = build_app(service, HttpSettings(), budget=service.budget)
    pieces = [MAIL, *[b"a line of a large mail\r\n" * 1024] * 700]
    answer = call(app, "POST", "/v1/messages/raw", body=pieces, headers={"content-type": "message/rfc822"})
    assert 202 == answer.status
    assert 0 < service.charged < MIB
    assert 0 == service.budget.used


@each(
    ("query", "field"),
    [
        ("?to=nobody", "to.0"),
        ("?from=<no>", "from"),
        ("?class=fast", "class"),
        ("?class=bulk&class=code", "class"),
        ("?nothing=1", "nothing"),
        ("?send_at=tomorrow", "send_at"),
        ("?door=back", "door"),
        ("?notify=always", "notify"),
        ("?return=half", "return"),
        ("?header_recipients=maybe", "header_recipients"),
        ("?envelope_id=%00", "envelope_id"),
        ("?tag=", "tags.0"),
    ],
)
def test_a_wrong_parameter_is_named(query: str, field: str) -> None:
    """Nothing is stored, and the answer says which parameter it was."""
    service = FakeService()
    answer = post(query, MAIL, service)
    assert (422, [field], 0) == (
        answer.status,
        [one["field"] for one in answer.json()["errors"]],
        len(service.submissions),
    )


def test_what_is_no_mail_is_refused() -> None:
    """Bare line ends and a mail without From are refused with the cause; so is another media type."""
    refused = post("", MAIL.replace(b"\r\n", b"\n")).json()["errors"]
    assert ["raw-line-end"] == [one["code"] for one in refused]
    assert "from-missing" == post("", b"Subject: x\r\n\r\ny\r\n").json()["errors"][0]["code"]
    assert 415 == post("", headers={"content-type": "text/plain"}).status

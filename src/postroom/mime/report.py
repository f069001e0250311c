"""The writer of reports: a mail to a sender about what became of another mail (RFC 3464), as bytes.

    multipart/report; report-type=delivery-status
      text/plain                    for a person, in words that are given
      message/delivery-status       for a program: one group of fields for the mail, one for each recipient
      text/rfc822-headers           the header of the mail, or message/rfc822, all of it, when it is small

Its body is ASCII, so that any server passes it on: texts and headers are encoded where they must be, and of
a mail that is not ASCII the header comes back, for a mail may not be encoded. With an address that is not
ASCII the parts have the types of RFC 6533. What a server or a sender said never ends a field: what cannot be
printed becomes a blank.

Bounds (security limits): so many recipients in full, so many characters of what a server said, so many bytes
of a returned mail. A report that is written twice has the same bytes: its Date is added at acceptance.

Sources: RFC 3461 sections 4 and 6, RFC 3464, RFC 3834, RFC 6522, RFC 6533.
"""

import re
from datetime import datetime

from postroom.grammar import MSG_ID
from postroom.mime import headers
from postroom.mime.rendered import RenderedMessage
from postroom.mime.text import encode_text
from postroom.model.address import Mailbox
from postroom.model.message import RawMail
from postroom.model.report import MailReport, ReportAction, ReportedRecipient

MAX_GROUPS = 1000
"""Recipients in the part for programs."""
MANY = 100
"""From so many recipients on less of each reply is told."""
MAX_SAID, MAX_SAID_OF_MANY = 500, 120
"""Characters of one reply."""
MAX_RETURNED = 64 * 1024
"""Bytes of a mail that is returned as a whole; of a larger one the header."""
MAX_HEADER = 32 * 1024
"""Bytes of a header that are returned."""
_LANGUAGES = tuple(
    re.compile(rb"^%b:([^\r\n]{1,200})" % name, re.IGNORECASE | re.MULTILINE)
    for name in (b"Accept-Language", b"Content-Language")
)
_MAX_FIELD = 300
"""Characters of what a sender gave for an address or an envelope."""


def wished_languages(returned: RenderedMessage, default: str) -> str:
    """Return the languages of the mail's author as ``Accept-Language`` writes them (RFC 3282), best first."""
    first = returned.segments[0] if returned.segments else b""
    head = first[:MAX_HEADER].partition(b"\r\n\r\n")[0] if isinstance(first, bytes) else b""
    for pattern in _LANGUAGES:
        if match := pattern.search(head):
            return f"{match[1].decode('ascii', 'replace').strip()},{default};q=0.001"
    return default


def report_message_id(report: MailReport, domain: str) -> str:
    """Return the Message-ID of a report: one for each mail and kind of report."""
    kind = "delayed" if report.action is ReportAction.DELAYED else "report"
    return f"{kind}.{report.mail_id}@{domain}"


def raw_report(
    report: MailReport,
    *,
    from_: Mailbox,
    subject: str,
    text: str,
    returned: RenderedMessage,
    is_full: bool,
) -> RawMail:
    """Write a report.

    Args:
        report: What it says.
        from_: Its author.
        subject: For a person.
        text: The part for a person.
        returned: The mail it is about.
        is_full: The sender asked for the mail itself: it comes back when it is small and failed.
    """
    boundary = f"=_{report.mail_id}.report"
    is_small = returned.is_whole and returned.size <= MAX_RETURNED and not returned.needs_8bit
    is_whole = is_full and is_small and report.action is ReportAction.FAILED
    parts = [
        _part("text/plain; charset=utf-8", text),
        _status(report),
        _mail(returned) if is_whole else _header(returned),
    ]
    body = b"".join([b"--%b\r\n%b\r\n" % (boundary.encode(), part) for part in parts])
    head = _head(report, from_, subject) + (
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"\r\n'
    )
    return RawMail(
        head=head.encode(),
        body=body + b"--%b--\r\n" % boundary.encode(),
        needs_8bit=not head.isascii(),
        needs_smtputf8=not head.isascii(),
        is_dated=False,
    )


def _head(report: MailReport, from_: Mailbox, subject: str) -> str:
    """Write the fields before those of the content type; Date is for acceptance to add."""
    fields = [
        headers.mailboxes("From", (from_,)),
        headers.mailboxes("To", (Mailbox(report.to),)),
        headers.unstructured("Subject", _plain(subject)),
        headers.message_ids("Message-ID", (report_message_id(report, from_.address.domain),)),
    ]
    if len(report.message_id) <= _MAX_FIELD and MSG_ID.match(report.message_id):
        fields += [headers.message_ids(name, (report.message_id,)) for name in ("In-Reply-To", "References")]
    fields += ("Auto-Submitted: auto-replied\r\n", "MIME-Version: 1.0\r\n")
    return "".join(fields)


def _part(content_type: str, text: str) -> bytes:
    """Write a part of text; its own last line end belongs to it."""
    coding, body = encode_text(text)
    return f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: {coding}\r\n\r\n".encode() + body


def _status(report: MailReport) -> bytes:
    """Write the part of RFC 3464, that of RFC 6533 where an address is not ASCII."""
    is_international = not all(one.address.is_ascii and one.original.isascii() for one in report.recipients)
    groups = [_of_mail(report)]
    most = MAX_SAID if len(report.recipients) < MANY else MAX_SAID_OF_MANY
    groups += [_of_recipient(one, report, most) for one in report.recipients[:MAX_GROUPS]]
    text = "\r\n".join(groups)
    if is_international:
        return _part("message/global-delivery-status", text)
    return b"Content-Type: message/delivery-status\r\n\r\n" + text.encode("ascii")


def _of_mail(report: MailReport) -> str:
    """Write the fields of the mail (RFC 3464 section 2.2)."""
    fields = [_field("Reporting-MTA", f"dns; {report.mta}")]
    if report.envelope_id:
        fields.insert(0, _field("Original-Envelope-Id", report.envelope_id[:_MAX_FIELD]))
    fields += (_field("Arrival-Date", _date(report.arrived_at)), _field("X-Postroom-ID", report.mail_id))
    return "".join(fields)


def _of_recipient(recipient: ReportedRecipient, report: MailReport, most: int) -> str:
    """Write the fields of one recipient (RFC 3464 section 2.3)."""
    kind = "rfc822" if recipient.address.is_ascii else "utf-8"
    fields = []
    if recipient.original:
        original = recipient.original[:_MAX_FIELD].replace(";", "; ", 1)
        fields.append(_address_field("Original-Recipient", original))
    fields += (
        _address_field("Final-Recipient", f"{kind}; {recipient.address.spec}"),
        _field("Action", recipient.action),
        _field("Status", recipient.status),
    )
    if recipient.host:
        fields.append(_field("Remote-MTA", f"dns; {recipient.host}"))
    if recipient.text:
        said = f"smtp; {recipient.code}" if recipient.code else "X-Postroom;"
        fields.append(_field("Diagnostic-Code", f"{said} {recipient.text[:most]}"))
    if recipient.last_attempt_at is not None:
        fields.append(_field("Last-Attempt-Date", _date(recipient.last_attempt_at)))
    if recipient.action is ReportAction.DELAYED and report.tried_until is not None:
        fields.append(_field("Will-Retry-Until", _date(report.tried_until)))
    return "".join(fields)


def _field(name: str, value: str) -> str:
    """Write a field in ASCII, with encoded words where it must be (RFC 3464 section 2.1.1)."""
    return headers.unstructured(name, _plain(value))


def _address_field(name: str, value: str) -> str:
    """Write a field with an address, which is never encoded."""
    return f"{name}: {_plain(value)}\r\n"


def _plain(text: str) -> str:
    return " ".join("".join([one if one.isprintable() else " " for one in text]).split())


def _date(at: datetime) -> str:
    return headers.date(at).removeprefix("Date: ").rstrip()


def _mail(returned: RenderedMessage) -> bytes:
    """Write the mail itself, which may not be encoded (RFC 2046 section 5.2.1)."""
    whole = b"".join([segment for segment in returned.segments if isinstance(segment, bytes)])
    return b"Content-Type: message/rfc822\r\n\r\n" + whole


def _header(returned: RenderedMessage) -> bytes:
    """Write the header of the mail."""
    first = returned.segments[0] if returned.segments else b""
    head = first if isinstance(first, bytes) else b""
    head = head[:MAX_HEADER].partition(b"\r\n\r\n")[0] + b"\r\n"
    kind = "text/rfc822-headers" if head.isascii() else "message/global-headers"
    return _part(kind, head.decode("utf-8", "replace"))

"""The webhook body of Mingdao HAP as values: what its members mean, and how a caller is told what is wrong.

Pure. HAP sends it for every mail when ``WebhookUrl`` is set in its ``appextensions.json``. The form is read
widely, because other versions and other programs write it: names in any case, lists or one text or several
addresses in one text, members that are missing, ``null`` or empty. What is not known is ignored and named, so
that a door can log it.

Rules: nothing a caller asked for is dropped silently. A link that cannot be called is refused; characters
that must be percent-encoded in one are encoded, because HAP writes names of files into links as they are. A
file without a link is left out and named in the answer.

Sources: "How to enable email service", section "Self Integration", of Mingdao HAP's private deployment.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, Field

from postroom.engine.freezing import field_digests
from postroom.engine.limits import MessageLimits
from postroom.errors import InputError, MalformedError, Problem, TooLargeError
from postroom.grammar import CONTROL, SURROGATE
from postroom.mime.filenames import filename_problem
from postroom.model.address import AddressError, Mailbox, make_mailbox
from postroom.model.ids import TenantId
from postroom.model.message import Door, RemoteFile, Submission
from postroom.net.destination import DestinationError, parse_url
from postroom.schema.mailbox_lists import mailbox_texts
from postroom.schema.submission import MAX_FILENAME, Problems, build_submission

MAX_TOLD = 100
"""Names of unknown members that are told in a process (security limit): callers choose them."""
MAX_URL = 8192
"""Characters of a link (security limit): links signed with a session token pass 2,000."""

NAMES = {
    "to": "ToEmails",
    "cc": "CcEmails",
    "bcc": "BccEmails",
    "reply_to": "ReplyToEmails",
    "subject": "Subject",
    "html": "Body",
    "text": "Body",
    "attachments": "Attachments",
    "remote_files": "Attachments",
}
"""Fields of a submission and the members of the body they come from."""
_MEMBERS = {name.lower(): name for name in (*NAMES.values(), "Signature")}
_NOT_ENCODED = "/?&=%:@!$'()*+,;~-._[]"
"""What stays as it is behind the host of a link: RFC 3986 pchar, query and what is encoded already."""
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


class HapBody(BaseModel):
    """A mail as HAP posts it; every member may be missing, null or empty, and its name in any case."""

    ToEmails: list[str] | None = None
    ReplyToEmails: list[str] | None = None
    CcEmails: list[str] | None = None
    BccEmails: list[str] | None = None
    Signature: str | None = Field(None, description="Name of the sender; its address is configured.")
    Subject: str | None = None
    Body: str | None = Field(None, description="HTML.")
    Attachments: dict[str, str | None] | None = Field(
        None, description="Name to link; fetched before the mail is sent, which is never sent without them."
    )


class HapAnswer(BaseModel):
    """The answer to a mail that is stored; HAP itself looks at the status alone."""

    status: Literal["success"] = "success"
    message: str
    """One sentence."""
    id: str
    mode: Literal["capture"] | None = None
    """Only in capture mode: nothing leaves the machine."""


class HapSmtpTest(BaseModel):
    """HAP's SMTP form with the receiver of a test mail; names in any case."""

    signature: str | None = None
    from_address: str = Field(alias="fromAddress")
    server: str
    account: str | None = None
    password: str | None = None
    port: int
    enable_ssl: bool = Field(False, alias="enableSsl")
    to_email: str = Field(alias="toEmail")


class HapSmtpAnswer(BaseModel):
    """What HAP's own test answers."""

    success: bool
    message: str
    """One sentence for a person, with what the server said."""
    id: str
    """Of the test mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HapCall:
    """One call, read; addresses are still text."""

    to: object
    cc: object
    bcc: object
    reply_to: object
    signature: str
    subject: str
    body: str
    files: tuple[RemoteFile, ...]
    without_link: tuple[str, ...]
    """Names of files that came without a link."""
    unknown: tuple[str, ...]
    """Names of members that mean nothing here."""


def read_call(members: Mapping[str, object], *, limits: MessageLimits) -> tuple[HapCall, Problems]:
    """Read the members of one body, and what is wrong with them; a wrong member counts as empty."""
    problems, found, unknown = Problems(), dict[str, object](), list[str]()
    for name, value in members.items():
        known = _MEMBERS.get(name.lower())
        if known is None:
            unknown.append(name)
        elif known in found:
            problems.add("given-twice", known, f"given a second time, as {name}", "Give it once.")
        else:
            found[known] = value
    files, without_link = _files(found.get("Attachments"), problems, most=limits.max_attachments)
    call = HapCall(
        to=_addresses("ToEmails", found, problems),
        cc=_addresses("CcEmails", found, problems),
        bcc=_addresses("BccEmails", found, problems),
        reply_to=_addresses("ReplyToEmails", found, problems),
        signature=_text("Signature", found, problems).strip(),
        subject=_text("Subject", found, problems),
        body=_text("Body", found, problems),
        files=files,
        without_link=without_link,
        unknown=tuple(unknown),
    )
    return call, problems


def build(
    call: HapCall,
    problems: Problems,
    *,
    limits: MessageLimits,
    tenant: TenantId,
    from_: Mailbox | None,
    idempotency_key: str | None,
    duplicate_window: timedelta,
) -> Submission:
    """Return the submission of a call. Raises InputError with everything that is wrong, in HAP's names.

    ``from_`` is the sender when the call names no other name; ``None`` leaves it to the transport.
    """
    if from_ is not None and call.signature:
        from_ = _named(from_, call.signature, problems)
    try:
        submission = build_submission(
            door=Door.HAP,
            limits=limits,
            tenant=tenant,
            from_=from_,
            to=call.to,
            cc=call.cc,
            bcc=call.bcc,
            reply_to=call.reply_to,
            subject=call.subject,
            html=call.body or None,
            text=None if call.body else "",
            idempotency_key=idempotency_key,
            problems=problems,
        )
    except InputError as error:
        raise in_dialect(error) from None
    submission = replace(submission, remote_files=call.files)
    if idempotency_key is None and duplicate_window:
        return replace(submission, idempotency_key=_digest(submission), idempotency_life=duplicate_window)
    return submission


def in_dialect(error: Exception) -> Exception:
    """Return an error that names the members of the body; one that names none as it is."""
    match error:
        case MalformedError():
            return error
        case InputError():
            return InputError([_renamed(problem) for problem in error.problems])
        case TooLargeError():
            return TooLargeError(_renamed(error.problem))
        case _:
            return error


def stored(call: HapCall, *, is_replay: bool) -> str:
    """Return the sentence of the answer."""
    if is_replay:
        return "stored before: this is the same mail"
    count = len(call.files)
    files = "1 file is" if count == 1 else f"{count} files are"
    said = f"stored; {files} fetched before it is sent" if count else "stored"
    if call.without_link:
        said += f"; not attached, because they have no link: {', '.join(call.without_link)}"
    return said


def without_receiver(members: Mapping[str, object]) -> tuple[dict[str, object], str]:
    """Part HAP's form from the receiver of its test mail. Raises InputError without one."""
    fields = {name: value for name, value in members.items() if name.lower() != "toemail"}
    to = next((value for name, value in members.items() if name.lower() == "toemail"), None)
    if not isinstance(to, str) or not to.strip():
        fix = "Give the address that the test mail goes to."
        problem = Problem(code="missing-field", field="toEmail", cause="no address", fix=fix)
        raise InputError([problem])
    return fields, to


def test_result(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what HAP's own test answers, of what became of a test mail."""
    parts = (answer["message"], answer["remedy"], answer["stack"] and f"[{answer['stack']}]")
    message = " ".join(str(part) for part in parts if part)
    return {"success": answer["success"], "message": message, "id": answer["id"]}


# --------------------------------------------------------------------------- members


def _addresses(name: str, members: Mapping[str, object], problems: Problems) -> object:
    """Return one address a text; empty entries vanish."""
    value = members.get(name)
    if value is None:
        return ()
    if not isinstance(value, str | list):
        problems.add("wrong-type", name, "neither a list nor text", 'Write ["a@example.com"].')
        return ()
    entries: Any = mailbox_texts(value)
    return [entry for entry in entries if entry is not None]


def _text(name: str, members: Mapping[str, object], problems: Problems) -> str:
    value = members.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    problems.add("wrong-type", name, "not text", f"Send {name} as text.")
    return ""


def _files(value: object, problems: Problems, *, most: int) -> tuple[tuple[RemoteFile, ...], tuple[str, ...]]:
    if value is None or value in ([], "", {}):
        return (), ()
    if not isinstance(value, dict):
        cause, fix = "not an object of names and links", 'Write {"name.pdf": "https://..."}.'
        problems.add("wrong-type", "Attachments", cause, fix)
        return (), ()
    if len(value) > most:
        cause = f"{len(value)} entries, at most {most}"
        problems.add("limit-exceeded", "Attachments", cause, f"Give at most {most}.")
        return (), ()
    files, without_link = [], []
    for number, (name, link) in enumerate(value.items()):
        field = f"Attachments.{number}"
        if len(name) > MAX_FILENAME:
            cause = f"{len(name)} characters, at most {MAX_FILENAME}"
            problems.add("too-long", field, cause, "Shorten the name of the file.")
        elif (cause := filename_problem(name) or "") != "":
            problems.add("control-character", field, cause, "Remove it from the name.")
        elif link is None or (isinstance(link, str) and not link.strip()):
            without_link.append(name)
        elif not isinstance(link, str):
            problems.add("wrong-type", field, "the link is not text", "Write a link as text.")
        elif (url := _url(link, field, problems)) is not None:
            files.append(RemoteFile(filename=name, url=url))
    return tuple(files), tuple(without_link)


def _url(link: str, field: str, problems: Problems) -> str | None:
    """Return a link with what must be percent-encoded encoded, when it can be called at all."""
    if CONTROL.search(link) or SURROGATE.search(link):
        cause = "the link contains a line end or another control character"
        problems.add("link-not-callable", field, cause, "Remove it from the link.")
        return None
    url = callable_form(link.strip())
    try:
        parse_url(url, most=MAX_URL)
    except DestinationError as error:
        problems.add("link-not-callable", field, str(error), "Give an http or https link to the file.")
        return None
    return url


def callable_form(link: str) -> str:
    """Return a link whose path and query are ASCII, without its fragment; the host stays as written."""
    scheme, parted, rest = link.partition("://")
    if not parted:
        return link
    end = next((place for place, char in enumerate(rest) if char in "/?#\\"), len(rest))
    target = _STRAY_PERCENT.sub("%25", rest[end:].partition("#")[0])
    encoded = target if target.startswith("\\") else quote(target, safe=_NOT_ENCODED)
    return f"{scheme}://{rest[:end]}{encoded.replace('[', '%5B').replace(']', '%5D')}"


def _named(from_: Mailbox, signature: str, problems: Problems) -> Mailbox:
    try:
        return make_mailbox(from_.address.spec, signature)
    except AddressError as error:
        problems.add("address-invalid", "Signature", error.cause, "Write the name of the sender in one line.")
        return from_


def _digest(submission: Submission) -> str:
    """Return the key of a mail whose caller gives none: the same for the same mail, to the last link."""
    digests = sorted(field_digests(submission).items())
    return f"hap-{hashlib.sha256(repr(digests).encode()).hexdigest()}"


def _renamed(problem: Problem) -> Problem:
    root, dot, rest = problem.field.partition(".")
    if problem.code == "from-missing":
        fix = "Set `from` below [hap], or a default sender for the transport."
        return replace(problem, field="from", fix=fix)
    return replace(problem, field=NAMES.get(root, root) + dot + rest)


def names_of(entries: Iterable[str], *, most: int = 10) -> Sequence[str]:
    """Return names for a log, cut."""
    return [entry[:100] for entry in entries][:most]

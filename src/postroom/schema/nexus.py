"""The Nexus dialect as values: what its members mean, its code table, its answers.

Pure. The reader turns the members of a call (JSON values or form texts) into plain fields; the writer turns
an outcome into one of the document's codes. Rules: a known member is read strictly, an unknown one is
ignored; nothing a caller asked for is dropped silently, so a call that names an account brings it, on
whatever route, and ``files`` where none can be are refused. What the account comes to is
``schema.nexus_account``; what an address or a control character may be is decided by ``schema.submission``,
for every door alike.

Sources: the "Biz E-mail" API page of Nexus JEDAI (its spellings ``smtp``, ``pasword``, ``replay_id`` are read
as aliases).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, TypedDict, Unpack

from pydantic import BaseModel

from postroom.engine.limits import MessageLimits
from postroom.errors import Problem
from postroom.model.address import Mailbox
from postroom.model.guest import GONE
from postroom.model.ids import TenantId
from postroom.model.lifecycle import OPEN_STATES, RecipientState
from postroom.model.message import Door, Submission
from postroom.model.step import TRANSPORT_STEPS, Step
from postroom.model.view import MessageView, RecipientView
from postroom.schema.answers import Wording
from postroom.schema.nexus_account import Brought
from postroom.schema.submission import FileFacts, Problems, build_submission


class Code(StrEnum):
    """The document's code table; a code is always text."""

    SENT = "200"
    PARAMETER = "410"
    TO = "411"
    USER = "421"
    SMTP_URL = "422"
    PASSWORD = "423"  # noqa: S105 - a code, not a password
    SERVER = "500"


TEXTS: Mapping[Code, str] = {
    Code.SENT: "발송 성공",
    Code.PARAMETER: "[Error] parameter invalid.",
    Code.TO: "[Error] parameter invalid.(to)",
    Code.USER: "[Error] parameter invalid.(user)",
    Code.SMTP_URL: "[Error] parameter invalid.(smtp_url)",
    Code.PASSWORD: "[Error] parameter invalid.(password)",
    Code.SERVER: "[Error] Server",
}
"""The document's words for each code."""

MAX_FIELD = 512
"""Characters (not bytes) of every member the document calls ``text(512)``; ``reply_id`` is held to it too."""

_TENANT_MEMBERS = ("smtp_url", "smtp", "user", "password", "pasword")
ADDRESS_MEMBERS = ("to", "cc", "bcc")
TEXT_MEMBERS = frozenset(
    {*ADDRESS_MEMBERS, *_TENANT_MEMBERS, "ssl", "subject", "body", "use_html", "reply_id", "replay_id"}
)
"""Members that are texts: a file part under one of these names is a slip."""

_BOOLEANS = {
    "true": True,
    "1": True,
    "y": True,
    "yes": True,
    "false": False,
    "0": False,
    "n": False,
    "no": False,
}

_PIECE = re.compile(r"""(?: [^,"<]  |  "(?:[^"\\]|\\.)*"  |  <[^>]*>  |  ["<] )++""", re.VERBOSE | re.DOTALL)
"""One entry of an address list: commas inside quotes and angle brackets do not end it."""

_BLANKS = " \t"

_MEMBERS_OF_FIELDS = {
    "text": "body",
    "html": "body",
    "in_reply_to": "reply_id",
    "references": "reply_id",
    "attachments": "files",
}
"""Fields of a submission that the dialect calls otherwise."""

_MAX_NAMED = 5
"""Addresses named for one cause in ``message``, which people read on one line."""

_OUR_FIELDS = frozenset({"from", "sender"})
"""Fields of a submission no caller can name here: the settings or the key are wrong, not the call."""


_SECRETS = frozenset({"password", "pasword"})
"""Blanks belong to them."""


class Settings(TypedDict):
    """What a submission takes from the server and the request, named as in ``build_submission``."""

    limits: MessageLimits
    tenant: TenantId
    from_: Mailbox | None
    idempotency_key: str | None
    message_id_domain: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The fields of one call; addresses are still text."""

    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    subject: str
    body: str
    is_html: bool
    reply_id: str | None
    account: Brought | None = None
    """The account the call brings, if it is to be sent by its own."""


class NexusReply(BaseModel):
    """The answer of the Nexus doors."""

    code: Code
    """200 when the mail is stored and not finally refused."""
    message_id: str
    """Id of the stored mail, empty without one."""
    message: str
    """The document's words for the code, the cause and what to do."""
    mode: Literal["capture"] = "capture"
    """Only in capture mode: nothing leaves the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a call is answered with, before it is JSON."""

    code: Code
    message: str


def split_addresses(text: str) -> tuple[str, ...]:
    """Split a list at its commas; empty entries (a trailing comma) vanish."""
    if "," not in text and '"' not in text:
        return (bare,) if (bare := text.strip(_BLANKS)) else ()
    return tuple(piece for match in _PIECE.finditer(text) if (piece := unquoted(match[0])))


def unquoted(text: str) -> str:
    """Strip blanks and one pair of surrounding quotes, which the document's curl examples carry.

    The first quote must be closed by the last: ``"Kim" <kim@example.com>`` keeps its own. Line ends are not
    blanks: they stay, and are refused as what they are.
    """
    text = text.strip(_BLANKS)
    if len(text) >= 2 and text[0] == text[-1] == '"' and '"' not in text[1:-1]:
        return text[1:-1].strip(_BLANKS)
    return text


def _bare(text: str) -> str:
    """Strip one pair of quotes and nothing else."""
    is_quoted = len(text) >= 2 and text[0] == text[-1] == '"' and '"' not in text[1:-1]
    return text[1:-1] if is_quoted else text


def form_members(fields: Iterable[tuple[str, str]]) -> dict[str, object]:
    """Return the text fields of a form as members.

    An address field that stands there twice adds up; another one becomes a list, which is not a text. One
    pair of quotes around a value goes, but for ``body``: a letter may be a quotation.
    """
    members: dict[str, object] = {}
    for name, text in fields:
        value = text if name == "body" else _bare(text) if name in _SECRETS else unquoted(text)
        if name in ADDRESS_MEMBERS:
            before = members.get(name)
            members[name] = f"{before},{value}" if before else value
        else:
            members[name] = [members[name], value] if name in members else value
    return members


def read_call(members: Mapping[str, object], *, is_tenant: bool = False) -> tuple[Call, list[Problem]]:
    """Read the members of one call and list what is wrong; a wrong member counts as empty in the call.

    Values are JSON values, or texts for a form. ``None`` counts as absent. ``is_tenant``: the route is one
    for calls that bring an account; on any other a member of an account makes it such a call.
    """
    reader = _Reader(members)
    is_tenant = is_tenant or any(members.get(name) not in (None, "") for name in _TENANT_MEMBERS)
    to = reader.addresses("to")
    reader.require("to", to, 'Give at least one address, for example "<a@example.com>".')
    subject = reader.text("subject")
    reader.require("subject", subject.strip(), "Give a subject.")
    if members.get("files"):
        reader.refuse(
            "files", "not-a-file", "given as text", "Send files as file parts to /email/multipart/send."
        )
    call = Call(
        to=to,
        cc=reader.addresses("cc"),
        bcc=reader.addresses("bcc"),
        subject=subject,
        body=reader.text("body", limit=None),
        is_html=reader.boolean("use_html"),
        reply_id=unquoted(reader.text("reply_id", "replay_id")) or None,
        account=reader.brought() if is_tenant else None,
    )
    return call, reader.problems


class _Reader:
    """Members by name, with the problems found so far."""

    def __init__(self, members: Mapping[str, object]) -> None:
        self._members = members
        self.problems: list[Problem] = []

    def refuse(self, member: str, code: str, cause: str, fix: str) -> None:
        self.problems.append(Problem(code=code, field=member, cause=cause, fix=fix))

    def require(self, member: str, value: object, fix: str) -> None:
        if not value and all(problem.field != member for problem in self.problems):
            self.refuse(member, "missing", "missing or empty", fix)

    def brought(self) -> Brought:
        said = self._members.get("ssl") not in (None, "")
        return Brought(
            smtp_url=self.text("smtp_url", "smtp", limit=None).strip(_BLANKS),
            user=self.text("user").strip(_BLANKS),
            password=self.text("password", "pasword", limit=None),
            ssl=self.boolean("ssl") if said else None,
        )

    def addresses(self, name: str) -> tuple[str, ...]:
        return split_addresses(unquoted(self.text(name)))

    def text(self, name: str, *aliases: str, limit: int | None = MAX_FIELD) -> str:
        value: object = None
        for key in (name, *aliases):
            value = self._members.get(key)
            if value is not None and value != "":
                break
        if value is None:
            return ""
        if not isinstance(value, str):
            self.refuse(name, "not-text", f"{_kind(value)}, must be text", f"Send {name} as text.")
            return ""
        if limit is not None and len(value) > limit:
            self.refuse(
                name,
                "too-long",
                f"{len(value)} characters, at most {limit}",
                f"Shorten {name}, or send several calls.",
            )
            return ""
        return value

    def boolean(self, name: str) -> bool:
        value = self._members.get(name)
        if value is None or value == "":
            return True
        word = value if isinstance(value, str) else str(value) if isinstance(value, bool | int) else ""
        found = _BOOLEANS.get(unquoted(word).lower())
        if found is None:
            self.refuse(
                name,
                "not-boolean",
                "not a truth value",
                "Use true or false (1 and 0, y and n are read as well).",
            )
            return True
        return found


def _kind(value: object) -> str:
    match value:
        case bool():
            return "a truth value"
        case int() | float():
            return "a number"
        case list():
            return "several values"
        case dict():
            return "an object"
        case _:
            return "not text"


def build(
    call: Call, problems: Sequence[Problem], *, files: Sequence[FileFacts], **settings: Unpack[Settings]
) -> Submission:
    """Return the submission of a call; raise InputError with ``problems`` and what the shared checks find."""
    submission = build_submission(
        door=Door.NEXUS,
        to=call.to,
        cc=call.cc,
        bcc=call.bcc,
        subject=call.subject,
        html=call.body if call.is_html and call.body else None,
        text=None if call.is_html and call.body else call.body,
        in_reply_to=call.reply_id,
        files=files,
        problems=Problems(found=list(problems)),
        **settings,
    )
    if submission.in_reply_to is None:
        return submission
    return replace(submission, references=(submission.in_reply_to,))


# --------------------------------------------------------------------------- answers


def in_dialect(problems: Iterable[Problem]) -> list[Problem]:
    """Name the fields of a submission as the dialect does; keep what a caller used before."""
    renamed = []
    for problem in problems:
        root, dot, rest = problem.field.partition(".")
        field = _MEMBERS_OF_FIELDS.get(root, root) + dot + rest
        renamed.append(Problem(code=problem.code, field=field, cause=problem.cause, fix=problem.fix))
    return renamed


_ACCOUNT_CODES = {"smtp_url": Code.SMTP_URL, "user": Code.USER, "password": Code.PASSWORD}
"""In the order in which they count."""


def code_for(problems: Sequence[Problem]) -> Code:
    """Choose the code of the table: the account's members first, then ``to``, then the rest of the call."""
    roots = {problem.field.partition(".")[0] for problem in problems}
    for member, code in _ACCOUNT_CODES.items():
        if member in roots:
            return code
    if any(problem.code == "idempotency-key-reused" for problem in problems):
        return Code.PARAMETER
    if "to" in roots:
        return Code.TO
    return Code.SERVER if roots <= _OUR_FIELDS else Code.PARAMETER


def refusal(problems: Sequence[Problem]) -> Answer:
    """Answer with every problem, in the document's words and ours."""
    told = in_dialect(problems)
    lines = [f"{problem.field}: {problem.cause}. {problem.fix}" for problem in told]
    code = code_for(told)
    return Answer(code=code, message=f"{TEXTS[code]} - {' '.join(lines)}")


def server_fault(cause: str) -> Answer:
    """Answer code 500 with the cause."""
    return Answer(code=Code.SERVER, message=f"{TEXTS[Code.SERVER]} - {cause}")


def stored() -> Answer:
    """Answer at the commit, before any attempt."""
    return Answer(code=Code.SENT, message="stored, not sent yet")


_FAILED = frozenset(
    {
        RecipientState.REFUSED,
        RecipientState.SUPPRESSED,
        RecipientState.CANCELLED,
        RecipientState.EXPIRED,
        RecipientState.BOUNCED,
    }
)


def outcome(view: MessageView, words: Callable[[str], Wording], *, has_account: bool = False) -> Answer:
    """Answer after the first attempt; ``has_account``: of a call that brought one.

    Code 500 only when no recipient was reached and none can be any more: a caller repeats a call that
    failed, and a partly sent message would arrive twice. ``message`` names what is missing then.
    """
    waiting = [one for one in view.recipients if one.state in OPEN_STATES]
    failed = [one for one in view.recipients if one.state in _FAILED]
    told = _told((*failed, *waiting), words)
    if len(failed) == len(view.recipients):
        code = _account_code(failed[0]) if has_account else Code.SERVER
        return Answer(code=code, message=f"{TEXTS[code]} - {told}")
    if len(waiting) == len(view.recipients):
        return Answer(code=Code.SENT, message=f"not sent yet: {told}")
    if told:
        return Answer(code=Code.SENT, message=f"not sent to all: {told}")
    if all(one.state is RecipientState.CAPTURED for one in view.recipients):
        return Answer(code=Code.SENT, message=f"{TEXTS[Code.SENT]} (captured: nothing left this machine)")
    return Answer(code=Code.SENT, message=TEXTS[Code.SENT])


def _account_code(one: RecipientView) -> Code:
    """Return which member of the account was refused: the server, the login, or the sender, else none."""
    step = one.attempts[-1].step if one.attempts else ""
    if step == Step.AUTH and one.cause != GONE:
        return Code.PASSWORD
    if step == Step.MAIL:
        return Code.USER
    return Code.SMTP_URL if step in TRANSPORT_STEPS and one.cause != GONE else Code.SERVER


def _told(recipients: Sequence[RecipientView], words: Callable[[str], Wording]) -> str:
    """Say each different cause once, with the addresses it stands for."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for one in recipients:
        state = "outcome unknown" if one.state is RecipientState.UNCERTAIN else one.state.value
        groups.setdefault((state, one.cause, _said(one)), []).append(one.address)
    lines = []
    for (state, cause, said), addresses in groups.items():
        shown = ", ".join(addresses[:_MAX_NAMED])
        if len(addresses) > _MAX_NAMED:
            shown = f"{shown} and {len(addresses) - _MAX_NAMED} more"
        parts = [f"{shown} {state}", f"({cause})" if cause else "", f"[{said}]" if said else ""]
        line = " ".join(part for part in parts if part) + "."
        meant = words(cause) if cause else None
        lines.append(
            " ".join(part for part in (line, meant.meaning, meant.remedy) if part) if meant else line
        )
    return " ".join(lines)


def _said(one: RecipientView) -> str:
    """Return the last reply with its code, or the local finding where there was no reply."""
    if not one.attempts:
        return ""
    last = one.attempts[-1]
    return last.text if last.code is None else f"{last.code} {last.text}"

"""Request bodies of the HTTP API, and wrong shapes as problems.

The models fix the shape: which names exist and of which type each is; unknown names are refused with the
nearest known one. What a text may contain is judged by ``schema.submission``, for every door alike.
All problems of a body are reported at once, each with its path (``to.0.address``, ``attachments.2.content``).
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from postroom.engine.limits import MessageLimits
from postroom.errors import InputError
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.model.message import Disposition, Submission
from postroom.schema.submission import NO_METADATA, FileFacts, Problems, build_submission

_ADDRESS_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "examples": ["Name <name@example.com>", "name@example.com"]},
        {
            "type": "object",
            "properties": {"address": {"type": "string"}, "name": {"type": "string"}},
            "required": ["address"],
            "additionalProperties": False,
        },
    ]
}
_ADDRESSES_SCHEMA: dict[str, Any] = {
    "anyOf": [*_ADDRESS_SCHEMA["anyOf"], {"type": "array", "items": _ADDRESS_SCHEMA, "maxItems": 1000}]
}
_HEADERS_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "object", "additionalProperties": {"type": "string"}},
        {
            "type": "array",
            "items": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2},
        },
    ]
}

AddressValue = Annotated[Any, WithJsonSchema(_ADDRESS_SCHEMA)]
AddressValues = Annotated[Any, WithJsonSchema(_ADDRESSES_SCHEMA)]
HeaderValues = Annotated[Any, WithJsonSchema(_HEADERS_SCHEMA)]

TEMPLATE_HELP = (
    "`NAME`, `NAME@VERSION` or `PACKAGE:NAME`. It gives html, and subject and text where the mail has none."
)
LOCALE_HELP = "A BCP 47 tag. Taken is the nearest variant: fr-CA, then fr, then the template's default."


class Body(BaseModel):
    """A JSON object that a caller sends: unknown names and other types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=False, hide_input_in_errors=True)


_Model = TypeVar("_Model", bound=Body)


class AttachmentBody(Body):
    """One file: its content in base64, or the name of a multipart part."""

    filename: str | None = Field(None, description="Default: the part's own filename.")
    content_type: str | None = Field(None, description="Default: the part's own, else by the suffix.")
    content: str | None = Field(None, description="The file in base64 (RFC 4648 section 4).")
    upload: str | None = Field(None, description="Name of the multipart part that carries the file.")
    content_id: str | None = Field(None, description='For inline images: what the HTML names after "cid:".')
    disposition: Literal["attachment", "inline"] | None = None


class SubmissionBody(Body):
    """One mail. At least one of ``to``, ``cc``, ``bcc``; everything else has a default."""

    from_: AddressValue = Field(None, alias="from", description="Default: the transport's sender.")
    sender: AddressValue = Field(
        None, description="MAIL FROM, and a Sender header when it differs from From."
    )
    to: AddressValues = ()
    cc: AddressValues = ()
    bcc: AddressValues = ()
    reply_to: AddressValues = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    headers: HeaderValues = ()
    attachments: list[AttachmentBody] | None = None
    in_reply_to: str | None = None
    references: str | list[str] | None = None
    tags: list[str] | None = None
    metadata: dict[str, str] | None = None
    mail_class: Literal["code", "alert", "transactional", "bulk"] = Field("transactional", alias="class")
    uncertain_policy: Literal["retry", "wait", "ask"] | None = None
    send_at: str | None = Field(None, json_schema_extra={"format": "date-time"})
    expires_at: str | None = Field(None, json_schema_extra={"format": "date-time"})
    idempotency_key: str | None = Field(None, description="As the header Idempotency-Key.")
    template: str | None = Field(None, description=TEMPLATE_HELP, examples=["welcome", "welcome@3"])
    variables: dict[str, Any] | None = Field(None, description="What the template prints: plain JSON values.")
    locale: str | None = Field(None, description=LOCALE_HELP, examples=["fr-CA"])


class BatchBody(Body):
    """Up to 500 mails, each accepted or refused by itself."""

    messages: list[Any] = Field(json_schema_extra={"items": {"$ref": "#/components/schemas/SubmissionBody"}})
    defaults: dict[str, Any] | None = Field(
        None,
        description="Fields of every mail that does not bring its own; `variables` are merged, one level.",
        json_schema_extra={"anyOf": [{"$ref": "#/components/schemas/SubmissionBody"}, {"type": "null"}]},
    )


class KeyBody(Body):
    """A new key."""

    name: str = Field(min_length=1, max_length=100)
    scopes: list[Literal["send", "read", "operate", "admin", "tenant-smtp"]] = Field(min_length=1)
    senders: list[str] = Field([], description="Addresses or @domain this key may send as; empty: any.")
    networks: list[str] = Field([], description="Networks in CIDR form callers must come from; empty: any.")


class BackupBody(Body):
    """Where the copy goes: a path on the server that does not exist yet."""

    path: str


NO_UPLOADS: Mapping[str, tuple[str, str]] = {}
_UNKNOWN_TYPE = "application/octet-stream"
"""What clients say when they know nothing; the suffix may know more."""

_validate = SubmissionBody.__pydantic_validator__.validate_python


def read_submission(
    value: object,
    *,
    limits: MessageLimits,
    tenant: TenantId,
    idempotency_key: str | None,
    uploads: Mapping[str, tuple[str, str]] = NO_UPLOADS,
) -> tuple[Submission, list[FileFacts], list[AttachmentBody]]:
    """Read the JSON value of one mail.

    ``uploads`` are the file parts that came with it: name to filename and content type.

    Returns the submission without attachments, the facts of its files and where each one's content is.
    ``idempotency_key`` is the header's and must agree with the field. Raises InputError with every problem.
    """
    problems = Problems()
    try:
        body = cast("SubmissionBody", _validate(value))
    except ValidationError as error:
        add_shape_problems(error, SubmissionBody, problems)
        _check_rest(value, error, limits, problems)
        problems.raise_any()
        raise
    if body.template is not None or body.variables is not None or body.locale is not None:
        _refuse_template(body, problems)
    sources = body.attachments or []
    files = [_facts(source, uploads) for source in sources]
    if sources or uploads:
        _check_sources(sources, uploads, problems)
    key = body.idempotency_key if idempotency_key is None else idempotency_key
    if key != (body.idempotency_key or key):
        problems.add(
            "idempotency-key-twice", "idempotency_key", "differs from the header Idempotency-Key", "Give one."
        )
    submission = build_submission(
        limits=limits,
        tenant=tenant,
        from_=body.from_,
        sender=body.sender,
        to=body.to,
        cc=body.cc,
        bcc=body.bcc,
        reply_to=body.reply_to,
        subject=body.subject,
        text=body.text,
        html=body.html,
        headers=_header_pairs(body.headers, problems) if body.headers else (),
        files=files,
        in_reply_to=body.in_reply_to,
        references=body.references.split() if isinstance(body.references, str) else body.references or (),
        tags=body.tags or (),
        metadata=body.metadata or NO_METADATA,
        mail_class=body.mail_class,
        uncertain_policy=body.uncertain_policy,
        send_at=body.send_at,
        expires_at=body.expires_at,
        idempotency_key=key,
        problems=problems,
    )
    return submission, files, sources


def _refuse_template(body: SubmissionBody, problems: Problems) -> None:
    """Refuse what was not rendered before (``schema.templates``): never a mail without its texts."""
    if body.template is not None:
        fix = "Use POST /v1/messages."
        problems.add("template-not-here", "template", "this door does not render templates", fix)
        return
    for name, given in (("variables", body.variables), ("locale", body.locale)):
        if given is not None:
            problems.add("template-missing", name, "there is no template beside it", "Name the `template`.")


def _check_rest(value: object, error: ValidationError, limits: MessageLimits, problems: Problems) -> None:
    """Judge the fields whose shape is right as well, so that a caller learns of everything at once."""
    wrong = {found["loc"][0] for found in error.errors() if found["loc"]}
    if not isinstance(value, dict) or not wrong.intersection(value):
        return
    rest = {name: part for name, part in value.items() if name not in wrong and name != "attachments"}
    try:
        read_submission(rest, limits=limits, tenant=DEFAULT_TENANT, idempotency_key=None)
    except InputError as refused:
        is_hidden = wrong & {"to", "cc", "bcc"}
        for one in refused.problems:
            if not (is_hidden and one.code == "recipients-missing"):
                problems.add(one.code, one.field, one.cause, one.fix)


def read_as(model: type[_Model], value: object) -> _Model:
    """Read a JSON value as one of the small bodies. Raises InputError with every problem."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = Problems()
        add_shape_problems(error, model, problems)
        problems.raise_any()
        raise


def add_shape_problems(error: ValidationError, model: type[Body], problems: Problems) -> None:
    """Add each wrong shape with the path of its field."""
    for found in error.errors(include_url=False, include_context=True, include_input=True):
        path = [part for part in found["loc"] if part not in _UNION_TAGS]
        name = ".".join(str(part)[:100] for part in path)
        kind = found["type"]
        if kind == "missing":
            problems.add("missing-field", name, "missing", f"Give {name}.")
        elif kind == "extra_forbidden":
            known = _known_at(model, path[:-1])
            near = difflib.get_close_matches(str(path[-1])[:100], known, 1)
            hint = f"Did you mean {near[0]}?" if near else f"Known are {', '.join(sorted(known))}."
            problems.add("unknown-field", name, "there is no such field", hint)
        elif "fix" in found.get("ctx", {}):  # a judgement of ours about a value
            problems.add(kind, name, found["ctx"]["cause"], found["ctx"]["fix"])
        elif kind == "literal_error":
            expected = found["ctx"]["expected"]
            problems.add("unknown-value", name, "not a known value", f"Use {expected}.")
        elif kind == "string_unicode":
            problems.add("control-character", name, "contains a lone surrogate", "Send valid Unicode.")
        elif kind in _WRONG_TYPES:
            cause = f"{_kind(found['input'])}, must be {_WRONG_TYPES[kind]}"
            problems.add("wrong-type", name or "body", cause, f"Send {_WRONG_TYPES[kind]}.")
        else:
            problems.add("limit-exceeded", name, found["msg"][:1].lower() + found["msg"][1:], "Change it.")


def _known_at(model: type[Body], path: Sequence[str | int]) -> list[str]:
    """Return the names of the object at this path."""
    for part in path:
        field = next(
            (field for name, field in model.model_fields.items() if part == (field.alias or name)), None
        )
        model = next(_bodies_in(field.annotation), model) if field is not None else model
    return [field.alias or name for name, field in model.model_fields.items()]


def _bodies_in(annotation: Any) -> Iterator[type[Body]]:
    if isinstance(annotation, type) and issubclass(annotation, Body):
        yield annotation
    for part in get_args(annotation):
        yield from _bodies_in(part)


def _facts(body: AttachmentBody, uploads: Mapping[str, tuple[str, str]]) -> FileFacts:
    disposition = body.disposition or ("inline" if body.content_id is not None else "attachment")
    filename, content_type = uploads.get(body.upload or "", ("", None))
    return FileFacts(
        filename=filename if body.filename is None else body.filename,
        content_type=body.content_type or (None if content_type == _UNKNOWN_TYPE else content_type),
        content_id=body.content_id,
        disposition=Disposition(disposition),
    )


def _check_sources(
    sources: Sequence[AttachmentBody], uploads: Mapping[str, tuple[str, str]], problems: Problems
) -> None:
    for number, source in enumerate(sources):
        _check_source(source, number, uploads, problems)
    for name in uploads.keys() - {source.upload for source in sources}:
        problems.add("upload-unused", name[:100], "no attachment names this part", "Name it in `upload`.")


def _check_source(
    attachment: AttachmentBody, number: int, uploads: Mapping[str, tuple[str, str]], problems: Problems
) -> None:
    name = f"attachments.{number}"
    if attachment.filename is None and attachment.upload is None:
        problems.add("missing-field", f"{name}.filename", "missing", "Give the file a name.")
    if (attachment.content is None) == (attachment.upload is None):
        problems.add(
            "attachment-source",
            f"{name}.content",
            "exactly one of content and upload is needed",
            "Give the file in base64 as content, or send it as a multipart part and name it in upload.",
        )
    elif attachment.upload is not None and attachment.upload not in uploads:
        problems.add(
            "upload-missing",
            f"{name}.upload",
            "no file part of this name came with the message",
            "Send multipart/form-data: the JSON in the part `message`, the file in a part of this name.",
        )


def _header_pairs(value: object, problems: Problems) -> list[tuple[str, str]]:
    pairs = list(value.items()) if isinstance(value, dict) else value
    if isinstance(pairs, list) and all(map(_is_pair, pairs)):
        return [(name, text) for name, text in pairs]
    problems.add(
        "wrong-type",
        "headers",
        "neither an object of texts nor a list of pairs of texts",
        'Write {"X-Name": "value"} or [["X-Name", "value"]].',
    )
    return []


def _is_pair(value: object) -> bool:
    match value:
        case [str(), str()]:
            return True
        case _:
            return False


_UNION_TAGS = frozenset({"str", "list[str]"})
_WRONG_TYPES = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "an integer",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a truth value"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "something else"

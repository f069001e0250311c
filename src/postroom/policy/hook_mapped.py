"""The body of a mapped webhook: what a mapping file makes of a mail.

A mapping is a tree of constants and references, checked before (``schema.hook_mapping``):

* ``"$subject"`` is a field of the mail, with its own type; ``"Re: ${subject}"`` puts fields into a text,
  lists joined by a comma; ``$$`` is a dollar sign; anything else is a constant;
* ``{"$field" = "to", join = ", ", form = "angle"}`` is a list as one text, addresses in one of three forms;
* ``{"$each" = "attachments", as = {...}}`` is a list with one entry each, with ``key`` an object;
* any other table is an object.

Pure: the same mapping, mail and files give the same bytes.
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, NamedTuple
from urllib.parse import urlencode

from postroom.model.address import Mailbox
from postroom.policy.hook_mail import HookMail, shown_inline, unique_names

FIELDS = frozenset(
    {
        "id",
        "message_id",
        "date",
        "from",
        "from_name",
        "from_address",
        "signature",
        "sender",
        "to",
        "cc",
        "bcc",
    }
    | {"recipients", "reply_to", "subject", "text", "html", "body", "is_html", "in_reply_to", "references"}
    | {"headers", "attachments"}
)
"""What a reference may name."""
LISTS = frozenset({"to", "cc", "bcc", "recipients", "reply_to", "references", "attachments"})
"""Fields that ``$each`` and ``join`` take."""
_ADDRESS_LISTS = LISTS - {"references", "attachments"}
ADDRESS_FIELDS = frozenset({"address", "name", "full"})
"""What a reference inside ``$each`` of addresses may name."""
FILE_FIELDS = frozenset({"name", "url", "content", "content_type", "content_id", "is_inline"})
"""What a reference inside ``$each`` of attachments may name."""
FORMS = ("bare", "angle", "full")
REFERENCE = re.compile(r"\$(?:\$|\{([a-z_]+)\}|([a-z_]+))")
_ONLY = re.compile(r"\$(?:\{([a-z_]+)\}|([a-z_]+))\Z")
_UNSAFE = re.compile(r'[\r\n"]')


class MappedBody(NamedTuple):
    """What is posted."""

    content_type: str
    data: bytes


def references(tree: object) -> frozenset[str]:
    """Return the names that a mapping refers to anywhere."""
    if isinstance(tree, str):
        return frozenset(match[1] or match[2] for match in REFERENCE.finditer(tree) if match[0] != "$$")
    if isinstance(tree, Mapping):
        named = {str(tree[key]) for key in ("$field", "$each") if key in tree}
        return frozenset(named).union(*map(references, tree.values()))
    return frozenset().union(*map(references, tree)) if isinstance(tree, list | tuple) else frozenset()


def needs_links(mapping: Mapping[str, Any]) -> bool:
    """Say whether the body has links to files."""
    return "url" in references(mapping["body"])


def needs_contents(mapping: Mapping[str, Any]) -> bool:
    """Say whether the body has the files themselves."""
    return mapping.get("content") == "multipart" or "content" in references(mapping["body"])


def mapped_body(mapping: Mapping[str, Any], mail: HookMail, contents: Sequence[bytes]) -> MappedBody:
    """Return what is posted; ``contents`` are those of the mail's files, or empty when nobody needs them."""
    if needs_links(mapping):
        mail = shown_inline(mail)
    body = _Filling(mail, contents, is_sparse=bool(mapping.get("omit_empty"))).table(mapping["body"])
    match mapping.get("content", "json"):
        case "form":
            return MappedBody(
                "application/x-www-form-urlencoded",
                urlencode([(key, _text(one)) for key, one in body.items()]).encode(),
            )
        case "multipart":
            return _multipart(mapping, mail, body, contents)
        case _:
            text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
            return MappedBody("application/json", text.encode("utf-8", "replace"))


class _Filling:
    """One mail being put into one mapping."""

    def __init__(self, mail: HookMail, contents: Sequence[bytes], *, is_sparse: bool) -> None:
        self._mail = mail
        self._contents = contents
        self._is_sparse = is_sparse

    def table(self, tree: Mapping[str, Any], scope: Mapping[str, Any] | None = None) -> dict[str, Any]:
        filled = {key: self._value(value, scope) for key, value in tree.items()}
        return {
            key: one for key, one in filled.items() if not self._is_sparse or one not in ("", None, [], {})
        }

    def _value(self, tree: Any, scope: Mapping[str, Any] | None) -> Any:
        if isinstance(tree, str):
            return self._string(tree, scope)
        if isinstance(tree, Mapping):
            if "$each" in tree:
                return self._each(tree)
            if "$field" in tree:
                found = self._field(tree["$field"], tree.get("form", "bare"))
                return tree["join"].join(map(_text, found)) if "join" in tree else found
            return self.table(tree, scope)
        return [self._value(one, scope) for one in tree] if isinstance(tree, list | tuple) else tree

    def _string(self, text: str, scope: Mapping[str, Any] | None) -> Any:
        only = _ONLY.match(text)
        if only is not None:
            return self._named(only[1] or only[2], scope)
        return REFERENCE.sub(
            lambda match: "$" if match[0] == "$$" else _text(self._named(match[1] or match[2], scope)), text
        )

    def _named(self, name: str, scope: Mapping[str, Any] | None) -> Any:
        return scope[name] if scope is not None and name in scope else self._field(name, "bare")

    def _each(self, tree: Mapping[str, Any]) -> Any:
        entries = self._entries(tree["$each"])
        if "key" in tree:
            return {_text(self._value(tree["key"], one)): self._value(tree["as"], one) for one in entries}
        return [self._value(tree["as"], one) for one in entries]

    def _entries(self, name: str) -> list[Mapping[str, Any]]:
        if name == "attachments":
            return self._files()
        found = self._field(name, "full")
        if name == "references":
            return [{"name": one} for one in found]
        return [
            {"address": one.address.spec, "name": one.name, "full": str(one)} for one in self._mailboxes(name)
        ]

    def _files(self) -> list[Mapping[str, Any]]:
        names = unique_names([one.name for one in self._mail.files])
        return [
            {
                "name": name,
                "url": one.url,
                "content": b64encode(self._contents[at]).decode() if self._contents else "",
                "content_type": one.content_type,
                "content_id": one.content_id or "",
                "is_inline": one.is_inline,
            }
            for at, (name, one) in enumerate(zip(names, self._mail.files, strict=True))
        ]

    def _mailboxes(self, name: str) -> tuple[Mailbox, ...]:
        mail = self._mail
        if name == "recipients":
            return (*mail.to, *mail.cc, *mail.bcc)
        found: tuple[Mailbox, ...] = getattr(mail, name)
        return found

    def _field(self, name: str, form: str) -> Any:
        if name in _ADDRESS_LISTS:
            return [_formed(one, form) for one in self._mailboxes(name)]
        if name == "attachments":
            return self._files()
        mail = self._mail
        own: Mapping[str, Any] = {
            "from": _formed(mail.from_, form),
            "from_address": mail.from_.address.spec,
            "from_name": mail.from_.name,
            "sender": "" if mail.sender is None else _formed(mail.sender, form),
            "date": mail.date.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "references": list(mail.references),
            "headers": dict(mail.headers),
            "is_html": mail.html is not None,
        }
        return own[name] if name in own else getattr(mail, name) or ""


def _formed(mailbox: Mailbox, form: str) -> str:
    if form == "angle":
        return f"<{mailbox.address.spec}>"
    return str(mailbox) if form == "full" else mailbox.address.spec


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _multipart(
    mapping: Mapping[str, Any], mail: HookMail, body: Mapping[str, Any], contents: Sequence[bytes]
) -> MappedBody:
    """Write multipart/form-data (RFC 7578); the boundary is the mail's own id, which no file can foresee."""
    boundary = f"postroom-{mail.id.replace('.', '-')}"
    parts = []
    for name, value in body.items():
        head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
        parts.append(f"--{boundary}\r\n{head}\r\n\r\n{_text(value)}\r\n".encode("utf-8", "replace"))
    names = unique_names([one.name for one in mail.files])
    for name, one, content in zip(names, mail.files, contents, strict=True):
        head = (
            f'Content-Disposition: form-data; name="{_quoted(mapping.get("files", "files"))}"; '
            f'filename="{_quoted(name)}"\r\nContent-Type: {one.content_type}'
        )
        parts += [f"--{boundary}\r\n{head}\r\n\r\n".encode("utf-8", "replace"), content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return MappedBody(f"multipart/form-data; boundary={boundary}", b"".join(parts))


def _quoted(text: str) -> str:
    """Return a name as browsers write it there (RFC 7578 section 4.2 leaves it to them)."""
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", text)

"""A mail as a webhook sees it: texts, names and links instead of a MIME tree.

Pure values, and the rules that every form shares: a recipient of this attempt stands once, in its own list,
and a blind one nowhere else; a text without HTML is escaped; a picture that the text shows (``cid:``) becomes
its link there; of two files with one name the second says so.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape, unescape
from urllib.parse import unquote

from postroom.model.address import Address, Mailbox
from postroom.model.message import Content

_CID = re.compile(r"""cid:([^\s"'<>()\\]+)""", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class HookFile:
    """A file of the mail."""

    name: str
    content_type: str
    url: str = ""
    """Signed and expiring; empty while nobody asks for links."""
    content_id: str | None = None
    is_inline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HookMail:
    """What a webhook may be told of a mail."""

    id: str
    message_id: str
    """The Message-ID without angle brackets."""
    date: datetime
    from_: Mailbox
    sender: Mailbox | None = None
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    files: tuple[HookFile, ...] = ()

    @property
    def signature(self) -> str:
        """The sender's name, else the address: what Mingdao HAP calls the signature."""
        return self.from_.name or self.from_.address.spec

    @property
    def body(self) -> str:
        """The HTML, or the text as HTML."""
        return self.html if self.html is not None else text_as_html(self.text or "")


def text_as_html(text: str) -> str:
    """Return a plain text as HTML that shows it line by line.

    HTML swallows a blank at the start of a line and one after another: there, and for every second one of a
    run, stands one that it keeps. Plain replacements, because texts of megabytes come here.
    """
    lines = "\n" + text.replace("\r\n", "\n").replace("\r", "\n")
    escaped = escape(lines, quote=False).replace("  ", " &nbsp;").replace("\n ", "\n&nbsp;")
    return escaped[1:].replace("\n", "<br>\n")


def addressed(
    recipients: Sequence[Address], to: Sequence[Mailbox], cc: Sequence[Mailbox]
) -> tuple[tuple[Mailbox, ...], tuple[Mailbox, ...], tuple[Mailbox, ...]]:
    """Return To, Cc and Bcc of an attempt at these recipients: each stands once, in the first list it is in.

    Who is no recipient of the attempt stands nowhere: a second post never repeats the first.
    """
    left = dict.fromkeys(recipients)
    lists = []
    for named in (to, cc):
        kept = []
        for mailbox in named:
            if mailbox.address in left:
                del left[mailbox.address]
                kept.append(mailbox)
        lists.append(tuple(kept))
    return lists[0], lists[1], tuple(Mailbox(address) for address in left)


def with_links(html: str, urls: Mapping[str, str]) -> tuple[str, frozenset[str]]:
    """Return the HTML with each ``cid:`` of ``urls`` replaced by its URL, and the ids that it shows."""
    shown = set()

    def replaced(match: re.Match[str]) -> str:
        content_id = unquote(unescape(match[1]))
        if content_id not in urls:
            return match[0]
        shown.add(content_id)
        return escape(urls[content_id])

    return _CID.sub(replaced, html), frozenset(shown)


def shown_inline(mail: HookMail) -> HookMail:
    """Return the mail with its pictures as links in the HTML, and without those among its files."""
    urls = {one.content_id: one.url for one in mail.files if one.content_id and one.url}
    if mail.html is None or not urls:
        return mail
    html, shown = with_links(mail.html, urls)
    return replace(mail, html=html, files=tuple(one for one in mail.files if one.content_id not in shown))


def unique_names(names: Sequence[str]) -> list[str]:
    """Return the names, each once: the second ``offer.pdf`` is ``offer (2).pdf``."""
    taken: set[str] = set(names)
    seen: set[str] = set()
    result = []
    for name in names:
        given, count = name, 1
        stem, dot, suffix = name.rpartition(".")
        while given in seen or (count > 1 and given in taken):
            count += 1
            given = f"{stem} ({count}).{suffix}" if dot and stem else f"{name} ({count})"
        seen.add(given)
        result.append(given)
    return result


def uncarried(mail: Content) -> tuple[str, ...]:
    """Return what the body of Mingdao HAP has no place for, in words."""
    lost = [f"the From address {mail.from_.address.spec}"]
    if mail.sender is not None and not mail.sender.address.is_same(mail.from_.address):
        lost.append(f"the Sender {mail.sender.address.spec}")
    if mail.html is not None and mail.text is not None:
        lost.append("the plain text beside the HTML")
    if mail.in_reply_to is not None or mail.references:
        lost.append("In-Reply-To and References")
    if any(one.name for one in (*mail.to, *mail.cc, *mail.reply_to)):
        lost.append("the names of the recipients")
    if mail.headers:
        names = dict.fromkeys(name for name, _ in mail.headers)
        lost.append(f"the header fields {', '.join(names)}"[:200])
    if mail.raw is not None:
        lost.append("the header fields and parts that it has no member for")
    return tuple(lost)

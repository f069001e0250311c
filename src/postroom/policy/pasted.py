"""Replies in texts that people paste: found where programs, logs and bounces put them.

A number alone is no reply: it counts where a line begins with it, or behind the words by which a mail program
introduces one (``said:``, ``Diagnostic-Code: smtp;``, ``Invalid login:``, ``(535, b'...')``). Texts are cut
at ``MAX_PASTED`` and every pattern is linear, so the time is bounded whatever is pasted. Nothing here raises.

Sources: RFC 5321 section 4.2, RFC 3464 section 2.3; how Postfix, Exim, sendmail, nodemailer, JavaMail, .NET,
MailKit, PHPMailer, Swift Mailer, Go and Python's smtplib write.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_PASTED = 32 * 1024
"""Characters that are looked at (security limit); a bounce's report stands at its beginning."""
MAX_FOUND = 10
"""Replies that are looked at (security limit)."""
_MAX_LINES = 12
"""Of one reply."""
_MAX_TEXT = 1000

_BEGIN = re.compile(
    r"(?:^[ \t>|*]{0,40}(?:<<<[ \t]?|<-{1,2}[ \t]?|<[ \t]|S:[ \t]?|reply:[ \t]?b?['\"])?"
    r"|[:;,][ \t]{1,4}b?['\"]?|[\[(\"'=][ \t]?|\b(?:said"
    r"|code|error|status|returned|response|with"
    r"|got)[ \t:]{1,3}['\"]?)"
    r"([45][0-6][0-9])(?:(-)|:?[ \t]{1,4}|[\"']?, ?(?:with message )?b?[\"']|\Z|(?=\r?\n))",
    re.IGNORECASE | re.MULTILINE,
)
_ENHANCED = re.compile(
    r"(?:server response was:|Serverantwort war:|error:|Diagnostic-Code:[ \t]*smtp;"
    r"|stat=|remote server was:|\bdsn=(?=[45]))[ \t]{0,4}"
    r"([45]\.[0-9]{1,3}\.[0-9]{1,3})[ \t,]",
    re.IGNORECASE,
)
_BARE = re.compile(r"\A[ \t]{0,8}([45]\.[0-9]{1,3}\.[0-9]{1,3})[ \t]")
_HTTP = re.compile(
    r"(?:(?:ms|sec(?:ond)?s?|min(?:ute)?s?|bytes|[km]i?b|rows|items|times|files|days|messages|lines"
    r"|Bad Request|Unauthorized|Forbidden|Not Found|Method Not Allowed|Request Timeout|Conflict|Gone"
    r"|Too Many Requests"
    r"|Internal Server Error|Not Implemented|Bad Gateway|Service Unavailable|Gateway Time-?out)\b|%)",
    re.IGNORECASE,
)
"""What behind a number says that it counts something, or is the status of a web server."""
_WEB = re.compile(r"\bHTTP/[0-9]|\bstatus ?code\b|\bhttps? (?:error|status)", re.IGNORECASE)
_TRAILER = re.compile(
    r"\s*[(\[]in reply to (?:the )?[a-z ]{1,40}(?:command)?\)?.*", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Found:
    """One reply in a text."""

    code: int | None
    """``None`` where only an enhanced code was written."""
    text: str
    start: int
    """Where it begins in the text."""
    is_introduced: bool
    """Words of a mail program stand before it."""

    @property
    def is_enhanced(self) -> bool:
        """Whether it has an enhanced code, which nothing but a mail server writes."""
        return bool(_BARE.match(f"{self.text} "))


def plain(text: str) -> str:
    """Return what is looked at: cut, with the line ends that programs write as escapes made real."""
    cut = text[:MAX_PASTED].replace("\x00", "").replace("\r\n", "\n")
    return cut.replace("\\r\\n", "\n").replace("\\n", "\n").replace("\\r", "\n")


def replies(text: str) -> Sequence[Found]:
    """Return the replies of a plain text, in their order."""
    found: list[Found] = []
    end = 0
    for match in _BEGIN.finditer(text):
        if match.start(1) < end or len(found) == MAX_FOUND:
            continue
        said, end = _collected(text, match)
        if not _is_web(text, match.start(), said):
            introduced = bool(match[0][: match.start(1) - match.start()].strip(" \t>|*"))
            found.append(Found(int(match[1]), said, match.start(1), introduced))
    return found or list(_coded(text))


def _collected(text: str, match: re.Match[str]) -> tuple[str, int]:
    """Return the text of a reply from its first line and those that go on, and where it ends."""
    code, lines = match[1], list[str]()
    next_line = re.compile(rf"[ \t>|*]{{0,40}}(?:<<<[ \t]?|<-{{1,2}}[ \t]?|<[ \t]|S:[ \t]?)?{code}(?:[ -]|$)")
    at = match.end()
    while len(lines) < _MAX_LINES:
        end = text.find("\n", at)
        line = text[at : end if end >= 0 else len(text)]
        lines.append(line.strip())
        if end < 0:
            at = len(text)
            break
        at = end + 1
        following = next_line.match(text, at)
        if following is not None:
            at = following.end()
        elif not (text[at : at + 1] in {" ", "\t"} and text[at : at + 200].strip()):
            break
    whole = " ".join(lines)[:_MAX_TEXT]
    whole = re.sub(rf"(?<!\S){code}(?:-| (?=[45]\.))", "", whole)
    return _TRAILER.sub("", whole).strip().rstrip("'\")];,").strip(), at


def _coded(text: str) -> Iterator[Found]:
    """Yield what has an enhanced code and no reply code, as .NET and some logs write it."""
    for pattern in (_ENHANCED, _BARE):
        for match in pattern.finditer(text):
            line = text[match.start(1) :].partition("\n")[0][:_MAX_TEXT]
            yield Found(None, line.replace(", stat=", " "), match.start(1), pattern is _ENHANCED)
            break


def _is_web(text: str, start: int, said: str) -> bool:
    """Say whether a number is rather the status of a web server."""
    line = text[text.rfind("\n", 0, start) + 1 : start + 1]
    return bool(_HTTP.match(said) or _WEB.search(line[-200:]))


_HOSTS = (
    re.compile(r"\bRemote-MTA:[ \t]*dns;[ \t]*([\w.-]{3,253})", re.IGNORECASE),
    re.compile(
        r"\b(?:host|server) ([\w-]{1,63}(?:\.[\w-]{1,63}){1,8})[ \t]?\[[0-9a-fA-F.:]+\]", re.IGNORECASE
    ),
    re.compile(r"\brelay=([\w-]{1,63}(?:\.[\w-]{1,63}){1,8})", re.IGNORECASE),
    re.compile(r"\bwhile talking to ([\w-]{1,63}(?:\.[\w-]{1,63}){1,8})", re.IGNORECASE),
    re.compile(r"\bH=([\w-]{1,63}(?:\.[\w-]{1,63}){1,8})", re.IGNORECASE),
    re.compile(r"\b(?:smtp|smtps)://(?:[^\s/@]{1,200}@)?([\w-]{1,63}(?:\.[\w-]{1,63}){1,8})", re.IGNORECASE),
    re.compile(r"\bhttps?://([\w-]{1,63}(?:\.[\w-]{1,63}){1,8})", re.IGNORECASE),
    re.compile(
        r"\b((?:smtp|mx|mail|mta|in|gmail-smtp-in|aspmx)[\w-]{0,40}(?:\.[\w-]{1,63}){1,8})", re.IGNORECASE
    ),
    re.compile(r"\b([\w-]{1,63}\.prod\.outlook\.com)\b", re.IGNORECASE),
)
"""Where the name of the server stands, the surest first; a reply's link is to its own provider's help."""
_GSMTP = re.compile(r"[ -]gsmtp\b")


def hosts(text: str) -> Iterator[str]:
    """Yield names of the server that spoke, the surest first."""
    for pattern in _HOSTS:
        for match, _ in zip(pattern.finditer(text), range(3), strict=False):
            yield match[1].rstrip(".").lower()
    if _GSMTP.search(text):
        yield "smtp.gmail.com"

"""What a reply says, without what it merely quotes: the form in which the patterns of the rules look at it.

A reply repeats addresses, host names, links and subjects of other people, and words in those mean nothing:
``spam@example.com`` is no verdict, ``185.1.1.20`` is no code 5.1.1. They are blanked before any pattern
looks. What speaks by itself stays: the host of a block list, the topic of a provider's help link
(``?p=NoSuchUser``). An enhanced code that stands on each line of a reply is kept once, so that a sentence
runs over line ends.

Only for matching; what people are shown is the reply as it came.
"""

import re

_REACH = 4
"""Characters looked at for each one that the patterns see: links and addresses are long and go."""

_QUOTED = re.compile(
    r"\b(subject|file ?name|file|attachment)(?: (?:named?|called))?:? ?"
    r"[\"'\u201c][^\"'\u201d]{0,200}[\"'\u201d]",
    re.IGNORECASE,
)
_LINK = re.compile(r"\bhttps?://([^\s/?#]{1,255})(?:[^\s?]*+)(?:\?(?:p=(\w{1,60}))?)?\S*", re.IGNORECASE)
_ADDRESS = re.compile(r"(?<![^\s<>()\[\]\"'`,;:=|])[^\s<>()\[\]\"'`,;:=|@]++@[^\s<>()\[\]\"'`,;|]+")
_HOST = re.compile(
    r"(?<![\w.@/-])(?:(?:[a-z0-9_-]++\.){2,}[a-z]{2,24}|(?i:(?:[a-z0-9_-]++\.)+"
    r"(?:com|net|org|edu|gov|info|biz|io|cn|de|fr|kr|jp|ru|uk|eu|invalid|example|local)))(?![\w@])"
)
_NUMBER = re.compile(r"(?<![\w.])[0-9]++(?:\.[0-9]++)+(?:-[0-9]+)?(?!\w)")
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}\Z")
_LIST_HOST = re.compile(
    r"(?:\A|\.)(?:spamhaus|spamcop|sorbs|barracudacentral|barracudanetworks|surbl|uribl|abuseat|proofpoint|pphosted"
    r"|uceprotect|spamrats|mailspike|invaluement|senderscore|open-?spf)\.(?:org|net|com|de|info)\.?\Z",
    re.IGNORECASE,
)


def essence(text: str, most: int) -> str:
    """Return at most ``most`` characters of what a reply says by itself. Never raises; linear in time."""
    text = _once(text[: most * _REACH])
    if '"' in text or "'" in text or "\u201c" in text:
        text = _QUOTED.sub(r"\1", text)
    if "://" in text:
        text = _LINK.sub(_of_link, text)
    if "@" in text:
        text = _ADDRESS.sub("<>", text)
    if "." in text:
        text = _HOST.sub(_of_host, text)
        text = _NUMBER.sub(_of_number, text)
    return text[:most]


def _once(text: str) -> str:
    """Keep the enhanced code at the beginning of a reply, and drop it from its later lines."""
    code, blank, rest = text.partition(" ")
    if not blank or not _ENHANCED.match(code):
        return text
    return f"{code} {rest.replace(f' {code} ', ' ')}"


def _of_link(found: re.Match[str]) -> str:
    topic = f" {found[2]}" if found[2] else ""
    return f"{found[1]}{topic}" if _LIST_HOST.search(found[1]) else topic.strip()


def _of_host(found: re.Match[str]) -> str:
    return found[0] if _LIST_HOST.search(found[0]) else "-"


def _of_number(found: re.Match[str]) -> str:
    return found[0] if _ENHANCED.match(found[0]) else ""

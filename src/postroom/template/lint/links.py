"""Where links and images lead: addresses that are empty, broken, unsafe, unreachable or not what they seem.

An address that is one expression is judged by whether it can be empty; what it will be is the caller's.

Sources: RFC 3986 section 3, RFC 6068 section 2 (mailto), RFC 6761 and RFC 6890 (names and addresses nobody
else can reach).
"""

import ipaddress
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from postroom.model.template import Finding
from postroom.template.lint.case import Case
from postroom.template.lint.contrast import shown
from postroom.template.lint.page import STATEMENT, VARIABLE, Element, Page, mask
from postroom.template.lint.words import SHORTENERS

_ADDRESSES = {"a": "href", "area": "href", "img": "src"}
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")
_RUNS = frozenset({"javascript", "vbscript", "data"})
_CODE = tuple(f"{name}:" for name in _RUNS)
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{1,62}", re.IGNORECASE)
_SHOWN_HOST = re.compile(r"(?:https?://|www\.)[^\s/]+|" + _HOST.pattern + r"(?=/|\Z)", re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s@?]+@[^\s@?]+\.[^\s@?]+|" + VARIABLE + "+")
_PRIVATE_ENDS = (".local", ".localhost", ".internal", ".lan", ".home.arpa", ".test", ".intranet", ".corp")
_PLACEHOLDER_ENDS = (".example", ".invalid", "example.com", "example.org", "example.net")
_BLOCK = re.compile(r"\{%[-+]?\s*(if|elif|else|endif|for|endfor)\b(.*?)[-+]?%\}\Z", re.DOTALL)
_BLANK_DEFAULT = re.compile(
    r"""\|\s*(?:default|d)\s*(?:\(\s*(?:''|""|none)\s*(?:,[^)]*)?\)|(?![\w(]))|\bor\s+(?:''|"")"""
)
_ONE_NAME = re.compile(
    r"\{\{-?\s*([A-Za-z_]\w*)(?:\s*\|\s*(?:trim|string|safe|e|escape))*\s*-?\}\}",
)


def links(case: Case) -> Iterator[Finding]:
    """Yield what is said about the addresses of a page."""
    for element in case.page.elements(*_ADDRESSES):
        key = _ADDRESSES[element.name]
        if key in element.attributes:
            yield from _address(case, element, element.get(key).strip())


def _address(case: Case, element: Element, address: str) -> Iterator[Finding]:
    what = "the image" if element.name == "img" else f"the link {shown(_label(element))}"
    key = _ADDRESSES[element.name]
    masked = _masked(address)
    if not masked.strip():
        yield case.found("link-empty", f"{what} has an empty {key}", at=element)
    elif not masked.replace(VARIABLE, "").strip():
        yield from _expression(case, element, address)
    elif masked.startswith("#"):
        if masked == "#":
            yield case.found("link-placeholder", f"{what} leads to #", at=element)
    else:
        yield from _written(case, element, masked, what=what)


def _masked(address: str) -> str:
    return mask(address)[0].replace(STATEMENT, "")


def _label(element: Element) -> str:
    return element.text().strip() or element.get("aria-label") or element.get("href")


def _expression(case: Case, element: Element, address: str) -> Iterator[Finding]:
    """Judge an address that comes with the mail."""
    compiled = case.checked.compiled
    schema: Any = compiled.schema if compiled else {}
    conditions = _conditions(case.page, element.at)
    optional = [
        name
        for name in (found[1] for found in _ONE_NAME.finditer(address))
        if name in schema.get("properties", {})
        and not re.search(rf"(?<![\w.]){name}\b", conditions)
        and name not in schema.get("required", ())
        and not schema["properties"][name].get("default")
    ]
    if optional or _BLANK_DEFAULT.search(address):
        reason = f"when {optional[0]} is not given" if optional else "when its variable is not given"
        yield case.found("link-may-be-empty", f"{address} is empty {reason}", at=element)


def _conditions(page: Page, at: int) -> str:
    """Return the conditions and loops that stand around an offset of the page."""
    stack: list[str] = []
    for token in page.tokens:
        if token.at >= at:
            break
        found = _BLOCK.match(token.text)
        if found is None:
            continue
        if found[1] in {"if", "for"}:
            stack.append(found[2])
        elif stack and found[1] in {"elif", "else"}:
            stack[-1] = found[2]
        elif stack:
            stack.pop()
    return " ".join(stack)


def _written(case: Case, element: Element, masked: str, *, what: str) -> Iterator[Finding]:
    scheme = _SCHEME.match(masked)
    name = scheme[1].lower() if scheme else ""
    is_image = element.name == "img"
    if name in _RUNS and not (is_image and name == "data"):
        yield case.found("link-script", f"{what} is {shown(masked)}", at=element)
    elif name == "mailto":
        if not _ADDRESS.match(masked[len("mailto:") :]):
            yield case.found("link-mailto", f"{what} is {shown(masked)}", at=element)
    elif name in {"http", "https"}:
        yield from _web(case, element, masked, what=what)
    elif not name:
        if not masked.startswith(VARIABLE):
            yield case.found("link-syntax", f"{what} has no scheme and host: {shown(masked)}", at=element)
    elif "." in name:  # example.com:443/page
        yield case.found("link-syntax", f"{what} has no scheme: {shown(masked)}", at=element)


def _web(case: Case, element: Element, masked: str, *, what: str) -> Iterator[Finding]:
    """Judge an address whose host is written out, at least in part."""
    if any(char.isspace() for char in masked):
        yield case.found("link-syntax", f"{what} has a blank in its address: {shown(masked)}", at=element)
        return
    try:
        parts = urlsplit(masked.replace(VARIABLE, "x"))
        host, _ = (parts.hostname or "").lower().rstrip("."), parts.port
    except ValueError:
        yield case.found("link-syntax", f"{what} is no address: {shown(masked)}", at=element)
        return
    given = VARIABLE in masked.partition("://")[2].partition("/")[0]
    is_private = not given and _is_private(host)
    if not host or not (given or is_private or _HOST.fullmatch(host) or _is_ip(host)):
        yield case.found("link-syntax", f"{what} has no host that can be: {shown(masked)}", at=element)
        return
    if is_private:
        yield case.found("link-private", f"{what} leads to {host}", at=element)
    elif parts.scheme == "http":
        yield case.found("link-insecure", f"{what} is {shown(masked)}", at=element)
    if given:
        return
    if host.endswith(_PLACEHOLDER_ENDS):
        yield case.found("link-placeholder", f"{what} leads to {host}", at=element)
    if host.removeprefix("www.") in SHORTENERS:
        yield case.found("link-shortener", f"{what} leads through {host}", at=element)
    if element.name != "img":
        yield from _other_host(case, element, host)


def _other_host(case: Case, element: Element, host: str) -> Iterator[Finding]:
    """Compare the host that is shown with the one that is meant."""
    found = _SHOWN_HOST.match(_masked(element.text()).strip())
    if found is None or VARIABLE in found[0]:
        return
    text = re.sub(r"\A(?:https?://)", "", found[0].lower()).partition("/")[0].partition(":")[0]
    text, meant = text.removeprefix("www."), host.removeprefix("www.")
    if text != meant and not meant.endswith(f".{text}"):
        yield case.found("link-mismatch", f"the text shows {text} and the link leads to {host}", at=element)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_private(host: str) -> bool:
    if _is_ip(host):
        return not ipaddress.ip_address(host).is_global
    return host == "localhost" or host.endswith(_PRIVATE_ENDS) or ("." not in host and host.isalnum())


def lost_links(case: Case) -> Iterator[Finding]:
    """Yield links with a text that the text part does not have."""
    compiled = case.checked.compiled
    text = _plain(compiled.text) if compiled else ""
    if not text.strip():
        return
    told = set()
    for element in case.page.elements("a"):
        address = element.get("href").strip()
        plain = _plain(address)
        if plain and not plain.startswith(("#", *_CODE)) and element.text().strip() and plain not in told:
            told.add(plain)
            if plain.removeprefix("mailto:").removeprefix("tel:") not in text:
                yield case.found("text-lost-link", f"the text part has no {shown(address)}", at=element)


def _plain(text: str) -> str:
    """Return a text in which equal expressions are equal, however they were written."""
    return re.sub(r"\s+", "", text)

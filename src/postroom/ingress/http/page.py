"""The start page and the documentation of the API, for a browser on this machine.

They show what a caller needs (addresses, names of keys, modes) and nothing of any mail.
"""

import shlex
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from postroom.engine.service import Service
from postroom.engine.standing import Status
from postroom.ingress.http import markup
from postroom.ingress.http.codes import ANSWERS, FIELDS
from postroom.ingress.http.replies import JsonReply
from postroom.ingress.http.settings import HttpSettings
from postroom.web.gate import SECURITY_HEADERS, Operation

_CURL = """curl {url}/v1/messages \\
  -H "Authorization: Bearer $POSTROOM_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{"to": "you@example.com", "subject": "Hello", "text": "It works."}}'"""

_PYTHON = """import json, os, urllib.request

request = urllib.request.Request(
    {url!r} + "/v1/messages",
    json.dumps({{"to": "you@example.com", "subject": "Hello", "text": "It works."}}).encode(),
    {{"Authorization": "Bearer " + os.environ["POSTROOM_API_KEY"], "Content-Type": "application/json"}},
)
print(urllib.request.urlopen(request).read().decode())"""

_LOOK = """curl {url}/v1/messages/ID -H "Authorization: Bearer $POSTROOM_API_KEY\""""
_INBOX = """curl {url}/v1/captured -H "Authorization: Bearer $POSTROOM_API_KEY"
postroom captured
postroom captured show 1 --part html > mail.html"""
_CLI = """export POSTROOM_URL={url}
postroom send --to you@example.com --subject Hello --message 'It works.'"""
_STATUS = "POSTROOM_URL={url} postroom status"
_NEW_KEY = "postroom keys create my-app --scope send --scope read"
_TRANSPORT = "POSTROOM_TRANSPORT='smtps://LOGIN:SECRET@smtp.example.com' postroom serve"


class PageDoors:
    """``/``, ``/docs`` and ``/openapi.json``."""

    def __init__(self, service: Service, settings: HttpSettings) -> None:
        """Take the service and the settings."""
        self._service = service
        self._settings = settings
        self.describe: Callable[[], Mapping[str, Any]] = dict
        """Returns the OpenAPI document, written when first asked for; set once every operation is known."""

    def operations(self) -> list[Operation]:
        """Return the operations; this machine's browser needs no key for them."""
        shown = (
            ("/", self.start, "What this server is and what to do next", "text/html"),
            ("/docs", self.docs, "This documentation", "text/html"),
            ("/openapi.json", self.openapi, "The OpenAPI 3.1 document", "application/json"),
        )
        return [
            Operation(
                method="GET",
                path=path,
                endpoint=endpoint,
                needs="read",
                keyless=self._settings.page_rule,
                summary=summary,
                answers={200: ("The page.", kind)},
            )
            for path, endpoint, summary, kind in shown
        ]

    async def start(self, request: Request) -> Response:
        """Show what this server is, its mode, and what to do next."""
        status = await self._service.status()
        keys = [
            key.name for key in await self._service.keys() if key.revoked_at is None and "send" in key.scopes
        ]
        url = self._settings.public_url or f"{request.url.scheme}://{request.headers.get('host', '')}"
        url = url.rstrip("/")
        parts = [
            _header("The room through which your mail leaves.", status.mode),
            _loud(status),
            _facts(status, url),
            _key_section(keys, has_bootstrap_key=self._settings.has_bootstrap_key),
            _send_section(url),
            _next_section(status, url),
        ]
        return markup.page(f"Postroom ({status.mode})", "".join(parts))

    async def docs(self, _request: Request) -> Response:
        """Show every operation."""
        articles = []
        document = self.describe()
        for path, methods in document.get("paths", {}).items():
            articles += [_article(path, method, one) for method, one in methods.items()]
        schemas = document.get("components", {}).get("schemas", {})
        models = "".join(_schema(name, schema) for name, schema in sorted(schemas.items()))
        content = (
            f"{_header('The HTTP API', self._service.mode)}{''.join(articles)}<h2>Models</h2>{models}"
            f"<h2>Codes of answers</h2>{_codes(ANSWERS)}<h2>Codes of fields</h2>{_codes(FIELDS)}"
        )
        return markup.page("Postroom: HTTP API", content)

    async def openapi(self, _request: Request) -> Response:
        """Give the OpenAPI document."""
        return JsonReply(self.describe(), 200, SECURITY_HEADERS)


def _header(text: str, mode: str) -> str:
    return (
        f'<header><h1>Postroom</h1><p>{escape(text)}</p><span class="badge">{escape(mode)}</span>'
        '<nav><a href="/">Start</a><a href="/docs">API</a><a href="/openapi.json">OpenAPI</a></nav></header>'
    )


def _loud(status: Status) -> str:
    parts = []
    if status.mode == "capture":
        parts.append(
            '<p class="loud"><strong>Nothing leaves this machine.</strong> There is no transport, so every '
            "mail is captured in the inbox below instead of being sent.</p>"
        )
    parts += [
        f'<p class="loud"><strong>Needs a look</strong>{escape(problem)}</p>' for problem in status.problems
    ]
    return "".join(parts)


def _facts(status: Status, url: str) -> str:
    counts = ", ".join(f"{count} {state}" for state, count in status.queue.by_state.items() if count)
    pairs = [
        ("Address", url),
        ("Ready", "yes" if status.ready else "no"),
        ("Acceptance means", status.durability),
        ("Recipients", counts or "none yet"),
        *((("SMTP door", ", ".join(status.smtp_urls)),) if status.smtp_urls else ()),
        *((f"Transport {transport.name}", transport.target) for transport in status.transports),
    ]
    return f"<section><h2>This server</h2>{markup.facts(pairs)}</section>"


def _key_section(keys: list[str], *, has_bootstrap_key: bool) -> str:
    if has_bootstrap_key:
        told = "<p>Use the key this server was started with, as <code>POSTROOM_API_KEY</code>.</p>"
    elif keys:
        names = ", ".join(f"<code>{escape(name)}</code>" for name in keys[:5])
        told = f"<p>Keys that may send: {names}. Put one into <code>POSTROOM_API_KEY</code>.</p>"
    else:
        told = "<p>There is no key that may send yet.</p>"
    return (
        f"<section><h2>Your key</h2>{told}<p>A new one is shown once, when it is made:</p>"
        f"{markup.code(_NEW_KEY)}</section>"
    )


def _send_section(url: str) -> str:
    snippets = (
        ("curl", _CURL.format(url=url)),
        ("Python", _PYTHON.format(url=url)),
        ("Command line", _CLI.format(url=shlex.quote(url))),
        ("See what became of it", _LOOK.format(url=url)),
    )
    shown = "".join(f"<h3>{name}</h3>{markup.code(snippet)}" for name, snippet in snippets)
    return f"<section><h2>Send a mail</h2>{shown}</section>"


def _next_section(status: Status, url: str) -> str:
    if status.mode == "capture":
        return (
            f"<section><h2>Look into the inbox</h2>{markup.code(_INBOX.format(url=url))}"
            "<h2>Send real mail</h2><p>Start again with the account you already have:</p>"
            f"{markup.code(_TRANSPORT)}</section>"
        )
    return f"<section><h2>Watch the queue</h2>{markup.code(_STATUS.format(url=shlex.quote(url)))}</section>"


def _article(path: str, method: str, operation: Mapping[str, Any]) -> str:
    needs = [scope for one in operation.get("security", []) for scopes in one.values() for scope in scopes]
    rows = "".join(
        f"<tr><td><code>{escape(each['name'])}</code></td><td>{escape(each['in'])}</td>"
        f"<td>{markup.prose(each.get('description', ''))}</td></tr>"
        for each in operation.get("parameters", [])
    )
    answers = "".join(
        f"<tr><td><code>{escape(status)}</code></td><td>{markup.prose(one.get('description', ''))}</td></tr>"
        for status, one in operation.get("responses", {}).items()
    )
    body = "".join(
        f"<p>Body: <code>{escape(kind)}</code>{_reference(content.get('schema', {}))}</p>"
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
    )
    return (
        f'<article><h2><span class="method">{escape(method.upper())}</span> <code>{escape(path)}</code></h2>'
        f"<p>{markup.prose(operation.get('description', ''))}</p>"
        f"<p>Key: {escape(', '.join(needs) or 'none needed')}</p>{body}"
        f"<table>{rows}</table><table>{answers}</table></article>"
    )


def _codes(codes: Mapping[str, str]) -> str:
    rows = "".join(
        f'<tr id="{escape(code)}"><td><code>{escape(code)}</code></td><td>{markup.prose(meaning)}</td></tr>'
        for code, meaning in sorted(codes.items())
    )
    return f"<section><table>{rows}</table></section>"


def _reference(schema: Mapping[str, Any]) -> str:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return f' <a href="#{escape(name)}">{escape(name)}</a>' if name else ""


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code>{' *' if field in required else ''}</td>"
        f"<td>{escape(_type(one))}{_reference(one)}</td>"
        f"<td>{markup.prose(one.get('description', ''))}</td></tr>"
        for field, one in schema.get("properties", {}).items()
    )
    told = markup.prose(schema.get("description", ""))
    head = f'<article id="{escape(name)}"><h3>{escape(name)}</h3><p>{told}</p>'
    return f"{head}<table>{rows}</table></article>"


def _type(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    kind = str(schema.get("type", ""))
    return f"list of {_type(schema['items']) or 'objects'}" if kind == "array" and "items" in schema else kind

"""A small HTTP server that answers as told and remembers what it was asked."""

import json
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(kw_only=True)
class ScriptedServer:
    """``with ScriptedServer() as server``: listens on loopback; ``script`` maps "METHOD path" to answers."""

    script: dict[str, tuple[int, Any] | None] = field(default_factory=dict)
    """Status and JSON value or bytes; ``None`` closes the connection without an answer."""
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = self.path.partition("?")[0]
                outer.asked.append(
                    Asked(method=self.command, path=self.path, headers=dict(self.headers), body=body)
                )
                planned = outer.script.get(f"{self.command} {path}", (404, problem(404, "not-found", path)))
                if planned is None:
                    self.close_connection = True
                    return
                status, value = planned
                content = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                for name, text in outer.headers.items():
                    self.send_header(name, text)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = answer  # noqa: N815 - the library's name
            do_POST = answer  # noqa: N815 - as above
            do_PUT = answer  # noqa: N815 - as above
            do_PATCH = answer  # noqa: N815 - as above
            do_DELETE = answer  # noqa: N815 - as above

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
                """Say nothing."""

        return Handler


def problem(
    status: int, code: str, detail: str, errors: tuple[Mapping[str, str], ...] = ()
) -> dict[str, Any]:
    """Return a problem document as the server writes it."""
    return {
        "type": f"/docs#{code}",
        "title": "No",
        "status": status,
        "detail": detail,
        "code": code,
        "errors": list(errors),
    }

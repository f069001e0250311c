"""A file server in a thread: serves files by path, and whatever else a test says about one."""

import http.server
import threading
from types import TracebackType
from typing import Any, Self


class FileServer:
    """``with FileServer() as server``: answers ``GET`` from ``files``; what is not there is a 404.

    A value that is a number is a status; ``gates`` keep an answer back until they are set.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes | int] = {}
        self.types: dict[str, str] = {}
        self.gates: dict[str, threading.Event] = {}
        self.asked: list[str] = []
        self.met = threading.Condition()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def place(self) -> str:
        """``HOST:PORT``."""
        return f"127.0.0.1:{self._http.server_port}"

    def url(self, path: str) -> str:
        return f"http://{self.place}{path}"

    def wait_until_asked(self, path: str, times: int = 1) -> None:
        with self.met:
            assert self.met.wait_for(lambda: self.asked.count(path) >= times, timeout=20), self.asked

    def _answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        path = handler.path
        with self.met:
            self.asked.append(path)
            self.met.notify_all()
        if (gate := self.gates.get(path)) is not None:
            gate.wait(30)
        found = self.files.get(path, 404)
        body = found if isinstance(found, bytes) else b""
        try:
            handler.send_response(200 if isinstance(found, bytes) else found)
            handler.send_header("Content-Type", self.types.get(path, "application/octet-stream"))
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
        except OSError:
            pass  # the client is gone

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for gate in self.gates.values():
            gate.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

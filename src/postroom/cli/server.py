"""The server a command talks to: found, asked, and its refusals turned into ``CliError``.

A shell around httpx2. The certificate named in ``cli.key`` is trusted for that URL instead of the system's
authorities, and its name is not compared: the file itself says which certificate it must be.
"""

import re
import ssl
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2

from postroom.cli.exits import CliError, Exit
from postroom.config.cli_key import FILE_NAME, CliKey, read_cli_key
from postroom.config.sources import DEFAULT_HTTP, Flags, data_directory, read_sources
from postroom.errors import Problem
from postroom.model.secret import Secret

_KEY_FORM = re.compile(r"[!-~]+\Z")

TIMEOUT_S = 60.0
"""Seconds without a byte; longer than the longest ``Prefer: wait``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which server, and how it was found."""

    url: str
    key: Secret | None
    certificate: str | None
    data: Path
    """The data directory that was looked at."""
    is_guess: bool = False
    """Neither a variable nor ``cli.key`` names the URL: the default one may serve another directory."""


def find_server(flags: Flags, environ: Mapping[str, str], cwd: Path) -> Target:
    """Return the server to ask. Raises CliError when ``cli.key`` may not be read and nothing else says."""
    sources = read_sources(flags, environ, cwd)
    variables, data = sources.variables, data_directory(sources, cwd)
    url = variables.get("POSTROOM_URL", "").rstrip("/")
    key = Secret(variables["POSTROOM_API_KEY"]) if "POSTROOM_API_KEY" in variables else None
    if key is None and (file := variables.get("POSTROOM_API_KEY_FILE")) is not None:
        key = _key_from(cwd / file)
    if url and key is not None:
        return Target(url=url, key=key, certificate=None, data=data)
    known = _known_server(data, is_needed=not url)
    if known is None or (url and url != known.url):
        return Target(
            url=url or f"http://{DEFAULT_HTTP}", key=key, certificate=None, data=data, is_guess=not url
        )
    return Target(url=known.url, key=key or known.key, certificate=known.certificate, data=data)


def _key_from(path: Path) -> Secret:
    try:
        return Secret(path.read_text().strip())
    except (OSError, UnicodeDecodeError):
        cause = "POSTROOM_API_KEY_FILE cannot be read"
        raise CliError(Exit.USAGE, cause, fix=f"Check that {path} exists and may be read.") from None


def _known_server(data: Path, *, is_needed: bool) -> CliKey | None:
    try:
        return read_cli_key(data)
    except OSError as error:
        if not is_needed:
            return None
        cause = f"{data / FILE_NAME} cannot be read: {(error.strerror or 'unknown reason').lower()}"
        fix = "Run this as the user of the server, or set POSTROOM_URL and POSTROOM_API_KEY."
        raise CliError(Exit.UNAUTHORISED, cause, fix=fix) from None


class Server(AbstractContextManager["Server"]):
    """A connection to one server; every method raises CliError for what goes wrong."""

    def __init__(self, target: Target, *, language: str = "") -> None:
        """Connect lazily to ``target``; ``language`` goes into Accept-Language."""
        self.target = target
        headers = {"Accept": "application/json", "User-Agent": "postroom-cli"}
        if language:
            headers["Accept-Language"] = language
        if target.key is not None:
            if not _KEY_FORM.match(target.key.reveal()):
                cause = "the key holds a character that cannot stand in a header"
                raise CliError(
                    Exit.USAGE, cause, fix="Check POSTROOM_API_KEY: printable ASCII without blanks."
                )
            headers["Authorization"] = f"Bearer {target.key.reveal()}"
        try:
            self._client = httpx2.Client(
                base_url=target.url,
                headers=headers,
                timeout=TIMEOUT_S,
                verify=_trust(target),
                trust_env=not _is_loopback(target.url),  # a proxy never stands before this machine
            )
        except (httpx2.InvalidURL, ValueError, OSError):
            fix = "Write POSTROOM_URL as http://HOST:PORT."
            raise CliError(Exit.USAGE, "the server's URL cannot be used", fix=fix) from None

    def __enter__(self) -> Self:
        """Return the server."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._client.close()

    def ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Return the JSON object of a good answer; ``options`` are httpx2's."""
        answer = self._send(method, path, options)
        value = _json_of(answer) if answer.content else {}
        if not isinstance(value, dict):
            raise CliError(Exit.UNREACHABLE, f"what answers at {self.target.url} is not Postroom")
        return value

    def read(self, path: str) -> bytes:
        """Return the bytes of a good answer."""
        return self._send("GET", path, {"headers": {"Accept": "*/*"}}).content

    def post_for(self, path: str, body: Mapping[str, Any], media_type: str) -> bytes:
        """Return the bytes of a good answer to a JSON body, in the form that is asked for."""
        return self._send("POST", path, {"json": body, "headers": {"Accept": media_type}}).content

    def _send(self, method: str, path: str, options: Mapping[str, Any]) -> httpx2.Response:
        try:
            answer = self._client.request(method, path, **options)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise self._unreachable(error) from None
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
            fix = "Write POSTROOM_URL as http://HOST:PORT."
            raise CliError(Exit.USAGE, "the server's URL cannot be used", fix=fix) from None
        except httpx2.TransportError as error:
            cause = f"the answer of {self.target.url} was lost ({type(error).__name__})"
            raise CliError(Exit.UNFINISHED, cause, fix="Look with `postroom status`.") from None
        if answer.is_success:
            return answer
        raise self._refused(answer)

    def _unreachable(self, error: Exception) -> CliError:
        why = "the certificate is not trusted" if "CERTIFICATE" in str(error) else "no connection"
        fix = (
            f"Start it with `postroom serve --data {self.target.data}`, or set POSTROOM_URL to where it runs."
        )
        return CliError(Exit.UNREACHABLE, f"no server answers at {self.target.url}: {why}", fix=fix)

    def _refused(self, answer: httpx2.Response) -> CliError:
        problem = _json_of(answer)
        if not isinstance(problem, dict) or "title" not in problem:
            cause = f"{self.target.url} answered {answer.status_code}, not as Postroom does"
            return CliError(Exit.UNREACHABLE, cause, fix="Check POSTROOM_URL.")
        problems = [
            Problem(**{name: str(item.get(name, "")) for name in ("code", "field", "cause", "fix")})
            for item in problem.get("errors") or ()
            if isinstance(item, dict)
        ]
        cause = str(problem.get("detail") or problem["title"])
        fix = self._fix_of(answer, problems)
        code = _exit_of(answer.status_code)
        return CliError(code, cause, fix=fix, problems=problems, details=problem)

    def _fix_of(self, answer: httpx2.Response, problems: list[Problem]) -> str:
        if answer.status_code == 401:
            return (
                f"Set POSTROOM_API_KEY, or run this as the user who may read {self.target.data / FILE_NAME}."
            )
        if any(one.code == "scope-missing" for one in problems):
            own = self.target.data / FILE_NAME
            return f"Without POSTROOM_API_KEY the key in {own} is used, which may do all of it."
        if "Retry-After" in answer.headers:
            return f"Try again in {answer.headers['Retry-After']} s."
        if answer.status_code == 404:
            return "Check the id, number or name; the commands without one list what there is."
        return "" if problems else "Look into the server's log."


def _exit_of(status: int) -> Exit:
    if status in {401, 403}:
        return Exit.UNAUTHORISED
    if status in {400, 411, 413, 415, 422}:
        return Exit.USAGE
    return Exit.UNREACHABLE if status in {429, 502, 503, 504, 507} else Exit.FAILED


def _json_of(answer: httpx2.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _trust(target: Target) -> ssl.SSLContext | bool:
    if target.certificate is None:
        # Reading every authority takes longer than most commands, and without https nobody asks them.
        return urlsplit(target.url).scheme == "https" or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.create_default_context(cafile=target.certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

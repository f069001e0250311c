"""``postroom sendmail``, also under the name ``sendmail``: mail from cron, PHP, git and ``mail``.

The command line of sendmail as Postfix and others have it; exit codes are those of ``sysexits.h``. Nothing is
queued here: the mail is stored when this program ends with 0, and anything else says in one line why not.

Written without typer, httpx2 and pydantic, because it starts anew for every mail. It finds its server like
the other commands; variables may also stand in ``SYSTEM_FILE``, because cron gives none.
"""
# ruff: noqa: PLC0415 - most mails need nothing of what some need

import getopt
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn

from postroom.cli.sendmail_input import mail_of, qualified

SYSTEM_FILE = Path("/etc/postroom/sendmail.env")
"""``NAME=VALUE`` lines, read where neither the environment nor ``-C`` names a server."""
DEFAULT_URL = "http://127.0.0.1:8587"
DEFAULT_DATA = "postroom-data"
TIMEOUT_S = 60.0
PAUSES_S = (1, 3)
"""Before the second and the third try when no server answers: one that starts again is away for seconds."""

_OPTIONS = "A:B:C:D:F:GL:N:O:R:UV:X:b:e:f:h:imno:p:r:tvx"
"""Those of Postfix, Exim and sendmail. ``ADGLUXehmnpx`` are taken and mean nothing here: which file to log
to, which aliases to use, and the like."""
_FLAGS: Mapping[str, tuple[str, bool]] = {
    "t": ("takes_header", True),
    "i": ("ends_at_dot", False),
    "v": ("is_verbose", True),
}
_WORDS = {"f": "sender", "r": "sender", "F": "full_name", "C": "variables_file"}
_QUERY = {"N": "notify", "R": "return", "V": "envelope_id"}
_REFUSED_MODES = {
    "s": "SMTP on standard input is not spoken; use the SMTP door of the server",
    "d": "there is no daemon to start; `postroom serve` is the server",
    "p": "there is no queue here; `postroom status` shows the server's",
    "i": "there are no aliases",
    "v": "addresses are not verified",
    "t": "there is no test mode",
    "h": "there is no host status",
    "H": "there is no host status",
}


class Sysexit(IntEnum):
    """Exit codes that callers of sendmail know."""

    OK = 0
    USAGE = 64
    DATAERR = 65
    """The mail is refused for what stands in it."""
    NOUSER = 67
    """A recipient's address is none."""
    UNAVAILABLE = 69
    TEMPFAIL = 75
    """Nothing is stored now; the same mail may be handed in later."""
    NOPERM = 77
    CONFIG = 78


class Failed(Exception):  # noqa: N818 - what became of the mail
    """The mail was not taken."""

    def __init__(self, code: Sysexit, cause: str) -> None:
        """Take the code and one line."""
        super().__init__(cause)
        self.code = code


@dataclass(slots=True)
class _Wish:
    """What the command line says."""

    recipients: list[str] = field(default_factory=list)
    takes_header: bool = False
    ends_at_dot: bool = True
    sender: str | None = None
    full_name: str | None = None
    query: list[tuple[str, str]] = field(default_factory=list)
    variables_file: str | None = None
    is_verbose: bool = False


def run(arguments: Sequence[str]) -> int:
    """Hand one mail over; return the exit code."""
    try:
        wish = _parsed(arguments)
        domain = _own_domain()
        recipients = [qualified(_bare(text), domain) for one in wish.recipients for text in one.split(",")]
        recipients = [one for one in recipients if one]
        if not recipients and not wish.takes_header:
            _fail(Sysexit.USAGE, "no recipient; name some, or give -t to take those of the mail")
        sender = None if wish.sender is None else qualified(_bare(wish.sender), domain)
        mail = mail_of(
            sys.stdin.buffer.read(),
            ends_at_dot=wish.ends_at_dot,
            domain=domain,
            added={"From": _author(wish.full_name, sender or "", domain)},
        )
        query = [("door", "sendmail"), *(("to", one) for one in recipients), *wish.query]
        if wish.takes_header and recipients:
            query.append(("header_recipients", "true"))
        if sender is not None:
            query.append(("from", sender))
        answer = _handed_over(_server(wish.variables_file), query, mail)
    except Failed as failed:
        sys.stderr.write(f"sendmail: {failed}\n")
        return failed.code
    if wish.is_verbose:
        sys.stdout.write(f"{answer.get('id')} {answer.get('state')}\n")
    return Sysexit.OK


def _fail(code: Sysexit, cause: str) -> NoReturn:
    raise Failed(code, " ".join(cause.split()))


# ------------------------------------------------------------------ the command line


def _parsed(arguments: Sequence[str]) -> _Wish:
    ahead = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if any(one.startswith("-q") for one in ahead):
        _fail(Sysexit.USAGE, "-q: there is no queue to run here; the server sends by itself")
    try:
        options, recipients = getopt.gnu_getopt(list(arguments), _OPTIONS)
    except getopt.GetoptError as error:
        _fail(Sysexit.USAGE, error.msg)
    wish = _Wish(recipients=recipients)
    for option, value in options:
        _take(wish, option[1:], value)
    return wish


def _take(wish: _Wish, option: str, value: str) -> None:
    """Take one option; those that no table names are other sendmails', and said by the server's settings."""
    if option in _FLAGS:
        name, said = _FLAGS[option]
        setattr(wish, name, said)
    elif option in _WORDS:
        setattr(wish, _WORDS[option], value)
    elif option in _QUERY:
        wish.query += [(_QUERY[option], word) for word in value.split(",")]
    elif option == "b" and value != "m":
        _fail(Sysexit.USAGE, f"-b{value}: {_REFUSED_MODES.get(value[:1], 'there is no such mode')}")
    elif option == "B" and value.upper() not in {"7BIT", "8BITMIME"}:
        _fail(Sysexit.USAGE, f"-B {value}: 7BIT and 8BITMIME are known")
    elif option in {"o", "O"}:
        name, _, text = value.partition("=")
        if value == "i" or (name.lower() == "ignoredots" and text[:1].lower() in {"t", "y", "1"}):
            wish.ends_at_dot = False


def _bare(address: str) -> str:
    """Return an address without its name and angle brackets."""
    address = address.strip()
    if address.endswith(">"):
        address = address.rpartition("<")[2][:-1]
    return address


# ------------------------------------------------------------------ who sends


def _own_domain() -> str:
    """Return the domain of names without one: ``/etc/mailname``, else the machine's name."""
    try:
        name = Path("/etc/mailname").read_text("ascii").split()[0]
    except (OSError, ValueError, IndexError):
        name = socket.gethostname()
    return name.strip(".").lower() or "localhost"


def _author(full_name: str | None, sender: str, domain: str) -> str:
    """Return From for a mail that has none: who runs this program, or who ``-f`` says."""
    import pwd

    user, gecos = str(os.getuid()), ""
    try:
        entry = pwd.getpwuid(os.getuid())
        user, gecos = entry.pw_name, entry.pw_gecos.partition(",")[0]
    except KeyError:
        pass
    name = " ".join((gecos if full_name is None else full_name).split())
    address = sender or f"{user}@{domain}"
    if not name:
        return address
    if name.isascii() and name.isprintable():
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}" <{address}>'
    from postroom.mime.encoded_words import encode_words

    words = "\n ".join(encode_words(name.encode(errors="replace").decode(), 60))
    return f"{words} <{address}>"


# ------------------------------------------------------------------ the server


@dataclass(frozen=True, slots=True)
class _Server:
    url: str
    key: str | None
    certificate: str | None = None


def _server(variables_file: str | None) -> _Server:
    """Find the server: variables, then a file of them, then ``cli.key`` of the data directory."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("POSTROOM_") and value}
    if variables_file is not None:
        variables |= _variables_of(Path(variables_file), is_needed=True)
    elif not {"POSTROOM_URL", "POSTROOM_DATA"} & variables.keys():
        variables = _variables_of(SYSTEM_FILE, is_needed=False) | variables
    key = variables.get("POSTROOM_API_KEY")
    if key is None and (file := variables.get("POSTROOM_API_KEY_FILE")) is not None:
        try:
            key = Path(file).read_text().strip()
        except (OSError, ValueError):
            _fail(Sysexit.NOPERM, f"{file} (POSTROOM_API_KEY_FILE) cannot be read")
    if key is not None and (url := variables.get("POSTROOM_URL")):
        return _Server(url.rstrip("/"), key)
    if "POSTROOM_CONFIG" in variables or any(map(os.path.exists, (".env", "postroom.toml"))):
        return _found_by_settings(variables)
    return _of_data(variables, key)


def _found_by_settings(variables: Mapping[str, str]) -> _Server:
    """Find the server as the other commands do; slower, because settings files are read."""
    from postroom.cli.exits import CliError
    from postroom.cli.server import find_server
    from postroom.config.sources import Flags
    from postroom.errors import PostroomError

    try:
        found = find_server(Flags(), {**os.environ, **variables}, Path.cwd())
    except CliError as error:
        _fail(Sysexit.NOPERM, f"{error.cause}; {error.fix}")
    except PostroomError as error:
        _fail(Sysexit.CONFIG, str(error))
    return _Server(found.url, None if found.key is None else found.key.reveal(), found.certificate)


def _of_data(variables: Mapping[str, str], key: str | None) -> _Server:
    from postroom.config.cli_key import FILE_NAME, read_cli_key

    url = variables.get("POSTROOM_URL", "").rstrip("/")
    data = Path(variables.get("POSTROOM_DATA", DEFAULT_DATA))
    try:
        known = read_cli_key(data)
    except OSError as error:
        if not url:
            _fail(Sysexit.NOPERM, f"{data / FILE_NAME} cannot be read: {error.strerror}; set POSTROOM_URL")
        known = None
    if known is None or (url and url != known.url):
        return _Server(url or DEFAULT_URL, key)
    return _Server(known.url, key or known.key.reveal(), known.certificate)


def _variables_of(file: Path, *, is_needed: bool) -> dict[str, str]:
    """Read ``NAME=VALUE`` lines; quotes around a value go."""
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        if is_needed:
            _fail(Sysexit.CONFIG, f"-C {file}: the file cannot be read")
        return {}
    pairs = [line.removeprefix("export ").partition("=") for line in lines if not line.startswith("#")]
    return {name.strip(): value.strip().strip("'\"") for name, equals, value in pairs if equals and value}


def _handed_over(server: _Server, query: Sequence[tuple[str, str]], mail: bytes) -> Mapping[str, Any]:
    """Hand the mail over, again when the connection fails: always under one key, so it is stored once."""
    import http.client
    from urllib.parse import urlencode

    path = "/v1/messages/raw?" + urlencode(query)
    headers = {"Content-Type": "message/rfc822", "Idempotency-Key": f"sendmail-{os.urandom(16).hex()}"}
    if server.key is not None:
        headers["Authorization"] = f"Bearer {server.key}"
    why = ""
    for pause_s in (0, *PAUSES_S):
        if pause_s:
            _wait(pause_s)
        try:
            return _asked(server, path, headers, mail)
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    _fail(Sysexit.TEMPFAIL, f"no server answers at {server.url}: {why.lower()}")


def _asked(server: _Server, path: str, headers: Mapping[str, str], mail: bytes) -> Mapping[str, Any]:
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(server.url)
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    connection: http.client.HTTPConnection
    if parts.scheme == "http" and host:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    elif parts.scheme == "https" and host:
        connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=_trust(server))
    else:
        _fail(Sysexit.CONFIG, "POSTROOM_URL is not http://HOST:PORT")
    try:
        with suppress(
            BrokenPipeError, ConnectionResetError
        ):  # what is too large is answered before all is read
            connection.request("POST", parts.path + path, mail, dict(headers))
        answer = connection.getresponse()
        return _judged(server, answer.status, answer.read())
    finally:
        connection.close()


def _trust(server: _Server) -> Any:
    import ssl

    context = ssl.create_default_context(cafile=server.certificate)
    if server.certificate is not None:  # the file says which certificate it must be, whatever its name
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _judged(server: _Server, status: int, body: bytes) -> Mapping[str, Any]:
    """Return a good answer; of another one the code and the causes."""
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        _fail(Sysexit.CONFIG, f"{server.url} answered {status}, not as Postroom does")
    if status in (200, 202):
        return found
    problems = [one for one in found.get("errors") or () if isinstance(one, dict)]
    causes = [f"{one.get('field')}: {one.get('cause')}" for one in problems]
    cause = "; ".join(causes) or str(found.get("detail") or found.get("title"))
    if status == 401:
        cause += "; the key is POSTROOM_API_KEY, of the environment or the settings of sendmail"
    if {"recipients-missing"} == {one.get("code") for one in problems}:
        _fail(Sysexit.USAGE, cause)
    fields = {str(one.get("field")).partition(".")[0] for one in problems}
    _fail(_code_of(status, is_recipient=bool(fields) and fields <= {"to", "cc", "bcc"}), cause)


def _code_of(status: int, *, is_recipient: bool) -> Sysexit:
    if status in (401, 403):
        return Sysexit.NOPERM
    if status in (408, 429, 502, 503, 504, 507) or status == 500:
        return Sysexit.TEMPFAIL
    if status in (400, 422):
        return Sysexit.NOUSER if is_recipient else Sysexit.DATAERR
    return Sysexit.UNAVAILABLE


def _wait(seconds: float) -> None:
    import asyncio

    from postroom.clock import SystemClock

    asyncio.run(SystemClock().sleep(seconds))

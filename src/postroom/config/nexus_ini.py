"""The INI file of a Nexus mail API, read as it is.

Pure, beside ``read_nexus_ini``, which opens the file. The file belongs to somebody else: what is not known
is a warning with the nearest known name, never an error; only a known key with an unusable value is one.
Values are verbatim up to the line's end: no interpolation and no inline comments, so a password may hold
``%``, ``;`` and ``#``.
"""

import configparser
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from postroom.errors import ConfigError, Problem
from postroom.grammar import HOST_NAME
from postroom.model.secret import Secret
from postroom.schema.quantities import nearest

KNOWN = {
    "api": ("domain", "api_port", "https", "cert_password"),
    "email": ("smtp_url", "smtp_username", "smtp_password", "from_mail"),
    "thread": ("max_client",),
}
"""Sections and keys the file may hold."""

_WITH_PATH = re.compile(r"([^:/?#]+://[^/?#]*)/([^/?#]+)\Z")
_LOGIN_OPTIONS = re.compile(r"://[^/?#@]*;auth=[^/?#]*@", re.IGNORECASE)
_YES = {
    "yes": True,
    "true": True,
    "1": True,
    "on": True,
    "no": False,
    "false": False,
    "0": False,
    "off": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NexusIni:
    """What the file says; ``None`` where it says nothing."""

    domain: str | None = None
    api_port: int | None = None
    https: bool = False
    smtp_url: Secret | None = None
    """Wrapped because such a URL may carry a login."""
    smtp_username: str | None = None
    smtp_password: Secret | None = None
    from_mail: str | None = None
    max_client: int | None = None
    warnings: tuple[str, ...] = ()


def without_greeting(url: str) -> tuple[str, str | None]:
    """Return a URL without its path, and the path when it is a host name: libcurl greets with that."""
    found = _WITH_PATH.match(url)
    if found is None or not HOST_NAME.match(found[2]):
        return url, None
    return found[1], found[2]


def has_login_options(url: str) -> bool:
    """Say whether the login of a URL has options, which libcurl would read."""
    return _LOGIN_OPTIONS.search(url) is not None


def read_nexus_ini(path: Path) -> NexusIni:
    """Read the file. Raises ConfigError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        cause = f"cannot be read: {(error.strerror or 'unknown reason').lower()}"
        fix = f"Check that {path} exists and may be read."
        raise ConfigError([Problem(code="file", field="nexus.config", cause=cause, fix=fix)]) from error
    return parse_nexus_ini(data, name=path.name)


def parse_nexus_ini(data: bytes, *, name: str) -> NexusIni:
    """Read the file's bytes: UTF-8 with or without a mark, else CP949.

    Raises ConfigError with every problem found.
    """
    parser = configparser.ConfigParser(
        interpolation=None, strict=False, delimiters=("=",), default_section="\0", allow_no_value=True
    )
    try:
        parser.read_string(_text(data, name), source=name)
    except configparser.Error as error:
        line = getattr(error, "lineno", None) or next(iter(getattr(error, "errors", [])), (None,))[0]
        cause = f"not an INI file at line {line}" if line else "not an INI file"
        fix = "Each line is [section], key = value, or a comment that begins with # or ;."
        raise ConfigError([Problem(code="ini-syntax", field=name, cause=cause, fix=fix)]) from None
    return _Values(parser, name).read()


def _text(data: bytes, name: str) -> str:
    for encoding in ("utf-8-sig", "cp949"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    fix = "Save the file as UTF-8."
    raise ConfigError([Problem(code="ini-encoding", field=name, cause="neither UTF-8 nor CP949", fix=fix)])


class _Values:
    """The parsed file being understood, key by key."""

    def __init__(self, parser: configparser.ConfigParser, name: str) -> None:
        self._name = name
        self._problems: list[Problem] = []
        self._warnings: list[str] = []
        self._found: dict[str, str] = {}
        for section in parser.sections():
            self._collect(section, parser[section])

    def _collect(self, section: str, entries: configparser.SectionProxy) -> None:
        known = KNOWN.get(section.strip().lower())
        if known is None:
            self._warn_unknown("section", section, KNOWN)
            return
        for key, value in entries.items():
            if key not in known:
                self._warn_unknown(f"key in [{section}]", key, known)
            elif value and "\n" in value:
                self._report(section, key, "goes over several lines", "Write it in one line, not indented.")
            elif value:
                self._found[key] = value

    def _warn_unknown(self, what: str, name: str, known: Collection[str]) -> None:
        """Repeat a name only where it is near a known one: else it may be a piece of a wrapped password."""
        near = nearest(name, known)
        told = f"{name}; did you mean {near}?" if near else f"known are {', '.join(known)}"
        self._warn(f"an unknown {what} is ignored: {told}")

    def read(self) -> NexusIni:
        if "cert_password" in self._found:
            self._warn("cert_password is not used: the key file of tls_key has no password")
        ini = NexusIni(
            domain=self._found.get("domain"),
            api_port=self._number("api", "api_port", 65535),
            https=self._yes("api", "https"),
            smtp_url=self._secret("smtp_url"),
            smtp_username=self._found.get("smtp_username"),
            smtp_password=self._secret("smtp_password"),
            from_mail=self._found.get("from_mail"),
            max_client=self._number("thread", "max_client", 1_000_000),
            warnings=tuple(self._warnings),
        )
        if self._problems:
            raise ConfigError(self._problems)
        return ini

    def _secret(self, key: str) -> Secret | None:
        return Secret(self._found[key]) if key in self._found else None

    def _number(self, section: str, key: str, highest: int) -> int | None:
        text = self._found.get(key)
        if text is None:
            return None
        if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= highest:
            return int(text)
        self._report(section, key, f"not a number from 1 to {highest}", "Write digits only.")
        return None

    def _yes(self, section: str, key: str) -> bool:
        text = self._found.get(key, "no").lower()
        if text not in _YES:
            self._report(section, key, "neither yes nor no", "Write yes or no.")
        return _YES.get(text, False)

    def _report(self, section: str, key: str, cause: str, fix: str) -> None:
        field = f"{self._name} [{section}] {key}"
        self._problems.append(Problem(code="ini-value", field=field, cause=cause, fix=fix))

    def _warn(self, sentence: str) -> None:
        self._warnings.append(f"{self._name}: {sentence}")

"""Where settings come from: the TOML file, then the environment with ``.env`` under it, then flags.

Reads files and lays the sources over each other into one raw document; what its values mean is for
``load``. Light on purpose: the command line asks it for the data directory without loading the models.
An empty variable counts as unset, as container tools pass them.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from postroom.errors import Problem
from postroom.schema.quantities import did_you_mean

DEFAULT_HTTP = "127.0.0.1:8587"
"""8025 belongs to other mail tools."""
DEFAULT_DATA = "postroom-data"
DEFAULT_CONFIG = "postroom.toml"

VARIABLES: dict[str, tuple[str, ...]] = {
    "POSTROOM_DATA": ("data",),
    "POSTROOM_HTTP": ("http", "listen"),
    "POSTROOM_TLS_CERT": ("http", "tls_cert"),
    "POSTROOM_TLS_KEY": ("http", "tls_key"),
    "POSTROOM_SMTP": ("smtp", "listen"),
    "POSTROOM_SMTP_CERT": ("smtp", "tls_cert"),
    "POSTROOM_SMTP_KEY": ("smtp", "tls_key"),
    "POSTROOM_SMTP_NAMES": ("smtp", "names"),
    "POSTROOM_SMTP_KEYLESS": ("smtp", "keyless"),
    "POSTROOM_SMTP_NETWORKS": ("smtp", "networks"),
    "POSTROOM_PUBLIC_URL": ("http", "public_url"),
    "POSTROOM_TRUSTED_PROXIES": ("http", "trusted_proxies"),
    "POSTROOM_FROM": ("from",),
    "POSTROOM_FAILURES_TO": ("failures_to",),
    "POSTROOM_CAPTURE": ("capture",),
    "POSTROOM_API_KEY": ("api_key",),
    "POSTROOM_API_KEY_FILE": ("api_key_file",),
    "POSTROOM_SECRET_KEY": ("secret_key",),
    "POSTROOM_SECRET_KEY_FILE": ("secret_key_file",),
    "POSTROOM_SENDER_PROCESS": ("sender_process",),
    "POSTROOM_NEXUS_CONFIG": ("nexus", "config"),
    "POSTROOM_HAP_CONFIG": ("hap_config",),
    "POSTROOM_HAP_SECRET": ("hap", "secret"),
    "POSTROOM_HAP_SECRET_FILE": ("hap", "secret_file"),
    "POSTROOM_TEMPLATES": ("templates", "directory"),
    "POSTROOM_TEMPLATE_PACKAGES": ("templates", "packages"),
    "POSTROOM_LOG_JSON": ("log", "json"),
}
"""Variables and the setting each one is."""
TRANSPORT_VARIABLES = ("POSTROOM_TRANSPORT", "POSTROOM_TRANSPORT_FILE")
"""``url`` and ``url_file`` of the one transport."""
OTHER_VARIABLES = ("POSTROOM_CONFIG", "POSTROOM_URL")
"""The settings file, and the server the command line talks to."""
KNOWN_VARIABLES = (*VARIABLES, *TRANSPORT_VARIABLES, *OTHER_VARIABLES)

SMTP_VARIABLES = (
    "SMTP_ACTIVE",
    "SMTP_SERVER",
    "SMTP_PORT",
    "SMTP_USERNAME",
    "SMTP_PASSWORD",
    "SMTP_PASSWORD_FILE",
    "SMTP_EMAIL",
)
"""An account as other programs name it, used when no transport is set."""

_SERVICE_LINK = re.compile(
    r"POSTROOM_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_[0-9]+_(?:TCP|UDP)(?:_\w+)?)\Z"
)
"""Kubernetes adds these to every pod beside a service named ``postroom`` or ``postroom-...``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What the command line says; ``None`` and empty where it says nothing."""

    config: Path | None = None
    env_file: Path | None = None
    data: Path | None = None
    http: tuple[str, ...] = ()
    capture: bool = False
    nexus_config: Path | None = None
    hap_config: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    smtp: tuple[str, ...] = ()
    smtp_cert: Path | None = None
    smtp_key: Path | None = None


@dataclass(slots=True, kw_only=True)
class Sources:
    """All sources laid over each other."""

    document: dict[str, Any]
    """The raw settings, in the form of the TOML file."""
    origins: dict[tuple[str, ...], str] = field(default_factory=dict)
    """Settings that did not come from the file, and the variable or flag that gave them."""
    variables: dict[str, str] = field(default_factory=dict)
    """The known variables that are set, ``.env`` included."""
    config: Path | None = None
    """The settings file that was read."""
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def put(self, path: tuple[str, ...], value: object, *, origin: str) -> None:
        """Lay one value over what the file says."""
        table = self.document
        for name in path[:-1]:
            inner = table.get(name)
            if not isinstance(inner, dict):
                inner = table[name] = {}
            table = inner
        table[path[-1]] = value
        # A secret and the file that holds it are one setting: the later source replaces both.
        table.pop(path[-1].removesuffix("_file") if path[-1].endswith("_file") else f"{path[-1]}_file", None)
        self.origins[path] = origin

    def report(self, code: str, field: str, cause: str, fix: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(code=code, field=field, cause=cause, fix=fix))


def read_sources(flags: Flags, environ: Mapping[str, str], cwd: Path) -> Sources:
    """Read the files and lay file, environment and flags over each other."""
    sources = Sources(document={})
    variables = sources.variables = _variables(flags, environ, cwd, sources)
    _read_file(flags, variables, cwd, sources)
    for name, path in VARIABLES.items():
        if name in variables:
            _refuse_both(name, variables, sources)
            sources.put(path, variables[name], origin=name)
    for name, key in zip(TRANSPORT_VARIABLES, ("url", "url_file"), strict=True):
        if name in variables:
            _refuse_both(name, variables, sources)
            _put_transport(key, variables[name], name, sources)
    _put_flags(flags, sources)
    return sources


def data_directory(sources: Sources, cwd: Path) -> Path:
    """Return the absolute data directory, also when other settings are wrong."""
    value = sources.document.get("data", DEFAULT_DATA)
    return cwd.absolute() / Path(value if isinstance(value, str) else DEFAULT_DATA).expanduser()


def _variables(flags: Flags, environ: Mapping[str, str], cwd: Path, sources: Sources) -> dict[str, str]:
    """Return the variables that matter; a real one wins over ``.env``."""
    found = {name: value for name, value in _env_file(flags, cwd, sources).items() if value}
    found |= {name: value for name, value in environ.items() if value}
    kept: dict[str, str] = {}
    for name, value in found.items():
        if name in KNOWN_VARIABLES or name in SMTP_VARIABLES:
            kept[name] = value
        elif name.startswith("POSTROOM_") and not _is_service_link(name, value):
            fix = did_you_mean(name, KNOWN_VARIABLES)
            sources.report("unknown-variable", name, "no such variable", fix)
    return kept


def _is_service_link(name: str, value: str) -> bool:
    return bool(_SERVICE_LINK.match(name)) or (name.endswith("_PORT") and "://" in value)


def _env_file(flags: Flags, cwd: Path, sources: Sources) -> Mapping[str, str | None]:
    path = cwd / (flags.env_file if flags.env_file is not None else ".env")
    if not path.is_file():
        if flags.env_file is not None:
            sources.report("file", "--env-file", "there is no such file", f"Check that {path} exists.")
        return {}
    try:
        return dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError):
        field = "--env-file" if flags.env_file is not None else ".env"
        sources.report("file", field, "cannot be read as UTF-8 text", f"Check {path}.")
        return {}


def _read_file(flags: Flags, variables: Mapping[str, str], cwd: Path, sources: Sources) -> None:
    named = flags.config if flags.config is not None else variables.get("POSTROOM_CONFIG")
    path = cwd / (named if named is not None else DEFAULT_CONFIG)
    if named is None and not path.is_file():
        return
    origin = (
        "--config" if flags.config is not None else "POSTROOM_CONFIG" if named is not None else DEFAULT_CONFIG
    )
    try:
        sources.document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        cause = f"cannot be read: {(error.strerror or 'unknown reason').lower()}"
        sources.report("file", origin, cause, f"Check that {path} exists and may be read.")
    except UnicodeDecodeError:
        sources.report("file", origin, "not UTF-8 text", f"Save {path} as UTF-8.")
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at (.*)\)", str(error))
        cause = f"not TOML at {where[1]}" if where else "not TOML"
        sources.report("toml", origin, cause, f"Correct {path}; text values stand in quotes.")
    sources.config = path


def _refuse_both(name: str, variables: Mapping[str, str], sources: Sources) -> None:
    if f"{name}_FILE" in variables:
        sources.report("given-twice", name, f"set together with {name}_FILE", "Set one of them.")


def _put_transport(key: str, value: str, name: str, sources: Sources) -> None:
    """Give the one transport of the file its URL, or make one."""
    transports = sources.document.setdefault("transports", [])
    if isinstance(transports, Sequence) and not transports:
        transports = sources.document["transports"] = [{}]
    if not isinstance(transports, list) or not all(isinstance(entry, dict) for entry in transports):
        return  # the models refuse it
    if len(transports) != 1:
        cause = "the settings file has more than one transport, so it is not clear which one this is"
        fix = "Give each of them url or url_file in the settings file."
        sources.report("transport-ambiguous", name, cause, fix)
        return
    transports[0].pop("url", None)
    transports[0].pop("url_file", None)
    transports[0][key] = value
    sources.origins["transports", "0", key] = name


def _put_flags(flags: Flags, sources: Sources) -> None:
    if flags.http:
        sources.put(("http", "listen"), list(flags.http), origin="--http")
    if flags.smtp:
        sources.put(("smtp", "listen"), list(flags.smtp), origin="--smtp")
    if flags.capture:
        sources.put(("capture",), True, origin="--capture")
    for path, value in (
        (("data",), flags.data),
        (("http", "tls_cert"), flags.tls_cert),
        (("http", "tls_key"), flags.tls_key),
        (("nexus", "config"), flags.nexus_config),
        (("hap_config",), flags.hap_config),
    ):
        if value is not None:
            sources.put(path, str(value), origin=f"--{path[-1].replace('_', '-')}")
    for name, file in (("cert", flags.smtp_cert), ("key", flags.smtp_key)):
        if file is not None:
            sources.put(("smtp", f"tls_{name}"), str(file), origin=f"--smtp-{name}")
    if flags.nexus_config is not None:
        sources.origins["nexus", "config"] = "--nexus-config"

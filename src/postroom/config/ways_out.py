"""The transports of this run: from the document, else a Nexus file, else ``SMTP_*`` variables, else none.

The URL of a single transport may name several, ``failover(URL URL)``: each becomes a transport named by its
host, and the group is the default route; names of stored transports may stand in it too. Reads secret files.
Problems and warnings are collected, not raised, and never contain a secret.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from postroom.config.document import Document
from postroom.config.hap_config import read_hap_config
from postroom.config.nexus_ini import NexusIni, has_login_options, without_greeting
from postroom.config.routes import absent_legs, swallow_problem
from postroom.config.settings import AbsentLeg
from postroom.config.sources import TRANSPORT_VARIABLES, Sources
from postroom.errors import ConfigError, Problem
from postroom.model.address import AddressError, Mailbox, parse_mailbox
from postroom.model.route import Route, RouteKind
from postroom.model.secret import Secret
from postroom.model.transport import TlsMode, TransportKind, TransportOrigin, TransportSpec
from postroom.schema.hook_mapping import MAX_MAPPING, read_mapping
from postroom.schema.transport_fields import OAuthSection, TransportFields
from postroom.schema.transport_names import name_by_host
from postroom.schema.transport_spec import Setting, spec_of
from postroom.schema.transport_url import GROUP, SMTPS_PORT, SUBMISSION_PORT

_MAX_SECRET_FILE = 64 * 1024
"""Bytes of a file that holds one secret (security limit): a wrong path may name anything."""


HAP_NAME = "hap"
"""Of the transport that ``appextensions.json`` describes."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_\-]{0,39},?\Z")
"""In a group: a transport made by a call."""
_Kind = TypeVar("_Kind", TransportFields, OAuthSection)


class WaysOut:
    """Resolves the transports; ``specs`` is the result."""

    def __init__(self, document: Document, ini: NexusIni, sources: Sources, cwd: Path) -> None:
        """Take what was read; nothing is resolved yet."""
        self._document = document
        self._ini = ini
        self._sources = sources
        self._cwd = cwd
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.default_route: Route | None = None
        """Given by a group of URLs and names; else the first transport."""
        self.absent_legs: tuple[AbsentLeg, ...] = ()
        """Of that group."""

    def specs(self) -> tuple[TransportSpec, ...]:
        """Return the transports; those that could not be read are in ``problems``."""
        hap = self._from_hap() if self._document.hap_config is not None else ()
        return (*hap, *self._others(has_hap=self._document.hap_config is not None))

    def _others(self, *, has_hap: bool) -> tuple[TransportSpec, ...]:
        if has_hap and not self._document.transports:
            return ()
        if self._document.transports:
            if self._ini.smtp_url is not None:
                self.warnings.append(
                    "smtp_url of the Nexus file is not used: transports are configured elsewhere"
                )
            self._refuse_doubles()
            return tuple(
                spec
                for index, section in enumerate(self._document.transports)
                for spec in self._configured(index, section)
            )
        if self._ini.smtp_url is not None:
            return self._one(self._from_ini(self._ini.smtp_url))
        return self._one(self._from_smtp_variables())

    def secret(
        self, field: str, given: Secret | None, file: str | None, *, is_password: bool = False
    ) -> Secret | None:
        """Return the secret itself or the content of its file.

        Line ends at its end are no part of it, nor are blanks around anything but a password.
        """
        if file is None:
            return given
        if given is not None:
            self._report("given-twice", field, "set together with the file that holds it", "Set one of them.")
        path = self._cwd / Path(file).expanduser()
        try:
            with path.open("rb") as opened:
                text = opened.read(_MAX_SECRET_FILE).decode("utf-8-sig").rstrip("\r\n")
        except OSError as error:
            cause = f"its file cannot be read: {(error.strerror or 'unknown reason').lower()}"
            self._report("secret-file", field, cause, f"Check that {path} exists and may be read.")
            return None
        except UnicodeDecodeError:
            self._report("secret-file", field, "its file is not UTF-8 text", f"Check {path}.")
            return None
        text = text if is_password else text.strip()
        if not text:
            self._report("secret-file", field, "its file is empty", f"Write the secret into {path}.")
            return None
        return Secret(text)

    def _configured(self, index: int, section: TransportFields) -> Sequence[TransportSpec]:
        names = self._names(index)
        is_variable = any(names.get(key) in TRANSPORT_VARIABLES for key in ("url", "url_file"))
        setting = Setting(
            prefix=f"transports.{index}",
            names=names,
            origin=TransportOrigin.ENVIRONMENT if is_variable else TransportOrigin.FILE,
            default_from=self._document.from_,
            directory=self._cwd,
        )
        count = len(self.problems)
        section = self._with_files(section, setting)
        if section.ca_file is not None and not (self._cwd / section.ca_file).is_file():
            field = setting.named("ca_file")
            self._report("file", field, "there is no such file", f"Check {self._cwd / section.ca_file}.")
        if len(self.problems) > count:
            return ()
        group = GROUP.match(section.url.reveal()) if section.url is not None else None
        if group is not None:
            return self._group(section, RouteKind(group[1].lower()), group[2].split(), setting)
        return self._one(self._spec(section, setting))

    def _names(self, index: int) -> dict[str, str]:
        """Return the fields of a transport that were written elsewhere or otherwise, and how."""
        at = ("transports", str(index))
        return {
            ".".join(path[2:]): origin for path, origin in self._sources.origins.items() if path[:2] == at
        }

    def _with_files(self, section: TransportFields, setting: Setting) -> TransportFields:
        """Put the content of every named file in place of its path."""
        for key in ("url", "password"):
            section = self._with_file(section, key, setting, f"{key}_file")
        if section.mapping_file is not None:
            section = self._with_mapping(section, section.mapping_file, setting)
        if section.oauth is not None:
            oauth = self._with_file(section.oauth, "secret", setting, "oauth.secret_file")
            section = section.model_copy(update={"oauth": oauth})
        return section

    def _with_file(self, section: _Kind, key: str, setting: Setting, path: str) -> _Kind:
        file = getattr(section, f"{key}_file")
        if file is None:
            return section
        secret = self.secret(setting.named(path), getattr(section, key), file, is_password=key == "password")
        return section.model_copy(update={key: secret, f"{key}_file": None})

    def _with_mapping(self, section: TransportFields, name: str, setting: Setting) -> TransportFields:
        if section.mapping is not None:
            cause = "set together with the file that holds it"
            self._report("given-twice", setting.named("mapping"), cause, "Set one of them.")
        path, field = self._cwd / Path(name).expanduser(), setting.named("mapping_file")
        try:
            with path.open("rb") as opened:
                data = opened.read(MAX_MAPPING + 1)
        except OSError as error:
            cause = f"its file cannot be read: {(error.strerror or 'unknown reason').lower()}"
            self._report("file", field, cause, f"Check that {path} exists and may be read.")
            return section
        mapping, problems = read_mapping(data, name=path.name, field=field)
        self.problems.extend(problems)
        return section.model_copy(update={"mapping": mapping, "mapping_file": None})

    def _group(
        self, section: TransportFields, kind: RouteKind, urls: Sequence[str], setting: Setting
    ) -> Sequence[TransportSpec]:
        """Make a transport of each URL and the default route of all."""
        given_by = setting.names.get("url_file") or setting.named("url")
        if len(self._document.transports) > 1:
            cause = f"{kind}(...) of URLs beside other transports"
            fix = "Give each URL a [[transports]] table, and write the group in [[routes]]."
            self._report("transport-group", given_by, cause, fix)
            return ()
        if not urls:
            self._report(
                "transport-group", given_by, f"{kind}() names no URL", "Write URLs, with blanks between."
            )
        specs: dict[str, TransportSpec] = {}
        legs, named_legs = list[str](), {text.strip(",") for text in urls if _NAME.match(text)}
        for number, text in enumerate(urls):
            if (leg := text.strip(",")) in named_legs:
                legs.append(leg)
                continue
            one = section.model_copy(update={"url": Secret(text.strip(","))})
            named = replace(setting, names={**setting.names, "url": f"{given_by}.{number}"})
            name = name_by_host(spec_of(one, named).spec, {*specs, *named_legs})
            spec = self._spec(one.model_copy(update={"name": name}), named)
            if spec is not None:
                specs[name] = spec
                legs.append(name)
        if len(set(legs)) < len(legs):
            self._report("transport-group", given_by, "a transport stands there twice", "Name each once.")
        elif legs:
            self.default_route = Route(tuple(legs), kind)
            self.absent_legs = tuple(absent_legs(self.default_route, specs, given_by))
            problem = swallow_problem([spec.kind for spec in specs.values()], given_by)
            self.problems.extend(() if problem is None else (problem,))
        return tuple(specs.values())

    def _spec(self, section: TransportFields, setting: Setting) -> TransportSpec | None:
        read = spec_of(section, setting)
        self.problems.extend(read.problems)
        self.warnings.extend(read.warnings)
        return read.spec

    def _refuse_doubles(self) -> None:
        names = Counter(section.name for section in self._document.transports)
        for name, count in names.items():
            if count > 1:
                cause = f"{count} transports have the name {name!r}"
                self._report("transport-name", "transports", cause, "Give each its own name.")

    def _from_ini(self, url: Secret) -> TransportSpec | None:
        if "://" not in url.reveal():
            self.warnings.append("smtp_url has no scheme and is read as smtp://")
            url = Secret(f"smtp://{url.reveal()}")
        names = {
            "url": "[email] smtp_url",
            "username": "[email] smtp_username",
            "password": "[email] smtp_password",
        }
        setting = Setting(names=names, origin=TransportOrigin.FILE, default_from=self._document.from_)
        plain, greeting = without_greeting(url.reveal())
        if has_login_options(plain):
            cause, fix = "has ;AUTH= in its login", "Leave it out: the login is made as the server offers it."
            self._report("url-login-options", "[email] smtp_url", cause, fix)
            return None
        user = self._ini.smtp_username
        password = self._ini.smtp_password if user is not None else None
        account = {
            "url": Secret(plain),
            "username": user,
            "password": password,
            "from_": self.ini_sender(),
            "ehlo_name": greeting,
        }
        return self._spec(_fields("nexus", account), setting)

    def _from_hap(self) -> tuple[TransportSpec, ...]:
        """Return the webhook of HAP's own file."""
        try:
            found = read_hap_config(self._cwd / Path(self._document.hap_config or "").expanduser())
        except ConfigError as error:
            self.problems.extend(error.problems)
            return ()
        self.warnings.extend(found.warnings)
        if any(section.name == HAP_NAME for section in self._document.transports):
            cause = f"a transport is named {HAP_NAME!r}, as that of hap_config is"
            self._report("transport-name", "transports", cause, "Give it another name.")
        names = {
            "url": "WebhookUrl",
            "headers": "WebhookHeaders",
            "verify": "CertificateValidation",
        }
        setting = Setting(names=names, origin=TransportOrigin.FILE, default_from=self._document.from_)
        webhook = {"kind": TransportKind.WEBHOOK, "url": found.url, "headers": found.headers or None}
        return self._one(self._spec(_fields(HAP_NAME, {**webhook, "verify": found.verify}), setting))

    def ini_sender(self) -> Mailbox | None:
        """Return ``from_mail`` of the Nexus file; a wrong one is reported."""
        return self._sender("[email] from_mail", self._ini.from_mail)

    def _sender(self, field: str, text: str | None) -> Mailbox | None:
        if text is None:
            return None
        try:
            return parse_mailbox(text)
        except AddressError as error:
            if not any(problem.field == field for problem in self.problems):
                self._report("address-syntax", field, error.cause, error.fix)
            return None

    def _from_smtp_variables(self) -> TransportSpec | None:
        smtp = self._sources.variables
        active = smtp.get("SMTP_ACTIVE", "false").lower()
        if active in {"false", "0", "no", "off"}:
            if "SMTP_SERVER" in smtp:
                self.warnings.append("SMTP_SERVER is set but SMTP_ACTIVE is not true, so it is not used")
            return None
        if active not in {"true", "1", "yes", "on"}:
            self._report("setting-value", "SMTP_ACTIVE", "neither true nor false", "Write true or false.")
            return None
        host, port = smtp.get("SMTP_SERVER"), self._smtp_port(smtp.get("SMTP_PORT"))
        password = self.secret(
            "SMTP_PASSWORD",
            Secret(smtp["SMTP_PASSWORD"]) if "SMTP_PASSWORD" in smtp else None,
            smtp.get("SMTP_PASSWORD_FILE"),
        )
        user = smtp.get("SMTP_USERNAME")
        if not host:
            self._report(
                "transport-host-missing", "SMTP_SERVER", "missing while SMTP_ACTIVE is true", "Set it."
            )
        if (user is None) != (password is None):
            cause = "SMTP_USERNAME and SMTP_PASSWORD are not set together"
            self._report("login-incomplete", "SMTP_USERNAME", cause, "Set both or neither.")
            user = password = None
        sender = self._sender("SMTP_EMAIL", smtp.get("SMTP_EMAIL"))
        if not host or port is None:
            return None
        tls = TlsMode.IMPLICIT if port == SMTPS_PORT else TlsMode.STARTTLS
        account = {"host": host, "port": port, "encryption": tls, "username": user, "password": password}
        setting = Setting(
            names={
                "host": "SMTP_SERVER",
                "port": "SMTP_PORT",
                "username": "SMTP_USERNAME",
                "password": "SMTP_PASSWORD",
            },
            origin=TransportOrigin.ENVIRONMENT,
            default_from=self._document.from_,
        )
        return self._spec(_fields("smtp", {**account, "from_": sender}), setting)

    def _smtp_port(self, text: str | None) -> int | None:
        if text is None:
            return SUBMISSION_PORT
        if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535:
            return int(text)
        self._report("setting-value", "SMTP_PORT", "not a number from 1 to 65535", "Use 587 or 465.")
        return None

    def _one(self, spec: TransportSpec | None) -> tuple[TransportSpec, ...]:
        return () if spec is None else (spec,)

    def _report(self, code: str, field: str, cause: str, fix: str) -> None:
        self.problems.append(Problem(code=code, field=field, cause=cause, fix=fix))


def _fields(name: str, values: Mapping[str, object]) -> TransportFields:
    """Return the description of an account that came from elsewhere, its values already of their types."""
    given = {key: value for key, value in values.items() if value is not None}
    return TransportFields(name=name).model_copy(update=given)

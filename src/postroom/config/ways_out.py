"""The transports of this run: from the document, else a Nexus file, else ``SMTP_*`` variables, else none.

The URL of a single transport may name several, ``failover(URL URL)``: each becomes a transport named by its
host, and the group is the default route. Reads secret files. Problems and warnings are collected, not raised,
and never contain a secret.
"""

import itertools
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from postroom.config.document import Document, TimeoutsSection, TransportSection
from postroom.config.nexus_ini import NexusIni
from postroom.config.routes import swallow_problem
from postroom.config.sources import Sources
from postroom.config.transport_url import SMTPS_PORT, SUBMISSION_PORT, TransportUrl, parse_transport_url
from postroom.errors import ConfigError, Problem
from postroom.model.address import AddressError, Mailbox, parse_mailbox
from postroom.model.route import Route, RouteKind
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, StepTimeouts, TlsMode, TransportKind, TransportSpec

_MAX_SECRET_FILE = 64 * 1024
"""Bytes of a file that holds one secret (security limit): a wrong path may name anything."""


_NOT_IN_NAMES = re.compile(r"[^a-z0-9_\-]+")
_GROUP = re.compile(r"\s*(failover|roundrobin)\s*\((.*)\)\s*\Z", re.DOTALL | re.IGNORECASE)


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
        """Given by a group of URLs; else the first transport."""

    def specs(self) -> tuple[TransportSpec, ...]:
        """Return the transports; those that could not be read are in ``problems``."""
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

    def secret(self, field: str, given: Secret | None, file: str | None) -> Secret | None:
        """Return the secret itself or the content of its file without the last line end."""
        if file is None:
            return given
        if given is not None:
            self._report("given-twice", field, "set together with the file that holds it", "Set one of them.")
        path = self._cwd / Path(file).expanduser()
        try:
            with path.open("rb") as opened:
                text = opened.read(_MAX_SECRET_FILE).decode("utf-8-sig").strip()
        except OSError as error:
            cause = f"its file cannot be read: {(error.strerror or 'unknown reason').lower()}"
            self._report("secret-file", field, cause, f"Check that {path} exists and may be read.")
            return None
        except UnicodeDecodeError:
            self._report("secret-file", field, "its file is not UTF-8 text", f"Check {path}.")
            return None
        if not text:
            self._report("secret-file", field, "its file is empty", f"Write the secret into {path}.")
            return None
        return Secret(text)

    def _configured(self, index: int, section: TransportSection) -> Sequence[TransportSpec]:
        names = {
            key: self._sources.origins.get(("transports", str(index), key), f"transports.{index}.{key}")
            for key in ("url", "url_file")
        }
        given_by = names["url_file"] if section.url_file is not None else names["url"]
        url = self.secret(given_by, section.url, section.url_file)
        if url is None:
            if section.url_file is None:
                cause, fix = "a transport without a URL", "Set url, url_file or POSTROOM_TRANSPORT."
                self._report("transport-url-missing", given_by, cause, fix)
            return ()
        if section.ca_file is not None and not (self._cwd / section.ca_file).is_file():
            field = f"transports.{index}.ca_file"
            self._report("file", field, "there is no such file", f"Check {self._cwd / section.ca_file}.")
        group = _GROUP.match(url.reveal())
        if group is not None:
            return self._group(section, RouteKind(group[1].lower()), group[2].split(), given_by)
        read = self._read_url(url, given_by)
        return () if read is None else (self._spec(section, read, own_from=section.from_),)

    def _group(
        self, section: TransportSection, kind: RouteKind, urls: Sequence[str], given_by: str
    ) -> Sequence[TransportSpec]:
        """Make a transport of each URL and the default route of all."""
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
        for number, text in enumerate(urls):
            read = self._read_url(Secret(text.rstrip(",")), f"{given_by}.{number}")
            if read is not None:
                name = _name_of(read, specs)
                one = section.model_copy(update={"name": name})
                specs[name] = self._spec(one, read, own_from=section.from_)
        if specs:
            self.default_route = Route(tuple(specs), kind)
            problem = swallow_problem([spec.kind for spec in specs.values()], given_by)
            self.problems.extend(() if problem is None else (problem,))
        return tuple(specs.values())

    def _spec(
        self, section: TransportSection, read: TransportUrl, *, own_from: Mailbox | None
    ) -> TransportSpec:
        account = read.account
        if account is not None:
            account = replace(
                account,
                allow_plaintext_login=section.allow_plaintext_login,
                ca_file=str(self._cwd / section.ca_file) if section.ca_file is not None else None,
                verify=section.verify,
                auth=section.auth,
            )
            self._warn_of(section.name, account)
        sender = own_from or self._document.from_ or _account_as_sender(account)
        if sender is None and account is not None:
            self.warnings.append(
                f"transport {section.name} has no sender: messages that name none are refused; set from"
            )
        return TransportSpec(
            name=section.name,
            kind=read.kind,
            account=account,
            default_from=sender,
            subject_prefix=section.subject_prefix,
            ehlo_name=section.ehlo_name,
            rates=section.rate,
            max_connections=section.max_connections,
            max_recipients=section.max_recipients,
            max_messages=section.max_messages,
            max_idle_s=section.max_idle,
            max_age_s=section.max_age,
            pipelining=section.pipelining,
            timeouts=_timeouts(section.timeouts),
        )

    def _warn_of(self, name: str, account: SmtpAccount) -> None:
        if not account.verify:
            self.warnings.append(f"transport {name} does not check the server's certificate (verify = false)")
        if account.tls is TlsMode.NONE and account.password is not None and not _is_loopback(account.host):
            allowed = account.allow_plaintext_login
            what = "is sent" if allowed else "is not sent unless allow_plaintext_login is set"
            self.warnings.append(f"transport {name} is not encrypted; the password {what}")

    def _read_url(self, url: Secret, field: str) -> TransportUrl | None:
        try:
            read = parse_transport_url(url.reveal(), field=field)
        except ConfigError as error:
            self.problems.extend(error.problems)
            return None
        self.warnings.extend(read.warnings)
        return read

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
        read = self._read_url(url, "[email] smtp_url")
        if read is None:
            return None
        user, password = self._ini.smtp_username, self._ini.smtp_password
        if read.account is not None and user is not None:
            if password is None:
                fix = "Set smtp_password, or remove smtp_username for a server without login."
                self._report("login-incomplete", "[email] smtp_password", "missing beside smtp_username", fix)
            read = replace(read, account=replace(read.account, username=user, password=password))
        return self._spec(TransportSection(name="nexus"), read, own_from=self.ini_sender())

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
        host, port = smtp.get("SMTP_SERVER", ""), self._smtp_port(smtp.get("SMTP_PORT"))
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
        sender = self._sender("SMTP_EMAIL", smtp.get("SMTP_EMAIL"))
        if not host or port is None:
            return None
        tls = TlsMode.IMPLICIT if port == SMTPS_PORT else TlsMode.STARTTLS
        account = SmtpAccount(host=host, port=port, tls=tls, username=user, password=password)
        read = TransportUrl(kind=TransportKind.SMTP, account=account)
        return self._spec(TransportSection(name="smtp"), read, own_from=sender)

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


def _name_of(read: TransportUrl, taken: Collection[str]) -> str:
    """Name a transport of a group by its host, in the form of a name; a second one gets a number."""
    host = read.account.host if read.account is not None else read.kind.value
    base = _NOT_IN_NAMES.sub("-", host).strip("-_")[:36] or "way"
    names = (base if number == 1 else f"{base}-{number}" for number in itertools.count(1))
    return next(name for name in names if name not in taken)


def _account_as_sender(account: SmtpAccount | None) -> Mailbox | None:
    if account is None or account.username is None:
        return None
    try:
        return parse_mailbox(account.username)
    except AddressError:
        return None


def _timeouts(section: TimeoutsSection | None) -> StepTimeouts | None:
    return None if section is None else StepTimeouts(**section.model_dump(exclude_none=True))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

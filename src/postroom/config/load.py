"""From flags, environment and files to ``Settings``, or to every error at once.

Reads the files that settings name (certificates are only looked for). The way: lay the sources over each
other (``sources``), make the raw document typed (``document``), resolve the ways out (``ways_out``), put the
rest together here, and look at the whole (``checks``).
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from postroom.config.alerts_section import alert_rules, alert_warnings
from postroom.config.checks import exposure_problems, keyless_problems, keyless_warnings
from postroom.config.document import Document
from postroom.config.hap import hap_problems, hap_settings, hap_warnings
from postroom.config.http_section import HttpSection, ListenSection
from postroom.config.nexus_ini import NexusIni, read_nexus_ini
from postroom.config.routes import read_routes
from postroom.config.settings import (
    AbsentLeg,
    ClassSettings,
    DiskSettings,
    DoorLimits,
    FailureSettings,
    HapSettings,
    HttpDoor,
    Listener,
    NexusSettings,
    ReportSettings,
    Settings,
    TlsFiles,
    WebhookSettings,
)
from postroom.config.smtp import keyless_smtp_problems, smtp_settings, smtp_warnings
from postroom.config.smtp_section import SmtpSection
from postroom.config.sources import Flags, Sources, data_directory, read_sources
from postroom.config.templates_section import template_settings
from postroom.config.ways_out import WaysOut
from postroom.engine.limits import MessageLimits
from postroom.errors import ConfigError, Problem, StoreError
from postroom.grammar import HOST_NAME
from postroom.model.alert_rules import AlertRules
from postroom.model.message import MailClass
from postroom.model.secret import Secret
from postroom.model.transport import TransportKind, TransportSpec
from postroom.policy.routing import RouteRule
from postroom.ports import Retention
from postroom.schema.findings import Place, found_problems
from postroom.schema.transport_forms import plain_form
from postroom.schema.written import Section
from postroom.spool.secret_key import given_keys

MIN_API_KEY = 20
"""Characters of a bootstrap key (security limit): fewer can be guessed."""

DATABASE = "postroom.sqlite"
"""Of a store that was opened before, in its directory."""
_ROUNDS = 3
"""Of leaving out what is wrong: a table without its wrong value may be wrong as a whole."""
_KEY_FORM = re.compile(r"[!-~]+\Z")
_Kind = TypeVar("_Kind", MessageLimits, DoorLimits, DiskSettings)


def load(flags: Flags, environ: Mapping[str, str], cwd: Path) -> Settings:
    """Return the settings of this run. Raises ConfigError with every problem found."""
    loading = _Loading(read_sources(flags, environ, cwd), cwd)
    settings = loading.settings()
    if loading.problems:
        raise ConfigError(loading.problems)
    return settings


class _Loading:
    """One reading of the settings; finds every problem before it gives up."""

    def __init__(self, sources: Sources, cwd: Path) -> None:
        self._cwd = cwd
        self._sources = sources
        self.problems = sources.problems
        self._document, self._broken = typed_document(sources)
        self._provider_files = self._read_providers()
        self._ini = self._read_ini()
        self._ways = WaysOut(self._document, self._ini, sources, cwd)
        self._warnings = [*sources.warnings, *self._ini.warnings]
        self._absent_legs: tuple[AbsentLeg, ...] = ()

    def settings(self) -> Settings:
        document, ways = self._document, self._ways
        specs = ways.specs()
        if document.capture and specs:
            self._warnings.append("capture is asked for: the configured transports are not used")
        tls = self._tls("http", document.http)
        key_field = self._named("api_key" if document.api_key_file is None else "api_key_file")
        given = document.api_key
        key = ways.secret(
            key_field, None if given is None else Secret(given.reveal().strip()), document.api_key_file
        )
        if key is not None:
            self._check_key(key, key_field)
        is_capturing = document.capture or all(spec.kind is TransportKind.CAPTURE for spec in specs)
        uses_routes = not is_capturing or not (specs or document.capture)  # a stored transport may come
        settings = Settings(
            data=Path(os.path.normpath(data_directory(self._sources, self._cwd))),
            listeners=self._listeners(tls),
            tls=tls,
            public_url=document.http.public_url,
            trusted_proxies=document.http.trusted_proxies,
            transports=() if document.capture else specs,
            capture=document.capture,
            default_from=document.from_,
            bootstrap_key=key,
            secret_key=self._secret_key(),
            sender_process=document.sender_process,
            provider_files=self._provider_files,
            message_limits=_taken(MessageLimits, document.limits),
            door_limits=self._door_limits(),
            retention=Retention(**{name: timedelta(days=days) for name, days in document.retention}),
            disk=_taken(DiskSettings, document.disk),
            nexus=self._nexus(is_capturing=is_capturing),
            hap=self._hap(),
            smtp=smtp_settings(document.smtp, tls=self._tls("smtp", document.smtp)),
            classes=_classes(document),
            routes=self._routes(specs, is_used=uses_routes),
            absent_legs=(*self._absent_legs, *ways.absent_legs),
            default_route=ways.default_route if uses_routes else None,
            failures=FailureSettings(to=document.failures_to, every=_span(document.failures_every)),
            reports=ReportSettings(
                **{**dict(document.reports), "delayed_after": _span(document.reports.delayed_after)}
            ),
            webhooks=WebhookSettings(
                timeout_s=document.webhooks.timeout, keep_trying=_span(document.webhooks.keep_trying)
            ),
            templates=template_settings(document.templates, self._sources, self._cwd),
            allowed_networks=document.egress.allowed_networks,
            blocked=document.recipients.blocked,
            alerts=self._alerts(),
            suppress_automatically=document.suppress_automatically,
            metrics_public=document.metrics.public,
            uncertain_alarm=_span(document.uncertain_alarm),
            log_json=document.log.json_,
        )
        self.problems.extend(ways.problems)
        self._look_at(settings)
        absent = tuple(leg.warning for leg in settings.absent_legs)
        warnings = (*self._warnings, *ways.warnings, *absent, *keyless_warnings(settings))
        return replace(settings, warnings=warnings)

    def _routes(self, specs: Sequence[TransportSpec], *, is_used: bool) -> tuple[RouteRule, ...]:
        """Return the rules; none while everything is captured, but what is wrong is told all the same."""
        is_known = not (self._broken & {"transports"} or self._ways.problems)
        read = read_routes(self._document.routes, transports=specs if is_known else None)
        self.problems.extend(read.problems)
        self._warnings.extend(read.warnings)
        self._absent_legs = read.absent
        return read.rules if is_used else ()

    def _alerts(self) -> AlertRules:
        rules, problems = alert_rules(self._document.alerts)
        # What was left out because it is wrong is not missing.
        told = tuple(problem.field for problem in self.problems)
        self.problems.extend(one for one in problems if not any(f.startswith(one.field) for f in told))
        if not problems:
            self._warnings.extend(alert_warnings(rules))
        return rules

    def _look_at(self, settings: Settings) -> None:
        """Judge the whole, where no part that matters to the judgement was left out."""
        # A store may have transports of its own: whoever opens it judges then.
        is_known = bool(settings.transports) or not (settings.data / DATABASE).exists()
        if is_known and not self._broken & {"http", "transports", "capture"} and not self._ways.problems:
            self.problems.extend(exposure_problems(settings))
        if not self._broken & {"http", "hap"}:
            section = self._document.hap
            self.problems.extend(hap_problems(settings, section, secret_field=self._hap_secret_field()))
            self._warnings.extend(hap_warnings(settings, section))
        if not self._broken & {"http", "smtp"}:
            self.problems.extend(keyless_smtp_problems(settings))
            self._warnings.extend(smtp_warnings(settings))
        if not self._broken & {"http", "nexus"}:
            is_set = self._document.nexus.keyless is True
            is_asked = is_set or self._document.nexus.config is not None
            self.problems.extend(keyless_problems(settings, is_asked=is_asked, is_set=is_set))
        if (
            self._document.nexus.config is None
            or settings.is_capturing
            or self._broken
            or self._ways.problems
        ):
            return
        if settings.nexus.from_ is None and settings.transports[0].default_from is None:
            cause = "the Nexus doors have no sender: their requests name none"
            fix = "Set from_mail in the Nexus file, nexus.from or from."
            self._report("sender-missing", "nexus.from", cause, fix)

    def _read_ini(self) -> NexusIni:
        if self._document.nexus.config is None:
            return NexusIni()
        try:
            return read_nexus_ini(self._cwd / Path(self._document.nexus.config).expanduser())
        except ConfigError as error:
            self.problems.extend(error.problems)
            self._broken.update({"nexus", "transports"})
            return NexusIni()

    def _read_providers(self) -> tuple[Path, ...]:
        """Put the files of providers to work; without any the shipped knowledge holds as it is."""
        files = tuple(
            self._cwd.absolute() / Path(name).expanduser() for name in self._document.providers.files
        )
        if files:
            from postroom.providers.files import load_overrides  # noqa: PLC0415 - few need it; 20 ms of a start

            self.problems.extend(load_overrides(files))
        return files

    def _secret_key(self) -> Secret | None:
        document = self._document
        field = self._named("secret_key" if document.secret_key_file is None else "secret_key_file")
        key = self._ways.secret(field, document.secret_key, document.secret_key_file)
        if key is None:
            return None
        try:
            given_keys(key)
        except StoreError:
            fix = "Write 32 bytes in Base64 or 64 hex digits; `openssl rand -base64 32` makes one."
            self._report("secret-key", field, "not a key", fix)
        return key

    def _tls(self, table: str, section: HttpSection | SmtpSection | ListenSection) -> TlsFiles | None:
        paths = {}
        for name, value in (("tls_cert", section.tls_cert), ("tls_key", section.tls_key)):
            path = None if value is None else self._cwd.absolute() / Path(value).expanduser()
            if path is not None and not path.is_file():
                self._report("file", self._named(table, name), "there is no such file", f"Check {path}.")
            paths[name] = path
        cert, key = paths["tls_cert"], paths["tls_key"]
        if (cert is None) != (key is None):
            missing, given = ("tls_key", "tls_cert") if key is None else ("tls_cert", "tls_key")
            self._report(
                "tls-incomplete", f"{table}.{missing}", f"missing beside {given}", "Set both or neither."
            )
        return TlsFiles(cert=cert, key=key) if cert is not None and key is not None else None

    def _listeners(self, tls: TlsFiles | None) -> tuple[Listener, ...]:
        tables = enumerate(self._document.http.listen)
        found = [one for number, table in tables if (one := self._listener(number, table, tls)) is not None]
        if self._ini.api_port is not None and all(self._ini.api_port != listener.port for listener in found):
            beyond = any(not ip_network(net).is_loopback for net in self._document.nexus.networks)
            host = "0.0.0.0" if beyond else "127.0.0.1"  # noqa: S104 - only when networks are listed
            port, https = self._ini.api_port, self._ini.https
            found.append(Listener(host=host, port=port, tls=https, doors=(HttpDoor.NEXUS,)))
        if self._ini.https and tls is None and not any(listener.files for listener in found):
            fix = "Set http.tls_cert and http.tls_key, or https = no."
            self._report("tls-incomplete", "[api] https", "yes, but there is no certificate", fix)
        return tuple(found)

    def _listener(self, number: int, table: ListenSection, tls: TlsFiles | None) -> Listener | None:
        """Return one address with its own certificate, else the general one."""
        field = f"http.listen.{number}.address"
        if table.address is None:
            if all(problem.field != field for problem in self.problems):
                self._report("setting-missing", field, "missing", "Write the address as HOST:PORT.")
            return None
        own = self._tls(f"http.listen.{number}", table)
        if table.tls and own is None and tls is None:
            fix = "Set tls_cert and tls_key."
            self._report("tls-incomplete", f"http.listen.{number}.tls", "true without a certificate", fix)
        is_tls = table.tls is not False and (own or tls) is not None
        return replace(table.address, tls=is_tls, files=own, doors=table.doors)

    def _check_key(self, key: Secret, field: str) -> None:
        if len(key.reveal()) < MIN_API_KEY:
            cause = f"shorter than {MIN_API_KEY} characters"
            self._report(
                "api-key", field, cause, "Use a long random one, for example from `openssl rand -hex 32`."
            )
        elif not _KEY_FORM.match(key.reveal()):
            cause = "holds a character that cannot stand in an Authorization header"
            self._report("api-key", field, cause, "Use printable ASCII without blanks.")

    def _nexus(self, *, is_capturing: bool) -> NexusSettings:
        section = self._document.nexus
        http = self._document.http
        is_behind_proxy = http.public_url is not None or bool(http.trusted_proxies)
        keyless = section.keyless
        if keyless is None:
            keyless = section.config is not None or is_capturing
        if keyless and is_behind_proxy and section.config is not None:
            self._warnings.append("the Nexus doors ask for a key because a proxy may stand before Postroom")
        ini_domain = self._ini_domain()
        return NexusSettings(
            answer=section.answer,
            wait_s=section.wait,
            networks=section.networks,
            hosts=self._hosts(ini_domain),
            keyless=keyless and not is_behind_proxy,
            keyless_by_capture=section.keyless is None and section.config is None,
            tenant_networks=section.tenant_networks,
            tenant_ports=section.tenant_ports,
            tenant_plaintext_login=section.tenant_plaintext_login,
            max_tenant_accounts=section.max_tenant_accounts,
            domain=section.domain or ini_domain,
            from_=section.from_ or self._ways.ini_sender(),
        )

    def _hap(self) -> HapSettings:
        section, http = self._document.hap, self._document.http
        secret = None if section.secret is None else Secret(section.secret.reveal().strip())
        name = section.ca_file
        ca_file = None if name is None else self._cwd.absolute() / Path(name).expanduser()
        if ca_file is not None and not ca_file.is_file():
            self._report("file", "hap.ca_file", "there is no such file", f"Check {ca_file}.")
        return hap_settings(
            section,
            secret=self._ways.secret(self._hap_secret_field(), secret, section.secret_file),
            hosts=self._hosts(None),
            ca_file=ca_file,
            is_open=http.public_url is None and not http.trusted_proxies,
        )

    def _hap_secret_field(self) -> str:
        return self._named("hap", "secret" if self._document.hap.secret_file is None else "secret_file")

    def _ini_domain(self) -> str | None:
        domain = self._ini.domain
        if domain is None or HOST_NAME.match(domain):
            return domain.lower() if domain is not None else None
        self._warnings.append("[api] domain is not a domain name and is not used")
        return None

    def _hosts(self, ini_domain: str | None) -> tuple[str, ...]:
        """Return the names callers may use: those set, those listened on, and the Nexus file's own."""
        named = {one.address.host.lower() for one in self._document.http.listen if one.address is not None}
        named = named - {"0.0.0.0", "::"} | {ini_domain or ""} - {""}  # noqa: S104 - these are no names
        return tuple(sorted(named.union(self._document.nexus.hosts)))

    def _door_limits(self) -> DoorLimits:
        limits = _taken(DoorLimits, self._document.limits)
        if self._ini.max_client is None or "max_connections" in self._document.limits.model_fields_set:
            return limits
        return replace(limits, max_connections=self._ini.max_client)

    def _named(self, *path: str) -> str:
        """Return the setting as its reader wrote it: a variable, a flag, or its place in the file."""
        return self._sources.origins.get(path, ".".join(path))

    def _report(self, code: str, field: str, cause: str, fix: str) -> None:
        self.problems.append(Problem(code=code, field=field, cause=cause, fix=fix))


def _taken(kind: type[_Kind], section: Section) -> _Kind:
    """Make ``kind`` from the settings of the same names."""
    return kind(**{name: getattr(section, name) for name in kind.__dataclass_fields__})


def _classes(document: Document) -> dict[MailClass, ClassSettings]:
    changed = {}
    for name, section in document.classes:
        if section.model_fields_set:
            spans = {
                key: _span(value)
                for key in ("expires", "first_retry", "max_retry")
                if (value := getattr(section, key)) is not None
            }
            changed[MailClass(name)] = ClassSettings(
                **spans,
                retry=section.retry,
                uncertain=section.uncertain,
                uncertain_failover=section.uncertain_failover,
            )
    return changed


def _span(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def typed_document(sources: Sources) -> tuple[Document, set[str]]:
    """Return the document without what is wrong in it, and the first names of the paths that were wrong.

    Every wrong value is reported to ``sources`` and left out, so that the rest can be looked at too.
    """
    is_incomplete = any(
        problem.code in {"file", "toml", "transport-ambiguous"} for problem in sources.problems
    )
    broken = {"http", "transports", "nexus"} if is_incomplete else set[str]()
    _turn_forms(sources)

    def named(path: Place) -> str:
        keys = [tuple(map(str, path[:size])) for size in range(len(path), 0, -1)]
        return next((sources.origins[key] for key in keys if key in sources.origins), ".".join(keys[0]))

    told: set[Place] = set()
    for _ in range(_ROUNDS):
        try:
            return Document.model_validate(sources.document), broken
        except ValidationError as error:
            for path, problem in found_problems(error, Document, named):
                if all(one[: len(path)] != path for one in told):  # else it lacks what was left out
                    sources.problems.append(problem)
                told.add(path)
                broken.add(str(path[0]))
                _leave_out(sources.document, path)
    return Document.model_validate(sources.document), broken


def _turn_forms(sources: Sources) -> None:
    """Put our own names where an account is written in another program's."""
    tables = sources.document.get("transports")
    for index, table in enumerate(tables if isinstance(tables, list) else ()):
        if not isinstance(table, dict):
            continue
        plain = plain_form(table, prefix=f"transports.{index}")
        sources.problems += plain.problems
        sources.warnings += plain.warnings
        # What is wrong is told; a harmless stand-in lets everything else be looked at.
        table_now = {"name": f"wrong-{index}", "url": "capture:"} if plain.problems else plain.document
        sources.document["transports"][index] = table_now
        sources.origins |= {("transports", str(index), ours): key for ours, key in plain.names.items()}


def _leave_out(raw: Any, path: tuple[int | str, ...]) -> None:
    """Remove the innermost named value on ``path``; nothing when an earlier finding took it along."""
    spot: tuple[dict[str, Any], str] | None = None
    value = raw
    for part in path:
        if isinstance(value, dict):
            if part not in value:
                return
            spot = (value, str(part))
        elif not isinstance(value, list):
            break
        value = value[part]
    if spot is not None:
        del spot[0][spot[1]]

"""What the description of a transport comes to: a ``TransportSpec``, or every problem at once.

Pure: files that are named are neither read nor looked for; whoever reads files puts the content in place of
the path first. One encryption model for every form (``docs/transports.md``). What is not said is filled in
from the provider, found by its id or by the host; what a person said is never replaced but for the slips that
the warnings name. No problem and no warning contains a secret.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path

from postroom.errors import ConfigError, Problem
from postroom.model.address import Mailbox
from postroom.model.secret import Secret
from postroom.model.transport import (
    FromPolicy,
    SmtpAccount,
    StepTimeouts,
    TlsMode,
    TransportKind,
    TransportOrigin,
    TransportSpec,
)
from postroom.providers import catalogue
from postroom.providers.provider import FromRule, Provider
from postroom.schema import ses
from postroom.schema.credentials import HIDDEN, clean_secret, read_grant
from postroom.schema.hook_spec import MAX_RECIPIENTS, Findings, is_hook, read_hook, refuse_hook_fields
from postroom.schema.known_providers import (
    endpoint_of,
    hints_of,
    hostless_problem,
    known_provider,
    login_name,
    mailbox_of,
    port_warning,
    usual_mode,
    usual_port,
)
from postroom.schema.transport_fields import TransportFields
from postroom.schema.transport_url import GROUP, SUBMISSION_PORT, parse_proxy_url, parse_transport_url
from postroom.schema.url_parts import plain_host

_PIN = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a transport is described within."""

    prefix: str = ""
    """Where the fields stand, such as ``transports.0``; empty for a body of its own."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Fields that were written under another name (a variable, another program's key), and that name."""
    origin: TransportOrigin = TransportOrigin.STORED
    default_from: Mailbox | None = None
    """The general sender."""
    directory: Path | None = None
    """Where relative paths start; ``None`` keeps them as they are."""
    is_locked: bool = False
    """The secrets cannot be read now: ``*****`` stands for them, and nothing may be sent."""

    def named(self, key: str) -> str:
        """Return a field as its reader wrote it."""
        first, dot, rest = key.partition(".")
        written = self.names.get(key) or (f"{self.names[first]}{dot}{rest}" if first in self.names else "")
        return written or (f"{self.prefix}.{key}" if self.prefix else key)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTransport:
    """What was understood."""

    spec: TransportSpec | None
    """``None`` when there are problems."""
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()


def spec_of(fields: TransportFields, setting: Setting | None = None) -> ReadTransport:
    """Return what the fields come to, with every problem and warning."""
    return _Reading(fields, setting or Setting()).read()


class _Reading:
    """One description being understood; finds every problem before it gives up."""

    def __init__(self, fields: TransportFields, setting: Setting) -> None:
        self._fields = fields
        self._setting = setting
        self._problems: list[Problem] = []
        self._warnings: list[str] = []

    def read(self) -> ReadTransport:
        self._refuse_files()
        if is_hook(self._fields):
            return self._read_hook()
        refuse_hook_fields(self._fields, self._findings())
        kind, account = self._base()
        if kind is not None and self._fields.kind not in {None, kind}:
            self._report("transport-kind", "kind", f"what is described is {kind}", "Leave kind out.")
        if account is not None:
            account = self._connected(self._logged_in(account))
        provider = None if account is None else _known(account)
        if account is not None:
            self._warn_of(account, provider)
        spec = None if self._problems or kind is None else self._spec(kind, account, provider)
        return ReadTransport(spec=spec, problems=tuple(self._problems), warnings=tuple(self._warnings))

    def _findings(self) -> Findings:
        setting = self._setting
        return Findings(
            named=setting.named,
            problems=self._problems,
            warnings=self._warnings,
            directory=setting.directory,
            is_locked=setting.is_locked,
        )

    def _read_hook(self) -> ReadTransport:
        hook = read_hook(self._fields, self._findings())
        spec = None
        if hook is not None and not self._problems:
            given = self._fields.model_fields_set
            recipients = self._fields.max_recipients if "max_recipients" in given else MAX_RECIPIENTS
            spec = replace(
                self._spec(TransportKind.WEBHOOK, None, None), hook=hook, max_recipients=recipients
            )
            if spec.default_from is None:
                self._warn_all("has no sender: messages that name none are refused; set from")
        return ReadTransport(spec=spec, problems=tuple(self._problems), warnings=tuple(self._warnings))

    def _spec(
        self, kind: TransportKind, account: SmtpAccount | None, provider: Provider | None
    ) -> TransportSpec:
        fields = self._fields
        mailbox = None if account is None or account.address is None else Mailbox(account.address)
        hints = hints_of(provider, mailbox)
        sender = fields.from_ or self._setting.default_from or mailbox
        if sender is None and account is not None:
            self._warn_all("has no sender: messages that name none are refused; set from")
        return TransportSpec(
            name=fields.name,
            kind=kind,
            account=account,
            default_from=sender,
            from_policy=fields.from_policy or _policy_of(provider),
            receivers=fields.receivers,
            origin=self._setting.origin,
            subject_prefix=fields.subject_prefix,
            ehlo_name=fields.ehlo_name,
            rates=fields.rate or hints.rates,
            max_connections=self._limit("max_connections", hints.connections),
            max_recipients=self._limit("max_recipients", hints.recipients),
            max_messages=self._limit("max_messages", hints.messages),
            max_idle_s=fields.max_idle,
            max_age_s=fields.max_age,
            pipelining=fields.pipelining,
            timeouts=None
            if fields.timeouts is None
            else StepTimeouts(**fields.timeouts.model_dump(exclude_none=True)),
        )

    def _limit(self, name: str, hint: int | None) -> int:
        own: int = getattr(self._fields, name)
        return own if hint is None or name in self._fields.model_fields_set else min(own, hint)

    # ------------------------------------------------------------------ where to

    def _base(self) -> tuple[TransportKind | None, SmtpAccount | None]:
        fields = self._fields
        if fields.kind is TransportKind.CAPTURE and fields.url is None:
            return TransportKind.CAPTURE, None
        if fields.url is not None:
            for key in ("host", "port", "encryption"):
                if getattr(fields, key) is not None:
                    cause = "set together with url, which says it too"
                    self._report("given-twice", key, cause, "Set url, or host, port and encryption.")
            return self._from_url(fields.url)
        provider = self._provider(fields.provider) if fields.provider is not None else None
        if fields.provider is not None and provider is None:
            return None, None
        host = plain_host(fields.host) if fields.host is not None else None
        if fields.host is not None and host is None:
            fix = "Write the server's name or its IP address, without port and scheme."
            self._report("url-host", "host", "not a host name or address", fix)
            return None, None
        if host is None and provider is None:
            cause, fix = "a transport without a server", "Set url, host or provider."
            self._report("transport-url-missing", "url", cause, fix)
            return None, None
        if host is None and provider is not None and not provider.host:
            self._problems.append(hostless_problem(provider, self._setting.named("host")))
            return None, None
        return TransportKind.SMTP, self._endpoint(host, provider)

    def _from_url(self, url: Secret) -> tuple[TransportKind | None, SmtpAccount | None]:
        if GROUP.match(url.reveal()):
            cause, fix = "several URLs where one transport is described", "Make one of each URL, and a route."
            self._report("transport-group", "url", cause, fix)
            return None, None
        try:
            read = parse_transport_url(url.reveal(), field=self._setting.named("url"))
        except ConfigError as error:
            self._problems.extend(error.problems)
            return None, None
        self._warnings.extend(read.warnings)
        account = read.account
        if account is not None and self._fields.provider is not None:
            found = self._provider(self._fields.provider)
            account = replace(account, provider=found.id if found is not None else None)
        return read.kind, account

    def _provider(self, id: str) -> Provider | None:  # noqa: A002 - the word of the settings
        found, problem = known_provider(id, self._setting.named("provider"))
        if problem is not None:
            self._problems.append(problem)
        return found

    def _endpoint(self, host: str | None, named: Provider | None) -> SmtpAccount:
        port, mode = self._fields.port, self._fields.encryption
        provider = named or (catalogue.by_host(host) if host is not None else None)
        if provider is not None:
            end = endpoint_of(provider, port=port, mode=mode)
            port, mode = end.port, end.mode
        elif port is None:
            mode = mode or TlsMode.IMPLICIT
            port = usual_port(mode)
        mode = mode or usual_mode(port)
        if port == SUBMISSION_PORT and mode is TlsMode.IMPLICIT:
            self._warn("port 587 usually speaks plain first; if it does, STARTTLS is required", "encryption")
        if port == 465 and mode in {TlsMode.STARTTLS, TlsMode.OPPORTUNISTIC}:
            self._warn("port 465 speaks TLS from the first byte; it is used so", "encryption")
            mode = TlsMode.IMPLICIT
        return SmtpAccount(
            host=host or (provider.host if provider is not None else ""),
            port=port,
            tls=mode,
            provider=provider.id if provider is not None else None,
        )

    # ------------------------------------------------------------------ who

    def _logged_in(self, account: SmtpAccount) -> SmtpAccount:
        fields, provider = self._fields, _known(account)
        username, password = fields.username, fields.password
        if account.username is not None and (username is not None or password is not None):
            self._warn("its login gives way to the one that is set beside it", "url")
            account = replace(account, password=None)
        username = username or account.username
        password = password if password is not None else account.password
        if fields.access_key_id is not None or fields.secret_access_key is not None:
            if username is not None or password is not None:
                cause = "an access key beside another login"
                self._report("given-twice", "access_key_id", cause, "Give one of them.")
            username, password = fields.access_key_id, fields.secret_access_key
        grant = read_grant(fields.oauth, provider, self._setting.named, self._problems)
        if grant is not None:
            self._refuse_hidden(grant.secret, "oauth.secret")
            self._refuse_hidden(grant.client_secret, "oauth.client_secret")
        key = "url" if fields.password is None and fields.secret_access_key is None else "password"
        password = self._cleaned(password, provider, key)
        if username is not None:
            username = self._login_name(username, provider)
        elif (password is not None or grant is not None) and provider is not None:
            username = self._login_from_sender(provider)
        if grant is not None and password is not None:
            cause = "a password beside a login with a token"
            self._report("given-twice", "password", cause, "Give password or oauth.")
        elif (username is None) != (password is None and grant is None):
            missing, given = ("username", "password") if username is None else ("password", "username")
            beside = self._setting.named(given).removeprefix(f"{self._setting.prefix}.").rpartition(" ")[2]
            self._report("login-incomplete", missing, f"missing beside {beside}", "Set both or neither.")
        if username is not None and password is not None:
            password = self._derived(username, password, account.host)
        mailbox = mailbox_of(username, provider, fields.from_.address if fields.from_ is not None else None)
        return replace(account, username=username, password=password, oauth=grant, mailbox=mailbox)

    def _login_name(self, username: str, provider: Provider | None) -> str:
        if provider is None:
            return username
        sender = self._fields.from_ or self._setting.default_from
        name, warning = login_name(provider, username, sender.address.spec if sender else None)
        if warning:
            self._warn(warning, "username")
        return name

    def _login_from_sender(self, provider: Provider) -> str | None:
        sender = self._fields.from_ or self._setting.default_from
        return provider.login_of(sender.address.spec if sender is not None else "")

    def _refuse_hidden(self, secret: Secret | None, key: str) -> None:
        if secret == Secret(HIDDEN) and not self._setting.is_locked:
            cause = f"{HIDDEN} stands for a stored secret, and none is stored"
            self._report("secret-missing", key, cause, "Give the secret itself.")

    def _cleaned(self, password: Secret | None, provider: Provider | None, key: str) -> Secret | None:
        if password is None:
            return None
        self._refuse_hidden(password, key)
        cleaned, warnings = clean_secret(password, provider)
        for warning in warnings:
            self._warn(warning, key)
        if not cleaned:
            self._report("secret-empty", key, "empty", "Give the secret, or leave out username too.")
        return cleaned

    def _derived(self, username: str, password: Secret, host: str) -> Secret:
        if not ses.is_access_key(username, password) and self._fields.secret_access_key is None:
            return password
        region = ses.region_of(host)
        if region is None:
            if self._fields.secret_access_key is not None:
                cause = "an access key fits only a server of Amazon SES"
                fix = "Set host to email-smtp.REGION.amazonaws.com, or give username and password."
                self._report("access-key-host", "access_key_id", cause, fix)
            return password
        self._warn(f"the SMTP password was derived from the access key, for {region} only", "password")
        return ses.smtp_password(password, region)

    # ------------------------------------------------------------------ how

    def _connected(self, account: SmtpAccount) -> SmtpAccount:
        fields = self._fields
        proxy = account.proxy
        if fields.proxy is not None:
            if proxy is not None:
                self._report("given-twice", "proxy", "the URL names a proxy too", "Name it once.")
            try:
                proxy = parse_proxy_url(fields.proxy.reveal(), field=self._setting.named("proxy"))
            except ConfigError as error:
                self._problems.extend(error.problems)
        self._refuse_hidden(proxy.password if proxy is not None else None, "proxy")
        return replace(
            account,
            allow_plaintext_login=fields.allow_plaintext_login,
            ca_file=self._path(fields.ca_file),
            verify=fields.verify,
            auth=fields.auth,
            proxy=proxy,
            source_address=self._source(),
            server_name=fields.server_name,
            pin=self._pin(),
        )

    def _path(self, text: str | None) -> str | None:
        if text is None or self._setting.directory is None:
            return text
        return str(self._setting.directory / text)

    def _source(self) -> str | None:
        text = self._fields.source_address
        if text is None:
            return None
        try:
            return str(ip_address(text))
        except ValueError:
            fix = "Write an address of this machine, such as 192.0.2.7."
            self._report("source-address", "source_address", "not an IP address", fix)
            return None

    def _pin(self) -> str | None:
        if self._fields.pin is None:
            return None
        pin = re.sub(r"[:\s]", "", self._fields.pin).lower()
        if not _PIN.match(pin):
            fix = "Write the 64 digits that `openssl x509 -noout -fingerprint -sha256` prints."
            self._report("pin", "pin", "not a SHA-256 in hexadecimal", fix)
        return pin

    def _refuse_files(self) -> None:
        fields = self._fields
        named = {"url_file": fields.url_file, "password_file": fields.password_file}
        named["oauth.secret_file"] = fields.oauth.secret_file if fields.oauth is not None else None
        for key, path in named.items():
            if path is not None:
                cause = "names a file of the server, which only the settings file may do"
                self._report("file-not-here", key, cause, "Send the secret itself; it is kept encrypted.")

    def _warn_of(self, account: SmtpAccount, provider: Provider | None) -> None:
        if not account.verify:
            self._warn_all(
                "does NOT check the server's certificate (verify = false): "
                "anybody in between can read the mail and the password"
            )
        if account.tls is TlsMode.NONE and account.password is not None and not _is_loopback(account.host):
            allowed = account.allow_plaintext_login
            what = "is sent" if allowed else "is not sent unless allow_plaintext_login is set"
            self._warn_all(f"is not encrypted; the password {what}")
        if provider is not None and (warning := port_warning(provider, account.port)):
            self._warn(warning, "port")

    def _report(self, code: str, key: str, cause: str, fix: str) -> None:
        self._problems.append(Problem(code=code, field=self._setting.named(key), cause=cause, fix=fix))

    def _warn(self, sentence: str, key: str) -> None:
        self._warnings.append(f"{self._setting.named(key)}: {sentence}")

    def _warn_all(self, predicate: str) -> None:
        self._warnings.append(f"transport {self._fields.name} {predicate}")


def _known(account: SmtpAccount) -> Provider | None:
    return catalogue.provider(account.provider) if account.provider is not None else None


def _policy_of(provider: Provider | None) -> FromPolicy:
    """Rewrite where the provider takes no other From than the account."""
    is_strict = provider is not None and provider.from_rule is FromRule.EQUALS_ACCOUNT
    return FromPolicy.REWRITE if is_strict else FromPolicy.KEEP


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""The webhook of a transport: from its fields to a ``HookTarget``, or every problem at once.

Written ``hap+https://HOST/PATH`` anywhere a transport URL may stand, or ``kind = "webhook"`` beside an
``https://`` URL. Pure; no problem contains a header's value, a secret or anything of the URL.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from postroom.errors import Problem
from postroom.model.secret import Secret
from postroom.model.transport import HookForm, HookTarget, TransportKind
from postroom.policy.hook_url import HookUrl
from postroom.policy.hooking import SECRET_PREFIX, signature
from postroom.schema.credentials import HIDDEN
from postroom.schema.hook_mapping import PROFILES, header_problems, mapping_problems, profile
from postroom.schema.quantities import did_you_mean
from postroom.schema.transport_fields import TransportFields
from postroom.schema.url_parts import Authority

HOOK_SCHEMES = {"hap+https": True, "hap+http": False}
"""Scheme to whether it is encrypted."""
PLAIN_SCHEMES = {"https": True, "http": False}
"""Taken where ``kind`` says that it is a webhook."""
DEFAULT_TIMEOUT_S = 30.0
MAX_RECIPIENTS = 1000
"""Of one post unless set: all recipients of a message (the largest intake allows) in one call."""
OWN_FIELDS = frozenset({"form", "mapping", "mapping_file", "headers", "signing_secret", "timeout"})
"""Fields that only a webhook has."""
_SHARED = frozenset(
    {"name", "kind", "url", "url_file", "from_", "from_policy", "subject_prefix", "receivers", "rate"}
    | {"max_connections", "max_recipients", "ca_file", "verify"}
)
_TARGET = re.compile(r"(?:[/?](?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*)?\Z")
"""RFC 3986 sections 3.3 and 3.4: path and query."""
_MAX_URL = 2048
_URL = "url"
"""Codes of what is wrong in an authority begin with it."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """Where problems and warnings go, and how a field is called there."""

    named: Callable[[str], str]
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    directory: Path | None = None
    """Where relative paths start."""
    is_locked: bool = False
    """``*****`` stands for secrets that cannot be read now."""

    def report(self, code: str, key: str, cause: str, fix: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(code=code, field=self.named(key), cause=cause, fix=fix))

    def warn(self, key: str, sentence: str) -> None:
        """Add a warning."""
        self.warnings.append(f"{self.named(key)}: {sentence}")


def is_hook(fields: TransportFields) -> bool:
    """Say whether a description is of a webhook."""
    if fields.kind is not None:
        return fields.kind is TransportKind.WEBHOOK
    scheme = "" if fields.url is None else fields.url.reveal().strip().partition("://")[0].lower()
    return scheme in HOOK_SCHEMES


def read_hook(fields: TransportFields, findings: Findings) -> HookTarget | None:
    """Return the webhook that the fields describe, ``None`` when something is wrong."""
    _refuse_strange(fields, findings)
    url = _url(fields, findings)
    mapping = _mapping(fields, findings)
    form = fields.form or (HookForm.HAP if mapping is None else HookForm.MAPPED)
    if form is HookForm.MAPPED and mapping is None:
        fix = f"Set mapping to a profile ({', '.join(PROFILES)}), or mapping_file."
        findings.report("webhook-mapping", "mapping", 'missing beside form = "mapped"', fix)
    if form is HookForm.HAP and mapping is not None:
        cause = "set, but form is hap, whose body is fixed"
        findings.report("webhook-mapping", "mapping", cause, 'Set form = "mapped".')
    headers = _headers(fields, mapping or {}, findings)
    _check_secret(fields.signing_secret, findings)
    if not fields.verify:
        findings.warn(
            "verify", "the server's certificate is NOT checked: anybody in between can read the mail"
        )
    if findings.problems or url is None:
        return None
    if not url.is_tls and not _is_loopback(url.host):
        findings.warn("url", "not encrypted: anybody in between can read the mail and the headers")
    ca_file = fields.ca_file
    if ca_file is not None and findings.directory is not None:
        ca_file = str(findings.directory / ca_file)
    return HookTarget(
        url=str(url),
        form=form,
        headers=headers,
        mapping=mapping or {},
        signing_secret=fields.signing_secret,
        timeout_s=fields.timeout if fields.timeout is not None else DEFAULT_TIMEOUT_S,
        ca_file=ca_file,
        verify=fields.verify,
    )


def parse_hook_url(text: str, findings: Findings, *, schemes: Mapping[str, bool]) -> HookUrl | None:
    """Read the URL of a webhook; what is wrong goes to ``findings`` under ``url``."""
    scheme, found, rest = text.strip().partition("://")
    is_tls = schemes.get(scheme.lower())
    if not found or is_tls is None or len(text) > _MAX_URL:
        findings.report("webhook-url", "url", "not the URL of a webhook", _FORM)
        return None
    authority = Authority(rest, field=findings.named("url"), code=_URL)
    if "@" in rest.partition("/")[0]:
        cause = "a login stands in the URL of a webhook"
        findings.report("webhook-url", "url", cause, "Put it into headers: Authorization.")
        return None
    host, port = authority.host()
    findings.problems.extend(authority.problems)
    if not _TARGET.match(authority.tail):
        cause = "the path has a fragment or characters that must be percent-encoded"
        findings.report(
            "webhook-url", "url", cause, "Percent-encode them, and leave out '#' and what follows."
        )
        return None
    if authority.problems:
        return None
    target = authority.tail if authority.tail.startswith("/") else f"/{authority.tail}"
    return HookUrl(is_tls=is_tls, host=host, port=port or (443 if is_tls else 80), target=target)


def sent_headers(target: HookTarget) -> dict[str, str]:
    """Return the header fields of a post in lower case: the mapping's constants, then the configured ones."""
    constants: Mapping[str, str] = target.mapping.get("headers", {})
    return {
        **{name.lower(): value for name, value in constants.items()},
        **{name.lower(): value.reveal() for name, value in target.headers.items()},
    }


_FORM = 'Write hap+https://HOST/PATH, or kind = "webhook" beside https://HOST/PATH.'


def _url(fields: TransportFields, findings: Findings) -> HookUrl | None:
    if fields.url is None:
        findings.report("webhook-url", "url", "missing", _FORM)
        return None
    schemes = HOOK_SCHEMES if fields.kind is None else {**HOOK_SCHEMES, **PLAIN_SCHEMES}
    return parse_hook_url(fields.url.reveal(), findings, schemes=schemes)


def _refuse_strange(fields: TransportFields, findings: Findings) -> None:
    for name in sorted(fields.model_fields_set - _SHARED - OWN_FIELDS):
        if getattr(fields, name) != TransportFields.model_fields[name].default:
            cause = "has no meaning for a webhook"
            findings.report("webhook-field", name, cause, "Leave it out.")
    if fields.mapping_file is not None:
        cause = "names a file of the server, which only the settings file may do"
        findings.report("file-not-here", "mapping_file", cause, "Send the mapping itself as mapping.")


def refuse_hook_fields(fields: TransportFields, findings: Findings) -> None:
    """Report what only a webhook has, set for another transport."""
    for name in sorted(fields.model_fields_set & OWN_FIELDS):
        if getattr(fields, name) is not None:
            cause = "has a meaning for a webhook only"
            findings.report("webhook-field", name, cause, f"Leave it out, or {_FORM[0].lower()}{_FORM[1:]}")


def _mapping(fields: TransportFields, findings: Findings) -> Mapping[str, Any] | None:
    given = fields.mapping
    if given is None:
        return None
    if isinstance(given, str):
        try:
            return profile(given)
        except KeyError:
            fix = f"{did_you_mean(given, PROFILES)} A file of your own is named by mapping_file."
            findings.report("webhook-mapping", "mapping", "no such profile", fix)
            return None
    found = list(mapping_problems(given, field=findings.named("mapping")))
    findings.problems.extend(found)
    return None if found else given


def _headers(fields: TransportFields, mapping: Mapping[str, Any], findings: Findings) -> Mapping[str, Secret]:
    given = {name: secret.reveal() for name, secret in (fields.headers or {}).items()}
    findings.problems.extend(header_problems(given, findings.named("headers")))
    constants = {name.lower() for name in mapping.get("headers", ())}
    for name, value in given.items():
        if value == HIDDEN and not findings.is_locked:
            cause = f"{HIDDEN} stands for a stored secret, and none is stored"
            findings.report("secret-missing", f"headers.{name}", cause, "Give the value itself.")
        if name.lower() in constants:
            findings.report("given-twice", f"headers.{name}", "the mapping has it too", "Give it once.")
    return fields.headers or {}


def _check_secret(secret: Secret | None, findings: Findings) -> None:
    if secret is None:
        return
    if secret.reveal() == HIDDEN:
        if not findings.is_locked:
            cause = f"{HIDDEN} stands for a stored secret, and none is stored"
            findings.report("secret-missing", "signing_secret", cause, "Give the secret itself.")
        return
    parts = secret.reveal().split()
    if not all(map(_is_signing_secret, parts)):
        fix = (
            f"Write {SECRET_PREFIX} and Base64, as its receiver shows it; two with a blank while it changes."
        )
        findings.report("signing-secret", "signing_secret", "not a Standard Webhooks secret", fix)
    if not parts:
        findings.report("signing-secret", "signing_secret", "empty", "Leave it out, or give the secret.")


def _is_signing_secret(text: str) -> bool:
    try:
        signature(Secret(text), webhook_id="", timestamp=0, body=b"")
    except ValueError:  # not Base64
        return False
    return text.startswith(SECRET_PREFIX)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""The HAP doors' settings, and what must not be started. Pure."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from postroom.config.hap_section import HapSection
from postroom.config.settings import HapSettings, Settings
from postroom.errors import Problem
from postroom.model.secret import Secret

MIN_SECRET = 16
"""Characters (security limit): fewer can be guessed."""


def hap_settings(
    section: HapSection, *, secret: Secret | None, hosts: tuple[str, ...], ca_file: Path | None, is_open: bool
) -> HapSettings:
    """Return what the section comes to.

    ``is_open`` says that nobody stands between the callers and the doors, so that peers can be told apart.
    """
    is_written = bool(section.model_fields_set)
    is_wanted = section.keyless is not False and secret is None
    return HapSettings(
        from_=section.from_,
        header=section.header.lower(),
        secret=secret,
        keyless=is_wanted and is_open,
        keyless_by_capture=section.keyless is None and not is_written,
        networks=section.networks,
        hosts=tuple(sorted({*hosts, *section.hosts})),
        attachment_hosts=section.attachment_hosts,
        attachment_timeout_s=section.attachment_timeout,
        attachment_redirects=section.attachment_redirects,
        ca_file=ca_file,
        duplicate_window=timedelta(seconds=section.duplicate_window),
    )


def hap_problems(settings: Settings, section: HapSection, *, secret_field: str) -> Sequence[Problem]:
    """Refuse a secret that protects nothing, and doors without one that cannot be meant."""
    hap = settings.hap
    problems: list[Problem] = []
    if hap.secret is not None:
        problems += _secret_problems(hap.secret.reveal(), secret_field)
    if section.keyless and hap.secret is not None:
        problems.append(
            Problem(
                code="given-twice",
                field="hap.keyless",
                cause="callers are to need no secret while there is one",
                fix="Remove one of them.",
            )
        )
    elif section.keyless and (settings.public_url is not None or settings.trusted_proxies):
        problems.append(
            Problem(
                code="keyless-behind-proxy",
                field="hap.keyless",
                cause="set while a proxy may stand before Postroom, so peers cannot be told apart",
                fix="Set hap.secret instead, and put it into HAP's WebhookHeaders.",
            )
        )
    elif section.keyless and not hap.networks:
        problems += [
            Problem(
                code="keyless-open",
                field="hap.networks",
                cause=f"the HAP doors need no secret while other machines can reach {listener.url}",
                fix="List the callers' networks in hap.networks, or set hap.secret.",
            )
            for listener in settings.listeners
            if not listener.is_loopback
        ][:1]
    return problems


def _secret_problems(secret: str, field: str) -> Sequence[Problem]:
    fix = "Use a long random one, for example from `openssl rand -hex 32`."
    if len(secret) < MIN_SECRET:
        return [
            Problem(code="hap-secret", field=field, cause=f"shorter than {MIN_SECRET} characters", fix=fix)
        ]
    if not (secret.isascii() and secret.isprintable() and secret == secret.strip()):
        cause = "holds a character that cannot stand in a header"
        return [Problem(code="hap-secret", field=field, cause=cause, fix="Use printable ASCII.")]
    return []


def hap_warnings(settings: Settings, section: HapSection) -> Sequence[str]:
    """Say aloud what is set and has no effect."""
    hap = settings.hap
    is_behind_proxy = settings.public_url is not None or bool(settings.trusted_proxies)
    if section.model_fields_set and hap.secret is None and is_behind_proxy:
        return ("the HAP doors ask for an API key because a proxy may stand before Postroom; set hap.secret",)
    if hap.networks and not hap.keyless:
        return ("hap.networks is not used: callers send the secret or an API key",)
    return ()

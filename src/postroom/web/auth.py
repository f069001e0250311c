"""Who is calling, and may they: decided from the request's head, before a byte of its body is read.

Rules: a key travels in ``Authorization: Bearer KEY`` and nowhere else, but for the one dialect whose senders
put it into the body (PagerDuty's; ``caller_with`` judges it there); a header that is there must be
right, also at a door that needs none; a refusal never says which part of a wrong key was right. A door for a
program that cannot be given a key may take a shared secret in a header of its own instead, compared in a time
that tells nothing about it.

Sources: RFC 6750 (Bearer), RFC 9110 section 11.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hmac import compare_digest

from starlette.types import Scope

from postroom.errors import Problem
from postroom.model.ids import DEFAULT_TENANT, TenantId
from postroom.model.secret import Secret
from postroom.model.view import ApiKey
from postroom.web.keyless import (
    KeylessRule,
    Network,
    approach_of,
    effective_peer,
    is_within,
    keyless_allowed,
    parse_networks,
)
from postroom.web.problem import HttpError

_BEARER = re.compile(rb"[Bb]earer ([!-~]{1,1024})\Z")
"""RFC 6750 section 2.1, one blank and one token; any printable token, because operators choose the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An admitted caller."""

    tenant: TenantId = DEFAULT_TENANT
    senders: tuple[str, ...] = ()
    """Addresses and ``@domain`` forms the caller may send as; empty means any."""
    key: str = ""
    """Name of the key; ``""`` without one."""
    scopes: frozenset[str] = frozenset()
    """Of the key; empty without one."""
    peer: str = ""
    """Where the request came from, past trusted proxies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSecret:
    """A header that stands for a key at one door."""

    header: str
    """Its name in lower case; ``authorization`` may hold a key as well."""
    secret: Secret
    setting: str
    """Where the secret is configured, for the refusal."""

    def is_given(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Say whether the header is there and right.

        Raises HttpError 401 for one that is wrong, unless it may be a key.
        """
        name = self.header.encode("ascii")
        given = [value for key, value in headers if key == name]
        if len(given) == 1 and compare_digest(given[0], self.secret.reveal().encode()):
            return True
        if given and self.header != "authorization":
            problem = Problem(
                code="secret-wrong",
                field=self.header,
                cause=f"the header {self.header} does not hold the secret",
                fix=f"Send what {self.setting} holds; `postroom hap config` prints it for HAP.",
            )
            raise HttpError(401, problem, {"www-authenticate": 'Bearer realm="postroom"'})
        return False


class Doorkeeper:
    """Admits callers by key, or by the rule of a door that needs none."""

    def __init__(
        self, key_for: Callable[[str], ApiKey | None], *, trusted_proxies: Sequence[Network] = ()
    ) -> None:
        """Take the look-up of live keys and the proxies whose X-Forwarded-For is believed."""
        self._key_for = key_for
        self._trusted = tuple(trusted_proxies)

    def admit(
        self, scope: Scope, *, needs: str | None, keyless: KeylessRule, shared: SharedSecret | None = None
    ) -> Caller:
        """Return the caller of a request.

        Args:
            scope: The ASGI scope; only its head is looked at.
            needs: The scope a key must have, ``None`` for doors open to everybody.
            keyless: When a request without a key is admitted.
            shared: What a request may have instead of a key.

        Raises:
            HttpError: 401 with the way to ask, or 403 naming what the key lacks.
        """
        headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
        peer = scope["client"][0] if scope.get("client") else ""
        if self._trusted:
            forwarded = ",".join(
                value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"
            )
            peer = effective_peer(peer, forwarded, self._trusted)
        if needs is None or (shared is not None and shared.is_given(headers)):
            return Caller(peer=peer)
        given = [value for name, value in headers if name == b"authorization"]
        if not given:
            decision = keyless_allowed(keyless, approach_of(peer, scope["scheme"], headers))
            if decision.is_allowed:
                return Caller(peer=peer)
            sent = "no key was sent" if shared is None else f"no key was sent and no {shared.header}"
            raise _unknown(f"{sent}, and {decision.reason}", 'Bearer realm="postroom"')
        match = _BEARER.match(given[0]) if len(given) == 1 else None
        key = self._key_for(match[1].decode("ascii")) if match else None
        if key is None:
            raise _unknown(
                "the Authorization header holds no live key", 'Bearer realm="postroom", error="invalid_token"'
            )
        return caller_with(key, needs=needs, peer=peer)


def caller_with(key: ApiKey, *, needs: str, peer: str) -> Caller:
    """Return the caller who showed a live key. Raises HttpError 403 naming what the key lacks."""
    if needs not in key.scopes:
        raise _forbidden("scope-missing", f"this needs a key with the scope {needs!r}", needs)
    if key.networks and not is_within(peer, parse_networks(key.networks)):
        raise _forbidden("network-not-allowed", f"this key is not for callers from {peer}", needs)
    return Caller(tenant=key.tenant, senders=key.senders, key=key.name, scopes=key.scopes, peer=peer)


def _unknown(cause: str, challenge: str) -> HttpError:
    problem = Problem(
        code="key-missing" if cause.startswith("no key") else "key-unknown",
        field="authorization",
        cause=cause,
        fix="Send the header `Authorization: Bearer KEY`; `postroom keys create` makes a key.",
    )
    return HttpError(401, problem, {"www-authenticate": challenge})


def _forbidden(code: str, cause: str, needs: str) -> HttpError:
    problem = Problem(
        code=code,
        field="authorization",
        cause=cause,
        fix=f"Use another key: `postroom keys create NAME --scope {needs}`.",
    )
    challenge = f'Bearer realm="postroom", error="insufficient_scope", scope="{needs}"'
    return HttpError(403, problem, {"www-authenticate": challenge})

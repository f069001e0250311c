"""The webhook transports of a run, and the keys that sign their links.

``DATA/links.key`` has the form of ``secret.key``: keys in Base64, the current one first. It is made with the
first webhook or alert mail that may need links; a line put before the others begins a new key, a line taken
away ends the links that it signed.
"""

import ssl
import threading
from functools import partial
from pathlib import Path

from postroom.clock import Clock, SystemDice
from postroom.config.settings import Settings
from postroom.engine.mail_files import SharedFiles, StoredMailFiles
from postroom.engine.ways import Way
from postroom.errors import ConfigError, Problem
from postroom.ingress.http.files import FileDoors
from postroom.model.transport import TransportSpec
from postroom.policy.hook_url import HookUrl
from postroom.policy.links import LinkKeys, Links
from postroom.schema.hook_spec import sent_headers
from postroom.spool.secret_key import read_key_file, write_key_file
from postroom.spool.sqlite.opening import SqliteStore
from postroom.telemetry import logger
from postroom.web.gate import Operation

FILE_NAME = "links.key"
KEY_BYTES = 32

_making = threading.Lock()
"""Letters are written side by side, and all of them need the same key."""

log = logger("bootstrap")


def known_link_keys(data: Path) -> LinkKeys | None:
    """Return the keys of a data directory, ``None`` while there are none. Raises StoreError."""
    keys = read_key_file(data / FILE_NAME)
    return LinkKeys(keys) if keys else None


def link_keys(data: Path) -> LinkKeys:
    """Return the keys, made when there are none. Raises StoreError."""
    with _making:
        known = known_link_keys(data)
        if known is not None:
            return known
        keys = (SystemDice().token(KEY_BYTES),)
        write_key_file(data / FILE_NAME, keys)
    return LinkKeys(keys)


def file_operations(settings: Settings, shared: SharedFiles, clock: Clock) -> list[Operation]:
    """Return the door that serves the links."""
    return FileDoors(shared, keys=partial(known_link_keys, settings.data), clock=clock).operations()


def webhook_way(spec: TransportSpec, settings: Settings, store: SqliteStore, *, clock: Clock) -> Way:
    """Make the way of a webhook; blocking, for it reads files. Raises ConfigError, StoreError."""
    # The HTTP and the authorities it trusts cost a tenth of a start; most servers have no webhook transport.
    from postroom.egress.webhook import WebhookTransport  # noqa: PLC0415 - see above

    if spec.hook is None:
        raise AssertionError("a webhook way needs a webhook")
    links = None
    if settings.public_url is None:
        log.warning(
            "mail with files waits for a person: a webhook gets links to them, and public_url is not set",
            transport=spec.name,
        )
    else:
        links = Links(public_url=settings.public_url, keys=link_keys(settings.data))
    try:
        transport = WebhookTransport(
            spec,
            files=StoredMailFiles(store.blobs),
            clock=clock,
            links=links,
            headers=sent_headers(spec.hook),
        )
    except (OSError, ssl.SSLError) as error:
        cause = f"its authorities cannot be read: {error}"
        fix = f"Check {spec.hook.ca_file}: a PEM file with certificates."
        raise ConfigError([Problem(code="ca-file", field="ca_file", cause=cause, fix=fix)]) from None
    return Way(
        transport=transport,
        target=HookUrl.of(spec.hook.url).origin,
        default_from=spec.default_from,
        from_policy=spec.from_policy,
        rates=spec.rates,
        digest=transport.digest_of,
        loses=transport.loses,
    )

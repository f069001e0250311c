"""The HAP doors of a run, and the way to the files that HAP's mail names."""

from collections.abc import Mapping, Sequence

from postroom.clock import Clock, Dice
from postroom.config.settings import Settings
from postroom.egress.fetch import FetchRules, GuardedFetcher
from postroom.engine.fetching import Fetching
from postroom.engine.service import Service
from postroom.engine.signals import Signals
from postroom.ingress.http.hap import HapDoors, HapSetup
from postroom.ingress.http.hap_test import HapTestDoor
from postroom.model.message import MailClass
from postroom.net.guard import Guard
from postroom.policy.retry import ClassRules
from postroom.spool.sqlite.opening import SqliteStore
from postroom.web.auth import SharedSecret
from postroom.web.budget import ByteBudget
from postroom.web.gate import Operation
from postroom.web.keyless import KeylessRule, parse_networks


def hap_operations(settings: Settings, service: Service, budget: ByteBudget) -> Sequence[Operation]:
    """Return the doors; who may use them is in ``[hap]``."""
    hap = settings.hap
    setup = HapSetup(
        from_=lambda: hap.from_ or service.default_from,
        duplicate_window=hap.duplicate_window,
        max_body=settings.door_limits.max_body,
    )
    keyless = KeylessRule(
        is_open=hap.keyless,
        while_so=(lambda: service.mode == "capture") if hap.keyless_by_capture else (lambda: True),
        is_behind_proxy=settings.public_url is not None or bool(settings.trusted_proxies),
        networks=parse_networks(hap.networks),
        hosts=frozenset(hap.hosts),
    )
    secret = None
    if hap.secret is not None:
        secret = SharedSecret(header=hap.header, secret=hap.secret, setting="hap.secret")
    doors = HapDoors(service=service, budget=budget, setup=setup).operations(keyless, secret)
    return [*doors, *HapTestDoor(service, budget).operations()]


def fetcher_of(settings: Settings) -> GuardedFetcher:
    """Return the way to file servers: public ones, and those of the settings."""
    hap = settings.hap
    return GuardedFetcher(
        guard=Guard(settings.allowed_networks, opened=hap.attachment_hosts),
        rules=FetchRules(
            timeout_s=hap.attachment_timeout_s,
            max_redirects=hap.attachment_redirects,
            ca_file=None if hap.ca_file is None else str(hap.ca_file),
        ),
    )


def fetching_of(
    settings: Settings,
    store: SqliteStore,
    fetcher: GuardedFetcher,
    *,
    rules: Mapping[MailClass, ClassRules],
    signals: Signals,
    clock: Clock,
    dice: Dice,
) -> Fetching:
    """Return the stage that fetches files; the dispatcher gives it its mail."""
    return Fetching(
        spool=store.spool,
        blobs=store.blobs,
        fetcher=fetcher,
        rules=rules,
        limits=settings.message_limits,
        signals=signals,
        clock=clock,
        dice=dice,
    )

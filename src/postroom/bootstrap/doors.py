"""The HTTP doors of a run, and where each listens."""

from collections.abc import Callable, Sequence

from postroom.config.settings import NexusAnswer, Settings
from postroom.engine.explain import Explainer
from postroom.engine.service import Service
from postroom.ingress.http.app import build_app
from postroom.ingress.http.desk_table import DeskRoom
from postroom.ingress.http.nexus import NexusDoors, NexusSetup
from postroom.ingress.http.settings import HttpSettings
from postroom.telemetry.exposition import Scrape
from postroom.web.auth import Doorkeeper
from postroom.web.budget import ByteBudget
from postroom.web.gate import Gate
from postroom.web.keyless import KeylessRule, parse_networks
from postroom.web.listening import TlsPair
from postroom.web.server import Binding
from postroom.web.uploads import FormLimits


def doors(
    settings: Settings,
    service: Service,
    *,
    explainer: Explainer,
    desk: DeskRoom,
    scrape: Scrape,
    is_overloaded: Callable[[], bool],
) -> Sequence[Binding]:
    """Build the applications and say where each listens."""
    proxies = parse_networks(settings.trusted_proxies)
    limits = settings.door_limits
    http = HttpSettings(
        public_url=settings.public_url,
        trusted_proxies=proxies,
        max_body=limits.max_body,
        max_parts=limits.max_parts,
        max_bodies=limits.max_bodies_in_flight,
        metrics_are_public=settings.metrics_public,
        has_bootstrap_key=settings.bootstrap_key is not None,
    )
    budget = ByteBudget(limits.max_bodies_in_flight)
    scrape.add(budget.show)
    setup, keyless = _nexus(settings, service)
    nexus_doors = NexusDoors(service=service, budget=budget, setup=setup).operations(keyless)
    whole = build_app(
        service,
        http,
        budget=budget,
        explainer=explainer,
        desk=desk,
        more=nexus_doors,
        scrape=scrape,
        is_overloaded=is_overloaded,
    )
    only_nexus = {operation.path for operation in nexus_doors} | {"/healthz", "/readyz"}
    nexus_app = Gate(
        [operation for operation in whole.operations if operation.path in only_nexus],
        Doorkeeper(service.key_for, trusted_proxies=proxies),
        is_overloaded=is_overloaded,
    )
    pair = TlsPair(cert=settings.tls.cert, key=settings.tls.key) if settings.tls else None
    return [
        Binding(
            host=listener.host,
            port=listener.port,
            app=nexus_app if listener.nexus_only else whole,
            tls=pair if listener.tls else None,
            door="nexus" if listener.nexus_only else "",
        )
        for listener in settings.listeners
    ]


def _nexus(settings: Settings, service: Service) -> tuple[NexusSetup, KeylessRule]:
    """Return what the Nexus doors do, and who needs no key there."""
    nexus, limits = settings.nexus, settings.door_limits
    setup = NexusSetup(
        waits=nexus.answer is NexusAnswer.SENT,
        wait_s=nexus.wait_s,
        from_=nexus.from_,
        message_id_domain=nexus.domain,
        max_json=limits.max_body,
        forms=FormLimits(
            max_files=settings.message_limits.max_content,
            max_field=settings.message_limits.max_text,
            max_body=limits.max_body,
            max_parts=limits.max_parts,
        ),
    )
    keyless = KeylessRule(
        is_open=nexus.keyless,
        while_so=(lambda: service.mode == "capture") if nexus.keyless_by_capture else (lambda: True),
        is_behind_proxy=settings.public_url is not None or bool(settings.trusted_proxies),
        networks=parse_networks(nexus.networks),
        hosts=frozenset(nexus.hosts),
    )
    return setup, keyless

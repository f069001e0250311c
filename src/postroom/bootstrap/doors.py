"""The HTTP doors of a run, and where each listens."""

from collections.abc import Callable, Sequence
from functools import partial

from postroom.bootstrap.hap import hap_operations
from postroom.bootstrap.hooks_out import known_link_keys
from postroom.config.settings import HttpDoor, Listener, NexusAnswer, Settings, TlsFiles
from postroom.engine.explain import Explainer
from postroom.engine.service import Service
from postroom.ingress.http.alert_table import alert_operations
from postroom.ingress.http.alerts import AlertRoom
from postroom.ingress.http.app import build_app
from postroom.ingress.http.desk_table import DeskRoom
from postroom.ingress.http.nexus import NexusDoors, NexusSetup, TenantRule
from postroom.ingress.http.settings import HttpSettings
from postroom.net.guard import Guard
from postroom.schema.nexus_account import PORTS
from postroom.telemetry.exposition import Scrape
from postroom.web.auth import Doorkeeper
from postroom.web.budget import ByteBudget
from postroom.web.gate import Gate, Operation
from postroom.web.keyless import KeylessRule, parse_networks
from postroom.web.listening import TlsPair
from postroom.web.server import Binding
from postroom.web.uploads import FormLimits

_HEALTH = frozenset({"/healthz", "/readyz"})


def doors(
    settings: Settings,
    service: Service,
    *,
    explainer: Explainer,
    desk: DeskRoom,
    scrape: Scrape,
    is_overloaded: Callable[[], bool],
    more: Sequence[Operation] = (),
) -> Sequence[Binding]:
    """Build the applications and say where each listens."""
    proxies = parse_networks(settings.trusted_proxies)
    budget = ByteBudget(settings.door_limits.max_bodies_in_flight)
    scrape.add(budget.show)
    setup, keyless = _nexus(settings, service)
    nexus_doors = NexusDoors(service=service, budget=budget, setup=setup).operations(keyless)
    hap_doors = hap_operations(settings, service, budget)
    alerts = AlertRoom(alerts=service.alerts, clock=desk.clock, keys=partial(known_link_keys, settings.data))
    whole = build_app(
        service,
        _http(settings),
        budget=budget,
        explainer=explainer,
        desk=desk,
        more=(*nexus_doors, *hap_doors, *alert_operations(service, alerts, budget), *more),
        scrape=scrape,
        is_overloaded=is_overloaded,
    )
    of_door = {
        HttpDoor.NEXUS: {operation.path for operation in nexus_doors},
        HttpDoor.HAP: {operation.path for operation in hap_doors},
    }
    others = frozenset().union(*of_door.values())

    def app(listener: Listener) -> Gate:
        """Return what is served at an address; always the health checks."""
        if not listener.doors:
            return whole
        paths = _HEALTH.union(*(of_door.get(door, set()) for door in listener.doors))
        is_v1 = listener.serves(HttpDoor.V1)
        return Gate(
            [one for one in whole.operations if one.path in paths or (is_v1 and one.path not in others)],
            Doorkeeper(service.key_for, trusted_proxies=proxies),
            is_overloaded=is_overloaded,
        )

    return [
        Binding(
            host=listener.host,
            port=listener.port,
            app=app(listener),
            tls=_pair(listener.files or settings.tls) if listener.tls else None,
            door=" ".join(listener.doors),
        )
        for listener in settings.listeners
    ]


def _http(settings: Settings) -> HttpSettings:
    limits = settings.door_limits
    return HttpSettings(
        public_url=settings.public_url,
        trusted_proxies=parse_networks(settings.trusted_proxies),
        max_body=limits.max_body,
        max_parts=limits.max_parts,
        max_bodies=limits.max_bodies_in_flight,
        metrics_are_public=settings.metrics_public,
        has_bootstrap_key=settings.bootstrap_key is not None,
    )


def _pair(files: TlsFiles | None) -> TlsPair | None:
    return None if files is None else TlsPair(cert=files.cert, key=files.key)


def _nexus(settings: Settings, service: Service) -> tuple[NexusSetup, KeylessRule]:
    """Return what the Nexus doors do, and who needs no key there."""
    nexus, limits = settings.nexus, settings.door_limits
    setup = NexusSetup(
        waits=nexus.answer is NexusAnswer.SENT,
        wait_s=nexus.wait_s,
        tenants=TenantRule(
            networks=parse_networks(nexus.tenant_networks),
            ports=PORTS | set(nexus.tenant_ports),
            allow_plaintext_login=nexus.tenant_plaintext_login,
            guard=Guard(settings.allowed_networks),
        ),
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

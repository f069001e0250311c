"""What must not be started, as pure decisions over the settings.

Without a transport the doors take mail that nobody will ever get, and a door without a key is an open relay:
both are fine on this machine and refused beyond it, unless the person says so.
"""

from ipaddress import ip_network

from postroom.config.settings import HttpDoor, Settings
from postroom.errors import Problem


def exposure_problems(settings: Settings) -> tuple[Problem, ...]:
    """Refuse to take other machines' mail into the capture inbox unless capture was asked for."""
    open_to = [one.url for one in settings.listeners if not one.is_loopback]
    open_to += [str(one) for one in settings.smtp.listeners if not one.is_loopback]
    if not open_to or not settings.is_capturing or settings.capture:
        return ()
    return (
        Problem(
            code="no-transport",
            field="transports",
            cause=f"no transport is set while other machines can reach {open_to[0]}, "
            "so their mail would be captured and never sent",
            fix="Set POSTROOM_TRANSPORT or [[transports]], or say --capture when that is meant.",
        ),
    )


def keyless_problems(settings: Settings, *, is_asked: bool, is_set: bool) -> tuple[Problem, ...]:
    """Refuse doors without a key that cannot be meant.

    ``is_asked``: a setting or a Nexus file opens them. ``is_set``: it was the setting ``nexus.keyless``.
    """
    problems = []
    beyond = [
        listener
        for listener in settings.listeners
        if not listener.is_loopback and listener.serves(HttpDoor.NEXUS)
    ]
    if is_set and (settings.public_url is not None or settings.trusted_proxies):
        problems.append(
            Problem(
                code="keyless-behind-proxy",
                field="nexus.keyless",
                cause="set while a proxy may stand before Postroom, so peers cannot be told apart",
                fix="Remove nexus.keyless, or remove http.public_url and http.trusted_proxies.",
            )
        )
    elif is_asked and settings.nexus.keyless and beyond and not settings.nexus.networks:
        problems.append(
            Problem(
                code="keyless-open",
                field="nexus.networks",
                cause=f"the Nexus doors need no key while other machines can reach {beyond[0].url}",
                fix="List the callers' networks in nexus.networks, or set nexus.keyless = false.",
            )
        )
    return tuple(problems)


def keyless_warnings(settings: Settings) -> tuple[str, ...]:
    """Say aloud what is allowed and dangerous."""
    everyone = [net for net in settings.nexus.networks if ip_network(net).prefixlen == 0]
    if settings.nexus.keyless and everyone:
        return (
            f"nexus.networks: {everyone[0]} lets every caller that reaches the port send mail without a key",
        )
    return ()

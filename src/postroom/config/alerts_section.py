"""``[alerts]`` of the settings file: who is told of which events of other programs.

Checked and kept as data; no part of this version sends alerts.
"""

from typing import Annotated

from pydantic import Field

from postroom.config.settings import AlertEvent, AlertSettings
from postroom.schema.written import Duration, Section, Senders

EventName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.\-]{0,63}$")]


class AlertEventSection(Section):
    """One event, by its name: `[alerts.events.jobStateError]`."""

    mail: bool = True
    """Send mail about it."""
    every: Duration = 300.0
    """While it lasts, at most one mail in this time."""


class AlertsSection(Section):
    """Alerts about other programs. They are checked and kept; nothing uses them yet."""

    receivers: Senders = ()
    """Who gets them; one address, several with commas or semicolons, or a list."""
    events: dict[EventName, AlertEventSection] = Field(default_factory=dict)
    """Events by name."""


def alert_settings(section: AlertsSection) -> AlertSettings:
    """Return the section as a value."""
    events = {name: AlertEvent(mail=one.mail, every_s=one.every) for name, one in section.events.items()}
    return AlertSettings(receivers=section.receivers, events=events)
